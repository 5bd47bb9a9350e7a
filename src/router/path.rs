//! Normal form of a path (RFC 3986 section 6.2.2), so that the gateway and the endpoint name one resource alike.

use crate::error::Reason;
use crate::http::escaped;

/// Brings a path into the form that is matched and forwarded. `Ok(true)` says that it differs and is in `scratch`;
/// `Ok(false)` that `path` is in normal form already, as nearly all are.
///
/// - Escapes of letters, digits, `-`, `.`, `_` and `~` are decoded; all others stay data, with upper-case digits:
///   `%2F` never separates segments. Bytes outside visible ASCII are encoded.
/// - Then `.` and `..` segments are resolved. Empty segments stay: `//` is not `/`.
///
/// [`Reason::BadTarget`] if a `..` climbs above the root, if an escape is malformed or `%00`, or if a dot segment would
/// appear for an endpoint that takes `\`, `%5C` or `%2F` for a slash, or drops what follows a `;`.
/// A path that doesn't begin with `/` (`OPTIONS *`) is left alone.
#[inline]
pub fn normalise(path: &[u8], scratch: &mut Vec<u8>) -> Result<bool, Reason> {
    if !suspicious(path) || !needs_care(path) {
        return Ok(false);
    }
    scratch.clear();
    unescape(path, scratch)?;
    resolve_dots(scratch)?;
    Ok(scratch.as_slice() != path)
}

/// Whether a path holds any `.`, `%` or byte above ASCII; eight bytes at a time.
#[inline]
fn suspicious(path: &[u8]) -> bool {
    let (words, rest) = path.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        found |= marks(u64::from_le_bytes(*word));
    }
    if let (false, Some(last)) = (rest.is_empty(), path.last_chunk::<8>()) {
        return (found | marks(u64::from_le_bytes(*last))) != 0;
    }
    found != 0 || rest.iter().any(|&byte| byte == b'.' || byte == b'%' || byte >= 0x80)
}

/// Non-zero if a byte of `word` is `.`, `%` or above ASCII.
#[inline]
fn marks(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    (zero(word ^ (ONES * b'.' as u64)) | zero(word ^ (ONES * b'%' as u64)) | word) & (ONES << 7)
}

/// Whether normalising could change or refuse a path: dots matter only where a segment begins.
#[cold]
fn needs_care(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        if byte == b'%' || byte >= 0x80 || (byte == b'.' && matches!(before, b'/' | b'\\')) {
            return path[0] == b'/';
        }
        before = byte;
    }
    false
}

/// Appends `path` with unreserved escapes decoded, other escapes in upper case, and what isn't visible ASCII encoded.
pub(super) fn unescape(path: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut at = 0;
    while at < path.len() {
        let byte = path[at];
        at += 1;
        if byte == b'%' {
            let decoded = escaped(&path[at - 1..]).ok_or(Reason::BadTarget)?;
            match decoded {
                0 => return Err(Reason::BadTarget),
                b'-' | b'.' | b'_' | b'~' => out.push(decoded),
                _ if decoded.is_ascii_alphanumeric() => out.push(decoded),
                _ => escape(decoded, out),
            }
            at += 2;
        } else if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            escape(byte, out);
        }
    }
    Ok(())
}

/// Appends one byte percent-encoded.
fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
}

/// Resolves dot segments in place (RFC 3986 section 5.2.4, but climbing above the root is refused).
fn resolve_dots(path: &mut Vec<u8>) -> Result<(), Reason> {
    let (mut read, mut write) = (0, 0);
    while read < path.len() {
        let end = path[read + 1..].iter().position(|&byte| byte == b'/').map_or(path.len(), |slash| read + 1 + slash);
        let last = end == path.len();
        match &path[read + 1..end] {
            b"." => {}
            b".." => write = path[..write].iter().rposition(|&byte| byte == b'/').ok_or(Reason::BadTarget)?,
            segment if hides_dots(segment) => return Err(Reason::BadTarget),
            _ => {
                path.copy_within(read..end, write);
                write += end - read;
                read = end;
                continue;
            }
        }
        if last {
            path[write] = b'/';
            write += 1;
        }
        read = end;
    }
    path.truncate(write);
    Ok(())
}

/// Whether an endpoint that splits at `\`, `%5C` or `%2F`, or drops what follows a `;`, would see a dot segment here.
fn hides_dots(mut segment: &[u8]) -> bool {
    let dots = |piece: &[u8]| matches!(piece.split(|&byte| byte == b';').next(), Some(b"." | b".."));
    let mut at = 0;
    while at < segment.len() {
        let rest = &segment[at..];
        let separator = match rest[0] {
            b'\\' => 1,
            _ if rest.starts_with(b"%5C") || rest.starts_with(b"%2F") => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        if dots(&segment[..at]) {
            return true;
        }
        segment = &rest[separator..];
        at = 0;
    }
    dots(segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> Result<String, Reason> {
        let mut scratch = b"left over".to_vec();
        let changed = normalise(path.as_bytes(), &mut scratch)?;
        assert!(!changed || scratch != path.as_bytes());
        Ok(if changed { String::from_utf8(scratch).expect("ASCII") } else { path.to_string() })
    }

    #[test]
    fn normal_paths_are_left_alone() {
        for path in [
            "/",
            "",
            "*",
            "/a",
            "/users/42/orders",
            "//",
            "/a//b",
            "/app.js",
            "/a.b/c..d/e...",
            "/a;b=c",
            "/...",
            "/.well-known/x",
            "/a%2Fb",
            "/%C3%A9",
            "/a%20b",
            "/a+b",
            "/a/.b/..c",
            "/%252e%252e/",
            "/a\\b",
            "/x/",
        ] {
            assert_eq!(normal(path).as_deref(), Ok(path), "{path}");
        }
    }

    #[test]
    fn equivalent_paths_become_one() {
        for (path, expected) in [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/../", "/"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2E/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/%61dmin", "/admin"),
            ("/%7Euser", "/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/%c3%a9", "/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/a//../b", "/a/b"),
            ("/a/b/c/../../d", "/a/d"),
            ("/..a/./x", "/..a/x"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn deceptive_paths_are_refused() {
        for path in [
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2e/",
            "/./..",
            "/a%",
            "/a%2",
            "/a%zz",
            "/%00",
            "/a/..%2fb",
            "/a/%2e%2e%2Fb",
            "/a%2f..",
            "/a/..\\b",
            "/a\\..",
            "/a\\..\\b",
            "/a/..%5cb",
            "/a/..;/b",
            "/a/.;x=y/b",
            "/a/%2e%2e;v/b",
            "/a/b%2F..;x",
        ] {
            assert_eq!(normal(path), Err(Reason::BadTarget), "{path}");
        }
    }

    proptest! {
        #[test]
        fn normal_form_is_stable_and_has_no_dot_segments(path in "/[a./%2eEF;\\\\é]{0,24}|/([a-c]|\\.|\\.\\.|%2e|%41|/){0,16}") {
            if let Ok(once) = normal(&path) {
                prop_assert_eq!(normal(&once), Ok(once.clone()));
                prop_assert!(once.starts_with('/'));
                prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")), "{}", once);
            }
        }

        #[test]
        fn the_quick_look_misses_nothing(path in prop::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'%'), any::<u8>()], 0..40)) {
            let expected = path.iter().any(|&byte| byte == b'.' || byte == b'%' || byte >= 0x80);
            prop_assert_eq!(suspicious(&path), expected);
        }

        #[test]
        fn any_bytes_end_in_an_answer(path in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = normalise(&path, &mut Vec::new());
        }
    }
}
