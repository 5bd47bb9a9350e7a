//! Why a request ended otherwise than by an endpoint's answer: a closed list of reasons, each with its code, status and fault.

/// Whose doing a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client sent something that can't be served, or left.
    Client,
    /// The endpoint failed.
    Upstream,
    /// The gateway refused or could not serve.
    Gateway,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal, $fault:ident;)+) => {
        /// The closed list of reasons. Its code is what logs, metrics and answers show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in order of declaration.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The stable word for programs: snake case, never changed once published.
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)+ }
            }

            /// The HTTP status of the answer the gateway makes for it.
            pub const fn status(self) -> u16 {
                match self { $(Reason::$name => $status,)+ }
            }

            /// Whose doing it was.
            pub const fn fault(self) -> Fault {
                match self { $(Reason::$name => Fault::$fault,)+ }
            }

            /// What a person is told of a refusal with this status, code and phrase: in words, and by the reason's code.
            pub fn text(self, status: impl std::fmt::Display) -> String {
                format!("{status}: {}\nreason: {}\n", self.explain(), self.code())
            }

            /// One sentence for a person.
            pub const fn explain(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+).trim_ascii_start(),)+ }
            }
        }
    };
}

reasons! {
    /// A trusted proxy's connection doesn't begin with a PROXY protocol header, or with a malformed one: it is closed.
    BadProxyHeader = "bad_proxy_header", 400, Client;
    /// A trusted proxy's PROXY protocol header did not arrive in time: its connection is closed.
    ProxyHeaderTimeout = "proxy_header_timeout", 408, Client;
    /// The request line is not `METHOD target HTTP/1.x`.
    BadRequestLine = "bad_request_line", 400, Client;
    /// The method is not a token.
    BadMethod = "bad_method", 400, Client;
    /// The request target is in no form RFC 9112 section 3.2 allows.
    BadTarget = "bad_target", 400, Client;
    /// The HTTP version is neither 1.0 nor 1.1.
    BadVersion = "bad_version", 505, Client;
    /// A header's name is not a token.
    BadHeaderName = "bad_header_name", 400, Client;
    /// A header's value holds a byte that is not allowed there.
    BadHeaderValue = "bad_header_value", 400, Client;
    /// There is white space between a header's name and its colon.
    SpaceBeforeColon = "space_before_colon", 400, Client;
    /// A header is folded over two lines.
    ObsFold = "obs_fold", 400, Client;
    /// A carriage return stands without its line feed.
    BareCr = "bare_cr", 400, Client;
    /// A line feed stands without its carriage return.
    BareLf = "bare_lf", 400, Client;
    /// The head holds a NUL or another control byte.
    ControlByte = "control_byte", 400, Client;
    /// An HTTP/1.1 request has no Host.
    MissingHost = "missing_host", 400, Client;
    /// A request has more than one Host.
    RepeatedHost = "repeated_host", 400, Client;
    /// The Host is not a valid host and port.
    BadHost = "bad_host", 400, Client;
    /// An HTTP/2 request's `:authority` and its Host differ.
    AuthorityDiffers = "authority_differs_from_host", 400, Client;
    /// An HTTP/2 request has a field that only connections of HTTP/1 have.
    ConnectionField = "connection_specific_field", 400, Client;
    /// A request has both Content-Length and Transfer-Encoding.
    LengthWithCoding = "content_length_with_transfer_encoding", 400, Client;
    /// Several Content-Lengths differ.
    DifferingLengths = "differing_content_lengths", 400, Client;
    /// A Content-Length is not a number of at most 18 digits.
    BadLength = "bad_content_length", 400, Client;
    /// A transfer coding is not known.
    UnknownCoding = "unknown_transfer_coding", 501, Client;
    /// The chunked coding is repeated, or isn't the last one.
    RepeatedCoding = "repeated_transfer_coding", 400, Client;
    /// An HTTP/1.0 message has a Transfer-Encoding.
    CodingInHttp10 = "transfer_encoding_in_http_1_0", 400, Client;
    /// A chunk's size is not a hexadecimal number of at most 15 digits.
    BadChunkSize = "bad_chunk_size", 400, Client;
    /// A chunk's extensions exceed their limit.
    ChunkExtensionTooLong = "chunk_extension_too_long", 400, Client;
    /// A chunk's data isn't followed by a line end.
    BadChunkEnd = "bad_chunk_end", 400, Client;
    /// A trailer field is malformed, or one that must not stand in trailers.
    BadTrailer = "bad_trailer", 400, Client;
    /// The trailers exceed their limit.
    TrailersTooLarge = "trailers_too_large", 431, Client;
    /// The request target exceeds its limit.
    UriTooLong = "uri_too_long", 414, Client;
    /// The head exceeds its limit in bytes.
    HeadTooLarge = "head_too_large", 431, Client;
    /// The head has more headers than its limit.
    TooManyHeaders = "too_many_headers", 431, Client;
    /// The body exceeds its limit.
    BodyTooLarge = "body_too_large", 413, Client;
    /// The body is no JSON, though its type says so.
    BadJson = "bad_json", 400, Client;
    /// The body is no Base64, though its type says so.
    BadBase64 = "bad_base64", 400, Client;
    /// The method CONNECT is not served.
    ConnectRefused = "connect_method_refused", 501, Client;
    /// An expectation other than 100-continue was made.
    BadExpectation = "bad_expectation", 417, Client;
    /// The port is for HTTPS, and the request came without TLS.
    PlainHttp = "plain_http_to_tls", 400, Client;
    /// The port is without TLS, and the client began a handshake. It can't read the answer: "wrong version number", it says, most often.
    TlsToPlain = "tls_to_plain_http", 400, Client;
    /// The request head did not arrive in time.
    HeadTimeout = "request_head_timeout", 408, Client;
    /// The request body stalled.
    BodyTimeout = "request_body_timeout", 408, Client;
    /// The client left before its answer was complete.
    ClientLeft = "client_left", 499, Client;
    /// The client did not read its answer in time.
    ClientStalled = "client_stalled", 499, Client;
    /// No route matches the request.
    NoRoute = "no_route", 404, Client;
    /// A route matches the path, but none with this method.
    MethodNotAllowed = "method_not_allowed", 405, Client;
    /// The client wants an answer from the cache only, and there is none.
    NotCached = "not_cached", 504, Client;
    /// The client's network is not let in.
    IpDenied = "ip_denied", 403, Client;
    /// The client has sent more requests than its rate limit allows.
    RateLimited = "rate_limited", 429, Client;
    /// A cross-origin request's origin, method or headers are not allowed.
    CorsRefused = "cors_refused", 403, Client;
    /// The request doesn't prove who sends it.
    AuthMissing = "auth_missing", 401, Client;
    /// The credential is unknown or wrong, or not of the form that it should be.
    AuthInvalid = "auth_invalid", 401, Client;
    /// The credential was sent more than once.
    AuthRepeated = "auth_repeated", 400, Client;
    /// The token is signed by no algorithm, or by one that its key isn't for.
    AuthAlgorithm = "auth_algorithm", 401, Client;
    /// The key that the token names isn't known.
    AuthUnknownKey = "auth_unknown_key", 401, Client;
    /// The token's signature is wrong.
    AuthSignature = "auth_signature", 401, Client;
    /// The token's time is over.
    AuthExpired = "auth_expired", 401, Client;
    /// The token's time hasn't come.
    AuthNotYetValid = "auth_not_yet_valid", 401, Client;
    /// The token was issued by somebody else.
    AuthIssuer = "auth_issuer", 401, Client;
    /// The token is meant for somebody else.
    AuthAudience = "auth_audience", 401, Client;
    /// The token lacks a claim that it must have.
    AuthClaims = "auth_claims", 401, Client;
    /// The client has proved who it is, and may not do this.
    AuthForbidden = "auth_forbidden", 403, Client;
    /// What it takes to check the credential can't be had: keys, or the service that knows.
    AuthUnavailable = "auth_unavailable", 503, Gateway;
    /// Too many passwords wait to be checked.
    AuthBusy = "auth_busy", 503, Gateway;
    /// No endpoint of the upstream may be used: all are unhealthy, ejected or draining.
    NoHealthyEndpoint = "no_healthy_endpoint", 503, Gateway;
    /// The circuit breaker is open: what would be asked has failed too often lately, or taken too long.
    CircuitOpen = "circuit_open", 503, Gateway;
    /// The upstream's adaptive concurrency limit is reached, and its queue is full or was waited in for too long.
    ConcurrencyLimited = "concurrency_limited", 503, Gateway;
    /// Every usable endpoint is at its concurrency limit.
    EndpointsBusy = "endpoints_busy", 503, Gateway;
    /// The concurrency limit is reached and its queue is full.
    QueueFull = "queue_full", 503, Gateway;
    /// The concurrency limit stayed reached until the queue's deadline.
    QueueTimeout = "queue_timeout", 503, Gateway;
    /// The gateway is draining.
    Draining = "draining", 503, Gateway;
    /// The gateway has no file descriptor left for a connection to the endpoint.
    OutOfDescriptors = "out_of_descriptors", 503, Gateway;
    /// The connection limit of the listener is reached.
    TooManyConnections = "too_many_connections", 503, Gateway;
    /// The whole request took longer than its timeout.
    RequestTimeout = "request_timeout", 504, Gateway;
    /// A fault in the gateway itself; the connection's task ended by a panic.
    Internal = "internal_error", 500, Gateway;
    /// The endpoint's host name has no address.
    Unresolved = "endpoint_unresolved", 502, Upstream;
    /// The endpoint refused the connection, or its host is unreachable.
    ConnectFailed = "connect_failed", 502, Upstream;
    /// The endpoint did not accept the connection in time.
    ConnectTimeout = "connect_timeout", 504, Upstream;
    /// The endpoint and the gateway could not agree on TLS.
    TlsFailed = "upstream_tls_failed", 502, Upstream;
    /// The endpoint's certificate is not signed by a trusted authority, not for its name, or not valid at this time.
    CertificateRefused = "upstream_certificate_refused", 502, Upstream;
    /// The endpoint closed the connection before it had taken the whole request.
    SendFailed = "upstream_send_failed", 502, Upstream;
    /// The endpoint did not take the request's bytes in time.
    SendTimeout = "upstream_send_timeout", 504, Upstream;
    /// The endpoint refused the HTTP/2 stream, or ended its connection, without processing the request.
    StreamRefused = "upstream_refused_stream", 502, Upstream;
    /// The endpoint closed the connection before its response's head was complete. Where it always does, it expects TLS, or another version of HTTP
    /// than its upstream's `protocol`.
    ClosedBeforeHead = "upstream_closed_before_head", 502, Upstream;
    /// The endpoint did not begin its response in time.
    FirstByteTimeout = "upstream_first_byte_timeout", 504, Upstream;
    /// The endpoint's response head is malformed. Where it always is, the endpoint speaks something else than HTTP/1.1, or doesn't know the PROXY
    /// protocol.
    BadResponseHead = "bad_response_head", 502, Upstream;
    /// The endpoint's response is framed in a way that can't be trusted.
    BadResponseFraming = "bad_response_framing", 502, Upstream;
    /// The endpoint's response head exceeds its limit.
    ResponseHeadTooLarge = "response_head_too_large", 502, Upstream;
    /// A protocol was to be switched to (a WebSocket), which the endpoint doesn't do over HTTP/2.
    UpgradeUnsupported = "upstream_takes_no_upgrade", 502, Gateway;
    /// The endpoint switched protocols without being asked to.
    UnexpectedUpgrade = "unexpected_upgrade", 502, Upstream;
    /// The endpoint closed the connection in the middle of its response's body.
    ClosedMidBody = "upstream_closed_mid_body", 502, Upstream;
    /// The endpoint's response body stalled.
    ResponseBodyTimeout = "upstream_body_timeout", 504, Upstream;
    /// The endpoint's response body is malformed.
    BadResponseBody = "bad_response_body", 502, Upstream;
    /// The endpoint's response body is no JSON, though its type says so.
    BadAnswerJson = "bad_answer_json", 502, Upstream;
    /// The endpoint's response body is larger than what is edited on its way.
    AnswerTooLarge = "answer_too_large", 502, Gateway;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_snake_case_and_explained() {
        let mut seen = std::collections::HashSet::new();
        for &reason in Reason::ALL {
            assert!(seen.insert(reason.code()), "{} is used twice", reason.code());
            assert!(reason.code().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!((400..=599).contains(&reason.status()));
            assert!(reason.explain().ends_with('.'));
        }
    }

    /// What `docs/reasons.md` says.
    fn table() -> String {
        let mut page = String::from(
            "# Reasons\n\nWhy an answer is the gateway's own, or was cut: the word stands in the answer's body, in `Proxy-Status`, in the access log and in\n\
             `gateway_refusals_total{reason}`. Made of `src/error.rs`: `RENEW=1 cargo test --lib reasons_are_documented` renews it.\n\n\
             | reason | status | whose doing | what it means |\n|---|---|---|---|\n",
        );
        for reason in Reason::ALL {
            let whose = match reason.fault() {
                Fault::Client => "client",
                Fault::Upstream => "endpoint",
                Fault::Gateway => "gateway",
            };
            let meaning = reason.explain().replace('|', "\\|");
            page.push_str(&format!("| `{}` | {} | {whose} | {meaning} |\n", reason.code(), reason.status()));
        }
        page
    }

    #[test]
    fn reasons_are_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md");
        if std::env::var_os("RENEW").is_some() {
            std::fs::write(path, table()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), table(), "renew it: RENEW=1 cargo test --lib reasons_are_documented");
    }
}
