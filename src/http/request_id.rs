//! The id that the gateway gives a request, as text.

/// 128 bits as 32 hexadecimal digits, or as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    text: [u8; 36],
    length: usize,
}

impl Default for RequestId {
    fn default() -> Self {
        RequestId { text: [0; 36], length: 0 }
    }
}

impl RequestId {
    /// Of 32 hexadecimal digits in lower case, by chance. As a UUID of version 4 (RFC 9562 section 5.4), six of its bits say so.
    #[inline]
    pub fn new(digits: &[u8; 32], uuid: bool) -> RequestId {
        if uuid {
            return RequestId::with_dashes(digits);
        }
        let mut text = [0; 36];
        text[..32].copy_from_slice(digits);
        RequestId { text, length: 32 }
    }

    #[cold]
    fn with_dashes(digits: &[u8; 32]) -> RequestId {
        let mut digits = *digits;
        digits[12] = b'4';
        digits[16] = b"89ab"[usize::from(digits[16] & 3)];
        let mut text = [b'-'; 36];
        for (from, to, count) in [(0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12)] {
            text[to..to + count].copy_from_slice(&digits[from..from + count]);
        }
        RequestId { text, length: 36 }
    }

    /// The text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_digits_or_as_a_uuid() {
        let digits = b"0123456789abcdefedcba98765432100";
        assert_eq!(RequestId::new(digits, false).as_bytes(), digits);
        assert_eq!(RequestId::new(digits, true).as_bytes(), b"01234567-89ab-4def-9dcb-a98765432100");
    }
}
