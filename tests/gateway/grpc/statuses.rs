//! What follows from the status of a call: another try, an ejection, an open circuit, a count.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::{Server, check};
use crate::harness::http2::request;
use crate::harness::{Gateway, Http2, Http2Origin};

/// Waits until so many calls are counted that ended with this status.
#[track_caller]
fn called(gateway: &Gateway, status: &str, count: f64) {
    gateway.wait(&format!("gateway_grpc_calls_total{{route=\"all\",grpc_status=\"{status}\"}}"), count);
}

/// An endpoint that ends each call with the status that its path names: in its head, or behind an empty answer.
pub fn ending() -> Http2Origin {
    Http2Origin::start(|request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>| async move {
        let (at, status) = request.uri().path()[1..].split_once('/').unwrap();
        let response = Response::builder().header("content-type", "application/grpc");
        if at == "head" {
            let _ = respond.send_response(response.header("grpc-status", status).body(()).unwrap(), true);
            return;
        }
        let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
        send.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let _ = send.send_trailers(trailers);
    })
}

fn before(endpoints: &[&str], changes: Value) -> Gateway {
    let endpoints: Vec<_> = endpoints.iter().map(|address| json!({ "url": format!("http://{address}") })).collect();
    let mut upstream = json!({ "id": "up", "protocol": "h2", "endpoints": endpoints });
    upstream.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let routes = json!([{ "id": "all", "path": "/*", "upstream": "up", "retry_count": 2 }]);
    Gateway::with("", json!({ "upstreams": [upstream], "routes": routes, "runtime": { "workers": 1 } }))
}

fn call(client: &Http2, path: &str) -> Option<String> {
    let answer = client.ask(request("POST", path, &[("content-type", "application/grpc"), ("te", "trailers")]), b"", None).unwrap();
    let trailers = answer.trailers.unwrap_or_default();
    let status = trailers.get("grpc-status").or(answer.head.headers().get("grpc-status"));
    status.map(|status| status.to_str().unwrap().to_owned())
}

#[test]
fn calls_are_repeated_by_their_status() {
    let server = Server::start();
    let retry = json!({ "retry": { "on_grpc_status": ["unavailable", "resource_exhausted"] } });
    let gateway = before(&[&server.address], retry);
    check(&gateway, "retried");
    gateway.wait_idle();
    assert_eq!(gateway.metric("gateway_upstream_retries_total"), 5.0);
    for (status, count) in [("OK", 3.0), ("UNAVAILABLE", 1.0), ("INTERNAL", 1.0), ("DATA_LOSS", 1.0)] {
        called(&gateway, status, count);
    }
    assert!(!gateway.page("GET", "/metrics").text().contains("RESOURCE_EXHAUSTED"), "it was repeated");
}

#[test]
fn statuses_that_are_the_endpoints_doing_open_its_circuit() {
    let origin = ending();
    for (path, opens) in [
        ("/head/14", true),
        ("/head/2", true),
        ("/head/4", true),
        ("/tail/13", true),
        ("/tail/15", true),
        ("/head/12", false),
        ("/head/5", false),
        ("/tail/8", false),
        ("/tail/0", false),
    ] {
        let breaker = json!({ "circuit_breaker": { "consecutive_failures": 0, "failure_rate": 50, "min_requests": 3 } });
        let gateway = before(&[&origin.address], breaker);
        let client = Http2::connect(&gateway.address);
        for _ in 0..3 {
            assert_eq!(call(&client, path).unwrap(), path[6..]);
        }
        assert_eq!(call(&client, "/head/0").unwrap(), if opens { "14" } else { "0" }, "{path}");
        assert_eq!(gateway.refusals("circuit_open"), f64::from(u8::from(opens)), "{path}");
    }
}

#[test]
fn they_eject_it_too() {
    let origin = ending();
    let other = Http2Origin::start(|_, mut respond: SendResponse<Bytes>| async move {
        let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
        let _ = respond.send_response(response.body(()).unwrap(), true);
    });
    let gateway = before(&[&origin.address, &other.address], json!({ "outlier_detection": { "consecutive_failures": 3 } }));
    let client = Http2::connect(&gateway.address);
    let statuses: Vec<String> = (0..20).map(|_| call(&client, "/head/14").unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| *status == "14").count(), 3, "{statuses:?}");
    let ejected = format!("gateway_upstream_endpoint_ejected{{upstream=\"up\",endpoint=\"http://{}\"}}", origin.address);
    gateway.wait(&ejected, 1.0);
    assert_eq!(client.ask(request("POST", "/head/14", &[]), b"", None).unwrap().status(), 200, "what isn't a call has no such status");
    called(&gateway, "OK", 17.0);
    called(&gateway, "UNAVAILABLE", 3.0);
}

#[test]
fn calls_that_the_gateway_ends_are_counted_as_it_told() {
    let closed = crate::harness::Hostile::start(|_| ()).address.clone();
    let gateway = before(&[&closed], json!({}));
    assert_eq!(call(&Http2::connect(&gateway.address), "/a.B/C").unwrap(), "14");
    called(&gateway, "UNAVAILABLE", 1.0);
}
