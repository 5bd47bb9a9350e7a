//! From the head to the first attempt: pages, routes, paths, hashes.

use super::*;

#[test]
fn a_page_takes_no_place() {
    let core = Core::new(config(&["/*"], 1));
    let mut request = core.request("GET /gateway/./health");
    assert!(matches!(request.step(at(0)), Step::Page(Page::GatewayHealth)));
    core.assert_idle("page");
}

#[test]
fn without_a_route_it_is_not_found() {
    for config in [config(&["/users"], 1), config(&[], 1), Config::default()] {
        let core = Core::new(config);
        let mut request = core.request("GET /other");
        let refusal = request.refused(at(0));
        assert_eq!((refusal.reason, refusal.reason.status()), (Reason::NoRoute, 404));
        assert_eq!((refusal.retry_after, refusal.allow, refusal.upstream), (None, None, None));
        drop(request);
        core.assert_idle("no route");
    }
}

#[test]
fn a_method_that_no_route_has_is_told_which_there_are() {
    let mut config = config(&["/users", "/users"], 1);
    config.routes[0].methods = vec!["GET".into()];
    config.routes[1].methods = vec!["PUT".into()];
    let core = Core::new(config);
    let refusal = core.request("DELETE /users").refused(at(0));
    assert_eq!(refusal.reason, Reason::MethodNotAllowed);
    assert_eq!(refusal.allow.as_deref(), Some("GET, PUT"));
}

#[test]
fn a_path_that_leads_out_is_refused() {
    let core = Core::new(config(&["/*"], 1));
    assert_eq!(core.request("GET /a%00b").refused(at(0)).reason, Reason::BadTarget);
    core.assert_idle("refused path");
}

#[test]
fn the_endpoint_sees_the_path_that_the_route_says() {
    let mut config = config(&["/api/*", "/*"], 1);
    config.routes[0].strip_prefix = Some("/api".into());
    let core = Core::new(config);
    for (target, seen) in [("/api/users", "/users"), ("/x/../api/users", "/users"), ("/a/./b", "/a/b"), ("/plain", "")] {
        let mut request = core.request(&format!("GET {target}"));
        let attempt = request.attempt(at(0));
        assert_eq!(String::from_utf8_lossy(&request.scratch.path), seen, "{target}");
        assert_eq!(attempt.route, usize::from(!target.contains("api")));
    }
}

#[test]
fn an_attempt_says_all_that_is_needed_to_send_it() {
    let core = Core::new(config(&["/*"], 1));
    let attempt = core.request("POST /").attempt(at(0));
    assert_eq!((attempt.route, attempt.upstream, attempt.pool, attempt.careful), (0, 0, 0, true));
    assert_eq!(attempt.address, Some(crate::address::Address::Tcp(([127, 0, 0, 1], 9000).into())));
    assert!(!core.request("GET /").attempt(at(0)).careful);
}

#[test]
fn nobody_to_ask_is_told_apart() {
    let mut unresolved = config(&["/*"], 1);
    unresolved.upstreams[0].endpoints[0].url = "http://somewhere".into();
    for (config, reason) in [(config(&["/*"], 0), Reason::NoHealthyEndpoint), (unresolved, Reason::Unresolved)] {
        let core = Core::new(config);
        let refusal = core.request("GET /").refused(at(0));
        assert_eq!((refusal.reason, refusal.upstream.as_deref()), (reason, Some("u")));
        assert_eq!(refusal.retry_after, (reason.status() == 503).then_some(1));
        core.assert_idle("nobody to ask");
    }
}

#[test]
fn the_same_key_goes_to_the_same_endpoint() {
    type Head = fn(u32) -> String;
    let keys: [(config::HashKey, Head); 3] = [
        (config::HashKey::Path, |number| format!("GET /{number}?{{}} HTTP/1.1\r\nHost: h\r\n\r\n")),
        (config::HashKey::Header("Tenant".into()), |number| format!("GET /{{}} HTTP/1.1\r\nHost: h\r\ntenant: {number}\r\n\r\n")),
        (config::HashKey::Cookie("id".into()), |number| {
            format!("GET /{{}} HTTP/1.1\r\nHost: h\r\nCookie: x=1\r\nCookie: ids=2; id={number};y=3\r\n\r\n")
        }),
    ];
    for (hash_key, text) in keys {
        for strategy in [config::Strategy::RingHash, config::Strategy::Maglev] {
            let mut config = config(&["/*"], 5);
            (config.upstreams[0].hash_key, config.upstreams[0].strategy) = (hash_key.clone(), strategy);
            let core = Core::new(config);
            let slots = |rest: &str| -> Vec<u32> {
                let slot = |number| core.raw(&text(number).replace("{}", rest), at(0)).attempt(at(0)).endpoint.slot;
                (0..40).map(slot).collect()
            };
            let first = slots("a");
            assert_eq!(first, slots("b"), "{hash_key:?}");
            assert!((0..5).all(|slot| first.contains(&slot)), "{hash_key:?}: {first:?}");
        }
    }
}

#[test]
fn what_is_known_of_the_request_before_changes_nothing() {
    let plans = [("/api/*", Some("/api"), 1), ("/*", None, 2)].map(|(first, strip, generation)| {
        let mut config = config(&[first, "/c/{id}/*", "/b"], 1);
        config.routes[0].strip_prefix = strip.map(str::to_owned);
        config.routes[2].methods = vec!["GET".into()];
        let plan = Plan::build(config, 1, generation).expect("a plan");
        Rc::new(View::new(Arc::new(plan), Seat { core: 0, cores: 1 }, 1, at(0)))
    });
    let lines = ["GET /api/a", "GET /api/./a", "GET /b", "PUT /b", "GET /a%00b", "GET /gateway/health", "PUT /c/x/y"];
    let (mut head, mut scratch) = (RequestHead::default(), Scratch::default());
    let mut chance = 1u64;
    for _ in 0..2000 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let draw = (chance >> 33) as usize;
        // Mostly the one before.
        let line = lines[if draw.is_multiple_of(4) { draw / 4 % lines.len() } else { draw / 1000 % 2 }];
        let view = &plans[draw / 64 % 8 / 7];
        let bytes = format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes();
        let outcome = |head: &mut RequestHead, scratch: &mut Scratch| {
            assert_eq!(http1::parse_request(&bytes, &view.plan.head_limits, head), Ok(true), "{line}");
            let mut exchange = Exchange::new(view.clone(), at(0));
            let incoming = Incoming { head, bytes: &bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 0 };
            let step = format!("{:?}", exchange.step(&incoming, scratch, at(0), 0));
            (step, exchange.routed(), scratch.path_out().map(<[u8]>::to_vec))
        };
        let known = outcome(&mut head, &mut scratch);
        let fresh = outcome(&mut RequestHead::default(), &mut Scratch::default());
        assert_eq!(known.0, fresh.0, "{line}");
        // A refusal before routing leaves no path.
        if fresh.1.is_some() {
            assert_eq!(known, fresh, "{line}");
        }
    }
}
