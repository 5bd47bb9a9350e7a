//! Tests of an upstream on one core: single rules here, whatever happens in `model`.

mod breakers;
mod known;
mod model;
mod ops;

use std::time::Duration;

use super::*;
use crate::config::{Outlier, Strategy, Time};
use crate::error::Reason;
use crate::limiter::Grant;
use crate::reconcile::{EndpointUpdate, ShareGrant, ShareKey, UpstreamUpdate};

const SWITCHES: Switches = Switches { health_checks: true, outlier_detection: true, retries: true };
const ALONE: Seat = Seat { core: 0, cores: 1 };

fn endpoint(name: &str) -> config::Endpoint {
    config::Endpoint { id: Some(name.into()), url: format!("http://127.0.0.1:{}", 9000 + name.len()), ..Default::default() }
}

fn settings(names: &[&str]) -> config::Upstream {
    config::Upstream { id: "u".into(), endpoints: names.iter().map(|name| endpoint(name)).collect(), ..Default::default() }
}

fn upstream(settings: &config::Upstream) -> Upstream {
    Upstream::new(Arc::new(settings.clone()), SWITCHES, ALONE, Instant::ZERO)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn truth(name: &str, healthy: bool) -> EndpointUpdate {
    EndpointUpdate { endpoint: name.into(), healthy, ejected_until: Instant::ZERO, ejections: 0, addresses: Arc::from([]), breaker: None }
}

fn update(version: u64, endpoints: Vec<EndpointUpdate>) -> UpstreamUpdate {
    UpstreamUpdate { upstream: "u".into(), version, endpoints, shares: Vec::new(), breaker: None }
}

fn name_of(upstream: &Upstream, permit: &Permit) -> String {
    upstream.endpoint(permit.endpoint()).name().to_string()
}

/// Whom so many requests go to that end at once.
fn served(upstream: &mut Upstream, requests: u64, now: Instant) -> Vec<String> {
    let serve = |number| {
        let permit = upstream.admit(&Ask::default(), now, balancer::mix(number)).expect("one is open");
        let name = name_of(upstream, &permit);
        upstream.release(permit, now);
        name
    };
    (0..requests).map(serve).collect()
}

fn count(names: &[String], name: &str) -> usize {
    names.iter().filter(|other| *other == name).count()
}

/// Lets an endpoint fail once; false if another was picked, which answers.
fn fail(upstream: &mut Upstream, name: &str, now: Instant) -> bool {
    let mut permit = upstream.admit(&Ask::default(), now, 0).expect("one is open");
    let hit = name_of(upstream, &permit) == name;
    let outcome = if hit { Outcome::Failed(Reason::ConnectFailed) } else { Outcome::Answered { status: 200 } };
    upstream.record(&mut permit, outcome, now);
    upstream.release(permit, now);
    hit
}

fn fail_times(upstream: &mut Upstream, name: &str, times: u32, now: Instant) {
    let mut failed = 0;
    while failed < times {
        failed += u32::from(fail(upstream, name, now));
    }
}

#[test]
fn an_unhealthy_endpoint_gets_nothing_until_it_is_healthy() {
    let mut upstream = upstream(&settings(&["a", "bb"]));
    upstream.apply(&update(1, vec![truth("a", false)]), at(0));
    assert_eq!(count(&served(&mut upstream, 10, at(1)), "a"), 0);
    upstream.apply(&update(2, vec![truth("a", true)]), at(2));
    assert_eq!(count(&served(&mut upstream, 10, at(3)), "a"), 5);
    upstream.apply(&update(1, vec![truth("a", false)]), at(4));
    assert_eq!(count(&served(&mut upstream, 10, at(5)), "a"), 5, "an older update changes nothing");
}

#[test]
fn why_no_endpoint_can_be_had() {
    let admit = |upstream: &mut Upstream| upstream.admit(&Ask::default(), at(1), 0).map(|_| ()).expect_err("none");
    assert_eq!(admit(&mut upstream(&settings(&[]))), Unavailable::NoneHealthy);
    let mut without_weight = settings(&["a"]);
    without_weight.endpoints[0].weight = 0;
    assert_eq!(admit(&mut upstream(&without_weight)), Unavailable::NoneHealthy);
    let mut by_name = settings(&["a"]);
    by_name.endpoints[0].url = "http://somewhere:80".into();
    assert_eq!(admit(&mut upstream(&by_name)), Unavailable::Unresolved);
    let mut limited = settings(&["a"]);
    limited.endpoints[0].max_concurrent_requests = 1;
    let mut limited = upstream(&limited);
    let permit = limited.admit(&Ask::default(), at(1), 0).expect("one place");
    assert_eq!(admit(&mut limited), Unavailable::Busy);
    limited.release(permit, at(1));
    assert!(limited.admit(&Ask::default(), at(1), 0).is_ok_and(|permit| permit.endpoint().slot == 0));
}

#[test]
fn who_waits_is_served_before_who_comes() {
    let mut settings = settings(&["a"]);
    settings.endpoints[0].max_concurrent_requests = 1;
    let mut upstream = upstream(&settings);
    let permit = upstream.admit(&Ask::default(), at(0), 0).expect("one place");
    assert!(upstream.try_queue());
    upstream.release(permit, at(1));
    assert_eq!(upstream.admit(&Ask::default(), at(1), 0).expect_err("another waits"), Unavailable::Busy);
    let permit = upstream.admit(&Ask { queued: true, ..Ask::default() }, at(1), 0).expect("its turn");
    upstream.leave_queue();
    upstream.release(permit, at(2));
    assert_eq!(upstream.waiting(), 0);
}

#[test]
fn below_the_panic_threshold_health_is_ignored() {
    let mut upstream = upstream(&config::Upstream { panic_threshold: 50, ..settings(&["a", "bb", "ccc"]) });
    upstream.apply(&update(1, vec![truth("a", false)]), at(0));
    assert!(!upstream.is_panicking());
    assert_eq!(count(&served(&mut upstream, 30, at(0)), "a"), 0);
    upstream.apply(&update(2, vec![truth("bb", false)]), at(1));
    assert!(upstream.is_panicking(), "one of three is less than half");
    let names = served(&mut upstream, 30, at(1));
    assert_eq!(["a", "bb", "ccc"].map(|name| count(&names, name)), [10; 3]);
}

#[test]
fn failures_in_a_row_eject_for_longer_each_time() {
    let outlier_detection = Outlier { consecutive_failures: 3, ejection_time: Time::from_secs(10), ..Outlier::default() };
    let mut upstream = upstream(&config::Upstream { outlier_detection, ..settings(&["a", "bb"]) });
    let mut now = Instant::ZERO;
    for times in 1..=12 {
        fail_times(&mut upstream, "a", 2, now);
        assert_eq!(count(&served(&mut upstream, 10, now), "a"), 5, "two failures aren't enough");
        fail_times(&mut upstream, "a", 1, now);
        let whole = Duration::from_secs(10) * times.min(10);
        assert_eq!(count(&served(&mut upstream, 10, now + whole - Duration::from_nanos(1)), "a"), 0, "ejection {times}");
        now = now + whole;
        assert_eq!(count(&served(&mut upstream, 10, now), "a"), 5, "ejection {times}");
    }
}

#[test]
fn an_answer_ends_a_row_of_failures() {
    let mut upstream = upstream(&settings(&["a", "bb"]));
    fail_times(&mut upstream, "a", 4, at(0));
    let mut permit = upstream.admit(&Ask { tried: tried(&[1]), ..Ask::default() }, at(0), 0).expect("one is open");
    assert_eq!(name_of(&upstream, &permit), "a");
    upstream.record(&mut permit, Outcome::Answered { status: 404 }, at(0));
    upstream.release(permit, at(0));
    fail_times(&mut upstream, "a", 4, at(0));
    assert_eq!(count(&served(&mut upstream, 10, at(0)), "a"), 5);
}

#[test]
fn at_most_so_many_percent_are_ejected_but_one_always_may_be() {
    for (percent, ejectable) in [(0, 1), (50, 2), (75, 3), (100, 4)] {
        let outlier_detection = Outlier { consecutive_failures: 1, max_ejection_percent: percent, ..Outlier::default() };
        let names = ["a", "bb", "ccc", "dddd"];
        let mut upstream = upstream(&config::Upstream { outlier_detection, ..settings(&names) });
        for slot in 0..4_u32 {
            let others: Vec<u32> = (0..4).filter(|&other| other != slot).collect();
            let mut permit = upstream.admit(&Ask { tried: tried(&others), ..Ask::default() }, at(0), 0).expect("one is open");
            upstream.record(&mut permit, Outcome::Answered { status: 503 }, at(0));
            upstream.release(permit, at(0));
        }
        let ejected = upstream.endpoints().filter(|(_, endpoint)| endpoint.ejected_until() > at(0)).count();
        assert_eq!(ejected, ejectable, "at {percent} %");
    }
}

#[test]
fn the_only_one_is_not_ejected() {
    let outlier_detection = Outlier { consecutive_failures: 1, ..Outlier::default() };
    let mut upstream = upstream(&config::Upstream { outlier_detection, ..settings(&["a"]) });
    fail_times(&mut upstream, "a", 10, at(0));
    assert_eq!(count(&served(&mut upstream, 10, at(0)), "a"), 10);
}

#[test]
fn slow_start_ramps_up_with_every_strategy() {
    for entry in balancer::STRATEGIES {
        let slow = config::Upstream { slow_start: Some(Time::from_secs(100)), strategy: entry.strategy, ..settings(&["a", "bb"]) };
        let mut upstream = upstream(&slow);
        upstream.apply(&update(1, vec![truth("a", false)]), at(0));
        upstream.apply(&update(2, vec![truth("a", true)]), at(0));
        let mut part_at = |millis: u64| {
            let mut hits = 0;
            for number in 0..4000 {
                let hash = balancer::mix(number);
                let ask = Ask { key: hash, client: hash, ..Ask::default() };
                let permit = upstream.admit(&ask, at(millis), balancer::mix(hash)).expect("one is open");
                hits += u64::from(name_of(&upstream, &permit) == "a");
                upstream.release(permit, at(millis));
            }
            hits
        };
        let (begin, early, half, end) = (part_at(0), part_at(10_000), part_at(50_000), part_at(100_000));
        let (name, full) = (entry.strategy, 4000 / 2);
        assert!(begin < full / 10, "{name:?}: {begin} of 4000 at the very beginning");
        assert!(begin < early && early < full / 3, "{name:?}: {early} of 4000 after a tenth");
        assert!(early < half && half < full * 9 / 10, "{name:?}: {half} of 4000 after a half");
        let off = full / 5;
        assert!(end.abs_diff(full) <= off, "{name:?}: {end} of 4000 at the end");
    }
}

fn tried(slots: &[u32]) -> Tried {
    let mut tried = Tried::NONE;
    slots.iter().for_each(|&slot| tried.add(slot));
    tried
}

#[test]
fn tried_endpoints_come_last() {
    let mut upstream = upstream(&settings(&["a", "bb", "ccc"]));
    let mut slot_for = |slots: &[u32]| {
        let permit = upstream.admit(&Ask { tried: tried(slots), ..Ask::default() }, at(0), 0).expect("one is open");
        let slot = permit.endpoint().slot;
        upstream.release(permit, at(0));
        slot
    };
    for _ in 0..5 {
        assert_eq!(slot_for(&[0, 1]), 2);
        assert_eq!(slot_for(&[2, 1]), 0);
        assert!(slot_for(&[0, 1, 2]) < 3, "rather one that was tried than none");
    }
}

#[test]
fn an_endpoint_that_leaves_is_kept_until_its_last_release() {
    let mut upstream = upstream(&settings(&["a", "bb"]));
    let permit = upstream.admit(&Ask { tried: tried(&[1]), ..Ask::default() }, at(0), 0).expect("one is open");
    let id = permit.endpoint();
    upstream.reconfigure(Arc::new(settings(&["bb", "ccc"])), SWITCHES, at(1));
    assert!(!upstream.is_current(id));
    assert!(upstream.endpoint(id).is_leaving());
    assert_eq!(count(&served(&mut upstream, 10, at(1)), "a"), 0);
    assert_eq!(upstream.in_flight(), 1);
    upstream.release(permit, at(2));
    assert_eq!(upstream.endpoints().count(), 2);
    assert_eq!(upstream.target(id, 0), None);
    upstream.reconfigure(Arc::new(settings(&["bb", "ccc", "dddd"])), SWITCHES, at(3));
    let (taken, endpoint) = upstream.endpoints().find(|(other, _)| other.slot == id.slot).expect("the slot is taken over");
    assert_eq!((&**endpoint.name(), upstream.is_current(id)), ("dddd", false));
    assert_ne!(taken.generation, id.generation);
}

#[test]
fn what_is_said_of_the_place_before_a_move_is_not_heeded() {
    let outlier_detection = Outlier { consecutive_failures: 1, ..Outlier::default() };
    let mut settings = config::Upstream { outlier_detection, ..settings(&["a", "bb"]) };
    let mut upstream = upstream(&settings);
    let mut permit = upstream.admit(&Ask { tried: tried(&[1]), ..Ask::default() }, at(0), 0).expect("one is open");
    settings.endpoints[0].url = "http://127.0.0.2:80".into();
    upstream.reconfigure(Arc::new(settings), SWITCHES, at(1));
    assert!(!upstream.is_current(permit.endpoint()));
    assert_eq!(upstream.target(permit.endpoint(), 0), None);
    upstream.record(&mut permit, Outcome::Failed(Reason::ClosedBeforeHead), at(1));
    assert_eq!(upstream.endpoint(permit.endpoint()).ejected_until(), Instant::ZERO);
    upstream.release(permit, at(1));
    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn one_that_moved_is_another_server_and_starts_slowly() {
    let mut settings = config::Upstream { slow_start: Some(Time::from_secs(100)), ..settings(&["a", "bb"]) };
    let mut upstream = upstream(&settings);
    assert_eq!(count(&served(&mut upstream, 1000, at(0)), "a"), 500, "at the very beginning there is no slow start");
    settings.endpoints[0].url = "http://127.0.0.2:80".into();
    upstream.reconfigure(Arc::new(settings), SWITCHES, at(1));
    assert!(count(&served(&mut upstream, 1000, at(1)), "a") < 100);
}

#[test]
fn a_change_of_strategy_knows_what_is_in_flight() {
    let mut before = settings(&["a", "bb"]);
    let mut upstream = upstream(&before);
    let permits: Vec<Permit> =
        (0..3).map(|_| upstream.admit(&Ask { tried: tried(&[1]), ..Ask::default() }, at(0), 0).expect("one is open")).collect();
    before.strategy = Strategy::LeastConnections;
    upstream.reconfigure(Arc::new(before), SWITCHES, at(1));
    assert_eq!(count(&served(&mut upstream, 10, at(1)), "bb"), 10, "the other has three in flight");
    permits.into_iter().for_each(|permit| upstream.release(permit, at(2)));
    assert!((4..=6).contains(&count(&served(&mut upstream, 10, at(2)), "bb")), "idle ones take turns");
}

#[test]
fn a_grant_opens_and_closes() {
    let mut limited = settings(&["a"]);
    limited.endpoints[0].max_concurrent_requests = 1;
    let mut upstream = Upstream::new(Arc::new(limited), SWITCHES, Seat { core: 1, cores: 2 }, at(0));
    assert_eq!(upstream.admit(&Ask::default(), at(0), 0).map(|_| ()), Err(Unavailable::Busy), "the only place is the other core's");
    let grant = |version, limit| {
        let key = ShareKey::Endpoint("u".into(), "a".into());
        UpstreamUpdate { shares: vec![ShareGrant { key, grant: Grant { version, limit, queue: 0 } }], ..update(version, vec![]) }
    };
    upstream.apply(&grant(1, 1), at(1));
    let permit = upstream.admit(&Ask::default(), at(1), 0).expect("a place was granted");
    upstream.apply(&grant(2, 0), at(2));
    upstream.release(permit, at(2));
    assert_eq!(upstream.admit(&Ask::default(), at(2), 0).map(|_| ()), Err(Unavailable::Busy), "it was taken back");
}
