//! The example of a user's own middleware, served by a whole gateway.

#[allow(dead_code)]
#[path = "../examples/custom_middleware.rs"]
mod example;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use ringway::config;
use ringway::run::{self, Options, Running};

/// An endpoint that answers each connection's only request with the request's head.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", head.len());
            let _ = stream.write_all(&[answer.as_bytes(), &head].concat());
        }
    });
    address
}

fn config(settings: &str) -> String {
    format!(
        r#"{{ "listener": {{ "address": "127.0.0.1", "port": 0 }}, "admin": {{ "enabled": false }}, "runtime": {{ "workers": 1 }},
             "middlewares": [{{ "custom": {{ "name": "api_key_check", "settings": {settings} }} }}],
             "upstreams": [{{ "id": "app", "endpoints": [{{ "url": "http://{}" }}] }}], "routes": [{{ "path": "/", "upstream": "app" }}] }}"#,
        endpoint()
    )
}

/// Sends a request with these header lines; the whole answer.
fn ask(gateway: SocketAddr, lines: &str) -> String {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: test\r\n{lines}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_knows_the_key_is_let_in_and_nobody_else() {
    let loaded = config::load_text(&config(r#"{ "secret": "opensesame" }"#), Path::new("test.json")).unwrap();
    let (ready, wait) = mpsc::channel::<Running>();
    // It serves until the test's process ends.
    std::thread::spawn(move || {
        let on_ready: run::OnReady = Box::new(move |running| drop(ready.send(running.clone())));
        run::run(loaded, Options { on_ready: Some(on_ready), middlewares: example::registry(), ..Options::default() })
    });
    let gateway = wait.recv_timeout(Duration::from_secs(20)).expect("the gateway listens").listener;

    let answer = ask(gateway, "");
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n") && answer.ends_with("Missing API Key\n"), "{answer}");
    assert!(answer.contains("WWW-Authenticate: ApiKey"), "{answer}");
    let answer = ask(gateway, "X-API-Key: opensesamE\r\n");
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("Invalid API Key\n"), "{answer}");
    let answer = ask(gateway, "X-API-Key: opensesame\r\nX-Authenticated: by-myself\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("X-Authenticated: api-key\r\n") && !answer.contains("by-myself"), "the endpoint got: {answer}");
    assert!(!answer.contains("opensesame"), "the key stays here: {answer}");
}

#[test]
fn what_the_middleware_says_of_its_settings_is_a_problem_of_the_configuration() {
    let build = |text: &str, registry| {
        let loaded = config::load_text(text, Path::new("test.json")).unwrap();
        run::build_with(&loaded, 1, &registry).map(drop).unwrap_err().to_string()
    };
    let said = build(&config("{}"), example::registry());
    assert!(said.contains("middlewares[0].custom: settings.secret is missing or empty"), "{said}");
    let said = build(&config("{}"), ringway::middleware::Registry::default());
    assert!(said.contains(r#"no middleware is registered as "api_key_check"; this program brings none along"#), "{said}");
}
