//! Header names the gateway acts on, recognised by length and then one or a few compares of constant size.

/// Header names the gateway acts on, recognised once while parsing; all others are `Other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Known {
    #[default]
    Other,
    Connection,
    ContentLength,
    TransferEncoding,
    Host,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Via,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XRealIp,
    XRequestId,
    Date,
    Server,
    Accept,
    Authorization,
    Cookie,
    SetCookie,
    Location,
    RetryAfter,
    ContentType,
    CacheControl,
    Age,
    Etag,
    Vary,
    Range,
    Pragma,
    Expires,
    IfMatch,
    IfRange,
    CacheTag,
    Origin,
    IfNoneMatch,
    LastModified,
    SurrogateKey,
    SurrogateControl,
    CdnCacheControl,
    ContentLocation,
    IfModifiedSince,
    IfUnmodifiedSince,
    ProxyAuthenticate,
    ProxyAuthorization,
    UserAgent,
    Traceparent,
}

impl Known {
    /// Recognises a name, without regard to case. The name must be a token: the compare sets a bit that only tokens
    /// can spare.
    #[inline]
    pub fn from_name(name: &[u8]) -> Known {
        let Some(first) = name.first() else { return Known::Other };
        match (name.len(), first | 0x20) {
            (2, b't') if is(name, b"te") => Known::Te,
            (3, b'v') if is(name, b"via") => Known::Via,
            (3, b'a') if is(name, b"age") => Known::Age,
            (4, b'h') if is(name, b"host") => Known::Host,
            (4, b'd') if is(name, b"date") => Known::Date,
            (4, b'e') if is(name, b"etag") => Known::Etag,
            (4, b'v') if is(name, b"vary") => Known::Vary,
            (5, b'r') if is(name, b"range") => Known::Range,
            (6, b'a') if is(name, b"accept") => Known::Accept,
            (6, b'c') if is(name, b"cookie") => Known::Cookie,
            (6, b'o') if is(name, b"origin") => Known::Origin,
            (6, b's') if is(name, b"server") => Known::Server,
            (6, b'e') if is(name, b"expect") => Known::Expect,
            (6, b'p') if is(name, b"pragma") => Known::Pragma,
            (7, b'u') if is(name, b"upgrade") => Known::Upgrade,
            (7, b't') if is(name, b"trailer") => Known::Trailer,
            (7, b'e') if is(name, b"expires") => Known::Expires,
            (8, b'l') if is(name, b"location") => Known::Location,
            (8, b'i') if is(name, b"if-match") => Known::IfMatch,
            (8, b'i') if is(name, b"if-range") => Known::IfRange,
            (9, b'x') if is(name, b"x-real-ip") => Known::XRealIp,
            (9, b'f') if is(name, b"forwarded") => Known::Forwarded,
            (9, b'c') if is(name, b"cache-tag") => Known::CacheTag,
            (10, b'c') if is(name, b"connection") => Known::Connection,
            (10, b's') if is(name, b"set-cookie") => Known::SetCookie,
            (10, b'k') if is(name, b"keep-alive") => Known::KeepAlive,
            (10, b'u') if is(name, b"user-agent") => Known::UserAgent,
            (11, b't') if is(name, b"traceparent") => Known::Traceparent,
            (11, b'r') if is(name, b"retry-after") => Known::RetryAfter,
            (12, b'c') if is(name, b"content-type") => Known::ContentType,
            (12, b'x') if is(name, b"x-request-id") => Known::XRequestId,
            (13, b'c') if is(name, b"cache-control") => Known::CacheControl,
            (13, b'a') if is(name, b"authorization") => Known::Authorization,
            (13, b'i') if is(name, b"if-none-match") => Known::IfNoneMatch,
            (13, b'l') if is(name, b"last-modified") => Known::LastModified,
            (13, b's') if is(name, b"surrogate-key") => Known::SurrogateKey,
            (14, b'c') if is(name, b"content-length") => Known::ContentLength,
            (15, b'x') if is(name, b"x-forwarded-for") => Known::XForwardedFor,
            (16, b'x') if is(name, b"x-forwarded-host") => Known::XForwardedHost,
            (16, b'x') if is(name, b"x-forwarded-port") => Known::XForwardedPort,
            (16, b'p') if is(name, b"proxy-connection") => Known::ProxyConnection,
            (16, b'c') if is(name, b"content-location") => Known::ContentLocation,
            (17, b'c') if is(name, b"cdn-cache-control") => Known::CdnCacheControl,
            (17, b's') if is(name, b"surrogate-control") => Known::SurrogateControl,
            (17, b't') if is(name, b"transfer-encoding") => Known::TransferEncoding,
            (17, b'x') if is(name, b"x-forwarded-proto") => Known::XForwardedProto,
            (17, b'i') if is(name, b"if-modified-since") => Known::IfModifiedSince,
            (18, b'p') if is(name, b"proxy-authenticate") => Known::ProxyAuthenticate,
            (19, b'p') if is(name, b"proxy-authorization") => Known::ProxyAuthorization,
            (19, b'i') if is(name, b"if-unmodified-since") => Known::IfUnmodifiedSince,
            _ => Known::Other,
        }
    }

    /// Whether fields of this name say something about the message as a whole, those of [`Known::is_hop`] included.
    #[inline]
    pub const fn is_fact(self) -> bool {
        self.is_hop() || matches!(self, Known::ContentLength | Known::Host | Known::Expect)
    }

    /// Whether fields of this name concern one connection only (RFC 9110 sections 7.6.1 and 11.7). `Trailer` does not:
    /// trailers are forwarded.
    #[inline]
    pub const fn is_hop(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::TransferEncoding
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::Te
                | Known::Upgrade
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
        )
    }

    /// Whether fields of this name stay although `Connection` names them: without them the message would be framed or
    /// routed otherwise, or its sender could hide who forwarded it.
    pub const fn is_kept(self) -> bool {
        matches!(
            self,
            Known::Host
                | Known::ContentLength
                | Known::Expect
                | Known::Via
                | Known::Forwarded
                | Known::XForwardedFor
                | Known::XForwardedProto
                | Known::XForwardedHost
                | Known::XForwardedPort
                | Known::XRealIp
        )
    }
}

/// Whether `name`, a token, is `lower` without regard to case. Setting bit 5 maps no two token bytes onto a lower-case
/// letter, a digit or `-` but that byte and its upper case. Compares words, the last two of which may overlap.
#[inline(always)]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    match N {
        8.. => (0..(N - 1) / 8).all(|at| same::<8>(name, lower, at * 8)) && same::<8>(name, lower, N - 8),
        4.. => same::<4>(name, lower, 0) && same::<4>(name, lower, N - 4),
        _ => (0..N).all(|at| name[at] | 0x20 == lower[at]),
    }
}

#[inline(always)]
fn same<const W: usize>(name: &[u8], lower: &[u8], at: usize) -> bool {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..W].copy_from_slice(&bytes[at..at + W]);
        u64::from_le_bytes(word)
    };
    word(name) | (0x2020_2020_2020_2020 >> (64 - 8 * W)) == word(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[(&str, Known)] = &[
        ("Connection", Known::Connection),
        ("Content-Length", Known::ContentLength),
        ("Transfer-Encoding", Known::TransferEncoding),
        ("Host", Known::Host),
        ("Keep-Alive", Known::KeepAlive),
        ("Proxy-Connection", Known::ProxyConnection),
        ("TE", Known::Te),
        ("Trailer", Known::Trailer),
        ("Upgrade", Known::Upgrade),
        ("Expect", Known::Expect),
        ("Via", Known::Via),
        ("Forwarded", Known::Forwarded),
        ("X-Forwarded-For", Known::XForwardedFor),
        ("X-Forwarded-Proto", Known::XForwardedProto),
        ("X-Forwarded-Host", Known::XForwardedHost),
        ("X-Forwarded-Port", Known::XForwardedPort),
        ("X-Real-IP", Known::XRealIp),
        ("X-Request-ID", Known::XRequestId),
        ("Date", Known::Date),
        ("Server", Known::Server),
        ("Accept", Known::Accept),
        ("Authorization", Known::Authorization),
        ("Cookie", Known::Cookie),
        ("Set-Cookie", Known::SetCookie),
        ("Location", Known::Location),
        ("Retry-After", Known::RetryAfter),
        ("Content-Type", Known::ContentType),
        ("Cache-Control", Known::CacheControl),
        ("Age", Known::Age),
        ("ETag", Known::Etag),
        ("Vary", Known::Vary),
        ("Range", Known::Range),
        ("Pragma", Known::Pragma),
        ("Expires", Known::Expires),
        ("If-Match", Known::IfMatch),
        ("If-Range", Known::IfRange),
        ("Cache-Tag", Known::CacheTag),
        ("Origin", Known::Origin),
        ("If-None-Match", Known::IfNoneMatch),
        ("Last-Modified", Known::LastModified),
        ("Surrogate-Key", Known::SurrogateKey),
        ("Surrogate-Control", Known::SurrogateControl),
        ("CDN-Cache-Control", Known::CdnCacheControl),
        ("Content-Location", Known::ContentLocation),
        ("If-Modified-Since", Known::IfModifiedSince),
        ("If-Unmodified-Since", Known::IfUnmodifiedSince),
        ("Proxy-Authenticate", Known::ProxyAuthenticate),
        ("Proxy-Authorization", Known::ProxyAuthorization),
    ];

    #[test]
    fn every_name_is_recognised_in_any_case() {
        assert_eq!(NAMES.len(), Known::ProxyAuthorization as usize, "every variant but Other has a name here");
        for &(name, known) in NAMES {
            for form in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(Known::from_name(form.as_bytes()), known, "{form}");
            }
        }
    }

    #[test]
    fn no_other_token_is_recognised() {
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        for &(name, _) in NAMES {
            for at in 0..name.len() {
                for byte in (0..=255u8).filter(token) {
                    let mut other = name.as_bytes().to_vec();
                    other[at] = byte;
                    if !other.eq_ignore_ascii_case(name.as_bytes()) {
                        let same = NAMES.iter().find(|(n, _)| other.eq_ignore_ascii_case(n.as_bytes()));
                        assert_eq!(Known::from_name(&other), same.map_or(Known::Other, |s| s.1));
                    }
                }
            }
            assert_eq!(Known::from_name(format!("{name}x").as_bytes()), Known::Other);
            assert_eq!(Known::from_name(format!("x{name}").as_bytes()), Known::Other);
        }
        assert_eq!(Known::from_name(b""), Known::Other);
    }
}
