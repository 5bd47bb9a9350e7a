//! What a certificate says of itself (RFC 5280), as far as the gateway is interested: its names, its end, its subject as text (RFC 4514).
//! Nothing is verified here.

use std::fmt::Write;

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host names it is for, wildcards as they stand.
    pub names: Vec<String>,
    /// Until when it is good, in seconds since 1970 began.
    pub not_after: i64,
    /// Whom it is for, in visible ASCII: `CN=anna,O=Example`.
    pub subject: String,
}

/// Reads a certificate (DER); `None` if it is none.
pub fn facts(der: &[u8]) -> Option<Facts> {
    let mut outer = Der(Der(der).expect(SEQUENCE)?);
    let mut body = Der(outer.expect(SEQUENCE)?);
    let first = body.next()?;
    if first.0 == VERSION {
        // The serial number.
        body.next()?;
    }
    body.expect(SEQUENCE)?;
    body.expect(SEQUENCE)?;
    let mut validity = Der(body.expect(SEQUENCE)?);
    validity.next()?;
    let not_after = time(validity.next()?)?;
    let subject = subject(body.expect(SEQUENCE)?)?;
    body.expect(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some((tag, value)) = body.next() {
        if tag == EXTENSIONS {
            names = alternative_names(Der(value).expect(SEQUENCE)?).unwrap_or_default();
        }
    }
    Some(Facts { names, not_after, subject })
}

/// A row of values, each with its tag and length (X.690).
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let (digits, behind) =
                rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| (1..=3).contains(&digits.len()))?;
            length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
            rest = behind;
        }
        let (value, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// The host names among a certificate's extensions.
fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(extensions);
    while let Some(extension) = extensions.expect(SEQUENCE) {
        let mut parts = Der(extension);
        if parts.expect(OBJECT)? != SUBJECT_ALT_NAME {
            continue;
        }
        let mut value = parts.next()?;
        if value.0 == BOOLEAN {
            value = parts.next()?;
        }
        let mut list = Der(Der(value.1).expect(SEQUENCE)?);
        let mut names = Vec::new();
        while let Some((tag, name)) = list.next() {
            if tag == DNS_NAME {
                names.extend(std::str::from_utf8(name).map(str::to_owned));
            }
        }
        return Some(names);
    }
    None
}

/// Seconds since 1970 began: `YYMMDDhhmmssZ`, or with the year in four digits.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let digits = if tag == UTC_TIME { 2 } else { 4 };
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let year = match (number(0, digits)?, tag) {
        // RFC 5280 section 4.1.2.5.1.
        (year, UTC_TIME) => year + if year < 50 { 2000 } else { 1900 },
        (year, _) => year,
    };
    let part = |index: usize| number(digits + index * 2, digits + index * 2 + 2);
    let (month, day) = (part(0)?, part(1)?);
    // Days of the Gregorian calendar, in years that begin in March: the day that leap years have more is then a year's last.
    let shifted = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Some(days * 86_400 + part(2)? * 3600 + part(3)? * 60 + part(4)?)
}

/// A name as text, its last part first (RFC 4514 section 2.1).
fn subject(name: &[u8]) -> Option<String> {
    let mut sets = Vec::new();
    let mut rest = Der(name);
    while let Some((_, set)) = rest.next() {
        let mut text = String::new();
        let mut pairs = Der(set);
        while let Some(pair) = pairs.expect(SEQUENCE) {
            let mut pair = Der(pair);
            if !text.is_empty() {
                text.push('+');
            }
            push_kind(&mut text, pair.expect(OBJECT)?);
            text.push('=');
            push_value(&mut text, pair.next()?);
        }
        sets.push(text);
    }
    sets.reverse();
    Some(sets.join(","))
}

fn push_kind(text: &mut String, oid: &[u8]) {
    if let Some((_, name)) = KINDS.iter().find(|(known, _)| *known == oid) {
        return text.push_str(name);
    }
    let mut number = 0u64;
    let mut first = true;
    for &byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        // The first number holds two; writing to a text can't fail.
        let _ =
            if first { write!(text, "{}.{}", (number / 40).min(2), number - (number / 40).min(2) * 40) } else { write!(text, ".{number}") };
        (number, first) = (0, false);
    }
}

/// A value, with a backslash before what has a meaning, and what isn't visible ASCII as hexadecimal (RFC 4514 section 2.4).
fn push_value(text: &mut String, (tag, value): (u8, &[u8])) {
    let wide;
    let value = if tag == BMP_STRING {
        let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        wide = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>();
        wide.as_bytes()
    } else {
        value
    };
    for (index, &byte) in value.iter().enumerate() {
        let edge = index == 0 || index + 1 == value.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => text.extend(['\\', char::from(byte)]),
            b'#' if index == 0 => text.push_str("\\#"),
            b' ' if edge => text.push_str("\\ "),
            0x20..0x7f => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

const BOOLEAN: u8 = 0x01;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate, and its extensions: `[0]` and `[3]`, explicit.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `dNSName`, `[2]`.
const DNS_NAME: u8 = 0x82;
/// 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// What parts of names are called (RFC 4514 section 3, and OpenSSL's word for e-mail addresses).
const KINDS: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    // Made by: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8 -days 36500 -subj
    // '/C=DE/O=A, B \+ C/OU=Jürgen/CN=#anna /UID=7/emailAddress=a@b' -addext 'subjectAltName=DNS:a.example,IP:127.0.0.1,DNS:*.b.example'
    const ALL: &[u8] = include_bytes!("tests/all.pem");

    fn der(pem: &[u8]) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem).unwrap().to_vec()
    }

    #[test]
    fn reads_names_end_and_subject() {
        let found = facts(&der(ALL)).unwrap();
        assert_eq!(found.names, ["a.example", "*.b.example"]);
        assert_eq!(found.subject, r"emailAddress=a@b,UID=7,CN=\#anna\ ,OU=J\C3\BCrgen,O=A\, B \+ C,C=DE");
        assert_eq!(found.not_after, 4_949_321_298);
    }

    #[test]
    fn what_is_cut_or_nonsense_is_refused_or_at_least_survived() {
        let der = der(ALL);
        for length in 0..der.len() {
            assert!(facts(&der[..length]).is_none(), "{length}");
        }
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut other = der.clone();
                other[at] ^= 1 << bit;
                let found = facts(&other).unwrap_or_default();
                assert!(found.subject.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{found:?}");
            }
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let of = |tag, text: &str| time((tag, text.as_bytes()));
        assert_eq!(of(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(of(UTC_TIME, "000229235959Z"), Some(951_868_799));
        assert_eq!(of(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(of(0x18, "21000301000000Z"), Some(4_107_542_400));
        for wrong in ["", "Z", "7001010000Z", "70010100000Z", "7001x1000000Z"] {
            assert_eq!(of(UTC_TIME, wrong), None, "{wrong}");
        }
    }
}
