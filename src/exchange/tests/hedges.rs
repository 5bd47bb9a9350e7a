//! Second attempts beside the first.

use super::*;
use crate::config::Hedge;
use crate::reconcile::Hedges;

/// A core that knows how long its endpoints take: 10 ms.
fn measured(endpoints: usize, change: impl FnOnce(&mut Config)) -> Core {
    let mut config = config(&["/*"], endpoints);
    config.upstreams[0].hedge = Some(Hedge { budget_percent: 100, ..Hedge::default() });
    change(&mut config);
    let core = Core::new(config);
    for number in 0..40 {
        let now = at(number * 20);
        let mut request = core.request_at("GET /", now);
        request.attempt(now);
        request.answered(200, now + Duration::from_millis(10));
        request.exchange.ended(None, now + Duration::from_millis(10));
    }
    core
}

/// A request under way, and the delay after which it may be sent again.
fn begin(core: &Core, text: &str) -> (Request, Attempt) {
    let mut request = core.request_at(text, at(1000));
    let attempt = request.attempt(at(1000));
    (request, attempt)
}

fn hedges(core: &Core) -> Hedges {
    core.view.report(9, at(2000)).upstreams[0].tally.hedges
}

#[test]
fn only_what_may_be_sent_twice_is_hedged_after_what_is_usual() {
    let core = measured(2, |_| {});
    let (_request, attempt) = begin(&core, "GET /");
    let after = attempt.hedge_after.expect("enough is known");
    assert!((Duration::from_millis(10)..Duration::from_millis(11)).contains(&after), "{after:?}");
    for (method, twice) in [("POST", false), ("PATCH", false), ("HEAD", true), ("DELETE", true), ("PUT", true)] {
        assert_eq!(begin(&core, &format!("{method} /")).1.hedge_after.is_some(), twice, "{method}");
    }
    let mut body = core.raw("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n", at(1000));
    assert_eq!(body.attempt(at(1000)).hedge_after, None, "its body would be needed twice");
    let mut upgrade = core.raw("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", at(1000));
    assert_eq!(upgrade.attempt(at(1000)).hedge_after, None);
    let new = Core::new(core.view.plan.config.clone());
    assert_eq!(begin(&new, "GET /").1.hedge_after, None, "nothing is known yet");
    let without = measured(2, |config| config.upstreams[0].hedge = None);
    assert_eq!(begin(&without, "GET /").1.hedge_after, None);
}

#[test]
fn the_second_may_win() {
    let core = measured(2, |_| {});
    let before = core.failures();
    let (mut request, first) = begin(&core, "GET /");
    let second = request.exchange.hedge(at(1010), 0).expect("there is another");
    assert_ne!(first.endpoint, second.endpoint);
    assert_eq!((second.hedge_after, second.careful), (None, false));
    request.exchange.hedge_answered(true, at(1015));
    request.answered(200, at(1015));
    assert!(matches!(request.step(at(1015)), Step::Relay));
    let upstream = core.view.upstream(0).upstream.borrow();
    let in_flight = [first, second].map(|attempt| upstream.endpoint(attempt.endpoint).in_flight());
    assert_eq!(in_flight, [0, 1], "the first is given up, the second is being relayed");
    drop(upstream);
    request.exchange.ended(None, at(1020));
    core.assert_idle("won");
    assert_eq!(hedges(&core), Hedges { made: 1, won: 1, exhausted: 0 });
    let (before, after): (u64, u64) = (before.iter().map(|of| of.0).sum(), core.failures().iter().map(|of| of.0).sum());
    assert_eq!(after, before + 1, "the one that was given up says nothing");
    assert!(core.failures().iter().all(|of| of.1 == 0));
}

#[test]
fn the_first_may_still_win() {
    let core = measured(2, |_| {});
    let (mut request, first) = begin(&core, "GET /");
    request.exchange.hedge(at(1010), 0).expect("there is another");
    request.exchange.hedge_answered(false, at(1012));
    request.answered(200, at(1012));
    assert_eq!(core.view.upstream(0).upstream.borrow().endpoint(first.endpoint).in_flight(), 1);
    request.exchange.ended(None, at(1020));
    core.assert_idle("won");
    assert_eq!(hedges(&core), Hedges { made: 1, won: 0, exhausted: 0 });
}

#[test]
fn one_that_fails_leaves_the_other() {
    for fails_second in [true, false] {
        let core = measured(2, |_| {});
        let (mut request, first) = begin(&core, "GET /");
        let second = request.exchange.hedge(at(1010), 0).expect("there is another");
        request.exchange.hedge_failed(fails_second, Reason::ConnectFailed, at(1011));
        let (failed, other) = if fails_second { (second, first) } else { (first, second) };
        let upstream = core.view.upstream(0).upstream.borrow();
        let in_flight = [&failed, &other].map(|attempt| upstream.endpoint(attempt.endpoint).in_flight());
        drop(upstream);
        assert_eq!(in_flight, [0, 1]);
        assert_eq!(core.failures()[failed.endpoint.slot as usize].1, 1, "it counts as any other failure");
        request.answered(200, at(1015));
        request.exchange.ended(None, at(1016));
        core.assert_idle("one failed");
    }
}

#[test]
fn without_another_endpoint_or_budget_there_is_none() {
    let core = measured(1, |_| {});
    let (mut request, _) = begin(&core, "GET /");
    assert!(request.exchange.hedge(at(1010), 0).is_none());
    assert_eq!(hedges(&core), Hedges::default(), "the budget is not to blame");
    let core = measured(2, |config| config.upstreams[0].hedge = Some(Hedge { budget_percent: 1, ..Hedge::default() }));
    // Some forty requests have saved up less than one.
    let (mut request, _) = begin(&core, "GET /");
    assert!(request.exchange.hedge(at(1010), 0).is_none());
    assert_eq!(hedges(&core), Hedges { made: 0, won: 0, exhausted: 1 });
    drop(request);
    core.assert_idle("none");
}

#[test]
fn a_busy_endpoint_is_not_asked_as_well_and_costs_no_budget() {
    let core = measured(2, |config| config.upstreams[0].endpoints.iter_mut().for_each(|endpoint| endpoint.max_concurrent_requests = 1));
    let (mut one, _) = begin(&core, "GET /");
    let (two, _) = begin(&core, "GET /");
    assert!(one.exchange.hedge(at(1010), 0).is_none());
    assert_eq!(hedges(&core), Hedges::default());
    drop((one, two));
    core.assert_idle("busy");
}

#[test]
fn a_client_that_leaves_gives_both_back() {
    let core = measured(2, |_| {});
    let (mut request, _) = begin(&core, "GET /");
    request.exchange.hedge(at(1010), 0).expect("there is another");
    assert_eq!(core.view.upstream(0).upstream.borrow().in_flight(), 2);
    drop(request);
    core.assert_idle("left");
}
