//! The dashboard in a real browser: what it shows is what a known load was, at a desk's and a phone's width, light and dark.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Authority, Gateway, Hostile, Origin, Wire, get, run, until};

/// Opens it, presses each of its buttons, and says what there is to be seen.
fn seen(gateway: &Gateway) -> Value {
    let python = Command::new("python3")
        .args(["-B", "tests/dashboard.py", &format!("http://{}/dashboard", gateway.admin)])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success(), "{told}\n(chromium and websocket-client are installed by tools/check tools)");
    serde_json::from_slice(&python.stdout).unwrap()
}

fn ask_top(admin: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway")).args(["top", "--admin", admin]).output().unwrap()
}

/// The same in a terminal.
fn top(admin: &str) -> String {
    String::from_utf8(ask_top(admin).stdout).unwrap()
}

fn rows(seen: &Value, table: &str) -> Vec<String> {
    seen["rows"][table].as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_owned()).collect()
}

#[test]
fn it_shows_what_a_known_load_was() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            sleep(Duration::from_millis(if request.target() == "/slow" { 300 } else { 0 }));
            let status = if request.target() == "/broken" { "500 Broken" } else { "200 OK" };
            peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"));
        }
    });
    let down = "127.0.0.1:1";
    let changes = json!({
        "runtime": { "workers": 1 },
        "upstreams": [
            { "id": "up", "endpoints": [{ "id": "one", "url": format!("http://{}", endpoint.address) }] },
            {
                "id": "dead",
                "endpoints": [{ "id": "gone", "url": format!("http://{down}") }],
                "health_check": { "enabled": true, "interval": "100ms", "fall": 1 },
            },
        ],
        "routes": [
            { "id": "<i>all</i>", "path": "/", "upstream": "up" },
            { "id": "dead", "path": "/dead", "upstream": "dead" },
            { "id": "quiet", "path": "/quiet", "upstream": "up" },
        ],
    });
    let gateway = Gateway::with(&endpoint.address, changes);
    let mut client = gateway.connect();
    for number in 0..1_200 {
        let status = client.ask(get(if number % 10 == 0 { "/broken" } else { "/" })).status();
        assert_eq!(status, if number % 10 == 0 { 500 } else { 200 });
    }
    until("the second to be over", || {
        (gateway.page("GET", "/latency?window=all").json()["series"][0]["phases"]["total"]["count"] == 1200).then_some(())
    });
    assert_eq!(client.ask(get("/slow")).status(), 200);
    until("the endpoint to be down", || {
        (gateway.metric("gateway_upstream_endpoint_healthy{upstream=\"dead\",endpoint=\"gone\"}") == 0.0).then_some(())
    });
    // It goes on while the page is looked at, on a route too quiet for any of its requests to be told as slow.
    let over = AtomicBool::new(false);
    let (seen, more) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let asked = (0..).take_while(|_| !over.load(SeqCst)).inspect(|_| {
                assert_eq!(client.ask(get("/quiet")).status(), 200);
                sleep(Duration::from_millis(50));
            });
            asked.count()
        });
        let seen = std::panic::catch_unwind(|| seen(&gateway));
        over.store(true, SeqCst);
        (seen.unwrap(), asking.join().unwrap())
    });
    assert_eq!((&seen["title"], &seen["state"], &seen["problems"]), (&json!("Ringway"), &json!("serving"), &json!([])));
    assert_eq!(seen["sizes"], json!({ "desk": true, "phone": true }), "wider than the window");
    let all = &seen["all"]["tiles"];
    let requests: usize = all["requests"].as_str().unwrap().parse().unwrap();
    assert!((1_202..=1_201 + more).contains(&requests) && seen["all"]["curve"] == true, "{requests}, {more} of them since: {seen}");
    let longest = all["max"].as_str().unwrap();
    assert!(longest.ends_with(" ms") && longest.trim_end_matches(" ms").parse::<f64>().unwrap() >= 299.0, "{longest}");
    let named = rows(&seen, "series").iter().any(|row| row.starts_with("<i>all</i>\tup\t"));
    assert!(named, "names are text, whatever they are: {seen}");
    assert!(rows(&seen, "upstreams").iter().any(|row| row.starts_with("dead\tgone\tdown\t")), "{seen}");
    assert!(rows(&seen, "upstreams").iter().any(|row| row.starts_with("up\tone\tup\t")), "{seen}");
    let slow = rows(&seen, "slow");
    let told = "waiting for the endpoint's answer (up, one)\tGET /slow\t<i>all</i>\t200\t";
    assert!(slow.iter().any(|row| row.contains(told)), "{slow:#?}");
    let screen = top(&gateway.admin);
    for text in ["serving", " in all", "<i>all</i>", "ENDPOINTS   1 of 2 well", "dead / gone http://127.0.0.1:1: down", "GET /slow"] {
        assert!(screen.contains(text), "{text} is missing in\n{screen}");
    }
    let nobody = ask_top(down);
    assert!(nobody.status.code() == Some(1) && String::from_utf8_lossy(&nobody.stderr).contains("--admin ADDRESS"), "{nobody:?}");
    assert_eq!((rows(&seen, "cores").len(), &seen["heat"]), (2, &json!(true)));
}

#[test]
fn it_shows_what_is_spoken_beside_http1() {
    let origin = Origin::start();
    let pair = Authority::ours().issue(&["127.0.0.1"]);
    let tls = json!({ "address": "127.0.0.1", "port": 0, "certificates": [pair.setting()] });
    let upstreams = ["http1", "h2"]
        .map(|protocol| json!({ "id": protocol, "protocol": protocol, "endpoints": [{ "url": format!("http://{}", origin.address) }] }));
    let routes = json!([{ "path": "/", "upstream": "http1" }, { "path": "/grpc_status/*", "upstream": "h2" }]);
    let gateway = Gateway::with(&origin.address, json!({ "upstreams": upstreams, "routes": routes, "tls": tls }));
    assert!(top(&gateway.admin).contains("PROTOCOLS   HTTP/1.1 only"));
    let load = |line: String| {
        let arguments = format!("--quiet --max-lag 1h --rate 100 --duration 100ms --connections 1 {line}");
        run(env!("CARGO_BIN_EXE_ringload"), &arguments.split_whitespace().collect::<Vec<_>>());
    };
    let (plain, secure, ca) = (&gateway.address, &gateway.secure, &Authority::ours().file);
    load(format!("--http2 --ca {ca} https://{secure}/"));
    for status in [0, 5] {
        load(format!("--grpc http://{plain}/grpc_status/{status}"));
    }
    load(format!("ws://{plain}/chat"));
    until("the calls to be summed up", || (gateway.page("GET", "/status").json()["protocols"]["grpc"]["NOT_FOUND"] == 10).then_some(()));
    let seen = seen(&gateway);
    assert_eq!((&seen["problems"], &seen["sizes"]), (&json!([]), &json!({ "desk": true, "phone": true })));
    let shown = rows(&seen, "protocols");
    for row in [
        "certificates[0]\t19 days left",
        "HTTP/2 connections\t3",
        "HTTP/2 requests\t30",
        "HTTP/2 rules broken, floods\t0, 0",
        "gRPC NOT_FOUND\t10",
        "gRPC OK\t10",
        "WebSockets open\t0",
    ] {
        assert!(shown.iter().any(|shown| shown == row), "{row} is missing in {shown:#?}");
    }
    let screen = top(&gateway.admin);
    for text in [" handshakes, ", "HTTP/2 30 requests, 3 connections", "gRPC calls: NOT_FOUND 10, OK 10", "0 WebSockets"] {
        assert!(screen.contains(text), "{text} is missing in\n{screen}");
    }
    assert!(!screen.contains("the certificate of"), "there is time left");
}

#[test]
fn events_come_once_a_second_and_end_with_their_reader() {
    let endpoint = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::to(&endpoint.address);
    assert_eq!(gateway.get("/").status(), 200);
    let ask = || {
        let mut reader = Wire::connect(&gateway.admin);
        reader.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        let status = String::from_utf8(reader.bytes(12)).unwrap();
        (reader, status)
    };
    // They leave room for pages, and those that have gone for others.
    let readers: Vec<_> = (0..20).map(|_| ask()).collect();
    assert_eq!(readers.iter().filter(|(_, status)| status == "HTTP/1.1 200").count(), 16);
    assert!(readers[16..].iter().all(|(_, status)| status == "HTTP/1.1 503"));
    assert_eq!(gateway.page("GET", "/livez").status(), 200);
    drop(readers);
    let mut reader = until("a place", || {
        let (reader, status) = ask();
        (status == "HTTP/1.1 200").then_some(reader)
    });
    let mut text = String::new();
    until("three events", || {
        text.push_str(&String::from_utf8(reader.piece()).unwrap());
        (text.matches("\ndata: ").count() >= 3).then_some(())
    });
    let (_, event) = text.split_once("\n\ndata: ").unwrap();
    let event: Value = serde_json::from_str(event.lines().next().unwrap()).unwrap();
    assert_eq!((&event["upstreams"][0]["id"], &event["config"]["generation"]), (&json!("up"), &json!(1)));
    drop(reader);
    // Who begins to look is told first what has passed.
    until("the request to have passed", || {
        let (mut reader, status) = ask();
        let mut text = String::new();
        while status == "HTTP/1.1 200" && !text.contains("\n\ndata: ") {
            text.push_str(&String::from_utf8(reader.piece()).unwrap());
        }
        let (_, past) = text.split_once("\n\nevent: past\ndata: ")?;
        let past: Vec<Value> = serde_json::from_str(past.lines().next().unwrap()).unwrap();
        let count = |second: &Value| second["heat"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
        let counts: Vec<_> = past.iter().map(count).collect();
        let rates: Vec<_> = past.iter().map(|second| second["requests_per_second"].as_f64().unwrap().round()).collect();
        assert!(counts.iter().sum::<u64>() <= 1 && rates.iter().sum::<f64>() <= 1.0 && past.len() < 60, "{counts:?} {rates:?}");
        (counts.contains(&1) && rates.contains(&1.0)).then_some(())
    });
    let page = gateway.page("GET", "/dashboard");
    assert_eq!(page.field("content-security-policy"), Some("frame-ancestors 'none'"));
    assert!(page.text().contains("content=\"default-src 'none';"), "nothing from elsewhere");
    assert_eq!(gateway.page("POST", "/dashboard").status(), 405);
}
