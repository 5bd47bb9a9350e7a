//! HTTP/1 on the wire (RFC 9112), pure: heads, framing, chunked coding. Strict: what two parsers could read differently is refused.
