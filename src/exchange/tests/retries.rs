//! Failed attempts: what is tried again, where, and when not.

use super::*;
use crate::reconcile::{EndpointUpdate, UpstreamUpdate};
use crate::upstream::EndpointId;

#[test]
fn a_failed_attempt_is_repeated_elsewhere_after_a_pause() {
    let core = Core::new(config(&["/*"], 2));
    let mut request = core.request("POST /");
    let first = request.attempt(at(0)).endpoint;
    request.failed(Reason::ConnectFailed, Trace::default(), at(5));
    let until = request.pause(at(5));
    assert!((at(5) + Duration::from_micros(12_500)..=at(30)).contains(&until), "{until:?}");
    assert_eq!(request.pause(at(6)), until, "asked too early");
    assert_ne!(request.attempt(until).endpoint, first);
    request.answered(200, until);
    assert!(matches!(request.step(until), Step::Relay));
    request.exchange.ended(None, until);
    assert_eq!(request.exchange.tally(), Tally { retries: 1, ..Tally::default() });
    assert_eq!(request.exchange.attempts(), 2);
    core.assert_idle("retried");
    assert_eq!(core.failures(), [(1, 1), (1, 0)]);
}

#[test]
fn what_may_have_been_processed_is_not_repeated() {
    let core = Core::new(config(&["/*"], 2));
    let mut request = core.request("POST /");
    request.attempt(at(0));
    request.failed(Reason::ClosedBeforeHead, SENT, at(1));
    let refusal = request.refused(at(1));
    assert_eq!((refusal.reason, refusal.upstream.as_deref()), (Reason::ClosedBeforeHead, Some("u")));
    drop(request);
    core.assert_idle("refused");
    assert_eq!(core.failures(), [(1, 1), (0, 0)]);
}

#[test]
fn only_so_many_retries_are_made() {
    for retries in [0, 1, 3] {
        let mut config = config(&["/*"], 2);
        config.routes[0].retry_count = Some(retries);
        let core = Core::new(config.clone());
        let mut request = core.request("GET /");
        for _ in 0..retries {
            request.attempt(at(9_000));
            request.failed(Reason::ClosedBeforeHead, SENT, at(0));
        }
        request.attempt(at(9_000));
        request.failed(Reason::ConnectFailed, Trace::default(), at(0));
        assert_eq!(request.refused(at(0)).reason, Reason::ConnectFailed);
        assert_eq!(request.exchange.tally().retries, retries);
        config.features.retries = false;
        let mut request = Core::new(config).request("GET /");
        request.attempt(at(0));
        request.failed(Reason::ConnectFailed, Trace::default(), at(0));
        assert_eq!(request.refused(at(0)).reason, Reason::ConnectFailed, "switched off");
    }
}

#[test]
fn a_stale_connection_costs_nothing_but_once() {
    let mut config = config(&["/*"], 1);
    config.upstreams[0].outlier_detection.consecutive_failures = 1;
    let core = Core::new(config);
    let mut request = core.request("GET /");
    request.attempt(at(0));
    request.failed(Reason::ClosedBeforeHead, REUSED, at(1));
    assert_eq!(core.failures(), [(0, 0)], "the endpoint did nothing wrong");
    request.attempt(at(1));
    assert_eq!(request.exchange.tally(), Tally { stale_retries: 1, ..Tally::default() });
    request.failed(Reason::ClosedBeforeHead, REUSED, at(2));
    assert!(request.pause(at(2)) > at(2), "the second time it is a failure like others");
    assert_eq!(core.failures(), [(1, 1)]);
    drop(request);
    core.assert_idle("stale");
}

#[test]
fn the_budget_bounds_retries_in_flight() {
    let mut config = config(&["/*"], 2);
    config.upstreams[0].retry.budget_min = 1;
    config.upstreams[0].retry.budget_percent = 0;
    let core = Core::new(config);
    let (mut one, mut other) = (core.request("GET /"), core.request("GET /"));
    for request in [&mut one, &mut other] {
        request.attempt(at(0));
        request.failed(Reason::ConnectFailed, Trace::default(), at(0));
    }
    one.pause(at(0));
    assert_eq!(other.refused(at(0)).reason, Reason::ConnectFailed);
    assert_eq!(other.exchange.tally(), Tally { budget_exhausted: true, ..Tally::default() });
    one.attempt(at(100));
    one.answered(200, at(100));
    let mut third = core.request("GET /");
    third.attempt(at(100));
    third.failed(Reason::ConnectFailed, Trace::default(), at(100));
    third.pause(at(100));
}

#[test]
fn beyond_the_deadline_nothing_is_repeated() {
    let mut config = config(&["/*"], 2);
    config.routes[0].timeout = Some(Time::from_millis(100));
    let core = Core::new(config);
    let mut request = core.request("GET /");
    request.attempt(at(0));
    assert_eq!(request.exchange.deadline(), at(100));
    request.failed(Reason::FirstByteTimeout, SENT, at(100));
    assert_eq!(request.refused(at(100)).reason, Reason::FirstByteTimeout);
    assert_eq!(request.exchange.tally(), Tally::default(), "it was time, not the budget");
}

#[test]
fn an_unwanted_status_is_repeated_and_the_last_one_relayed() {
    let mut config = config(&["/*"], 2);
    config.upstreams[0].retry.on_status = vec![config::StatusRange { low: 503, high: 503 }];
    let core = Core::new(config);
    let mut request = core.request("GET /");
    let first = request.attempt(at(0)).endpoint;
    request.answered(503, at(0));
    assert_ne!(request.attempt(at(100)).endpoint, first);
    request.answered(503, at(100));
    assert!(matches!(request.step(at(100)), Step::Relay));
    request.exchange.ended(None, at(200));
    core.assert_idle("relayed");
    assert_eq!(core.failures(), [(1, 1), (1, 1)]);
}

#[test]
fn with_one_endpoint_it_is_asked_again() {
    let core = Core::new(config(&["/*"], 1));
    let mut request = core.request("GET /");
    request.attempt(at(0));
    request.failed(Reason::ConnectFailed, Trace::default(), at(0));
    request.attempt(at(100));
}

#[test]
fn one_that_took_its_time_is_not_asked_again() {
    for reason in [Reason::FirstByteTimeout, Reason::SendTimeout, Reason::ConnectTimeout] {
        let core = Core::new(config(&["/*"], 1));
        let mut request = core.request("GET /");
        request.attempt(at(0));
        request.failed(reason, SENT, at(5_000));
        assert_eq!(request.refused(at(5_000)).reason, reason);
        assert_eq!(request.exchange.tally(), Tally::default(), "there was none to be retried on");

        let mut config = config(&["/*"], 2);
        config.routes[0].retry_count = Some(5);
        let core = Core::new(config);
        let mut request = core.request("GET /");
        let first = request.attempt(at(0)).endpoint;
        request.failed(reason, SENT, at(5_000));
        let until = request.pause(at(5_000));
        let second = core.request("GET /").attempt(at(5_000)).endpoint;
        assert_ne!(first, second);
        let word = down(&core, second);
        core.view.upstream(0).upstream.borrow_mut().apply(&word, at(5_000));
        assert_eq!(request.refused(until).reason, reason, "the other is down by then");
    }
}

/// The coordinator's word that an endpoint is down, and the other one up.
fn down(core: &Core, endpoint: EndpointId) -> UpstreamUpdate {
    let upstream = core.view.upstream(0).upstream.borrow();
    let of = |(id, endpoint_of): (EndpointId, &crate::upstream::Endpoint)| EndpointUpdate {
        endpoint: endpoint_of.name().clone(),
        healthy: id != endpoint,
        ejected_until: at(0),
        ejections: 0,
        addresses: Arc::from([]),
        breaker: None,
    };
    UpstreamUpdate { upstream: "u".into(), version: 9, endpoints: upstream.endpoints().map(of).collect(), shares: vec![], breaker: None }
}

#[test]
fn a_failure_says_more_than_that_nobody_is_left() {
    let mut config = config(&["/*"], 2);
    config.upstreams[0].outlier_detection.consecutive_failures = 1;
    config.upstreams[0].outlier_detection.max_ejection_percent = 100;
    config.routes[0].retry_count = Some(5);
    let core = Core::new(config);
    let mut request = core.request("GET /");
    for millis in [0, 1000] {
        request.attempt(at(millis));
        request.failed(Reason::ConnectFailed, Trace::default(), at(millis));
    }
    assert_eq!(request.refused(at(2000)).reason, Reason::ConnectFailed);
    assert_eq!(core.request_at("GET /", at(2000)).refused(at(2000)).reason, Reason::NoHealthyEndpoint);
}

#[test]
fn an_answer_that_breaks_off_counts_against_its_endpoint() {
    for (broke, failures) in [(Reason::ClosedMidBody, 1), (Reason::ClientLeft, 0)] {
        let core = Core::new(config(&["/*"], 1));
        let mut request = core.request("GET /");
        request.attempt(at(0));
        request.answered(200, at(0));
        request.exchange.ended(Some(broke), at(1));
        assert_eq!(core.failures(), [(1, failures)], "{broke:?}");
        core.assert_idle("broke off");
    }
}

#[test]
fn calls_are_repeated_and_held_against_their_endpoint_by_their_status() {
    let mut config = config(&["/*"], 2);
    config.upstreams[0].retry.on_grpc_status = vec![crate::config::GrpcStatus::Unavailable];
    let core = Core::new(config);
    let mut request = core.request("POST /");
    let first = request.attempt(at(0)).endpoint;
    request.called(14, 503, at(1));
    let until = request.pause(at(1));
    assert_ne!(request.attempt(until).endpoint, first, "another endpoint, though it is a POST");
    request.called(5, 400, until);
    assert!(matches!(request.step(until), Step::Relay), "nobody would know better");
    request.exchange.ended(None, until);
    assert_eq!(core.failures(), [(1, 1), (1, 0)]);
    // One that fails behind its messages is relayed, and counts.
    let mut request = core.request("POST /");
    request.attempt(at(9));
    request.answered(200, at(9));
    request.exchange.called(500, at(9));
    request.exchange.ended(None, at(9));
    assert_eq!(core.failures().iter().map(|(_, failures)| failures).sum::<u64>(), 2);
    drop(request);
    core.assert_idle("called");
}
