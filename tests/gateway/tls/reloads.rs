//! Certificates are changed while the gateway serves.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::json;

use super::{LAST, OK, curl, fetched, results, s_client, tls_config};
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, Pair, until};

fn serial(gateway: &Gateway) -> String {
    let said = s_client(gateway, &[], LAST);
    let pem = &said[said.find("-----BEGIN").expect("a certificate")..];
    pem[..pem.find("-----END").expect("its end")].trim_end().to_owned()
}

/// Puts another pair in place of the first, file by file.
fn replace(old: &Pair, new: &Pair) {
    std::fs::write(&old.cert_file, &new.cert).unwrap();
    std::fs::write(&old.key_file, &new.key).unwrap();
}

#[test]
fn no_request_is_lost_when_certificates_change() {
    let endpoint = Hostile::answering(OK);
    let names = ["localhost", "127.0.0.1"];
    for driver in DRIVERS {
        let pairs = [(); 4].map(|()| Authority::ours().issue(&names));
        let gateway = Gateway::start(&tls_config(&endpoint.address, &[&pairs[0]], json!({ "runtime": { "driver": driver } })));
        // One connection is there all the time.
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &gateway.secure, "-CAfile", &Authority::ours().file, "-ign_eof", "-quiet"]);
        let mut kept = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut asks = kept.stdin.take().unwrap();
        asks.write_all(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let loads: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut count = 0;
                        while !stop.load(SeqCst) {
                            assert_eq!(fetched(&gateway, "localhost", "/[1-3]", &[]), "okokok");
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            let mut shown = serial(&gateway);
            for (round, pair) in pairs[1..].iter().enumerate() {
                replace(&pairs[0], pair);
                if round == 0 {
                    gateway.signal("HUP");
                } else {
                    assert_eq!(gateway.page("POST", "/reload").text(), "reloaded\n");
                }
                until("the new certificate", || (serial(&gateway) != shown).then_some(()));
                shown = serial(&gateway);
                // One that doesn't fit its key, and then none at all: told, and nothing is changed.
                for cert in [&pairs[0].cert[..], "nothing"] {
                    std::fs::write(&pairs[0].cert_file, cert).unwrap();
                    let told = gateway.page("POST", "/reload");
                    assert_eq!(told.status(), 422);
                    assert!(told.text().contains(": tls.certificates[0]."), "{}", told.text());
                    assert_eq!(serial(&gateway), shown);
                }
            }
            stop.store(true, SeqCst);
            assert!(loads.into_iter().map(|load| load.join().unwrap()).sum::<usize>() > 3);
        });
        asks.write_all(LAST.as_bytes()).unwrap();
        let said = String::from_utf8(kept.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "it has seen none of this: {said}");
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    }
}

#[test]
fn one_whose_time_is_over_is_served_and_told_of() {
    let endpoint = Hostile::answering(OK);
    let good = Authority::ours().issue(&["localhost"]);
    let ended = json!({ "cert": include_str!("../auth/tls/ended.pem"), "key": include_str!("../auth/tls/ended.key") });
    let config = tls_config(&endpoint.address, &[&good], json!({}));
    let with_ended = tls_config(&endpoint.address, &[&good], json!({ "tls": { "certificates": [ended] } }));
    let told = "the certificate of \"old.example\" has ended on 2025-01-01: clients refuse it";
    Gateway::start(&with_ended).wait_log(told);
    let gateway = Gateway::start(&config);
    assert_eq!(gateway.reload(&with_ended).status(), 200);
    gateway.wait_log(told);
}

#[test]
fn tickets_outlast_a_reload_but_not_the_rules_for_clients() {
    let endpoint = Hostile::answering(OK);
    let ours = Authority::ours();
    let pair = ours.issue(&["localhost", "127.0.0.1"]);
    let with = |tls| tls_config(&endpoint.address, &[&pair], json!({ "tls": tls, "limits": { "headers": 90 } }));
    let gateway = Gateway::start(&tls_config(&endpoint.address, &[&pair], json!({})));
    let file = format!("{}.session", pair.cert_file);
    s_client(&gateway, &["-sess_out", &file], LAST);
    assert_eq!(gateway.reload(&with(json!({}))).status(), 200);
    s_client(&gateway, &["-sess_in", &file], LAST);
    assert_eq!((results(&gateway, "full"), results(&gateway, "resumed")), (1.0, 1.0));
    assert_eq!(gateway.reload(&with(json!({ "client_auth": "required", "client_ca": ours.pem }))).status(), 200);
    let said = s_client(&gateway, &["-sess_in", &file], LAST);
    assert!(!said.contains("HTTP/1.1 200 OK"), "{said}");
    assert_eq!(results(&gateway, "resumed"), 1.0);
}

#[test]
fn a_port_needs_a_restart_and_a_successor_takes_it_over() {
    let endpoint = Hostile::answering(OK);
    let pair = Authority::ours().issue(&["localhost", "127.0.0.1"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = tls_config(&endpoint.address, &[&pair], json!({ "tls": { "port": port } }));
    config["listener"]["port"] = json!(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    config["admin"]["port"] = json!(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let mut gateway = Gateway::start(&config);
    let changes = [
        ("tls.port", json!({ "port": port - 1, "redirect": true })),
        ("tls.enabled", json!({ "enabled": false })),
        ("tls.certificates", json!({ "certificates": [] })),
    ];
    for (setting, changes) in changes {
        let mut other = config.clone();
        other["tls"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        assert_eq!(gateway.reload(&other).text(), format!("reloaded\n{setting} waits for a restart\n"));
        assert_eq!(curl(&gateway, "localhost", "/", &[]).stdout, b"ok", "{setting}: it stays as it was");
        // With the redirect of the first change, as all that is TLS's stays in force.
        let plain = gateway.get("/");
        assert_eq!((plain.status(), plain.field("location")), (308, Some(&*format!("https://a.example:{port}/"))), "{setting}");
    }
    gateway.rewrite(&config);
    gateway.signal("USR2");
    gateway.wait_log("upgraded: another process serves");
    assert_eq!(gateway.ended(), 0);
    let successor = gateway.log().split("serves on the same listeners pid=").nth(1).unwrap().lines().next().unwrap().to_owned();
    let served = curl(&gateway, "localhost", "/", &[]);
    assert!(Command::new("kill").arg(successor).status().unwrap().success());
    assert_eq!(String::from_utf8_lossy(&served.stdout), "ok");
}
