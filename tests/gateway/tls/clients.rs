//! TLS towards clients.

use serde_json::json;

use super::{LAST, OK, curl, fetched, gateway, port, results, s_client, tls_config};
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, Origin, Wire, directory, get, until};

#[test]
fn both_versions_are_spoken_and_told_about() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let changes = json!({ "runtime": { "driver": driver }, "forwarding": { "forwarded": true },
            "middlewares": [{ "security_headers": {} }] });
        let gateway = gateway(&endpoint.address, changes);
        for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
            let arguments: Vec<&str> = version.split(' ').chain(["--include"]).collect();
            let answer = fetched(&gateway, "a.example", "/", &arguments);
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
            assert!(answer.contains("\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n"), "{answer}");
            let seen = endpoint.last();
            assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
            assert_eq!(seen.field("x-forwarded-port"), Some(port(&gateway)));
            assert!(seen.field("forwarded").unwrap().ends_with(";proto=https"));
        }
        let plain = gateway.get("/");
        assert_eq!((plain.status(), plain.field("strict-transport-security")), (200, None), "not without TLS");
        assert_eq!(endpoint.last().field("x-forwarded-proto"), Some("http"));
        let mut next = tls_config(&endpoint.address, &[], json!({}));
        next["listener"]["trusted_proxies"] = json!(["127.0.0.1"]);
        next["middlewares"] = json!([{ "security_headers": {} }]);
        let trusting = Gateway::start(&next);
        assert!(trusting.get("/").field("strict-transport-security").is_some(), "a proxy that may speak TLS itself");
        assert_eq!((results(&gateway, "full"), gateway.metric("gateway_tls_handshakes_in_progress")), (2.0, 0.0));
        let [count, within] =
            ["count", "bucket{le=\"5\"}"].map(|part| gateway.metric(&format!("gateway_tls_handshake_duration_seconds_{part}")));
        assert_eq!((count, within), (2.0, 2.0));
        assert!(gateway.metric("gateway_tls_handshake_duration_seconds_sum") > 0.0);
    }
}

#[test]
fn bodies_of_any_size_pass_both_ways() {
    let origin = Origin::start();
    let directory = directory();
    let sent = directory.join("sent");
    for driver in DRIVERS {
        let gateway = gateway(&origin.address, json!({ "runtime": { "driver": driver } }));
        for size in [0, 1, 16 << 10, 3_000_000] {
            std::fs::write(&sent, vec![b'x'; size]).unwrap();
            let echoed = fetched(&gateway, "localhost", "/echo", &["--data-binary", &format!("@{}", sent.display())]);
            let echoed: serde_json::Value = serde_json::from_str(&echoed).unwrap();
            assert_eq!(echoed["body"]["bytes"], size);
            assert_eq!(fetched(&gateway, "localhost", &format!("/size/{size}"), &[]).len(), size);
        }
        let many = fetched(&gateway, "localhost", "/size/[1-20]", &["--write-out", " %{num_connects}\n"]);
        assert_eq!(many.lines().filter(|line| line.ends_with(" 1")).count(), 1, "one connection for all: {many}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_name_asked_for_says_which_certificate_is_shown() {
    let endpoint = Hostile::answering(OK);
    let authority = Authority::ours();
    let (first, exact, wild) =
        (authority.issue(&["default.example"]), authority.issue(&["a.b.example"]), authority.issue(&["*.b.example"]));
    let gateway = Gateway::start(&tls_config(&endpoint.address, &[&first, &wild, &exact], json!({})));
    for (asked, shown) in [
        (&["-servername", "a.b.example"][..], "a.b.example"),
        (&["-servername", "A.B.example"], "a.b.example"),
        (&["-servername", "c.b.example"], "*.b.example"),
        (&["-servername", "b.example"], "default.example"),
        (&["-servername", "x.c.b.example"], "default.example"),
        (&["-noservername"], "default.example"),
    ] {
        let said = s_client(&gateway, asked, LAST);
        assert!(said.contains(&format!("subject=O = \"Example, Inc.\", CN = {shown}\n")), "{asked:?}: {said}");
    }
    for name in ["default.example", "*.b.example", "a.b.example"] {
        let end = gateway.metric(&format!("gateway_tls_cert_not_after_timestamp_seconds{{name=\"{name}\"}}"));
        let days = (end - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()) / 86_400.0;
        assert!((19.9..20.1).contains(&days), "{days}");
    }
}

#[test]
fn sessions_are_resumed_on_whatever_core() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = gateway(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        let directory = directory();
        let file = directory.join("session").to_str().unwrap().to_owned();
        for (count, version) in [(1.0, "-tls1_2"), (2.0, "-tls1_3")] {
            s_client(&gateway, &[version, "-sess_out", &file], LAST);
            assert_eq!(results(&gateway, "full"), count);
            // By chance, some of these come to each core.
            for _ in 0..8 {
                let said = s_client(&gateway, &[version, "-sess_in", &file], LAST);
                assert!(said.contains("Reused, ") && said.contains("HTTP/1.1 200 OK"), "{said}");
            }
            assert_eq!((results(&gateway, "full"), results(&gateway, "resumed")), (count, count * 8.0));
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn connections_end_in_order() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = gateway(&endpoint.address, json!({ "runtime": { "driver": driver }, "timeouts": { "idle": "300ms" } }));
        // OpenSSL takes an end without a close_notify for an error.
        for request in [LAST, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "nonsense\r\n\r\n"] {
            let said = s_client(&gateway, &[], request);
            assert!(!said.contains("unexpected eof") && said.contains("HTTP/1.1 "), "{request}: {said}");
        }
    }
}

#[test]
fn a_certificate_of_the_client_is_told_to_endpoints_and_nobody_can_claim_one() {
    let endpoint = Hostile::answering(OK);
    let (ours, other) = (Authority::ours(), Authority::new("other"));
    let (anna, eve) = (ours.issue(&["anna"]), other.issue(&["anna"]));
    for (auth, without) in [("optional", true), ("required", false)] {
        let gateway = gateway(&endpoint.address, json!({ "tls": { "client_auth": auth, "client_ca": ours.pem } }));
        let with = |pair: &crate::harness::Pair| {
            let claim = ["--header", "X-Client-Cert-Subject: CN=root", "--header", "X-Client_Cert-Subject: CN=root"];
            curl(&gateway, "localhost", "/", &[&["--cert", &pair.cert_file, "--key", &pair.key_file][..], &claim].concat()).status.success()
        };
        assert!(with(&anna));
        let seen = endpoint.last();
        assert_eq!((seen.all("x-client-cert-subject"), seen.all("x-client_cert-subject")), (vec![r"CN=anna,O=Example\, Inc."], vec![]));
        let before = results(&gateway, "full");
        assert!(!with(&eve), "signed by a stranger");
        // The client hears of it before it is counted.
        gateway.wait("gateway_tls_handshakes_total{result=\"client_certificate_refused\"}", 1.0);
        assert_eq!(results(&gateway, "full"), before);
        let none = curl(&gateway, "localhost", "/", &["--header", "X-Client-Cert-Subject: CN=root"]);
        assert_eq!(none.status.success(), without);
        if without {
            assert_eq!(endpoint.last().field("x-client-cert-subject"), None);
        }
        gateway.connect().ask("GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: CN=root\r\n\r\n");
        assert_eq!(endpoint.last().field("x-client-cert-subject"), None, "not without TLS either");
        let trailers = "X-Client-Cert-Subject: CN=root\r\nX_Client-Cert_Subject: CN=root\r\nX_Forwarded_For: 1.2.3.4\r\n";
        gateway.connect().ask(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailers}Sum: 1\r\n\r\n"));
        assert_eq!(endpoint.last().trailers, "Sum: 1\r\n", "nor behind a body");
    }
}

#[test]
fn requests_without_tls_are_sent_to_https() {
    let endpoint = Hostile::answering(OK);
    let gateway = gateway(&endpoint.address, json!({ "tls": { "redirect": true } }));
    for method in ["GET", "POST"] {
        let answer = gateway.connect().ask(format!("{method} /a%20b?c=d HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 0\r\n\r\n"));
        let there = format!("https://a.example:{}/a%20b?c=d", port(&gateway));
        // The port of the configuration, 0, is the one that was taken: tests can't know it before.
        let told = answer.field("location").unwrap().replace(":0/", &format!(":{}/", port(&gateway)));
        assert_eq!((answer.status(), told), (308, there));
    }
    assert_eq!(gateway.get("/livez").status(), 200, "what watches the gateway goes on");
    assert_eq!(gateway.get("/.well-known/acme-challenge/x").text(), "ok");
    assert_eq!(fetched(&gateway, "a.example", "/", &[]), "ok");
    assert_eq!(gateway.connect().ask("GET / HTTP/1.0\r\n\r\n").refusal(), (400, "missing_host"));
}

#[test]
fn a_client_without_tls_is_told_where_it_is() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = gateway(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        let answer = Wire::connect(&gateway.secure).ask(get("/"));
        assert_eq!(answer.refusal(), (400, "plain_http_to_tls"));
        assert_eq!((results(&gateway, "plain_http"), gateway.refusals("plain_http_to_tls")), (1.0, 1.0));
        let mut hello = Wire::connect(&gateway.address);
        hello.send([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
        assert_eq!(hello.message().refusal(), (400, "tls_to_plain_http"));
        let mut nonsense = Wire::connect(&gateway.secure);
        nonsense.send([22, 3, 1, 0, 4, 9, 9, 9, 9]);
        until("it to be counted", || (results(&gateway, "malformed") == 1.0).then_some(()));
        drop(Wire::connect(&gateway.secure));
        until("it to be counted", || (results(&gateway, "client_closed") == 1.0).then_some(()));
        gateway.wait("gateway_active_connections", 0.0);
    }
}

#[test]
fn handshakes_are_few_enough_and_short_enough() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let changes = json!({ "tls": { "handshakes": 2, "handshake_timeout": "700ms" }, "runtime": { "driver": driver, "workers": 1 } });
        let gateway = gateway(&endpoint.address, changes);
        let mut slow: Vec<Wire> = (0..2).map(|_| Wire::connect(&gateway.secure)).collect();
        slow[0].send([22, 3, 1, 2, 0, 1]);
        gateway.wait("gateway_tls_handshakes_in_progress", 2.0);
        assert!(!curl(&gateway, "localhost", "/", &[]).status.success());
        assert_eq!(results(&gateway, "too_many"), 1.0);
        until("both to have taken too long", || (results(&gateway, "timeout") == 2.0).then_some(()));
        assert_eq!(fetched(&gateway, "localhost", "/", &[]), "ok");
    }
}

#[test]
fn the_log_says_which_name_was_asked_for_where_a_handshake_failed() {
    let endpoint = Hostile::answering(OK);
    let gateway = gateway(&endpoint.address, json!({ "logging": { "level": "debug" } }));
    assert!(!curl(&gateway, "b.example", "/", &["--cacert", &Authority::new("other").file]).status.success());
    gateway.wait_log("asked=b.example");
}

#[test]
fn the_least_version_is_kept_to() {
    let endpoint = Hostile::answering(OK);
    let gateway = gateway(&endpoint.address, json!({ "tls": { "min_version": "1.3" } }));
    assert!(!curl(&gateway, "localhost", "/", &["--tls-max", "1.2"]).status.success());
    assert_eq!(results(&gateway, "incompatible"), 1.0);
    assert_eq!(fetched(&gateway, "localhost", "/", &[]), "ok");
    // A client that doesn't trust the certificate says so.
    assert!(!curl(&gateway, "localhost", "/", &["--cacert", &Authority::new("other").file]).status.success());
    until("it to be counted", || (results(&gateway, "refused_by_client") == 1.0).then_some(()));
}
