//! Mirrors: which requests are copied, and that a copy gives back what it holds.

use super::*;
use crate::config::Mirror;

fn mirror(change: impl FnOnce(&mut Mirror)) -> Core {
    let mut config = config(&["/*"], 1);
    config.upstreams.push(config::Upstream { id: "second".into(), ..config.upstreams[0].clone() });
    let mut mirror = Mirror { upstream: "second".into(), ..Mirror::default() };
    change(&mut mirror);
    config.routes[0].mirror = Some(mirror.into());
    Core::new(config)
}

/// The copy of a request that is about to be sent.
fn copy(core: &Core, text: &str, draw: u64) -> Option<(Mirrored, Attempt)> {
    let mut request = core.raw(text, at(0));
    request.attempt(at(0));
    let incoming = Incoming { head: &request.head, bytes: &request.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 0 };
    let plan = core.view.plan.routes[0].mirror.as_ref().expect("a mirror");
    request.exchange.mirror(plan, &incoming, at(0), [draw, 0])
}

fn counts(core: &Core) -> Vec<(String, u64)> {
    let counts = core.view.report(1, at(0)).counts.into_iter().filter(|count| count.total > 0);
    counts.map(|count| (count.labels[1].to_string(), count.total)).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn the_share_is_exact_at_its_ends_and_decided_by_the_number_between() {
    let made = |percent, draw| copy(&mirror(|mirror| mirror.percent = percent), GET, draw).is_some();
    assert!(!made(0.0, 0) && made(100.0, u64::MAX));
    assert!(made(25.0, (1 << 62) - 1) && !made(25.0, 1 << 62));
}

#[test]
fn upgrades_and_large_bodies_are_not_copied() {
    let core = mirror(|mirror| mirror.max_body = config::Size::from_bytes(10));
    assert!(copy(&core, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 0).is_none());
    assert!(copy(&core, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", 0).is_none());
    assert_eq!(counts(&core), [("too_large".to_owned(), 1)]);
    let (mirrored, attempt) = copy(&core, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", 0).expect("a copy");
    assert_eq!((attempt.route, attempt.upstream, attempt.careful), (0, 1, true));
    mirrored.too_large();
    assert_eq!(counts(&core), [("too_large".to_owned(), 2)]);
}

#[test]
fn copies_in_flight_are_bounded_and_give_their_places_back() {
    let core = mirror(|mirror| mirror.max_in_flight = 2);
    let in_flight = || core.view.upstream(1).upstream.borrow().in_flight();
    let (mut first, _) = copy(&core, GET, 0).expect("a copy");
    let (mut second, _) = copy(&core, GET, 0).expect("a copy");
    assert!(copy(&core, GET, 0).is_none());
    assert_eq!(in_flight(), 2);
    first.answered(200, at(5));
    second.failed(Reason::ConnectFailed, false, at(5));
    drop((first, second));
    assert_eq!(in_flight(), 0);
    drop(copy(&core, GET, 0).expect("a copy"));
    let (mut late, _) = copy(&core, GET, 0).expect("a copy");
    late.failed(Reason::RequestTimeout, false, at(9));
    drop(late);
    assert_eq!(
        counts(&core),
        [("answered", 1), ("failed", 1), ("timeout", 1), ("aborted", 1), ("dropped", 1)].map(|(fate, count)| (fate.to_owned(), count))
    );
    core.assert_idle("the request itself");
}

#[test]
fn what_becomes_of_copies_is_seen_at_their_upstream_only_and_a_sick_one_gets_none() {
    let core = mirror(|_| ());
    let attempts = |upstream: usize| core.view.report(1, at(0)).upstreams[upstream].endpoints[0].attempts;
    let (mut stale, _) = copy(&core, GET, 0).expect("a copy");
    stale.failed(Reason::ClosedBeforeHead, true, at(1));
    drop(stale);
    assert_eq!((attempts(0), attempts(1)), (0, 0), "a kept connection that had been closed says nothing");
    for _ in 0..50 {
        let Some((mut failed, _)) = copy(&core, GET, 0) else { break };
        failed.failed(Reason::ConnectFailed, false, at(1));
    }
    assert!(attempts(1) > 0 && attempts(0) == 0);
}
