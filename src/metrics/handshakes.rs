//! What may become of a TLS handshake.

/// Labels of `tls_handshakes`, in order of the constants that begin so.
pub const TLS_RESULTS: &[&str] = &[
    "full",
    "resumed",
    "timeout",
    "client_closed",
    "plain_http",
    "hello_too_large",
    "client_certificate_refused",
    "refused_by_client",
    "incompatible",
    "malformed",
    "too_many",
];

/// A handshake from the beginning.
pub const TLS_FULL: usize = 0;
/// A handshake that resumed an earlier session.
pub const TLS_RESUMED: usize = 1;
/// It took longer than `tls.handshake_timeout`.
pub const TLS_TIMEOUT: usize = 2;
/// The client left.
pub const TLS_CLOSED: usize = 3;
/// The client spoke HTTP without TLS.
pub const TLS_PLAIN: usize = 4;
/// The client's first message was too large.
pub const TLS_TOO_LARGE: usize = 5;
/// The client's certificate was not to be trusted, or missing.
pub const TLS_UNTRUSTED: usize = 6;
/// The client told by an alert that it goes no further: it doesn't trust the gateway's certificate, most often.
pub const TLS_NOT_TRUSTED: usize = 7;
/// There is no version, algorithm or protocol that both know.
pub const TLS_INCOMPATIBLE: usize = 8;
/// What the client sent makes no sense.
pub const TLS_MALFORMED: usize = 9;
/// `tls.handshakes` were under way.
pub const TLS_TOO_MANY: usize = 10;
