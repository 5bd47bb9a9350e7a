//! Which coding of an answer a client gets: `Accept-Encoding` with its weights (RFC 9110 section 12.5.3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A content coding that the gateway can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Br,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Br => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// The coding of this name; `x-gzip` is gzip (RFC 9110 section 8.4.1.3).
    fn named(name: &[u8]) -> Option<Coding> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        [Coding::Gzip, Coding::Br, Coding::Zstd]
            .into_iter()
            .find(|coding| is(coding.name().as_bytes()))
            .or_else(|| is(b"x-gzip").then_some(Coding::Gzip))
    }
}

/// What the client likes best among the codings offered, and of those it likes equally well the one offered first. `None`: the answer
/// goes as it is, also where nothing at all is to the client's liking. What can't be understood is passed over.
pub fn choose<'a>(lines: impl Iterator<Item = &'a [u8]>, offered: &[Coding]) -> Option<Coding> {
    // In thousandths.
    let (mut named, mut identity, mut any) = ([None; 3], None, None);
    for part in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
        let mut pieces = part.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = pieces.next().unwrap_or_default();
        let Some(weight) = pieces.next().map_or(Some(1000), weight) else { continue };
        if name == b"*" {
            any = Some(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            identity = Some(weight);
        } else if let Some(coding) = Coding::named(name) {
            named[coding as usize] = Some(weight);
        }
    }
    let best = offered.iter().map(|&coding| (named[coding as usize].or(any).unwrap_or(0), coding));
    let (weight, coding) = best.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    // Nobody needs to name identity: without a weight of its own it is what is left.
    (weight > 0 && weight >= identity.unwrap_or(0)).then_some(coding)
}

/// The thousandths of `q=0.5`; `None` if it is no weight (RFC 9110 section 12.4.2).
fn weight(text: &[u8]) -> Option<u16> {
    let text = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q="))?;
    let (whole, rest) = text.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, worth) in digits.iter().zip([100, 10, 1]) {
        weight += u16::from(digit.is_ascii_digit().then(|| digit - b'0')?) * worth;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::Coding::{Br, Gzip, Zstd};
    use super::*;

    #[test]
    fn the_client_is_asked_first_and_the_order_decides_among_equals() {
        let all = [Zstd, Br, Gzip];
        for (accept, offered, chosen) in [
            ("gzip", &all[..], Some(Gzip)),
            ("gzip, br, zstd", &all, Some(Zstd)),
            ("gzip, br, zstd", &[Gzip, Br], Some(Gzip)),
            ("gzip;q=0.5, br;q=0.8, zstd;q=0.799", &all, Some(Br)),
            ("GZip ; Q=0.001", &all, Some(Gzip)),
            ("x-gzip", &all, Some(Gzip)),
            ("*", &all, Some(Zstd)),
            ("*, zstd;q=0", &all, Some(Br)),
            ("*;q=0, gzip", &all, Some(Gzip)),
            ("", &all, None),
            ("identity", &all, None),
            ("deflate, compress", &all, None),
            ("gzip;q=0", &all, None),
            ("gzip;q=0.000", &all, None),
            ("gzip, identity;q=0.5", &all, Some(Gzip)),
            ("gzip;q=0.5, identity", &all, None),
            ("gzip, identity", &all, Some(Gzip)),
            ("gzip;q=0.5, identity;q=0", &all, Some(Gzip)),
            ("identity;q=0", &all, None),
            ("*;q=0", &all, None),
            ("br", &[Gzip], None),
            ("gzip;q=2, br;q=0.1", &all, Some(Br)),
            ("gzip;q=1.001", &all, None),
            ("gzip;q=0.1234", &all, None),
            ("gzip;q=", &all, None),
            ("gzip;level=9", &all, None),
            (",,;q=1,gzip,", &all, Some(Gzip)),
            ("gzip", &[], None),
        ] {
            assert_eq!(choose([accept.as_bytes()].into_iter(), offered), chosen, "{accept} of {offered:?}");
        }
        assert_eq!(choose([&b"br;q=0.1"[..], b"gzip;q=0.2"].into_iter(), &all), Some(Gzip), "lines of one header belong together");
        assert_eq!(choose(std::iter::empty(), &all), None, "who says nothing gets what everybody understands");
    }
}
