//! A record as a line: JSON, or `key=value` pairs. Nothing in it can end the line early or look like another field.
//!
//! A line is made for each request, so it is made by hand: the machinery of formatting would cost more than the request itself.

use std::net::IpAddr;

use super::query::hidden;
use super::{Names, Record};
use crate::clock::write_rfc3339;
use crate::http::Version;
use crate::http2::grpc;
use crate::middleware::{Field, LineFormat};

/// Makes lines, and remembers what the one before had in common with the next.
#[derive(Debug, Default)]
pub struct Lines {
    /// The last second, as text up to its fraction.
    second: (u64, String),
    /// The last addresses, client and peer, as text.
    addresses: [Option<(IpAddr, String)>; 2],
}

/// What a field says.
enum Value<'a> {
    /// Milliseconds since 1970 began.
    Moment(u64),
    Text(&'a [u8]),
    /// A text without anything that would have to be escaped.
    Word(&'a str),
    /// By its place among the remembered ones.
    Address(usize),
    Number(u64),
}

impl Lines {
    /// Appends a record's line. Fields that have nothing to say are left out, and so is a record of a log that isn't there.
    pub fn write(&mut self, out: &mut Vec<u8>, names: &Names, record: &Record<'_>) {
        let Some(log) = names.logs.get(usize::from(record.log)) else { return };
        for (known, address) in self.addresses.iter_mut().zip([record.client, record.peer]) {
            if known.as_ref().is_none_or(|(known, _)| *known != address) {
                *known = Some((address, address.to_string()));
            }
        }
        let query = match record.line.query() {
            b"" => String::new(),
            query => hidden(query, &log.secret_query),
        };
        let query = query.as_bytes();
        let begin = out.len();
        match log.format {
            LineFormat::Json => {
                for &field in log.line_fields() {
                    if let Some(value) = value(field, names, record, query) {
                        out.extend_from_slice(field.json_key());
                        self.write_json(out, &value);
                    }
                }
                match out.get_mut(begin) {
                    Some(comma) => *comma = b'{',
                    None => out.push(b'{'),
                }
                out.extend_from_slice(b"}\n");
            }
            LineFormat::Text => {
                for &field in log.line_fields() {
                    if let Some(value) = value(field, names, record, query) {
                        match field {
                            Field::Ts => out.push(b' '),
                            _ => out.extend_from_slice(field.text_key()),
                        }
                        self.write_text(out, &value);
                    }
                }
                // The space before the first.
                if out.len() > begin {
                    out.remove(begin);
                }
                out.push(b'\n');
            }
        }
    }

    fn write_json(&mut self, out: &mut Vec<u8>, value: &Value<'_>) {
        match value {
            Value::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Text(text) if !is_plain::<true>(text) => {
                out.extend_from_slice(serde_json::Value::from(&*String::from_utf8_lossy(text)).to_string().as_bytes());
            }
            Value::Text(text) => quoted(out, text),
            Value::Word(word) => quoted(out, word.as_bytes()),
            other => {
                out.push(b'"');
                self.write_text(out, other);
                out.push(b'"');
            }
        }
    }

    /// A text that could be taken for more than one word is written in quotes.
    fn write_text(&mut self, out: &mut Vec<u8>, value: &Value<'_>) {
        match value {
            Value::Moment(millis) => self.write_moment(out, *millis),
            Value::Text(text) if text.is_empty() || !is_plain::<false>(text) => {
                quoted(out, String::from_utf8_lossy(text).escape_default().to_string().as_bytes());
            }
            Value::Text(text) => out.extend_from_slice(text),
            Value::Word(word) => out.extend_from_slice(word.as_bytes()),
            Value::Address(place) => {
                out.extend_from_slice(self.addresses[*place].as_ref().map_or(b"", |(_, text)| text.as_bytes()));
            }
            Value::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        }
    }

    fn write_moment(&mut self, out: &mut Vec<u8>, millis: u64) {
        let second = millis / 1000;
        if self.second.0 != second || self.second.1.is_empty() {
            self.second.0 = second;
            self.second.1.clear();
            write_rfc3339(&mut self.second.1, second * 1000);
            self.second.1.truncate(self.second.1.len() - "000Z".len());
        }
        out.extend_from_slice(self.second.1.as_bytes());
        let fraction = millis % 1000;
        let digit = |digit: u64| b'0' + digit as u8;
        out.extend_from_slice(&[digit(fraction / 100), digit(fraction / 10 % 10), digit(fraction % 10), b'Z']);
    }
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Whether each byte of a text stands for itself: visible ASCII but for quotes and backslashes; spaces and equals signs only between quotes.
fn is_plain<const QUOTED: bool>(text: &[u8]) -> bool {
    let stands = |byte: u8| {
        let visible = byte.wrapping_sub(0x20) < 0x5f && byte != b'"' && byte != b'\\';
        visible & (QUOTED | ((byte != b' ') & (byte != b'=')))
    };
    // All of it without an early end, so that many bytes are looked at at once.
    !text.iter().fold(false, |bad, &byte| bad | !stands(byte))
}

// Inlined, since it is asked for each field of each line.
#[inline(always)]
fn value<'a>(field: Field, names: &'a Names, record: &Record<'a>, query: &'a [u8]) -> Option<Value<'a>> {
    let text = |bytes: &'a [u8]| (!bytes.is_empty()).then_some(Value::Text(bytes));
    let name = |list: &'a [_], number: Option<u32>| text(name(list, number?));
    let word = |word: &'static str| Some(Value::Word(word));
    let number = |number: u64| Some(Value::Number(number));
    match field {
        Field::Ts => Some(Value::Moment(record.at_us / 1000)),
        Field::RequestId => text(record.request_id),
        Field::TraceId => text(trace_id(record.traceparent)),
        Field::ClientIp => Some(Value::Address(0)),
        Field::PeerIp => Some(Value::Address(1)),
        Field::Route => name(&names.routes, record.route),
        Field::Method => text(record.line.method()),
        Field::Host => text(record.host),
        Field::Path => text(record.line.path()),
        Field::Query => text(query),
        // A request that wasn't understood has no version either.
        Field::Protocol if record.http2 => word("HTTP/2.0"),
        Field::Protocol if record.line.method().is_empty() => None,
        Field::Protocol => word(if record.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" }),
        Field::Status => (record.status != 0).then_some(Value::Number(record.status.into())),
        Field::GrpcStatus => record.grpc_status.and_then(|status| word(grpc::name(status))),
        Field::StatusOrigin => word(if record.upstream_status { "upstream" } else { "gateway" }),
        Field::Reason => record.reason.and_then(|reason| word(reason.code())),
        Field::BytesIn => number(record.bytes_in),
        Field::BytesOut => number(record.bytes_out),
        Field::DurUs => number(record.times.all.into()),
        Field::ConnectUs => record.times.connect.map(|time| Value::Number(time.into())),
        Field::TtfbUs => record.times.first_byte.map(|time| Value::Number(time.into())),
        Field::Upstream => name(&names.upstreams, record.upstream),
        Field::Endpoint => text(record.endpoint),
        Field::Attempts => number(record.attempts.into()),
        Field::Cache => text(record.cache),
        Field::RateLimit => text(record.rate_limit),
        Field::Identity => text(record.identity),
        Field::Core => number(record.core.into()),
        Field::ConfigGen => number(names.generation),
        Field::UserAgent => text(record.user_agent),
    }
}

fn name(names: &[std::sync::Arc<str>], number: u32) -> &[u8] {
    names.get(number as usize).map_or(b"", |name| name.as_bytes())
}

/// The trace's id in a `traceparent`: `00-ID-SPAN-FLAGS` (W3C Trace Context section 3.2).
fn trace_id(traceparent: &[u8]) -> &[u8] {
    let id = traceparent.split(|&byte| byte == b'-').nth(1).unwrap_or_default();
    if id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) { id } else { b"" }
}
