//! Requests that meet a circuit breaker.

use super::*;
use crate::config::{BreakerMode, BreakerScope, CircuitBreaker, StatusRange};

fn guarded(endpoints: usize, change: impl FnOnce(&mut CircuitBreaker)) -> Core {
    let mut config = config(&["/*"], endpoints);
    let mut rules = CircuitBreaker { consecutive_failures: 2, trials: 1, ..CircuitBreaker::default() };
    change(&mut rules);
    config.circuit_breaker = Some(rules);
    config.upstreams[0].outlier_detection.enabled = false;
    config.routes[0].retry_count = Some(0);
    Core::new(config)
}

/// A request that is answered so; which endpoint answered.
fn answer(core: &Core, status: u16, now: Instant) -> u32 {
    let mut request = core.request_at("GET /", now);
    let slot = request.attempt(now).endpoint.slot;
    request.answered(status, now);
    assert!(matches!(request.step(now), Step::Relay));
    request.exchange.ended(None, now);
    slot
}

/// The refusal of a request, which must be for the breaker; after how many seconds to come again.
fn kept_away(core: &Core, now: Instant) -> Option<u32> {
    let refusal = core.request_at("GET /", now).refused(now);
    assert_eq!((refusal.reason, refusal.upstream.as_deref()), (Reason::CircuitOpen, Some("u")));
    refusal.retry_after
}

#[test]
fn others_are_used_while_there_are_any() {
    let core = guarded(2, |_| {});
    let slots: Vec<u32> = (0..3).map(|_| answer(&core, 500, at(0))).collect();
    let open = slots[0];
    assert_eq!(slots, [open, 1 - open, open]);
    assert!((0..9).all(|_| answer(&core, 200, at(1)) != open));
    (0..2).for_each(|_| _ = answer(&core, 500, at(1000)));
    assert_eq!(kept_away(&core, at(1000)), Some(4), "the first one is open for four seconds more");
    assert_eq!(kept_away(&core, at(4999)), Some(1));
}

#[test]
fn half_open_lets_so_many_through_at_once() {
    for scope in [BreakerScope::Endpoint, BreakerScope::Upstream, BreakerScope::Both] {
        let core = guarded(1, |rules| rules.scope = scope);
        (0..2).for_each(|_| _ = answer(&core, 500, at(0)));
        assert_eq!(kept_away(&core, at(10)), Some(5), "{scope:?}");
        let mut trial = core.request_at("GET /", at(5000));
        trial.attempt(at(5000));
        assert_eq!(kept_away(&core, at(5000)), Some(1), "{scope:?}: one trial is under way");
        drop(trial);
        let mut trial = core.request_at("GET /", at(5001));
        trial.attempt(at(5001));
        trial.failed(Reason::ConnectFailed, Trace::default(), at(5002));
        assert_eq!(trial.refused(at(5002)).reason, Reason::ConnectFailed);
        assert_eq!(kept_away(&core, at(5002)), Some(10), "{scope:?}: twice as long after a trial that failed");
        drop(trial);
        core.assert_idle("kept away");
    }
}

#[test]
fn who_waits_for_a_place_is_turned_away_too() {
    let mut config = config(&["/*"], 1);
    config.upstreams[0].endpoints[0].max_concurrent_requests = 1;
    config.upstreams[0].circuit_breaker = Some(CircuitBreaker { consecutive_failures: 1, ..CircuitBreaker::default() });
    let core = Core::new(config);
    let (mut first, mut second) = (core.request("POST /"), core.request("POST /"));
    first.attempt(at(0));
    second.waits(at(0));
    first.failed(Reason::ClosedBeforeHead, SENT, at(1));
    assert_eq!(second.refused(at(1)).reason, Reason::CircuitOpen);
    drop((first, second));
    core.assert_idle("turned away");
}

#[test]
fn shadow_keeps_nobody_away() {
    for scope in [BreakerScope::Endpoint, BreakerScope::Both] {
        let core = guarded(1, |rules| (rules.mode, rules.scope) = (BreakerMode::Shadow, scope));
        (0..20).for_each(|_| _ = answer(&core, 500, at(0)));
        (0..20).for_each(|_| _ = answer(&core, 200, at(6000)));
        let report = core.view.report(1, at(6000));
        let seen = report.upstreams[0].endpoints[0].breaker.as_ref().expect("one");
        assert_eq!((seen.shadowed, seen.passed), (18, 20), "{scope:?}: after two failures, none would have been asked; then trials");
    }
}

#[test]
fn an_answers_body_counts_too() {
    let core = guarded(1, |_| {});
    for _ in 0..20 {
        let mut request = core.request("GET /");
        request.attempt(at(0));
        request.answered(200, at(0));
        request.exchange.ended(Some(Reason::ClosedMidBody), at(1));
        if core.view.report(1, at(1)).upstreams[0].endpoints[0].breaker.as_ref().is_some_and(|seen| seen.opened.is_some()) {
            break;
        }
    }
    assert_eq!(kept_away(&core, at(1)), Some(5));
}

#[test]
fn what_counts_and_whether_it_counts_are_settings() {
    let core = guarded(1, |rules| rules.failures.status = vec![StatusRange { low: 429, high: 429 }]);
    (0..20).for_each(|_| _ = answer(&core, 500, at(0)));
    (0..2).for_each(|_| _ = answer(&core, 429, at(0)));
    assert_eq!(kept_away(&core, at(0)), Some(5));
    let core = guarded(1, |rules| rules.mode = BreakerMode::Off);
    (0..50).for_each(|_| _ = answer(&core, 500, at(0)));
}

#[test]
fn switching_it_off_lets_all_through_and_on_again_begins_anew() {
    let core = guarded(1, |rules| rules.scope = BreakerScope::Both);
    (0..2).for_each(|_| _ = answer(&core, 500, at(0)));
    let mut trial = core.request_at("GET /", at(5000));
    trial.attempt(at(5000));
    let mut config = Config::clone(&core.view.plan.config);
    config.features.circuit_breaker = false;
    let next = |config: &Config, generation| Arc::new(Plan::build(config.clone(), generation, generation).expect("a plan"));
    let core = Core { view: Rc::new(core.view.next(next(&config, 2), at(5001))) };
    (0..9).for_each(|_| _ = answer(&core, 500, at(5001)));
    config.features.circuit_breaker = true;
    let core = Core { view: Rc::new(core.view.next(next(&config, 3), at(5002))) };
    assert_eq!(answer(&core, 200, at(5002)), 0);
    // It was a trial of a breaker that has begun anew since.
    drop(trial);
    (0..2).for_each(|_| _ = answer(&core, 500, at(5003)));
    assert_eq!(kept_away(&core, at(5003)), Some(5));
    core.assert_idle("switched");
}
