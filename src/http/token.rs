//! Tokens (RFC 9110 section 5.6.2): what methods, names of headers and options consist of.

/// Whether a byte may stand in a token.
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether a text is a token.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_rfc() {
        let delimiters = b"\"(),/:;<=>?@[\\]{}";
        for byte in 0..=u8::MAX {
            assert_eq!(is_token_byte(byte), byte.is_ascii_graphic() && !delimiters.contains(&byte), "{byte:#x}");
        }
        assert!(is_token("X-A") && !is_token("") && !is_token("X A") && !is_token("\u{fc}"));
    }
}
