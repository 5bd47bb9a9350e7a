//! Percent escapes (RFC 3986 section 2.1), and queries as their readers take them.

/// The byte that the escape at a text's front stands for; `None` if there is none.
#[inline]
pub fn escaped(text: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = text else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// A text with its escapes undone; what is none stays as it is.
pub fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let byte = escaped(rest);
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &rest[3..] } else { after };
    }
    out
}

/// The bytes of a query's name or value as forms write them: `+` is a space, a malformed escape stands for itself.
pub struct Decode<'a>(pub &'a [u8]);

impl Iterator for Decode<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        let escaped = escaped(self.0);
        self.0 = if escaped.is_some() { &self.0[3..] } else { rest };
        Some(if first == b'+' { b' ' } else { escaped.unwrap_or(first) })
    }
}

/// Name and value of a pair in a query, as they were sent.
#[inline]
pub fn pair_of(pair: &[u8]) -> (&[u8], &[u8]) {
    let split = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
    (&pair[..split], pair.get(split + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_escape_stays_as_it_is() {
        assert_eq!((escaped(b"%2fx"), escaped(b"%2"), escaped(b"%+5"), escaped(b"a%2f")), (Some(b'/'), None, None, None));
        assert_eq!(unescaped(b"a%20b+c%zz%4"), b"a b+c%zz%4");
        assert_eq!(Decode(b"a%20b+c%zz%4").collect::<Vec<u8>>(), b"a b c%zz%4");
        assert_eq!(
            (pair_of(b"a=b=c"), pair_of(b"a"), pair_of(b"=")),
            ((&b"a"[..], &b"b=c"[..]), (&b"a"[..], &b""[..]), (&b""[..], &b""[..]))
        );
    }
}
