//! Heads as they're stored: HTTP/1.1 without the blank line, and without what concerns one connection or one moment only.

use super::Policy;
use super::directives::withheld;
use super::{Answer, SetCookie};
use crate::http::{Field, Known, Span, write_line, write_status};

/// Appends an answer's head as it is stored (RFC 9111 section 3.1); `Content-Length` is written by [`write_length`].
pub(super) fn write(out: &mut Vec<u8>, answer: &Answer<'_>, policy: &Policy) {
    write_status(out, answer.head.status, answer.head.phrase.of(answer.bytes));
    lines(out, answer, policy);
    undated(out, answer);
}

/// An answer without a date is of the moment it came (RFC 9110 section 6.6.1).
fn undated(out: &mut Vec<u8>, answer: &Answer<'_>) {
    if answer.head.known(answer.bytes, Known::Date).is_none() {
        out.extend_from_slice(answer.date);
    }
}

/// Appends a stored head renewed by a 304 (RFC 9111 section 3.2).
pub(super) fn write_renewed(out: &mut Vec<u8>, stored: &[u8], answer: &Answer<'_>, policy: &Policy) {
    let mut update = Vec::new();
    lines(&mut update, answer, policy);
    undated(&mut update, answer);
    let new = fields(&update);
    let replaced = |name: &[u8]| new.iter().any(|field| field.name.of(&update).eq_ignore_ascii_case(name));
    for (line, name) in split(stored) {
        if name.is_empty() || is_bodys(Known::from_name(name), name) || !replaced(name) {
            out.extend_from_slice(line);
        }
    }
    for (line, name) in split(&update) {
        if !is_bodys(Known::from_name(name), name) {
            out.extend_from_slice(line);
        }
    }
}

/// Appends `Content-Length`.
pub(super) fn write_length(out: &mut Vec<u8>, length: u64) {
    write_line(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
}

/// Whether a field says how the stored body is to be read: a 304 doesn't change that.
fn is_bodys(known: Known, name: &[u8]) -> bool {
    let others = [&b"content-encoding"[..], b"content-range", b"content-md5", b"content-digest"];
    known == Known::ContentLength || others.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Appends an answer's lines that may be stored.
fn lines(out: &mut Vec<u8>, answer: &Answer<'_>, policy: &Policy) {
    let Answer { head, bytes, .. } = *answer;
    for field in &head.fields {
        let name = field.name.of(bytes);
        let left_out = match field.known {
            Known::ContentLength | Known::Age | Known::Trailer => true,
            Known::SetCookie => policy.set_cookie != SetCookie::Store,
            _ => {
                field.hop || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"proxy-")) || withheld(&head.fields, bytes, name)
            }
        };
        if !left_out {
            write_line(out, name, field.value.of(bytes));
        }
    }
}

/// Each line of a stored head with its line end, and its name; the status line has none.
pub(super) fn split(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split_inclusive(|&byte| byte == b'\n').map(|line| {
        let colon = line.iter().position(|&byte| byte == b':').filter(|_| !line.starts_with(b"HTTP/"));
        (line, colon.map_or(&[][..], |colon| &line[..colon]))
    })
}

/// The fields of a stored head, or of lines of one.
pub(super) fn fields(head: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut at = 0;
    for (line, name) in split(head) {
        if !name.is_empty() {
            let end = (at + name.len()) as u32;
            let value = Span { start: end + 2, end: (at + line.len() - 2) as u32 };
            fields.push(Field { name: Span { start: at as u32, end }, value, known: Known::from_name(name), hop: false });
        }
        at += line.len();
    }
    fields
}
