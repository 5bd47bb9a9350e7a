//! Laws: for any bytes nothing panics; what was written is read as what was meant; the slow walk and the fast scan agree.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::http1::write::{LAST_CHUNK_SIZE, chunk_prefix};
use crate::http1::{Chunked, refusal};

/// Bytes that come near to messages: pieces of them, in any order, and any bytes.
fn near_messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

const PIECES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: h\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 204\r\n",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, x\r\n",
    b"X: y\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b":",
    b"/",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b";",
    b"0",
    b"\0",
    b"\xff",
];

/// All of one length but the last two.
const REQUEST_LINES: &[&[u8]] = &[
    b"GET /0123456789 HTTP/1.1\r\n",
    b"GET http://e/12 HTTP/1.1\r\n",
    b"GET /0123456789 HTTP/1.0\r\n",
    b"POST /a?b=c HTTP/1.1\r\n\r\n",
    b"POST /a?b=c/78 HTTP/1.1\r\n",
    b"EXTENDEDVERB /a HTTP/1.1\r\n",
    b"CONNECT e:12345 HTTP/1.1\r\n",
    b"GET /#123456789 HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\n",
];

const LINES: &[&[u8]] = &[
    b"Host: good\r\nX: y\r\n\r\n",
    b"Host: good\r\nConnection: X\r\nX: y\r\nContent-Length: 5\r\n\r\n",
    b"Host: good\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n",
    b"X: y\r\n\r\n",
    b"\r\n",
];

proptest! {
    #[test]
    fn nothing_panics_and_prefixes_agree(bytes in near_messages()) {
        let limits = Limits { head: 120, headers: 4, uri: 10, chunk_extension: 6, trailers: 20 };
        for limits in [limits, Limits::default()] {
            let _ = request(&bytes, &limits);
            for method in [Method::Get, Method::Head] {
                let _ = response(&bytes, method, &limits);
            }
            let _ = Chunked::new(&limits).decode(&mut bytes.clone());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        let limits = Limits::default();
        let _ = parse_request(&bytes, &limits, &mut RequestHead::default());
        let _ = parse_response(&bytes, Method::Get, &limits, &mut ResponseHead::default());
        let _ = Chunked::new(&limits).decode(&mut bytes.clone());
    }

    #[test]
    fn what_was_read_before_changes_nothing(heads in vec(near_messages(), 1..6), repeats in vec(0..6usize, 0..12)) {
        let limits = Limits::default();
        let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
        for bytes in heads.iter().chain(repeats.iter().filter_map(|&at| heads.get(at))) {
            let mut fresh = RequestHead::default();
            let read = parse_request(bytes, &limits, &mut fresh);
            prop_assert_eq!(parse_request(bytes, &limits, &mut request), read);
            if read == Ok(true) {
                prop_assert_eq!(&request, &fresh);
            }
            let mut fresh = ResponseHead::default();
            let read = parse_response(bytes, Method::Get, &limits, &mut fresh);
            prop_assert_eq!(parse_response(bytes, Method::Get, &limits, &mut response), read);
            if read == Ok(true) {
                prop_assert_eq!(&response, &fresh);
            }
        }
    }

    #[test]
    fn the_same_lines_behind_another_request_line_mean_the_same(
        heads in vec((prop::sample::select(REQUEST_LINES), prop::sample::select(LINES), proptest::option::of(0..60usize)), 1..12),
    ) {
        let limits = Limits::default();
        let mut head = RequestHead::default();
        for (line, lines, cut) in heads {
            let bytes = [line, lines].concat();
            let bytes = &bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())];
            let mut fresh = RequestHead::default();
            let read = parse_request(bytes, &limits, &mut fresh);
            prop_assert_eq!(parse_request(bytes, &limits, &mut head), read);
            if read == Ok(true) {
                prop_assert_eq!(&head, &fresh);
            }
        }
    }

    #[test]
    fn lines_that_moved_are_read_where_they_are(
        paths in vec("/[a-z]{0,20}", 2..6), fields in vec(("[A-Za-z-]{1,12}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..8),
    ) {
        let mut head = RequestHead::default();
        for path in &paths {
            let mut text = format!("GET {path} HTTP/1.1\r\nHost: h\r\n");
            for (name, value) in &fields {
                text += &format!("X{name}: {value}\r\n");
            }
            text += "Connection: close, Xa\r\n\r\n";
            let mut fresh = RequestHead::default();
            prop_assert_eq!(parse_request(text.as_bytes(), &Limits::default(), &mut fresh), Ok(true));
            prop_assert_eq!(parse_request(text.as_bytes(), &Limits::default(), &mut head), Ok(true));
            prop_assert_eq!(&head, &fresh);
        }
    }

    #[test]
    fn what_is_accepted_httparse_reads_the_same(bytes in near_messages()) {
        let mut head = RequestHead::default();
        if parse_request(&bytes, &Limits::default(), &mut head) == Ok(true) {
            let mut storage = [httparse::EMPTY_HEADER; 100];
            let mut other = httparse::Request::new(&mut storage);
            prop_assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(head.length)));
            prop_assert_eq!(other.path.map(str::as_bytes), Some(head.target.of(&bytes)));
            let read: Vec<_> = head.fields.iter().map(|field| (field.name.of(&bytes), field.value.of(&bytes))).collect();
            let others: Vec<_> = other.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
            prop_assert_eq!(read, others);
        }
        let mut head = ResponseHead::default();
        if parse_response(&bytes, Method::Get, &Limits::default(), &mut head) == Ok(true) {
            let mut storage = [httparse::EMPTY_HEADER; 100];
            let mut other = httparse::Response::new(&mut storage);
            prop_assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(head.length)));
            prop_assert_eq!(other.code, Some(head.status));
            let read: Vec<_> = head.fields.iter().map(|field| (field.name.of(&bytes), field.value.of(&bytes))).collect();
            let others: Vec<_> = other.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
            prop_assert_eq!(read, others);
        }
    }

    #[test]
    fn the_walk_finds_no_fault_in_what_is_accepted(bytes in near_messages()) {
        let limits = Limits::default();
        if parse_request(&bytes, &limits, &mut RequestHead::default()) == Ok(true) {
            prop_assert_eq!(refusal::of_request(&bytes, &limits), None);
        }
    }

    #[test]
    fn a_written_request_is_read_as_it_was_meant(
        method in "[A-Z]{1,9}", path in "/[a-z0-9/%._-]{0,20}", query in proptest::option::of("[a-z=&?]{0,9}"),
        host in "[a-z0-9.-]{1,12}(:[0-9]{1,4})?",
        fields in vec(("[Xx]-[A-Za-z0-9]{0,12}", "([!-~]([ -~]{0,20}[!-~])?)?", "[ \t]{0,2}"), 0..12),
        length in proptest::option::of(0u64..1 << 50),
    ) {
        prop_assume!(method != "CONNECT");
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value, space) in &fields {
            text += &format!("{name}:{space}{value}{space}\r\n");
        }
        if let Some(length) = length {
            text += &format!("Content-Length: {length}\r\n");
        }
        text += "\r\n";
        let bytes = text.as_bytes();
        let head = request(bytes, &Limits::default()).unwrap().unwrap();
        prop_assert_eq!(head.method_name.of(bytes), method.as_bytes());
        prop_assert_eq!(head.path.of(bytes), path.as_bytes());
        prop_assert_eq!(head.has_query.then(|| head.query.of(bytes)), query.as_ref().map(String::as_bytes));
        prop_assert_eq!(head.host.of(bytes), host.as_bytes());
        prop_assert_eq!(head.framing, length.map_or(Framing::None, Framing::Length));
        prop_assert_eq!(head.length, bytes.len());
        let read: Vec<_> = head.fields[1..=fields.len()].iter().map(|f| (f.name.of(bytes), f.value.of(bytes), f.hop)).collect();
        let meant: Vec<_> = fields.iter().map(|(name, value, _)| (name.as_bytes(), value.as_bytes(), false)).collect();
        prop_assert_eq!(read, meant);

        // Written anew from its spans, it still means the same.
        let mut again = [head.method_name.of(bytes), b" ", head.target.of(bytes), b" HTTP/1.1\r\n"].concat();
        for field in &head.fields {
            again.extend_from_slice(&[field.name.of(bytes), b": ", field.value.of(bytes), b"\r\n"].concat());
        }
        again.extend_from_slice(b"\r\n");
        let second = request(&again, &Limits::default()).unwrap().unwrap();
        prop_assert_eq!((second.framing, second.connection, second.method), (head.framing, head.connection, head.method));
        prop_assert_eq!(second.path.of(&again), head.path.of(bytes));
        prop_assert_eq!(second.fields.len(), head.fields.len());
        for (new, old) in second.fields.iter().zip(&head.fields) {
            prop_assert_eq!((new.name.of(&again), new.value.of(&again)), (old.name.of(bytes), old.value.of(bytes)));
        }
    }

    #[test]
    fn chunks_written_are_read_back_under_any_split(
        chunks in vec(vec(any::<u8>(), 1..80), 0..8), cuts in vec(1usize..40, 1..200),
        trailers in vec(("X-[a-z]{1,5}", "[!-~]{0,9}"), 0..3),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(chunk_prefix(chunk.len(), &mut [0; 18]));
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        wire.extend_from_slice(&[LAST_CHUNK_SIZE, lines.as_bytes(), b"\r\n"].concat());
        let end = wire.len();
        wire.extend_from_slice(b"next message");

        let mut chunked = Chunked::new(&Limits::default());
        let (mut body, mut at) = (Vec::new(), 0);
        for cut in cuts.iter().chain(std::iter::repeat(&1)) {
            let mut buf = wire[at..(at + cut).min(wire.len())].to_vec();
            let decoded = chunked.decode(&mut buf).unwrap();
            body.extend_from_slice(&buf[..decoded.data]);
            at += decoded.consumed;
            if decoded.done {
                break;
            }
            prop_assert_eq!(decoded.consumed, buf.len());
        }
        prop_assert_eq!(at, end);
        prop_assert_eq!(body, chunks.concat());
        prop_assert_eq!(chunked.trailers(), lines.as_bytes());
    }
}
