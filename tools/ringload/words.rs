//! Numbers, times and rates as people write and read them.

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub const MILLISECOND: u64 = 1_000_000;
/// What a time may look like, for messages.
pub const TIMES: &str = "a number with ns, us, ms, s, m or h, such as 500ms or 10s";

/// Nanoseconds of a time such as `250us`, `1.5s` or `10` (seconds).
///
/// # Errors
/// A sentence that says what it should look like; also for more than 1000 days.
pub fn time(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "" | "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return Err(format!("`{text}` is no time: write {TIMES}")),
    };
    let nanos = number.parse::<f64>().map_err(|_| format!("`{text}` is no time: write {TIMES}"))? * unit;
    if nanos > 1000.0 * 86_400e9 {
        return Err(format!("`{text}` is more than 1000 days"));
    }
    Ok(nanos.round() as u64)
}

/// A number of bytes, such as `100`, `64k`, `1m`: k and m are times 1024.
///
/// # Errors
/// A sentence that says what it should look like; also for more than 1 GiB.
pub fn bytes(text: &str) -> Result<usize, String> {
    let (number, shift) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift)).filter(|size| *size <= 1 << 30);
    size.ok_or_else(|| format!("`{text}` is no size: write 100, 64k or 1m, at most 1024m"))
}

/// A rate in requests a second, such as `500`, `2.5` or `10k`.
///
/// # Errors
/// A sentence that says what it should look like; also for more than 100 million.
pub fn rate(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.strip_suffix('k') {
        Some(number) => (number, 1e3),
        None => (text, 1.0),
    };
    let plain = number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let rate = number.parse::<f64>().ok().filter(|_| plain).map(|rate| rate * factor);
    rate.filter(|rate| *rate <= 1e8).ok_or_else(|| format!("`{text}` is no rate: write requests a second, such as 500 or 10k"))
}

/// Nanoseconds with three digits and the unit that suits: `812 ns`, `49.2 us`, `1.25 s`.
pub fn show_time(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {unit}")
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A rate a second: whole from 100 on, with one decimal below.
pub fn show_rate(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.1}/s") } else { format!("{}/s", show_count(rate.round() as u64)) }
}

/// Bytes with the unit that suits: `512 B`, `1.5 MB`.
pub fn show_bytes(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (bytes as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (bytes as f64 / 1e6, "MB"),
        _ => (bytes as f64 / 1e9, "GB"),
    };
    format!("{value:.1} {unit}")
}

/// A part of a whole in percent, with as many digits as tell it from none and from all.
pub fn show_part(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    match (part, percent) {
        (0, _) => "0 %".to_owned(),
        (_, ..0.01) => "under 0.01 %".to_owned(),
        (_, ..1.0) => format!("{percent:.2} %"),
        (part, 99.9..) if part < whole => "over 99.9 %".to_owned(),
        _ => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!([bytes("0"), bytes("7"), bytes("64k"), bytes("2m")], [Ok(0), Ok(7), Ok(65_536), Ok(2 << 20)]);
        for wrong in ["", "k", "-1", "1.5k", "2g", "1025m"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, nanos) in [("5ns", 5), ("250us", 250_000), ("1.5s", 1_500_000_000), ("2", 2 * SECOND), ("1m", 60 * SECOND), ("0", 0)] {
            assert_eq!(time(text), Ok(nanos), "{text}");
        }
        for wrong in ["", "s", "1x", "-1s", "1 s", "1e3s", "nan", "25000h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_read() {
        assert_eq!((rate("2.5"), rate("10k"), rate("0")), (Ok(2.5), Ok(10_000.0), Ok(0.0)));
        for wrong in ["", "k", "-1", "inf", "nan", "1e3", "200000k", "1/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_shown() {
        let times = [0, 812, 9_994, 49_200, 999_400, 1_250_000_000, 62_000_000_000].map(show_time);
        assert_eq!(times, ["0 ns", "812 ns", "9.99 us", "49.2 us", "999 us", "1.25 s", "62.0 s"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(show_count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.5, 99.94, 12_345.4].map(show_rate), ["0.5/s", "99.9/s", "12,345/s"]);
        assert_eq!([999, 1_500_000].map(show_bytes), ["999 B", "1.5 MB"]);
        assert_eq!(
            [(0, 9), (1, 100_000), (5, 1000), (1, 2), (99_999, 100_000), (7, 7)].map(|(part, whole)| show_part(part, whole)),
            ["0 %", "under 0.01 %", "0.50 %", "50.0 %", "over 99.9 %", "100.0 %"]
        );
    }
}
