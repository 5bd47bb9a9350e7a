//! Places below limits: who waits, for how long, and that everything is given back.

use super::*;

/// A plan with one place at the gateway, at the route or at the endpoint.
fn narrow(place: Place) -> Config {
    let mut config = config(&["/*"], 1);
    (config.limits.queue, config.upstreams[0].queue.length) = (1, 1);
    match place {
        Place::Gateway => config.limits.max_concurrent_requests = 1,
        Place::Route(_) => config.routes[0].max_concurrent_requests = 1,
        Place::Fill(_) | Place::Room(_) | Place::Reply(_) => panic!("{place:?} is no place below a limit"),
        Place::Upstream(_) => config.upstreams[0].endpoints[0].max_concurrent_requests = 1,
    }
    config
}

const PLACES: [Place; 3] = [Place::Gateway, Place::Route(0), Place::Upstream(0)];

#[test]
fn one_runs_one_waits_and_one_is_turned_away() {
    for place in PLACES {
        let core = Core::new(narrow(place));
        let (mut runs, mut waits, mut third) = (core.request("GET /"), core.request("GET /"), core.request("GET /"));
        runs.attempt(at(0));
        assert_eq!(waits.waits(at(1)), place);
        let refusal = third.refused(at(1));
        let full = if place == Place::Upstream(0) { Reason::EndpointsBusy } else { Reason::QueueFull };
        assert_eq!((refusal.reason, refusal.retry_after), (full, Some(1)), "{place:?}");
        drop(third);
        assert_eq!(waits.waits(at(2)), place);
        runs.answered(200, at(3));
        assert_eq!(waits.waits(at(3)), place, "the place is held until the body's end");
        runs.exchange.ended(None, at(4));
        let mut fourth = core.request("GET /");
        assert_eq!(fourth.refused(at(4)).reason, full, "the place is for who waits");
        waits.serve(at(5));
        drop(fourth);
        core.request("GET /").serve(at(6));
        core.assert_idle("all served");
    }
}

#[test]
fn patience_has_an_end() {
    for place in PLACES {
        let core = Core::new(narrow(place));
        let (mut runs, mut waits) = (core.request("GET /"), core.request_at("GET /", at(1)));
        runs.attempt(at(0));
        assert_eq!(waits.waits(at(1)), place);
        assert_eq!(waits.waits(at(1000)), place);
        let reason = waits.refused(at(1001)).reason;
        assert_eq!(reason, if place == Place::Upstream(0) { Reason::EndpointsBusy } else { Reason::QueueTimeout });
        let mut next = core.request("GET /");
        assert_eq!(next.waits(at(1001)), place, "its place in the queue is free");
        drop((runs, next, waits));
        core.assert_idle("given up");
    }
}

#[test]
fn dropped_at_any_stage_it_gives_everything_back() {
    type Reach = fn(&Core, &mut Request);
    let stages: [(&str, Reach); 9] = [
        ("arrived", |_, _| {}),
        ("attempting", |_, request| drop(request.attempt(at(0)))),
        ("answered", |_, request| {
            request.attempt(at(0));
            request.answered(200, at(0));
        }),
        ("relaying", |_, request| {
            request.attempt(at(0));
            request.answered(200, at(0));
            request.step(at(0));
        }),
        ("ended", |_, request| request.serve(at(0))),
        ("paused", |_, request| {
            request.attempt(at(0));
            request.failed(Reason::ConnectFailed, Trace::default(), at(0));
            request.pause(at(0));
        }),
        ("attempting again", |_, request| {
            request.attempt(at(0));
            request.failed(Reason::ConnectFailed, Trace::default(), at(0));
            request.attempt(at(100));
        }),
        ("failed", |_, request| {
            request.attempt(at(0));
            request.failed(Reason::BadResponseHead, SENT, at(0));
        }),
        ("waiting", |core, request| {
            let mut first = core.request("GET /");
            first.attempt(at(0));
            request.waits(at(0));
        }),
    ];
    for (name, reach) in stages {
        for place in PLACES {
            let core = Core::new(narrow(place));
            let mut request = core.request("GET /");
            reach(&core, &mut request);
            drop(request);
            core.assert_idle(name);
            core.request("GET /").serve(at(1));
        }
    }
}

#[test]
fn abandoned_requests_say_nothing_of_the_endpoint() {
    let core = Core::new(config(&["/*"], 1));
    for _ in 0..20 {
        core.request("GET /").attempt(at(0));
    }
    assert_eq!(core.failures(), [(0, 0)]);
}

#[test]
fn a_request_outlives_a_reload() {
    let core = Core::new(narrow(Place::Gateway));
    let (mut runs, mut waits) = (core.request("GET /"), core.request("GET /"));
    runs.attempt(at(0));
    waits.waits(at(0));
    let mut changed = narrow(Place::Gateway);
    changed.routes[0].path = "/elsewhere".into();
    changed.upstreams[0].id = "other".into();
    changed.routes[0].upstream = "other".into();
    let plan = Arc::new(Plan::build(changed, 2, 2).expect("a plan"));
    let next = Core { view: Rc::new(core.view.next(plan, at(1))) };
    assert_eq!(next.request("GET /elsewhere").refused(at(1)).reason, Reason::QueueFull, "the gateway's place and queue are taken");
    runs.answered(200, at(2));
    runs.exchange.ended(None, at(2));
    waits.serve(at(3));
    drop((runs, waits));
    core.assert_idle("before the reload");
    next.request("GET /elsewhere").serve(at(4));
    next.assert_idle("after the reload");
}

#[test]
fn an_adaptive_limit_lets_wait_and_then_says_so() {
    let mut config = config(&["/*"], 2);
    config.upstreams[0].queue.length = 1;
    config.upstreams[0].adaptive_concurrency = Some(config::AdaptiveConcurrency { min: 1, max: 1, initial: 1, tolerance: 1.5 });
    let core = Core::new(config);
    let (mut runs, mut waits, mut third) = (core.request("GET /"), core.request("GET /"), core.request("GET /"));
    runs.attempt(at(0));
    assert_eq!(waits.waits(at(1)), Place::Upstream(0));
    let refusal = third.refused(at(1));
    assert_eq!((refusal.reason, refusal.retry_after, refusal.upstream.as_deref()), (Reason::ConcurrencyLimited, Some(1), Some("u")));
    runs.answered(200, at(2));
    runs.exchange.ended(None, at(2));
    assert_eq!(core.request("GET /").refused(at(2)).reason, Reason::ConcurrencyLimited, "the place is for who waits");
    waits.attempt(at(3));
    let mut late = core.request_at("GET /", at(3));
    late.waits(at(3));
    assert_eq!(late.refused(at(1003)).reason, Reason::ConcurrencyLimited);
    drop((waits, late, third));
    core.assert_idle("limited");
    assert_eq!(core.view.report(1, at(4)).upstreams[0].tally.concurrency_limit, Some(1));
}

#[test]
fn an_adaptive_limit_that_comes_with_a_reload_counts_what_is_in_flight() {
    let mut config = config(&["/*"], 2);
    let core = Core::new(config.clone());
    let mut before = core.request("GET /");
    before.attempt(at(0));
    config.upstreams[0].queue.length = 0;
    config.upstreams[0].adaptive_concurrency = Some(config::AdaptiveConcurrency { min: 1, max: 1, initial: 1, tolerance: 1.5 });
    let plan = Arc::new(Plan::build(config, 2, 2).expect("a plan"));
    let core = Core { view: Rc::new(core.view.next(plan, at(1))) };
    assert_eq!(core.request("GET /").refused(at(1)).reason, Reason::ConcurrencyLimited);
    drop(before);
    core.request("GET /").serve(at(2));
    core.assert_idle("reloaded");
}

#[test]
fn an_upgraded_connection_is_no_request_to_an_adaptive_limit_and_keeps_its_other_places() {
    let mut config = config(&["/*"], 2);
    config.upstreams[0].queue.length = 0;
    let adaptive = Some(config::AdaptiveConcurrency { min: 1, max: 1, initial: 1, tolerance: 1.5 });
    config.upstreams[0].adaptive_concurrency = adaptive.clone();
    config.routes[0].max_concurrent_requests = 2;
    config.limits.queue = 0;
    let mut core = Core::new(config.clone());
    let upgraded = |core: &Core, now| {
        let mut request = core.request("GET /");
        request.attempt(at(now));
        request.answered(101, at(now));
        request.exchange.switched();
        request
    };
    let first = upgraded(&core, 0);
    let second = upgraded(&core, 1);
    assert_eq!(core.request("GET /").refused(at(2)).reason, Reason::QueueFull, "of the route's two places none is left");
    drop(second);
    // Where the limit goes and comes back meanwhile, it begins with what is in flight of requests alone.
    for (generation, limit) in [(2, None), (3, adaptive)] {
        config.upstreams[0].adaptive_concurrency = limit;
        let plan = Arc::new(Plan::build(config.clone(), generation, generation).expect("a plan"));
        core = Core { view: Rc::new(core.view.next(plan, at(3))) };
    }
    core.request("GET /").serve(at(4));
    drop(first);
    core.request("GET /").serve(at(5));
    core.assert_idle("upgraded");
}
