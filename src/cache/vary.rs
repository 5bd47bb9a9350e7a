//! `Vary` (RFC 9111 section 4.1): the request headers that a stored response was chosen by, with the values they had.
//!
//! As bytes: for each name its length in one byte, the name in lower case, the value's length in four bytes (all ones for a header that
//! wasn't there) and the value.

use super::Ask;
use crate::http::{Field, Known, is_token_byte};

/// Appends what the answer's `Vary` names, with the request's values. `false` if no later request can match: `*`, or what is no list of
/// at most [`NAMES_MAX`] names.
pub(super) fn write(out: &mut Vec<u8>, fields: &[Field], bytes: &[u8], ask: &Ask<'_>) -> bool {
    let lines = fields.iter().filter(|field| field.known == Known::Vary).map(|field| field.value.of(bytes));
    let mut count = 0;
    for name in lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        count += 1;
        let length = u8::try_from(name.len());
        let (Ok(length), true) = (length, name != b"*" && count <= NAMES_MAX && name.iter().all(|&byte| is_token_byte(byte))) else {
            return false;
        };
        out.push(length);
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        let at = out.len();
        out.extend_from_slice(&u32::MAX.to_le_bytes());
        if value(out, ask, name) {
            let length = (out.len() - at - 4) as u32;
            out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
    }
    true
}

/// Whether a request has the values that [`write()`] wrote. `scratch` is overwritten.
pub(super) fn matches(mut stored: &[u8], ask: &Ask<'_>, scratch: &mut Vec<u8>) -> bool {
    while let Some(nominated) = next(stored) {
        stored = nominated.rest;
        scratch.clear();
        let given = value(scratch, ask, nominated.name).then_some(scratch.as_slice());
        if given != nominated.value {
            return false;
        }
    }
    true
}

/// Whether two responses were chosen by the same headers.
pub(super) fn same_names(mut one: &[u8], mut other: &[u8]) -> bool {
    loop {
        match (next(one), next(other)) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.name == b.name => (one, other) = (a.rest, b.rest),
            _ => return false,
        }
    }
}

/// A header that a response was chosen by.
struct Nominated<'a> {
    name: &'a [u8],
    /// `None` if the request hadn't such a header.
    value: Option<&'a [u8]>,
    /// What follows it.
    rest: &'a [u8],
}

fn next(stored: &[u8]) -> Option<Nominated<'_>> {
    let (&length, rest) = stored.split_first()?;
    let (name, rest) = rest.split_at(length as usize);
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    if length == u32::MAX {
        return Some(Nominated { name, value: None, rest });
    }
    let (value, rest) = rest.split_at(length as usize);
    Some(Nominated { name, value: Some(value), rest })
}

/// Appends a request header's value, in a form that is the same where it means the same; whether there is such a header.
fn value(out: &mut Vec<u8>, ask: &Ask<'_>, name: &[u8]) -> bool {
    // Lists of words without regard to case: white space and case say nothing.
    let words = [&b"accept-encoding"[..], b"accept-language", b"accept-charset"].iter().any(|list| name.eq_ignore_ascii_case(list));
    let mut there = false;
    for value in ask.values(name) {
        if there {
            out.extend_from_slice(if words { b"," } else { b", " });
        }
        there = true;
        if words {
            out.extend(value.iter().filter(|byte| !matches!(byte, b' ' | b'\t')).map(u8::to_ascii_lowercase));
        } else {
            out.extend_from_slice(value);
        }
    }
    there
}

/// The most names that a stored response may vary by.
const NAMES_MAX: usize = 16;
