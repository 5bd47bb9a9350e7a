//! Probes of endpoints that speak HTTP/2: gRPC's health protocol, requests, connections.

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use serde_json::{Value, json};

use super::Server;
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, Http2Origin, run, until};

fn probing(url: &str, check: Value, changes: Value) -> Gateway {
    let mut settings = json!({ "enabled": true, "interval": "50ms", "timeout": "300ms", "rise": 1, "fall": 1 });
    settings.as_object_mut().unwrap().extend(check.as_object().unwrap().clone());
    let mut upstream = json!({ "id": "up", "protocol": "h2", "endpoints": [{ "url": url }], "health_check": settings });
    upstream.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Gateway::with("", json!({ "upstreams": [upstream], "logging": { "level": "debug" } }))
}

/// Waits until the endpoint is well, or isn't for this reason.
#[track_caller]
fn wait(gateway: &Gateway, error: Option<&str>) {
    until(error.unwrap_or("it to be well"), || {
        let endpoint = gateway.page("GET", "/upstreams").json()["upstreams"][0]["endpoints"][0].clone();
        let told = endpoint.get("probe_error").map(|error| error.as_str().unwrap());
        let probed = gateway.metric_if_there("gateway_health_probes_total{result=\"success\"}").unwrap_or_default() > 0.0;
        (endpoint["healthy"] == json!(error.is_none()) && told == error && (probed || error.is_some())).then_some(())
    });
}

fn set(server: &Server, service: &str, state: &str) {
    run("python3", &["tests/grpc_peer.py", "client", &server.address, "set_health", &format!("{service}={state}")]);
}

#[test]
fn a_service_says_how_it_is() {
    let server = Server::start();
    set(&server, "test.Peer", "SERVING");
    let url = format!("http://{}", server.address);
    let whole = probing(&url, json!({ "type": "grpc" }), json!({}));
    let gateway = probing(&url, json!({ "type": "grpc", "service": "test.Peer" }), json!({}));
    wait(&gateway, None);
    for state in ["NOT_SERVING", "UNKNOWN", "SERVICE_UNKNOWN"] {
        set(&server, "test.Peer", state);
        wait(&gateway, Some(&format!("says {state}")));
    }
    assert_eq!(gateway.get("/").reason(), "no_healthy_endpoint");
    set(&server, "test.Peer", "SERVING");
    wait(&gateway, None);
    wait(&whole, None);
    let other = probing(&url, json!({ "type": "grpc", "service": "no.Such" }), json!({}));
    wait(&other, Some("grpc-status 5 (NOT_FOUND): unknown service"));
    other.wait_log("probe failed");
    // The kernel accepts for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    wait(
        &probing(&format!("http://{}", silent.local_addr().unwrap()), json!({ "type": "grpc" }), json!({})),
        Some("no answer within 300ms"),
    );
}

#[test]
fn it_says_so_over_tls_as_well() {
    let pair = Authority::ours().issue(&["127.0.0.1"]);
    let server = Server::with(&[&pair.cert_file, &pair.key_file]);
    let url = format!("https://{}", server.address);
    let tls = json!({ "tls": { "ca": Authority::ours().pem } });
    wait(&probing(&url, json!({ "type": "grpc" }), tls.clone()), None);
    wait(&probing(&url, json!({ "type": "tcp" }), tls.clone()), None);
    wait(&probing(&url, json!({ "type": "grpc", "service": "a" }), tls), Some("grpc-status 5 (NOT_FOUND): unknown service"));
}

#[test]
fn a_path_is_asked_for_by_http2() {
    let origin = Http2Origin::start(|request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>| async move {
        let path = request.uri().path_and_query().unwrap().as_str();
        let status = if request.method() == "GET" && path == "/up?x=1" { 204 } else { 404 };
        let _ = respond.send_response(Response::builder().status(status).body(()).unwrap(), true);
    });
    let url = format!("http://{}", origin.address);
    wait(&probing(&url, json!({ "path": "/up?x=1" }), json!({})), None);
    wait(&probing(&url, json!({ "path": "/other" }), json!({})), Some("status 404 is not an expected one"));
    let http = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gateway = probing(&format!("http://{}", http.address), json!({}), json!({}));
    wait(&gateway, Some("HTTP/2 failed: connection error detected: frame with invalid size"));
}

#[test]
fn a_connection_is_enough() {
    let silent = Hostile::start(|peer| {
        let _ = peer.request();
    });
    for driver in DRIVERS {
        let check = json!({ "enabled": true, "type": "tcp", "interval": "50ms", "fall": 1, "rise": 1 });
        let upstream =
            |address: &str| json!([{ "id": "up", "endpoints": [{ "url": format!("http://{address}") }], "health_check": check }]);
        let gateway = Gateway::with("", json!({ "upstreams": upstream(&silent.address), "runtime": { "driver": driver } }));
        wait(&gateway, None);
        let closed = Hostile::start(|_| ()).address.clone();
        let gateway = Gateway::with("", json!({ "upstreams": upstream(&closed), "runtime": { "driver": driver } }));
        wait(&gateway, Some("cannot connect: Connection refused (os error 111)"));
    }
}
