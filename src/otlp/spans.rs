//! Traced requests as OTLP writes them, with the attributes of OpenTelemetry's semantic conventions for HTTP.

use serde_json::{Value, json};

use crate::latency::{Phase, Slow};
use crate::proxy::Traced;

/// Kinds of spans: the request, and the question to the endpoint.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// The status of a span that failed.
const FAILED: u8 = 2;

/// A request body for `/v1/traces`.
pub(super) fn json(service: &str, batch: &[Traced]) -> Value {
    let spans: Vec<Value> = batch.iter().flat_map(spans).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", service)] },
        "scopeSpans": [{ "scope": { "name": "ringway", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
    }] })
}

fn spans(Traced { trace, story, asked }: &Traced) -> Vec<Value> {
    let Slow { at_us, times, .. } = story;
    let of = |phase| u64::from(times.of(phase).unwrap_or(0));
    let (method, path) = story.line.split_once(' ').unwrap_or((&story.line, ""));
    let end = at_us + of(Phase::Total);
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.path", path),
        text("http.route", &story.route),
        number("http.response.status_code", story.status.into()),
        text("ringway.request_id", &story.request_id),
        number("ringway.core", story.core.into()),
        text("ringway.cause", &story.cause()),
    ];
    attributes.extend(story.reason.map(|reason| text("error.type", reason)));
    let mut server = span(trace.trace, trace.server, trace.parent, &format!("{method} {}", story.route), SERVER, (*at_us, end), attributes);
    if story.status >= 500 || story.reason.is_some() {
        server["status"] = json!({ "code": FAILED });
    }
    let Some(asked) = asked.map(|micros| at_us + u64::from(micros)) else { return vec![server] };
    let attributes = vec![
        text("http.request.method", method),
        text("server.address", &story.endpoint),
        text("ringway.upstream", &story.upstream),
        number("http.request.resend_count", u64::from(story.attempts.saturating_sub(1))),
    ];
    let mut client =
        span(trace.trace, trace.client, Some(trace.server), &format!("{method} {}", story.upstream), CLIENT, (asked, end), attributes);
    let connected = times.of(Phase::Connect).map(|micros| event("connected", asked + u64::from(micros)));
    let answered = times.of(Phase::FirstByte).map(|_| event("first byte", end - of(Phase::Body)));
    client["events"] = connected.into_iter().chain(answered).collect();
    vec![server, client]
}

fn span(trace: u128, id: u64, parent: Option<u64>, name: &str, kind: u8, (start, end): (u64, u64), attributes: Vec<Value>) -> Value {
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"),
        "parentSpanId": parent.map_or(String::new(), |parent| format!("{parent:016x}")),
        "name": name, "kind": kind, "startTimeUnixNano": nanos(start), "endTimeUnixNano": nanos(end), "attributes": attributes,
    })
}

fn event(name: &str, at_us: u64) -> Value {
    json!({ "name": name, "timeUnixNano": nanos(at_us) })
}

/// OTLP's JSON has 64-bit numbers as text.
fn nanos(micros: u64) -> String {
    (micros * 1000).to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}
