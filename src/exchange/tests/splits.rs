//! Splits: which arm, who stays in it, where requests go while an arm has no endpoint.

use super::*;
use crate::config::{Arm, HashKey, Sticky, StickyCookie};
use crate::reconcile::{EndpointUpdate, Update, UpstreamReport, UpstreamUpdate};

/// A route that is split between upstreams of one endpoint each.
fn split(weights: &[u32], change: impl FnOnce(&mut config::Route)) -> Config {
    let mut config = config(&["/*"], 1);
    let upstream = config.upstreams.remove(0);
    let ids = ["a", "b", "c"].map(str::to_owned);
    config.upstreams = ids.iter().map(|id| config::Upstream { id: id.clone(), ..upstream.clone() }).collect();
    let route = &mut config.routes[0];
    route.upstream = String::new();
    route.split = ids.into_iter().zip(weights).map(|(upstream, &weight)| Arm { upstream, weight }).collect();
    change(route);
    config
}

fn by(key: HashKey) -> Option<Box<Sticky>> {
    Some(Box::new(Sticky { by: Some(key), cookie: None }))
}

/// The upstream that serves a request with this header.
fn arm(core: &Core, header: &str) -> usize {
    let mut request = core.raw(&format!("GET / HTTP/1.1\r\nHost: test\r\n{header}\r\n"), at(0));
    let attempt = request.attempt(at(0));
    assert_eq!(attempt.upstream, request.exchange.upstream());
    attempt.upstream
}

fn requests(core: &Core) -> Vec<(String, u64)> {
    let counts = core.view.report(1, at(0)).counts;
    counts.into_iter().map(|count| (format!("{} {}", count.labels[0], count.labels[1]), count.total)).collect()
}

/// Probes say that no endpoint of these upstreams is well.
fn sicken(core: &Core, sick: &[usize]) {
    let told = |report: UpstreamReport| UpstreamUpdate {
        upstream: report.upstream,
        version: 1,
        endpoints: report.endpoints.into_iter().map(|endpoint| ill(endpoint.endpoint)).collect(),
        shares: Vec::new(),
        breaker: None,
    };
    let reports = core.view.report(1, at(0)).upstreams.into_iter().enumerate();
    let upstreams = reports.filter(|(index, _)| sick.contains(index)).map(|(_, report)| told(report)).collect();
    core.view.apply(&Update { version: 1, generation: 1, upstreams, ..Update::default() }, at(0));
}

fn ill(endpoint: Arc<str>) -> EndpointUpdate {
    EndpointUpdate { endpoint, healthy: false, ejected_until: Instant::ZERO, ejections: 0, addresses: [].into(), breaker: None }
}

/// The upstream that a request goes to by this number, or why none.
fn by_chance(core: &Core, draw: u64) -> Result<usize, Reason> {
    let mut request = core.request("GET /");
    let incoming = Incoming { head: &request.head, bytes: &request.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 0 };
    match request.exchange.step(&incoming, &mut request.scratch, at(0), draw) {
        Step::Attempt(attempt) => Ok(attempt.upstream),
        Step::Refuse(refusal) => Err(refusal.reason),
        step => panic!("{step:?}"),
    }
}

#[test]
fn users_known_by_a_header_spread_by_weight_and_stay_on_every_core() {
    let config = split(&[3, 1], |route| route.sticky = by(HashKey::Header("X-User".into())));
    let core = Core::new(config.clone());
    let arms: Vec<usize> = (0..400).map(|user| arm(&core, &format!("X-User: {user}\r\n"))).collect();
    let second = arms.iter().filter(|&&arm| arm == 1).count();
    assert!((60..=140).contains(&second), "{second} of 400");
    let plan = Arc::new(Plan::build(config, 1, 1).expect("a plan"));
    let other = Core { view: Rc::new(View::new(plan, Seat { core: 3, cores: 8 }, 0, at(0))) };
    for (user, first) in arms.iter().enumerate() {
        assert_eq!(arm(&other, &format!("X-User: {user}\r\n")), *first);
    }
    assert_eq!(requests(&core), [("/* a".to_owned(), 400 - second as u64), ("/* b".to_owned(), second as u64)]);
    core.assert_idle("split");
}

#[test]
fn who_comes_without_the_gateways_cookie_is_given_one_and_stays() {
    let cookie = StickyCookie { name: "arm".into(), ttl: Time::from_secs(60), ..StickyCookie::default() };
    let core = Core::new(split(&[1, 1], |route| route.sticky = Some(Sticky { by: None, cookie: Some(cookie) }.into())));
    let given = |header: &str, draw: u64| {
        let mut request = core.raw(&format!("GET / HTTP/1.1\r\nHost: test\r\n{header}\r\n"), at(0));
        let incoming = Incoming { head: &request.head, bytes: &request.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 0 };
        let Step::Attempt(attempt) = request.exchange.step(&incoming, &mut request.scratch, at(0), draw) else { panic!("no attempt") };
        (attempt.upstream, String::from_utf8(request.scratch.notes.response.lines().to_vec()).expect("text"))
    };
    for draw in 0..64_u64 {
        let draw = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (first, line) = given("", draw);
        assert_eq!(line, format!("Set-Cookie: arm={draw:016x}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax\r\n"));
        assert_eq!(given(&format!("Cookie: x=y; arm={draw:016x}\r\n"), 1), (first, String::new()));
    }
    for nonsense in ["", "0", "+000000000000001", "zzzzzzzzzzzzzzzz", "00000000000000001"] {
        assert!(!given(&format!("Cookie: arm={nonsense}\r\n"), 7).1.is_empty(), "{nonsense}");
    }
}

#[test]
fn without_anything_to_know_users_by_each_request_is_by_chance() {
    let core = Core::new(split(&[1, 1], |_| {}));
    let second = (0..1000).filter(|&draw| by_chance(&core, draw) == Ok(1)).count();
    assert!((400..=600).contains(&second), "{second} of 1000");
}

#[test]
fn an_arm_without_endpoints_refuses_unless_others_may_help_out() {
    let totals = |core: &Core| requests(core).into_iter().map(|(_, total)| total).collect::<Vec<_>>();
    for (fallback, sick, results, counted) in [
        (false, &[0][..], [Err(Reason::NoHealthyEndpoint), Ok(1), Ok(2)], [1, 1, 1]),
        (true, &[0], [Ok(1), Ok(1), Ok(2)], [0, 2, 1]),
        (true, &[0, 1], [Ok(2), Ok(2), Ok(2)], [0, 0, 3]),
        (true, &[0, 1, 2], [Err(Reason::NoHealthyEndpoint); 3], [1, 1, 1]),
    ] {
        let well = Core::new(split(&[1, 1, 1], |_| {}));
        // Of the first arm, one whose next is the second; of the others, one each whose next is the last that is well.
        let next = |draw: u64, without: u64| {
            let split = crate::router::Split::new(["a", "b", "c"].into_iter().map(|name| (name, 1)));
            split.arm(draw, without)
        };
        let user = |arm: usize, then: usize| {
            (0..).find(|&draw| by_chance(&well, draw) == Ok(arm) && next(draw, 1 << arm) == Some(then)).expect("a user")
        };
        let users = [user(0, 1), user(1, 0), user(2, 0)];
        let core = Core::new(split(&[1, 1, 1], |route| route.split_fallback = fallback));
        sicken(&core, sick);
        assert_eq!(users.map(|user| by_chance(&core, user)), results, "fallback {fallback}, without {sick:?}");
        let total: u64 = totals(&core).iter().sum();
        assert_eq!(total, 3, "each request is counted once");
        if results.iter().all(Result::is_ok) || !fallback {
            assert_eq!(totals(&core), counted, "where it went");
        }
        core.assert_idle("fallback");
    }
}

#[test]
fn counts_and_users_stay_over_a_reload_that_changes_weights() {
    let sticky = by(HashKey::Header("X-User".into()));
    let core = Core::new(split(&[9, 1], |route| route.sticky = sticky.clone()));
    let arms = |core: &Core| (0..200).map(|user| arm(core, &format!("X-User: {user}\r\n"))).collect::<Vec<_>>();
    let before = arms(&core);
    let plan = Plan::build(split(&[8, 2], |route| route.sticky = sticky.clone()), 2, 2).expect("a plan");
    let next = Core { view: Rc::new(core.view.next(Arc::new(plan), at(1))) };
    let after = arms(&next);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!((4..=40).contains(&moved.len()) && moved.iter().all(|moved| *moved == (&0, &1)), "{moved:?}");
    assert_eq!(requests(&next).into_iter().map(|(_, total)| total).sum::<u64>(), 400);
    let gone = Plan::build(config(&["/*"], 1), 3, 3).expect("a plan");
    let last = Core { view: Rc::new(next.view.next(Arc::new(gone), at(2))) };
    assert_eq!(requests(&last), []);
}
