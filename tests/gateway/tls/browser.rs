//! A browser above TLS speaks HTTP/2 for all that a page does.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::tls_config;
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, Pair, up};
use crate::websockets;

/// Fetches many things at once, sends a body, hears of events, and talks over a WebSocket; says in `said` what came of it.
const PAGE: &str = r#"<!doctype html><title>Page</title><body><script>
  const images = [...Array(60).keys()].map(number => new Promise((done, failed) => {
    const image = new Image();
    [image.onload, image.onerror, image.src] = [() => done(image.width), failed, `/image/${number}`];
    document.body.append(image);
  }));
  const body = 'x'.repeat(300000);
  const mirrored = fetch('/mirror', { method: 'POST', body }).then(answer => answer.text()).then(text => text === body);
  const events = new Promise(done => {
    const [source, heard] = [new EventSource('/events'), []];
    source.onmessage = event => {
      heard.push(event.data);
      if (event.data === 'last') { source.close(); done(heard); }
    };
  });
  const echoed = images[0].then(() => new Promise((done, failed) => {
    const socket = new WebSocket(`wss://${location.host}/chat`);
    socket.onopen = () => socket.send('hello');
    socket.onmessage = message => { socket.close(); done(message.data); };
    socket.onerror = failed;
  }));
  Promise.all([Promise.all(images), mirrored, events, echoed])
    .then(([images, mirrored, events, echoed]) => window.said = { images: images.length, mirrored, events, echoed })
    .catch(error => window.said = String(error));
</script>"#;

const IMAGE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>"#;

fn endpoint() -> Hostile {
    Hostile::start(|peer| {
        let answer = |kind: &str, body: &[u8]| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        while let Some(request) = peer.request() {
            let whole = match request.target() {
                "/" => answer("text/html", PAGE.as_bytes()),
                "/mirror" => answer("text/plain", &request.body),
                "/events" => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for event in ["first", "second"] {
                        let event = format!("data: {event}\n\n");
                        peer.send(format!("{:x}\r\n{event}\r\n", event.len()));
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    b"c\r\ndata: last\n\n\r\n0\r\n\r\n".to_vec()
                }
                _ => answer("image/svg+xml", IMAGE.as_bytes()),
            };
            // The browser may have left.
            if peer.try_send(whole).is_err() {
                return;
            }
        }
    })
}

/// What the page says of itself in a browser that trusts this certificate.
fn opened(gateway: &Gateway, pair: &Pair) -> Value {
    let python = Command::new("python3")
        .args(["-B", "tests/page.py", &format!("https://{}/", gateway.secure), &pair.cert_file])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success(), "{told}\n(chromium and websocket-client are installed by tools/check tools)\n{}", gateway.log());
    serde_json::from_slice(&python.stdout).unwrap()
}

#[test]
fn a_page_its_events_and_its_websocket_come_over_http2() {
    let pair = Authority::ours().issue(&["127.0.0.1"]);
    let endpoint = endpoint();
    let (_chat, chat) = websockets::endpoint();
    let mut chat = up(&[&chat]);
    chat["id"] = json!("chat");
    for driver in DRIVERS {
        let mut config = tls_config(&endpoint.address, &[&pair], json!({ "runtime": { "driver": driver } }));
        config["upstreams"].as_array_mut().unwrap().push(chat.clone());
        config["routes"] = json!([{ "path": "/chat", "upstream": "chat" }, { "path": "/", "upstream": "up" }]);
        config["middlewares"] = json!([{ "access_log": { "path": "stderr", "fields": ["path", "protocol"] } }]);
        let gateway = Gateway::start(&config);
        let page = opened(&gateway, &pair);
        let expected = json!({ "images": 60, "mirrored": true, "events": ["first", "second", "last"], "echoed": "hello" });
        assert_eq!((&page["said"], &page["problems"]), (&expected, &json!([])), "{}", gateway.log());
        let fetched = page["fetched"].as_array().unwrap();
        assert!(fetched.len() >= 62 && fetched.iter().all(|thing| thing[1] == "h2"), "{fetched:?}");
        gateway.wait("gateway_upgraded_connections", 0.0);
        assert_eq!(gateway.metric("gateway_upgrades_total"), 1.0);
        gateway.wait_log("\"/chat\"");
        let log = gateway.log();
        let mut lines = log.lines().filter(|line| line.contains("\"protocol\":"));
        assert!(lines.all(|line| line.contains("\"HTTP/2.0\"")), "the WebSocket too: {log}");
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    }
}
