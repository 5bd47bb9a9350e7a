//! A record as a line: JSON, or `key=value` pairs. Nothing in it can end the line early or look like another field.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

use super::Record;
use crate::clock::write_rfc3339;
use crate::http::Version;
use crate::middleware::{AccessLog, Field, LineFormat};

/// What a field says.
enum Value<'a> {
    Moment(u64),
    Text(Cow<'a, str>),
    Address(IpAddr),
    Number(u64),
}

/// Appends a record's line. Fields that have nothing to say are left out.
pub fn write_line(out: &mut String, log: &AccessLog, record: &Record<'_>) {
    if log.format == LineFormat::Json {
        out.push('{');
    }
    let begin = out.len();
    for &field in log.line_fields() {
        let Some(value) = value(field, log, record) else { continue };
        match log.format {
            LineFormat::Json => {
                let comma = if out.len() > begin { "," } else { "" };
                // Writing to a string can't fail.
                let _ = write!(out, "{comma}\"{}\":", field.name());
                write_json(out, &value);
            }
            LineFormat::Text => {
                if out.len() > begin {
                    out.push(' ');
                }
                if field != Field::Ts {
                    out.push_str(field.name());
                    out.push('=');
                }
                write_text(out, &value);
            }
        }
    }
    if log.format == LineFormat::Json {
        out.push('}');
    }
    out.push('\n');
}

fn write_json(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Moment(millis) => {
            out.push('"');
            write_rfc3339(out, *millis);
            out.push('"');
        }
        Value::Text(text) => out.push_str(&serde_json::Value::from(&**text).to_string()),
        Value::Address(address) => {
            let _ = write!(out, "\"{address}\"");
        }
        Value::Number(number) => out.push_str(itoa::Buffer::new().format(*number)),
    }
}

/// A text that could be taken for more than one word is written in quotes.
fn write_text(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Moment(millis) => write_rfc3339(out, *millis),
        Value::Text(text) => {
            let plain =
                !text.is_empty() && text.chars().all(|character| character.is_ascii_graphic() && !matches!(character, '"' | '\\' | '='));
            if plain {
                out.push_str(text);
            } else {
                let _ = write!(out, "\"{}\"", text.escape_default());
            }
        }
        Value::Address(address) => {
            let _ = write!(out, "{address}");
        }
        Value::Number(number) => out.push_str(itoa::Buffer::new().format(*number)),
    }
}

fn value<'a>(field: Field, log: &AccessLog, record: &Record<'a>) -> Option<Value<'a>> {
    let text = |bytes: &'a [u8]| (!bytes.is_empty()).then(|| Value::Text(String::from_utf8_lossy(bytes)));
    let word = |word: &'static str| Some(Value::Text(Cow::Borrowed(word)));
    let number = |number: u64| Some(Value::Number(number));
    match field {
        Field::Ts => Some(Value::Moment(record.at_us / 1000)),
        Field::RequestId => text(record.request_id),
        Field::TraceId => text(trace_id(record.traceparent)),
        Field::ClientIp => Some(Value::Address(record.client)),
        Field::PeerIp => Some(Value::Address(record.peer)),
        Field::Route => text(record.route),
        Field::Method => text(record.method),
        Field::Host => text(record.host),
        Field::Path => text(record.path),
        Field::Query => (!record.query.is_empty()).then(|| Value::Text(hidden(record.query, &log.secret_query).into())),
        // A request that wasn't understood has no version either.
        Field::Protocol if record.method.is_empty() => None,
        Field::Protocol => word(if record.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" }),
        Field::Status => (record.status != 0).then_some(Value::Number(record.status.into())),
        Field::StatusOrigin => word(if record.upstream_status { "upstream" } else { "gateway" }),
        Field::Reason => record.reason.and_then(|reason| word(reason.code())),
        Field::BytesIn => number(record.bytes_in),
        Field::BytesOut => number(record.bytes_out),
        Field::DurUs => number(record.times.all.into()),
        Field::ConnectUs => record.times.connect.map(|time| Value::Number(time.into())),
        Field::TtfbUs => record.times.first_byte.map(|time| Value::Number(time.into())),
        Field::Upstream => text(record.upstream),
        Field::Endpoint => text(record.endpoint),
        Field::Attempts => number(record.attempts.into()),
        Field::Cache => text(record.cache),
        Field::RateLimit => text(record.rate_limit),
        Field::Identity => text(record.identity),
        Field::Core => number(record.core.into()),
        Field::ConfigGen => number(record.generation),
        Field::UserAgent => text(record.user_agent),
    }
}

/// The trace's id in a `traceparent`: `00-ID-SPAN-FLAGS` (W3C Trace Context section 3.2).
fn trace_id(traceparent: &[u8]) -> &[u8] {
    let id = traceparent.split(|&byte| byte == b'-').nth(1).unwrap_or_default();
    if id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) { id } else { b"" }
}

/// A query with its secrets' values as `***`.
fn hidden(query: &[u8], secret: &[String]) -> String {
    let mut out = String::new();
    for (index, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        let split = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let name = unescaped(&pair[..split]);
        let is = |secret: &str| name.eq_ignore_ascii_case(secret);
        out.push_str(&String::from_utf8_lossy(&pair[..split]));
        if split < pair.len() {
            let hide = SECRET.iter().any(|secret| is(secret)) || secret.iter().any(|secret| is(secret));
            out.push('=');
            out.push_str(&if hide { "***".into() } else { String::from_utf8_lossy(&pair[split + 1..]) });
        }
    }
    out
}

/// A parameter's name as its reader sees it: a secret can't hide behind an escape.
fn unescaped(name: &[u8]) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        let escape = name.get(at + 1..at + 3).filter(|_| name[at] == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(name[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Names of query parameters that mean a secret wherever they are met.
const SECRET: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "x-amz-signature",
    "x-amz-security-token",
];
