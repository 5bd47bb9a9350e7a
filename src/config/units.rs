//! Settings with a unit: durations such as `500ms`, sizes such as `64KiB`, rates such as `100/s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::written::{Written, written};

/// A duration: a whole number and one of `us`, `ms`, `s`, `m`, `h`, at most `720h`; `0s` switches a limit off where the
/// setting says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

impl Time {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Time(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Time(Duration::from_secs(secs))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let fits = |(_, unit): &&(&str, u64)| micros.is_multiple_of(u128::from(*unit));
        let (name, unit) = TIME_UNITS.iter().rev().find(fits).filter(|_| micros > 0).unwrap_or(&("s", 1_000_000));
        write!(f, "{}{name}", micros / u128::from(*unit))
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let micros = in_units(text, TIME_UNITS).ok_or_else(|| format!("must be {}", Self::EXPECTED))?;
        match micros {
            Some(micros) if micros <= TIME_MAX.as_micros() as u64 => Ok(Time(Duration::from_micros(micros))),
            _ => Err("is longer than \"720h\", which is the most there can be".into()),
        }
    }
}

impl Written for Time {
    const NAME: &'static str = "Time";
    const EXPECTED: &'static str = "a duration such as \"500ms\", \"30s\", \"5m\" or \"2h\"";
    const PATTERN: &'static str = "^[0-9]+(us|ms|s|m|h)$";
    const NUMBERS: Option<(u16, u16)> = None;
}

written!(Time);

/// A size in bytes: a whole number and one of `B`, `KB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Size(bytes)
    }

    /// The size in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = |(name, unit): &&(&str, u64)| (name.contains('i') || *unit == 1) && self.0.is_multiple_of(*unit);
        let (name, unit) = SIZE_UNITS.iter().rev().find(binary).filter(|_| self.0 > 0).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = in_units(text, SIZE_UNITS).ok_or_else(|| format!("must be {}", Self::EXPECTED))?;
        bytes.map(Size).ok_or_else(|| "is larger than can be counted".into())
    }
}

impl Written for Size {
    const NAME: &'static str = "Size";
    const EXPECTED: &'static str = "a size such as \"512B\", \"64KiB\" or \"10MB\"";
    const PATTERN: &'static str = "^[0-9]+(B|KB|KiB|MB|MiB|GB|GiB)$";
    const NUMBERS: Option<(u16, u16)> = None;
}

written!(Size);

/// A rate: a whole number from 1 to 10,000,000 and one of `/s`, `/m`, `/h`, `/d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many.
    pub count: u32,
    unit: usize,
}

impl Rate {
    /// So many a second.
    pub const fn per_second(count: u32) -> Self {
        Rate { count, unit: 0 }
    }

    /// In what time: a second, minute, hour or day.
    pub const fn per(self) -> Duration {
        Duration::from_secs(RATE_UNITS[self.unit].1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, RATE_UNITS[self.unit].0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("must be {}", Self::EXPECTED);
        let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let unit = RATE_UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(expected)?;
        if number.is_empty() {
            return Err(expected());
        }
        match number.parse() {
            Ok(0) => Err("lets nothing through, ever; the least is \"1/d\"".into()),
            Ok(count) if count <= RATE_MAX => Ok(Rate { count, unit }),
            _ => Err(format!("is more than {RATE_MAX}, which is the most there can be")),
        }
    }
}

impl Written for Rate {
    const NAME: &'static str = "Rate";
    const EXPECTED: &'static str = "a rate such as \"100/s\", \"10/m\", \"5000/h\" or \"1000000/d\"";
    const PATTERN: &'static str = "^[0-9]+/(s|m|h|d)$";
    const NUMBERS: Option<(u16, u16)> = None;
}

written!(Rate);

/// The highest number of a rate.
const RATE_MAX: u32 = 10_000_000;

const RATE_UNITS: &[(&str, u64)] = &[("/s", 1), ("/m", 60), ("/h", 3600), ("/d", 86_400)];

/// A whole number and a unit, in the smallest unit. `None` if it isn't that; `Some(None)` if it is too large.
fn in_units(text: &str, units: &[(&str, u64)]) -> Option<Option<u64>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    Some(number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit)))
}

/// The longest duration there can be.
const TIME_MAX: Duration = Duration::from_secs(720 * 3600);

const TIME_UNITS: &[(&str, u64)] = &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

const SIZE_UNITS: &[(&str, u64)] =
    &[("B", 1), ("KB", 1_000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20), ("GB", 1_000_000_000), ("GiB", 1 << 30)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, micros) in
            [("0s", 0), ("100us", 100), ("500ms", 500_000), ("30s", 30_000_000), ("5m", 300_000_000), ("2h", 7_200_000_000)]
        {
            let time: Time = text.parse().unwrap();
            assert_eq!((time.get(), time.to_string().as_str()), (Duration::from_micros(micros), text));
        }
        assert_eq!("60s".parse::<Time>().unwrap().to_string(), "1m");
        assert_eq!("0h".parse::<Time>().unwrap().to_string(), "0s");
        assert!("720h".parse::<Time>().is_ok());
    }

    #[test]
    fn other_durations_are_refused() {
        for text in ["", "s", "5", "-5s", "+5s", "1.5s", "5 s", "5S", "5sec", "1m30s", "5d", "ms5"] {
            assert_eq!(text.parse::<Time>().unwrap_err(), format!("must be {}", Time::EXPECTED), "{text}");
        }
        for text in ["721h", "2592001s", "18446744073709551616us", "99999999999999h"] {
            assert!(text.parse::<Time>().unwrap_err().starts_with("is longer than"), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("0B", 0), ("7B", 7), ("64KiB", 65_536), ("3MiB", 3 << 20), ("2GiB", 2 << 30)] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.get(), size.to_string().as_str()), (bytes, text));
        }
        assert_eq!("10KB".parse::<Size>().unwrap().get(), 10_000);
        assert_eq!("1GB".parse::<Size>().unwrap().to_string(), "976562KiB".replace("976562KiB", "1000000000B"));
        for text in ["", "5", "KiB", "1.5KiB", "5kib", "5K", "-1B"] {
            assert_eq!(text.parse::<Size>().unwrap_err(), format!("must be {}", Size::EXPECTED), "{text}");
        }
        assert_eq!("99999999999GiB".parse::<Size>().unwrap_err(), "is larger than can be counted");
    }

    #[test]
    fn rates_are_read_and_written() {
        for (text, count, secs) in [("1/d", 1, 86_400), ("100/s", 100, 1), ("10/m", 10, 60), ("5000/h", 5000, 3600)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.count, rate.per().as_secs(), rate.to_string().as_str()), (count, secs, text));
        }
        for text in ["", "5", "/s", "5/", "-1/s", "1.5/s", "5 /s", "5/ms", "5/S", "5s", "1e3/s"] {
            assert_eq!(text.parse::<Rate>().unwrap_err(), format!("must be {}", Rate::EXPECTED), "{text}");
        }
        assert!("0/s".parse::<Rate>().unwrap_err().starts_with("lets nothing through"));
        for text in ["10000001/s", "4294967296/d", "99999999999999999999999/s"] {
            assert!(text.parse::<Rate>().unwrap_err().starts_with("is more than"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in 0..=TIME_MAX.as_micros() as u64, unit in 0usize..5, bytes: u64, shift in 0u32..64) {
            let micros = micros - micros % TIME_UNITS[unit].1;
            let time = Time(Duration::from_micros(micros));
            prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
            let size = Size(bytes >> shift << shift.min(32));
            prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }
    }
}
