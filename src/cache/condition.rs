//! What of a stored response a client wants: RFC 9110 sections 13 (conditions) and 14 (ranges), RFC 9111 section 4.3.2.

use super::item::Item;
use crate::http::{Known, Method, RequestHead, parse_date};

/// What of a response is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All of it.
    Whole,
    /// 304: the client has it.
    NotModified,
    /// 206: the bytes from the first number up to the second.
    Range(u64, u64),
    /// 416: there are no such bytes.
    Unsatisfiable,
}

/// What a request wants of a stored response. Conditions and ranges that aren't well-formed are ignored, the latter also where nobody may
/// have `parts`.
pub(super) fn form(item: &Item, head: &RequestHead, bytes: &[u8], parts: bool) -> Form {
    let meta = item.meta();
    if meta.status != 200 {
        return Form::Whole;
    }
    if head.known(bytes, Known::IfNoneMatch).is_some() {
        if none_match(item, head, bytes) {
            return Form::NotModified;
        }
    } else if single(head, bytes, Known::IfModifiedSince).and_then(parse_date).is_some_and(|date| meta.since <= date) {
        return Form::NotModified;
    }
    match single(head, bytes, Known::Range) {
        Some(range) if parts && head.method == Method::Get && if_range(item, head, bytes) => self::range(range, meta.length),
        _ => Form::Whole,
    }
}

/// The value of a field that must stand alone.
fn single<'a>(head: &RequestHead, bytes: &'a [u8], known: Known) -> Option<&'a [u8]> {
    let mut values = head.fields.iter().filter(|field| field.known == known).map(|field| field.value.of(bytes));
    values.next().filter(|_| values.next().is_none())
}

/// Whether any tag of `If-None-Match` is that of the response, by the weak comparison.
fn none_match(item: &Item, head: &RequestHead, bytes: &[u8]) -> bool {
    let lines = head.fields.iter().filter(|field| field.known == Known::IfNoneMatch).map(|field| field.value.of(bytes));
    let own = item.etag();
    lines.flat_map(tags).any(|tag| tag == b"*" || (!own.is_empty() && same(tag, own)))
}

/// Whether two tags are the same by the weak comparison (RFC 9110 section 8.8.3.2).
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    let opaque = |tag: &'_ [u8]| tag.strip_prefix(b"W/").map_or(0, |_| 2);
    one[opaque(one)..] == other[opaque(other)..]
}

/// The elements of a list of tags: commas within quotes are part of a tag.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let split = list.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    split.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty())
}

/// Whether the range still is one of the same representation: no `If-Range`, or a strong validator that is the stored one.
fn if_range(item: &Item, head: &RequestHead, bytes: &[u8]) -> bool {
    if head.known(bytes, Known::IfRange).is_none() {
        return true;
    }
    let Some(validator) = single(head, bytes, Known::IfRange) else { return false };
    if validator.starts_with(b"\"") {
        validator == item.etag()
    } else {
        item.meta().strong_date && !validator.is_empty() && validator == item.last_modified()
    }
}

/// The bytes that a `Range` of one part wants. Several parts get the whole.
fn range(value: &[u8], length: u64) -> Form {
    let spec = value.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes=")).map(|(_, spec)| spec.trim_ascii());
    let Some((first, last)) = spec.and_then(|spec| {
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        Some((&spec[..dash], &spec[dash + 1..]))
    }) else {
        return Form::Whole;
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => Form::Unsatisfiable,
            _ if length == 0 => Form::Whole,
            _ => Form::Range(length.saturating_sub(suffix), length),
        },
        (Some(first), Some(last)) if last < first => Form::Whole,
        (Some(first), end) if end.is_some() || last.is_empty() => {
            if first >= length {
                Form::Unsatisfiable
            } else {
                Form::Range(first, end.map_or(length, |end| end.saturating_add(1).min(length)))
            }
        }
        _ => Form::Whole,
    }
}

/// A number of any length; the largest there is stands for larger ones.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        use Form::{Range, Unsatisfiable, Whole};
        for (text, expected) in [
            ("bytes=0-0", Range(0, 1)),
            ("bytes=0-", Range(0, 10)),
            ("bytes=3-5", Range(3, 6)),
            ("BYTES= 3-5 ", Range(3, 6)),
            ("bytes=5-99999999999999999999999", Range(5, 10)),
            ("bytes=-3", Range(7, 10)),
            ("bytes=-30", Range(0, 10)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=10-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=5-3", Whole),
            ("bytes=1-2,4-5", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1-b", Whole),
            ("bytes=--1", Whole),
            ("bytes=", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(range(text.as_bytes(), 10), expected, "{text}");
        }
        assert_eq!((range(b"bytes=0-", 0), range(b"bytes=-5", 0)), (Unsatisfiable, Whole));
    }

    #[test]
    fn tags_are_split_outside_of_quotes() {
        let split = |list: &'static str| tags(list.as_bytes()).map(|tag| std::str::from_utf8(tag).unwrap()).collect::<Vec<_>>();
        assert_eq!(split("\"a\", W/\"b,c\" ,, d"), ["\"a\"", "W/\"b,c\"", "d"]);
        assert_eq!(split(""), Vec::<&str>::new());
        assert!(same(b"W/\"a\"", b"\"a\"") && same(b"\"a\"", b"\"a\"") && !same(b"\"a\"", b"a") && !same(b"w/\"a\"", b"\"a\""));
    }
}
