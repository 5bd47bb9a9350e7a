//! Splits between upstreams, and routes by cookie and client network.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Wire, config, get, up};

fn named(name: &'static str) -> Hostile {
    Hostile::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
}

fn named_up(id: &str, endpoint: &str) -> Value {
    let mut upstream = up(&[endpoint]);
    upstream["id"] = json!(id);
    upstream
}

/// A configuration that splits between `stable` and `canary`; `None` is an upstream that nobody listens for.
fn split(stable: &Hostile, canary: Option<&Hostile>, weights: [u32; 2], route: Value) -> Value {
    let nobody = "127.0.0.1:1".to_owned();
    let upstreams = json!([named_up("stable", &stable.address), named_up("canary", canary.map_or(&nobody, |canary| &canary.address))]);
    let arms = json!([{ "upstream": "stable", "weight": weights[0] }, { "upstream": "canary", "weight": weights[1] }]);
    let mut config = config("", json!({ "upstreams": upstreams, "routes": [{ "id": "r", "path": "/", "split": arms }] }));
    config["routes"][0].as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
    config
}

fn as_user(client: &mut Wire, header: &str) -> String {
    client.ask(format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n")).text().to_owned()
}

#[test]
fn shares_are_as_weighted_and_counted_by_arm() {
    let (stable, canary) = (named("stable"), named("canary"));
    let gateway = Gateway::start(&split(&stable, Some(&canary), [90, 10], json!({})));
    let mut clients: Vec<Wire> = (0..4).map(|_| gateway.connect()).collect();
    let count = (0..2000).filter(|index| clients[index % 4].ask(get("/")).text() == "canary").count();
    // Five standard deviations about 200.
    assert!((133..=267).contains(&count), "{count} of 2000");
    gateway.wait("gateway_split_requests_total{route=\"r\",upstream=\"canary\"}", count as f64);
    gateway.wait("gateway_split_requests_total{route=\"r\",upstream=\"stable\"}", 2000.0 - count as f64);
}

#[test]
fn a_user_stays_in_one_arm_on_all_connections_and_after_a_restart_and_the_due_share_moves() {
    let (stable, canary) = (named("stable"), named("canary"));
    let route = json!({ "sticky": { "by": "header:X-User" } });
    let of = |weights: [u32; 2]| split(&stable, Some(&canary), weights, route.clone());
    let users = 600;
    let arms = |gateway: &Gateway| -> Vec<String> {
        let mut clients: Vec<Wire> = (0..6).map(|_| gateway.connect()).collect();
        let arms = |clients: &mut Vec<Wire>, turn: usize| -> Vec<String> {
            (0..users).map(|user| as_user(&mut clients[(user + turn) % 6], &format!("X-User: u{user}\r\n"))).collect()
        };
        let first = arms(&mut clients, 0);
        assert_eq!(arms(&mut clients, 1), first, "whatever the connection");
        first
    };
    let gateway = Gateway::start(&of([8, 2]));
    let first = arms(&gateway);
    let canaries = |arms: &[String]| arms.iter().filter(|arm| *arm == "canary").count();
    assert!((70..=170).contains(&canaries(&first)), "{} of {users}", canaries(&first));
    assert_eq!(gateway.stop("TERM"), 0);
    let gateway = Gateway::start(&of([8, 2]));
    assert_eq!(arms(&gateway), first, "another process");
    assert_eq!(gateway.reload(&of([7, 3])).status(), 200);
    let grown = arms(&gateway);
    let moved = first.iter().zip(&grown).filter(|(before, after)| before != after).count();
    assert!(first.iter().zip(&grown).all(|(before, after)| before == after || after == "canary"));
    assert!((24..=100).contains(&moved), "{moved} of {users}, where 60 are due");
}

#[test]
fn the_gateways_cookie_is_given_once_and_keeps_its_holder() {
    let (stable, canary) = (named("stable"), named("canary"));
    let cookie = json!({ "name": "arm", "ttl": "1h", "path": "/shop", "secure": true, "same_site": "strict" });
    let gateway = Gateway::start(&split(&stable, Some(&canary), [1, 1], json!({ "sticky": { "cookie": cookie } })));
    let mut seen: HashMap<String, usize> = HashMap::new();
    for _ in 0..20 {
        let answer = gateway.get("/");
        let given = answer.field("set-cookie").expect("a cookie").to_owned();
        let (pair, attributes) = given.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/shop; Max-Age=3600; HttpOnly; Secure; SameSite=Strict");
        for _ in 0..4 {
            let again = gateway.connect().ask(format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; {pair}\r\n\r\n"));
            assert_eq!((again.text(), again.field("set-cookie")), (answer.text(), None));
        }
        *seen.entry(answer.text().to_owned()).or_default() += 1;
    }
    assert_eq!(seen.len(), 2, "one in a million has all in one arm: {seen:?}");
}

#[test]
fn an_arm_whose_endpoints_are_down_refuses_unless_fallback_is_wanted() {
    let stable = named("stable");
    let route = |fallback: bool| json!({ "split_fallback": fallback, "retry_count": 0 });
    let of = |fallback| {
        let mut config = split(&stable, None, [0, 1], route(fallback));
        config["routes"][0]["split"][0]["weight"] = json!(u32::from(fallback));
        config["upstreams"][1]["outlier_detection"] =
            json!({ "consecutive_failures": 1, "max_ejection_percent": 100, "ejection_time": "1h" });
        config
    };
    let gateway = Gateway::start(&of(false));
    let mut client = gateway.connect();
    assert_eq!(client.ask(get("/")).refusal(), (502, "connect_failed"));
    assert_eq!(client.ask(get("/")).refusal(), (503, "no_healthy_endpoint"), "users of an experiment don't mix");
    assert_eq!(gateway.reload(&of(true)).status(), 200);
    assert!((0..40).all(|_| client.ask(get("/")).text() == "stable"));
}

#[test]
fn answers_tell_their_arm_if_they_are_to() {
    let (stable, canary) = (named("stable"), named("canary"));
    let gateway = Gateway::start(&split(&stable, Some(&canary), [1, 1], json!({ "split_header": "X-Arm" })));
    let mut client = gateway.connect();
    for _ in 0..20 {
        let answer = client.ask(get("/"));
        assert_eq!(answer.field("x-arm"), Some(answer.text()));
    }
    let mut down = split(&stable, None, [1, 1_000_000], json!({ "split_header": "X-Arm", "split_fallback": true, "retry_count": 0 }));
    down["upstreams"][1]["outlier_detection"] = json!({ "consecutive_failures": 1, "max_ejection_percent": 100, "ejection_time": "1h" });
    assert_eq!(gateway.reload(&down).status(), 200);
    let mut client = gateway.connect();
    let first = client.ask(get("/"));
    assert_eq!((first.refusal(), first.field("x-arm")), ((502, "connect_failed"), Some("canary")));
    assert_eq!(client.ask(get("/")).field("x-arm"), Some("stable"), "where it went in the end");
}

#[test]
fn cookies_and_client_networks_are_conditions_of_routes() {
    let endpoint = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let route = |id: &str, more: Value| {
        let mut route = json!({ "id": id, "path": "/", "upstream": "up", "add_headers": { "X-Route": id } });
        route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        route
    };
    let gateway = Gateway::with(
        &endpoint.address,
        json!({ "listener": { "trusted_proxies": ["127.0.0.1"] }, "routes": [
            route("any", json!({})),
            route("beta", json!({ "cookies": [{ "name": "beta", "value": "1" }] })),
            route("office", json!({ "clients": ["10.0.0.0/8", "2001:db8::/32"] })),
            route("old", json!({ "priority": 1, "cookies": [{ "name": "version", "regex": "^v[12]$" }] })),
        ] }),
    );
    let mut client = gateway.connect();
    for (header, expected) in [
        ("", "any"),
        ("Cookie: a=b; beta=1\r\n", "beta"),
        ("Cookie: beta=2\r\n", "any"),
        ("Cookie: x=beta=1\r\n", "any"),
        ("X-Forwarded-For: 10.1.2.3\r\n", "office"),
        ("X-Forwarded-For: 10.1.2.3, 192.0.2.1\r\n", "any"),
        ("X-Forwarded-For: 2001:db8::1\r\n", "office"),
        ("Cookie: version=v1\r\nX-Forwarded-For: 10.1.2.3\r\n", "old"),
    ] {
        assert_eq!(as_user(&mut client, header), "ok");
        assert_eq!(endpoint.last().field("x-route"), Some(expected), "{header}");
    }
}
