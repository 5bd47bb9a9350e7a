//! W3C Trace Context: which trace a request belongs to, as `traceparent` says it (section 3.2 of the recommendation).

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace; never 0.
    pub trace: u128,
    /// The span that asks; never 0.
    pub span: u64,
    /// Whoever asks records it.
    pub sampled: bool,
}

/// The spans of a request that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub trace: u128,
    /// The client's span, if it told one.
    pub parent: Option<u64>,
    /// That of the request.
    pub server: u64,
    /// That of asking the endpoint, which is told it as its parent.
    pub client: u64,
}

impl Parent {
    /// Reads the value of a `traceparent`; `None` if it isn't valid, or of a version that isn't.
    pub fn read(value: &[u8]) -> Option<Parent> {
        let (known, rest) = value.split_at_checked(55)?;
        let [version, trace, span, flags] = <[&[u8]; 4]>::try_from(known.split(|&byte| byte == b'-').collect::<Vec<_>>()).ok()?;
        // Later versions may have more behind it.
        let fits = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
        if !fits || version == b"ff" || !(rest.is_empty() || (version != b"00" && rest[0] == b'-')) {
            return None;
        }
        hex(version)?;
        let (trace, span, flags) = (hex(trace)?, hex(span)? as u64, hex(flags)?);
        (trace != 0 && span != 0).then_some(Parent { trace, span, sampled: flags & 1 == 1 })
    }
}

impl Trace {
    /// What endpoints are told.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.client)
    }
}

/// A number of lower-case hexadecimal digits, as many as fit.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |number, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_valid_is_read_and_nothing_else() {
        let parent = Parent { trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span: 0x00f0_67aa_0ba9_02b7, sampled: true };
        assert_eq!(Parent::read(VALID.as_bytes()), Some(parent));
        assert_eq!(Parent::read(VALID.replace("-01", "-00").as_bytes()), Some(Parent { sampled: false, ..parent }));
        assert_eq!(Parent::read(format!("cc{}-what-the-future-brings", &VALID[2..]).as_bytes()), Some(parent));
        for wrong in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}-more"),
            &format!("{VALID}0"),
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace('-', "_"),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &VALID.replace("4bf92", "4bg92"),
            "00-4bf92f3577b34da6a3ce929d0e0e473600-f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_endpoints_are_told_can_be_read() {
        let trace = Trace { trace: 7, parent: None, server: 8, client: 9 };
        assert_eq!(Parent::read(trace.traceparent().as_bytes()), Some(Parent { trace: 7, span: 9, sampled: true }));
    }
}
