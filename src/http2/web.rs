//! gRPC-Web: calls of browsers, which see no trailers, and some of which receive text alone (gRPC's PROTOCOL-WEB). Messages are framed as
//! gRPC frames them; trailers are a last frame of their own, and the text form is Base64 in pieces, each padded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::{Known, RequestHead};

/// How a message's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Binary,
    /// In Base64.
    Text,
}

impl Form {
    /// The form of a body of this type, and what the type says behind that: `+proto`, say. Nothing, if it is none of gRPC-Web.
    pub fn of(kind: &[u8]) -> Option<(Form, &[u8])> {
        let rest = kind.strip_prefix(b"application/grpc-web")?;
        let (form, rest) = match rest.strip_prefix(b"-text") {
            Some(rest) => (Form::Text, rest),
            None => (Form::Binary, rest),
        };
        matches!(rest.first(), None | Some(b'+' | b';')).then_some((form, rest))
    }

    /// The form in which this request wants its answer, if it is one of gRPC-Web: what it accepts, else its own.
    pub fn wanted(head: &RequestHead, bytes: &[u8]) -> Option<Form> {
        let (own, _) = Form::of(head.known(bytes, Known::ContentType)?)?;
        let accepted = head.known(bytes, Known::Accept).unwrap_or_default();
        let mut forms = accepted.split(|&byte| byte == b',').filter_map(|kind| Form::of(kind.trim_ascii()));
        Some(forms.next().map_or(own, |(form, _)| form))
    }

    /// The type of an answer in it; `rest` stands behind.
    pub fn kind(self, rest: &[u8]) -> Vec<u8> {
        let front: &[u8] = match self {
            Form::Binary => b"application/grpc-web",
            Form::Text => b"application/grpc-web-text",
        };
        [front, rest].concat()
    }
}

/// The bytes that a whole body in text form stands for; nothing, if it is no Base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len() / 4 * 3), text);
    while !rest.is_empty() {
        // A piece ends where it is padded.
        let end = memchr::memchr(b'=', rest).map_or(rest.len(), |at| (at / 4 + 1) * 4);
        let (piece, behind) = rest.split_at_checked(end)?;
        STANDARD.decode_vec(piece, &mut bytes).ok()?;
        rest = behind;
    }
    Some(bytes)
}

/// An answer's body on its way into a form.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    form: Form,
    /// Bytes that don't fill a group of Base64 yet.
    carry: [u8; 2],
    carried: usize,
}

impl Writer {
    /// At the body's beginning.
    pub fn new(form: Form) -> Writer {
        Writer { form, carry: [0; 2], carried: 0 }
    }

    /// Takes a piece; what can be written is appended to `out`.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        if self.form == Form::Binary {
            out.extend_from_slice(piece);
            return;
        }
        if self.carried > 0 {
            let missing = 3 - self.carried;
            if piece.len() < missing {
                self.keep(piece);
                return;
            }
            let mut group = [0; 3];
            group[..self.carried].copy_from_slice(&self.carry[..self.carried]);
            group[self.carried..].copy_from_slice(&piece[..missing]);
            encode(&group, out);
            (self.carried, piece) = (0, &piece[missing..]);
        }
        let (groups, rest) = piece.split_at(piece.len() / 3 * 3);
        encode(groups, out);
        self.keep(rest);
    }

    fn keep(&mut self, rest: &[u8]) {
        self.carry[self.carried..self.carried + rest.len()].copy_from_slice(rest);
        self.carried += rest.len();
    }

    /// Appends what was held back, padded: whoever reads isn't to wait for it.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        encode(&self.carry[..self.carried], out);
        self.carried = 0;
    }

    /// Appends the last frame, which has these trailers, each with its line end.
    pub fn finish(&mut self, trailers: &[u8], out: &mut Vec<u8>) {
        let length = u32::try_from(trailers.len()).expect("trailers are limited").to_be_bytes();
        self.push(&[TRAILERS], out);
        self.push(&length, out);
        self.push(trailers, out);
        self.flush(out);
    }
}

fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[before..]);
    debug_assert_eq!(written.ok(), Some(out.len() - before));
}

/// The flag of a frame that has trailers in place of a message.
const TRAILERS: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::{Limits, parse_request};

    #[test]
    fn types_have_a_form() {
        for (kind, form) in [
            ("application/grpc-web", Some((Form::Binary, &b""[..]))),
            ("application/grpc-web+proto", Some((Form::Binary, b"+proto"))),
            ("application/grpc-web-text", Some((Form::Text, b""))),
            ("application/grpc-web-text+proto", Some((Form::Text, b"+proto"))),
            ("application/grpc-web-text;x=y", Some((Form::Text, b";x=y"))),
            ("application/grpc-webs", None),
            ("application/grpc", None),
            ("text/plain", None),
        ] {
            assert_eq!(Form::of(kind.as_bytes()), form, "{kind}");
            if let Some((form, rest)) = form {
                assert_eq!(form.kind(rest), kind.as_bytes());
            }
        }
    }

    #[test]
    fn a_request_says_what_it_wants() {
        for (fields, form) in [
            ("Content-Type: application/grpc-web", Some(Form::Binary)),
            ("Content-Type: application/grpc-web-text", Some(Form::Text)),
            ("Content-Type: application/grpc-web\r\nAccept: application/grpc-web-text", Some(Form::Text)),
            ("Content-Type: application/grpc-web-text\r\nAccept: */*, application/grpc-web+proto", Some(Form::Binary)),
            ("Content-Type: application/grpc-web-text\r\nAccept: */*", Some(Form::Text)),
            ("Accept: application/grpc-web-text", None),
        ] {
            let (mut head, text) = (RequestHead::default(), format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
            assert!(parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap());
            assert_eq!(Form::wanted(&head, text.as_bytes()), form, "{fields}");
        }
    }

    #[test]
    fn text_is_decoded_in_pieces() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("YQ==", Some(b"a")),
            ("YQ==YmM=ZGVm", Some(b"abcdef")),
            ("YWJj", Some(b"abc")),
            ("YQ=", None),
            ("YQ", None),
            ("Y===", None),
            ("YQ==Y", None),
            ("YR==", None),
            ("Y\nQ=", None),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_in_text_is_what_was_taken(pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), any::<bool>()), 0..20)) {
            let (mut text, mut binary) = (Writer::new(Form::Text), Writer::new(Form::Binary));
            let (mut written, mut plain) = (Vec::new(), Vec::new());
            for (piece, flush) in &pieces {
                text.push(piece, &mut written);
                binary.push(piece, &mut plain);
                if *flush {
                    text.flush(&mut written);
                    binary.flush(&mut plain);
                    prop_assert!(decode(&written).as_ref() == Some(&plain), "nothing is held back");
                }
            }
            text.finish(b"grpc-status: 0\r\n", &mut written);
            binary.finish(b"grpc-status: 0\r\n", &mut plain);
            prop_assert!(plain.ends_with(b"\x80\0\0\0\x10grpc-status: 0\r\n"));
            prop_assert_eq!(decode(&written), Some(plain));
        }
    }
}
