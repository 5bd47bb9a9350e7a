//! Distributed tracing: what endpoints are told, and the spans that a collector gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Message, get, until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector: it takes what is sent, and keeps the spans.
struct Collector {
    server: Hostile,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn answering(status: &'static str) -> Collector {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = spans.clone();
        let server = Hostile::start(move |peer| {
            let request: Message = peer.request().unwrap();
            assert_eq!(
                (request.method(), request.target(), request.field("content-type")),
                ("POST", "/v1/traces", Some("application/json"))
            );
            let body = request.json();
            assert_eq!(body["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "the gateway");
            kept.lock().unwrap().extend(body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone());
            peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}"));
        });
        Collector { server, spans }
    }

    fn tracing(&self, more: Value) -> Value {
        let mut tracing = json!({ "endpoint": format!("http://{}", self.server.address), "service_name": "the gateway" });
        tracing.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tracing
    }

    /// So many spans, once they are there.
    fn spans(&self, count: usize) -> Vec<Value> {
        until("the spans", || (self.spans.lock().unwrap().len() >= count).then_some(()));
        let spans = self.spans.lock().unwrap().clone();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    let value = found.unwrap_or_else(|| panic!("no {key} in {span:#}"))["value"].as_object().unwrap();
    value.values().next().unwrap()
}

fn nanos(span: &Value, field: &str) -> u64 {
    span[field].as_str().unwrap().parse().unwrap()
}

fn traced(parent: &str) -> String {
    format!("GET /a?secret=1 HTTP/1.1\r\nHost: a\r\ntraceparent: {parent}\r\ntracestate: vendor=1\r\n\r\n")
}

#[test]
fn a_sampled_request_has_a_span_and_its_endpoint_is_told_another() {
    let endpoint = Hostile::start(|peer| {
        while peer.request().is_some() {
            std::thread::sleep(Duration::from_millis(30));
            peer.send(OK);
        }
    });
    let collector = Collector::answering("200 OK");
    let gateway = Gateway::with(&endpoint.address, json!({ "tracing": collector.tracing(json!({ "sample_percent": 100 })) }));
    assert_eq!(gateway.connect().ask(traced(&format!("00-{TRACE}-00f067aa0ba902b7-00"))).status(), 200);
    let spans = collector.spans(2);
    let (server, client) = (&spans[0], &spans[1]);
    assert_eq!((&server["traceId"], &server["parentSpanId"], &server["kind"]), (&json!(TRACE), &json!("00f067aa0ba902b7"), &json!(2)));
    assert_eq!((&client["traceId"], &client["parentSpanId"], &client["kind"]), (&json!(TRACE), &server["spanId"], &json!(3)));
    let told = endpoint.last();
    let expected = format!("00-{TRACE}-{}-01", client["spanId"].as_str().unwrap());
    assert_eq!((told.all("traceparent"), told.field("tracestate")), (vec![expected.as_str()], Some("vendor=1")));
    assert_eq!((attribute(server, "url.path"), attribute(server, "http.response.status_code")), (&json!("/a"), &json!("200")));
    assert_eq!(attribute(client, "ringway.upstream"), "up");
    let inside = nanos(server, "startTimeUnixNano") <= nanos(client, "startTimeUnixNano")
        && nanos(client, "endTimeUnixNano") <= nanos(server, "endTimeUnixNano");
    let took = nanos(client, "endTimeUnixNano") - nanos(client, "startTimeUnixNano");
    assert!(inside && took >= 29_000_000, "{spans:#?}");
    assert_eq!(client["events"].as_array().unwrap().len(), 2, "connected and first byte");
    // Without a parent it is a trace of its own; a refusal has a span and no endpoint.
    assert_eq!(gateway.get("/").status(), 200);
    let spans = collector.spans(4);
    assert!(spans[2]["parentSpanId"] == "" && spans[2]["traceId"] != TRACE && spans[2]["traceId"].as_str().unwrap().len() == 32);
    gateway.wait("gateway_trace_spans_sent_total", 4.0);
}

#[test]
fn what_is_not_sampled_is_passed_on_as_it_came_and_only_a_trusted_proxy_decides() {
    let endpoint = Hostile::answering(OK);
    let collector = Collector::answering("200 OK");
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let tracing = collector.tracing(json!({ "sample_percent": 0 }));
    let stranger = Gateway::with(&endpoint.address, json!({ "tracing": tracing }));
    assert_eq!(stranger.connect().ask(traced(&parent)).status(), 200);
    assert_eq!(endpoint.last().all("traceparent"), [parent.as_str()]);
    let changes = json!({ "tracing": tracing, "listener": { "trusted_proxies": ["127.0.0.0/8"] } });
    let friend = Gateway::with(&endpoint.address, changes);
    assert_eq!(friend.connect().ask(traced(&parent)).status(), 200);
    assert_eq!(friend.connect().ask(traced(&format!("00-{TRACE}-00f067aa0ba902b7-00"))).status(), 200);
    let spans = collector.spans(2);
    assert!(spans.iter().all(|span| span["traceId"] == TRACE));
    friend.wait("gateway_trace_spans_sent_total", 2.0);
    assert_eq!(stranger.metric("gateway_trace_spans_sent_total"), 0.0);
}

#[test]
fn spans_that_are_left_at_the_end_are_sent_and_a_collector_that_fails_costs_no_request() {
    let endpoint = Hostile::answering(OK);
    let collector = Collector::answering("200 OK");
    let gateway = Gateway::with(&endpoint.address, json!({ "tracing": collector.tracing(json!({ "sample_percent": 100 })) }));
    assert_eq!(gateway.get("/").status(), 200);
    assert_eq!(gateway.stop("TERM"), 0);
    collector.spans(2);
    let broken = Collector::answering("503 Service Unavailable");
    let gateway = Gateway::with(&endpoint.address, json!({ "tracing": broken.tracing(json!({ "sample_percent": 100 })) }));
    (0..20).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    until("all to be lost", || (gateway.metric("gateway_trace_spans_failed_total") == 40.0).then_some(()));
    gateway.wait_log("spans can't be sent and are lost");
}

#[test]
fn slow_requests_have_spans_though_they_are_not_sampled() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            std::thread::sleep(Duration::from_millis(if request.target() == "/slow" { 300 } else { 0 }));
            peer.send(OK);
        }
    });
    let collector = Collector::answering("200 OK");
    let changes = json!({ "runtime": { "workers": 1 }, "tracing": collector.tracing(json!({ "sample_percent": 0 })) });
    let gateway = Gateway::with(&endpoint.address, changes);
    let mut client = gateway.connect();
    (0..1_100).for_each(|_| assert_eq!(client.ask(get("/")).status(), 200));
    until("the second to be over", || {
        let page = gateway.page("GET", "/latency?window=all").json();
        (page["series"][0]["phases"]["total"]["count"] == 1_100).then_some(())
    });
    assert_eq!(client.ask(get("/slow")).status(), 200);
    let spans = collector.spans(2);
    assert!(attribute(&spans[0], "ringway.cause").as_str().unwrap().contains("waiting for the endpoint's answer"));
}
