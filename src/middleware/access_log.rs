//! The access log's settings: where a route's lines go, which fields they have, which requests are left out. The lines themselves are
//! made elsewhere, once a request has ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::config::Wrong;

/// Settings of `access_log`. A chain's last entry of this kind is the one that counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// How a line is written.
    pub format: LineFormat,
    /// Where lines go: `stdout`, `stderr`, or a file, which is made if it isn't there and appended to if it is. SIGUSR1 opens files
    /// anew, for programs that rotate them.
    pub path: String,
    /// The share of requests that get a line, from 0 to 1.
    pub sample: f64,
    /// Requests that the gateway or an endpoint failed (status 500 and above, a `grpc_status` that says the same, or cut short) get a line
    /// whatever `sample` says.
    pub failures: bool,
    /// The fields of a line, in this order; empty is all of them.
    pub fields: Vec<Field>,
    /// Whether `query` is written at all. What is in a query ends up in copies, so it's left out unless asked for.
    pub query: bool,
    /// Query parameters whose values are written as `***`, besides those whose names always mean a secret (`token`, `password`, ..).
    pub secret_query: Vec<String>,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineFormat {
    /// One JSON object a line; numbers are numbers.
    #[default]
    Json,
    /// `key=value` pairs behind the time.
    Text,
}

macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal,)+) => {
        /// A field of a line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum Field { $($(#[doc = $doc])+ #[serde(rename = $name)] $field,)+ }

        impl Field {
            /// Every field, in the order of a line that has all.
            pub const ALL: &[Field] = &[$(Field::$field,)+];

            /// Its name in lines and in the configuration.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$field => $name,)+ }
            }

            /// What is before its value in a JSON line, with the comma behind the field before it.
            pub(crate) const fn json_key(self) -> &'static [u8] {
                match self { $(Field::$field => concat!(",\"", $name, "\":").as_bytes(),)+ }
            }

            /// What is before its value in a text line, with the space behind the field before it.
            pub(crate) const fn text_key(self) -> &'static [u8] {
                match self { $(Field::$field => concat!(" ", $name, "=").as_bytes(),)+ }
            }
        }
    };
}

fields! {
    /// When the request's head was complete, in UTC.
    Ts = "ts",
    /// The request's id, as its endpoint got it.
    RequestId = "request_id",
    /// The trace's id in `traceparent`, if it was sent.
    TraceId = "trace_id",
    /// The client's address, as far as trusted proxies tell.
    ClientIp = "client_ip",
    /// The address at the connection's other end.
    PeerIp = "peer_ip",
    /// The route's name.
    Route = "route",
    /// The method.
    Method = "method",
    /// Host and port, as asked for.
    Host = "host",
    /// The path as received.
    Path = "path",
    /// The query, if it is written at all, with secrets hidden.
    Query = "query",
    /// `HTTP/2.0`, `HTTP/1.1` or `HTTP/1.0`.
    Protocol = "protocol",
    /// The answer's status.
    Status = "status",
    /// The status that a call of gRPC ended with, by its name, as in `gateway_grpc_calls_total`: that of the endpoint, in the answer's head or
    /// behind its messages, else the gateway's own.
    GrpcStatus = "grpc_status",
    /// Who chose the status: `upstream` or `gateway`.
    StatusOrigin = "status_origin",
    /// Why the request ended otherwise than by an endpoint's whole answer: a code of the closed list of reasons.
    Reason = "reason",
    /// Bytes of the request, head and body, that were received.
    BytesIn = "bytes_in",
    /// Bytes that were sent to the client.
    BytesOut = "bytes_out",
    /// From the complete head to the answer's last byte, in microseconds.
    DurUs = "dur_us",
    /// To open a connection to the endpoint, in microseconds; not there if a kept one was used.
    ConnectUs = "connect_us",
    /// From the last attempt's start to the head of its answer, in microseconds.
    TtfbUs = "ttfb_us",
    /// The upstream that was asked.
    Upstream = "upstream",
    /// The endpoint that was asked last.
    Endpoint = "endpoint",
    /// How many times an endpoint was asked.
    Attempts = "attempts",
    /// What the cache did.
    Cache = "cache",
    /// What the rate limits said.
    RateLimit = "rate_limit",
    /// Who the client proved to be.
    Identity = "identity",
    /// The worker's number.
    Core = "core",
    /// The generation of the configuration.
    ConfigGen = "config_gen",
    /// The `User-Agent` header.
    UserAgent = "user_agent",
}

impl Default for AccessLog {
    fn default() -> Self {
        AccessLog {
            format: LineFormat::Json,
            path: "stdout".into(),
            sample: 1.0,
            failures: true,
            fields: Vec::new(),
            query: false,
            secret_query: Vec::new(),
        }
    }
}

impl Settings for AccessLog {
    fn problems(&self) -> Vec<Wrong> {
        let mut problems = Vec::new();
        let mut wrong = |setting: String, value: Option<String>, message: &str, hint: &str| {
            problems.push(Wrong { setting, value, message: message.to_owned(), hint: hint.to_owned() });
        };
        if !(0.0..=1.0).contains(&self.sample) {
            wrong("sample".into(), Some(self.sample.to_string()), "is no share", "from 0 (none) to 1 (all)");
        }
        if self.path.is_empty() {
            wrong("path".into(), None, "is empty", "it is \"stdout\", \"stderr\" or the path of a file");
        }
        for (index, field) in self.fields.iter().enumerate() {
            if self.fields[..index].contains(field) {
                wrong(format!("fields[{index}]"), Some(format!("{:?}", field.name())), "is there twice", "");
            }
        }
        if !self.query && (self.fields.contains(&Field::Query) || !self.secret_query.is_empty()) {
            wrong(
                "query".into(),
                Some("false".into()),
                "leaves the query out, which \"fields\" or \"secret_query\" ask for",
                "set it to true",
            );
        }
        problems
    }
}

impl AccessLog {
    /// The fields of a line.
    pub fn line_fields(&self) -> &[Field] {
        if self.fields.is_empty() { Field::ALL } else { &self.fields }
    }

    /// A number by chance up to this one means that the request gets a line.
    pub fn threshold(&self) -> u64 {
        // The highest share is the highest number, and saturates to it.
        (self.sample * u64::MAX as f64) as u64
    }
}
