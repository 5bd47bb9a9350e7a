//! Programs that nobody here wrote on either side: curl as the client, nginx as the endpoint.

use crate::harness::{Gateway, Nginx, Origin, directory, get, run};

fn curl(arguments: &[&str]) -> String {
    String::from_utf8(run("curl", &[&["--silent", "--show-error", "--max-time", "20"], arguments].concat()).stdout).unwrap()
}

#[test]
fn curl_before_and_nginx_behind() {
    let nginx = Nginx::start(
        "root $DIR;
        location = /hello { default_type text/plain; return 200 'hello from nginx'; }
        location = /moved { return 302 /hello; }
        location = /none { return 204; }
        location /upload { dav_methods PUT; }
        location /echo { default_type text/plain; return 200 '$request_method $request_uri $http_x_forwarded_for $http_via $host'; }",
    );
    let gateway = Gateway::to(&nginx.address);
    let url = |path: &str| format!("http://{}{path}", gateway.address);
    assert_eq!(curl(&[&url("/hello")]), "hello from nginx");
    assert_eq!(curl(&["--http1.0", &url("/hello")]), "hello from nginx");
    assert_eq!(curl(&["--location", &url("/moved")]), "hello from nginx");
    assert_eq!(curl(&["--write-out", "%{http_code}", &url("/none")]), "204");
    assert!(curl(&["--head", &url("/hello")]).contains("Content-Length: 16\r\n"));
    assert_eq!(curl(&["--header", "Host: a.example", &url("/echo?b=c")]), "GET /echo?b=c 127.0.0.1 1.1 ringway a.example");
    // Several requests over one connection.
    let many = curl(&["--write-out", " %{num_connects}\n", &url("/hello"), &url("/hello"), &url("/hello")]);
    assert_eq!(many, "hello from nginx 1\nhello from nginx 0\nhello from nginx 0\n");
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    assert!(gateway.metric("gateway_upstream_connections_reused_total") >= 1.0);
}

#[test]
fn files_of_any_size_are_the_same_at_the_other_end() {
    let directory = directory();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let nginx = Nginx::start(&format!("root {}; location / {{ dav_methods PUT; }}", directory.display()));
    let gateway = Gateway::to(&nginx.address);
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 5_000_000] {
        let content: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 253) as u8).collect();
        std::fs::write(path("sent"), &content).unwrap();
        let url = format!("http://{}/stored-{size}", gateway.address);
        // This curl never ends an empty upload in chunks.
        let framings = [&[][..], &["--header", "Transfer-Encoding: chunked"]];
        for framing in &framings[..if size == 0 { 1 } else { 2 }] {
            curl(&[&["--fail", "--upload-file", &path("sent"), &url][..], framing].concat());
            assert!(std::fs::read(path(&format!("stored-{size}"))).unwrap() == content, "{size} bytes up");
        }
        curl(&["--fail", "--output", &path("back"), &url]);
        assert!(std::fs::read(path("back")).unwrap() == content, "{size} bytes down");
        let part = curl(&["--range", "0-0", "--output", "/dev/null", "--write-out", "%{http_code}", &url]);
        assert_eq!(part, if size == 0 { "200" } else { "206" });
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn curl_waits_to_be_asked_for_a_body() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let sent = directory().join("sent");
    std::fs::write(&sent, vec![b'x'; 2_000_000]).unwrap();
    let data = format!("@{}", sent.display());
    let url = format!("http://{}/echo", gateway.address);
    let echoed = curl(&["--header", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary", &data, &url]);
    let echoed: serde_json::Value = serde_json::from_str(&echoed).unwrap();
    assert_eq!(echoed["body"]["bytes"], 2_000_000);
    std::fs::remove_dir_all(sent.parent().unwrap()).unwrap();
}

#[test]
fn nginx_closes_kept_connections_as_it_likes() {
    let nginx = Nginx::start("keepalive_requests 3; location / { default_type text/plain; return 200 'ok'; }");
    let gateway = Gateway::to(&nginx.address);
    let mut client = gateway.connect();
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).text(), "ok");
        let post = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(post.text(), "ok");
    }
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}
