//! Names that endpoints may take for one another: CGI (RFC 3875 section 4.1.18), and what came after it, reads `_` and `-` alike, so that
//! `X_Forwarded_For` would pass for the gateway's own `X-Forwarded-For`.

use super::Known;

/// Whether two names are the same, in any case, with `_` and `-` taken for each other.
pub(super) fn are_alike(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(&a, &b)| folded(a) == folded(b))
}

/// Whether a name with `_` would pass for that of a request header which only the gateway may write, or which it reads for its framing.
pub fn is_disguised(name: &[u8]) -> bool {
    let mut plain = [0; LONGEST];
    let Some(plain) = plain.get_mut(..name.len()).filter(|_| name.contains(&b'_')) else { return false };
    plain.iter_mut().zip(name).for_each(|(plain, &byte)| *plain = folded(byte));
    matches!(
        Known::from_name(plain),
        Known::XForwardedFor
            | Known::XForwardedProto
            | Known::XForwardedHost
            | Known::XForwardedPort
            | Known::XRealIp
            | Known::XRequestId
            | Known::ContentLength
            | Known::TransferEncoding
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::ProxyAuthorization
    )
}

fn folded(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// Bytes of the longest name among these.
const LONGEST: usize = "Proxy-Authorization".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_endpoints_take_for_one_another() {
        assert!(are_alike(b"X_User", b"x-user") && are_alike(b"x-user", b"X_USER") && are_alike(b"a", b"A"));
        assert!(!are_alike(b"X_User", b"X-Users") && !are_alike(b"X.User", b"X-User"));
    }

    #[test]
    fn only_what_is_the_gateways_is_disguised() {
        for name in ["X_Forwarded_For", "x-forwarded_proto", "X_REAL_IP", "content_length", "Transfer_Encoding", "Proxy_Authorization"] {
            assert!(is_disguised(name.as_bytes()), "{name}");
            assert!(!is_disguised(name.replace('_', "-").as_bytes()), "what has no _ is in no disguise: {name}");
        }
        for name in ["", "_", "api_key", "X_Custom", "user_agent", &"x_".repeat(40)] {
            assert!(!is_disguised(name.as_bytes()), "{name}");
        }
    }
}
