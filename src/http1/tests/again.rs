//! Laws: heads that are written with what is known of those before are the heads that are written without.

use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::http::{
    Additions, Changes, Edits, RequestOut, RequestWriter, ResponseOut, ResponseWriter, Sender, Version, write_request, write_response,
};

const REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "GET /a?b HTTP/1.1\r\n",
    "GET http://e/a HTTP/1.1\r\n",
    "GET /a HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "\r\nPOST /a HTTP/1.1\r\n",
    "GET /#a HTTP/1.1\r\n",
];

const REQUEST_LINES_BEHIND: &[&str] = &[
    "Host: h\r\n\r\n",
    "Host: h\r\nX-Request-ID: theirs\r\nX-Forwarded-For: 192.0.2.9\r\nConnection: X\r\nX: y\r\n\r\n",
    "Host: h\r\nX-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\nContent-Length: 5\r\n\r\n",
    "Transfer-Encoding: chunked\r\nHost: h\r\nTE: trailers\r\n\r\n",
    "Upgrade: x\r\nConnection: upgrade\r\nHost: h\r\n\r\n",
    "X: y\r\n\r\n",
    "\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
    "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nConnection: X\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.0 200\r\nServer: x\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
];

/// Rules by number: edits and additions.
fn rules() -> [(Edits, Additions); 3] {
    let all = Additions { x_forwarded: true, forwarded: true, request_id: true, ..Additions::default() };
    let mut edits = Edits::default();
    edits.set("X", "z");
    [(Edits::default(), all.clone()), (edits, all), (Edits::default(), Additions::default())]
}

/// Changes by number, with a value of this message's own.
fn changes(number: usize, own: u8) -> Changes {
    let mut changes = Changes::default();
    if number & 1 != 0 {
        changes.add("X-Own", &[own; 3]);
    }
    if number & 2 != 0 {
        changes.set("X", &[own]);
    }
    changes
}

#[derive(Clone, Debug)]
struct Ask {
    line: &'static str,
    lines: &'static str,
    path: Option<&'static str>,
    host: Option<&'static str>,
    rules: usize,
    changes: usize,
    id: u8,
    /// Another connection begins.
    new: bool,
}

fn ask() -> impl Strategy<Value = Ask> {
    let parts = (prop::sample::select(REQUEST_LINES), prop::sample::select(REQUEST_LINES_BEHIND));
    let rewritten = (option::weighted(0.1, Just("/p")), option::weighted(0.1, Just("o")));
    (parts, rewritten, 0..3usize, 0..4usize, b'a'..b'e', prop::bool::weighted(0.05))
        .prop_map(|((line, lines), (path, host), rules, changes, id, new)| Ask { line, lines, path, host, rules, changes, id, new })
}

/// A few different ones, each several times in a row, as clients send them.
fn repeated<T: Clone + std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    vec((one, 1..5usize), 1..6).prop_map(|runs| runs.into_iter().flat_map(|(one, times)| std::iter::repeat_n(one, times)).collect())
}

proptest! {
    #[test]
    fn requests(asks in repeated(ask()), swap in vec(0..24usize, 0..6), trusted in any::<bool>()) {
        let all = rules();
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut sender = Sender::new(client, "80", false);
        sender.trusted = trusted;
        let (mut head, mut writer) = (RequestHead::default(), RequestWriter::default());
        for ask in asks.iter().chain(swap.iter().filter_map(|&at| asks.get(at))) {
            if ask.new {
                writer.clear();
            }
            let bytes = [ask.line, ask.lines].concat();
            let bytes = bytes.as_bytes();
            if parse_request(bytes, &Limits::default(), &mut head) != Ok(true) {
                continue;
            }
            let id = [ask.id; 32];
            let (edits, additions) = &all[ask.rules];
            let request = RequestOut {
                query: (ask.id % 3 == 0).then_some(&b"k=v"[..]),
                head: &head,
                bytes,
                path: ask.path.map(str::as_bytes),
                host: ask.host.map(str::as_bytes),
                edits,
                changes: &changes(ask.changes, ask.id),
                additions,
                sender: &sender,
                client,
                request_id: &id,
                sized: ask.id % 5 == 0,
            };
            let (mut long, mut out) = (b"before".to_vec(), b"before".to_vec());
            write_request(&mut long, &request);
            writer.write(&mut out, &request, (1, ask.rules));
            prop_assert_eq!(out.escape_ascii().to_string(), long.escape_ascii().to_string());
        }
    }

    #[test]
    fn responses(
        answers in repeated((prop::sample::select(RESPONSES), 0..2usize, 0..4usize, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())),
        swap in vec(0..24usize, 0..6),
    ) {
        let all = rules();
        let (mut head, mut writer) = (ResponseHead::default(), ResponseWriter::default());
        let mut second = b'a';
        for &(bytes, rules, changed, keep_alive, old, to_head, chunked) in answers.iter().chain(swap.iter().filter_map(|&at| answers.get(at))) {
            second += 1;
            let date = format!("Date: Thu, 01 Jan 1970 00:0:{second:03} GMT\r\n");
            let method = if to_head { Method::Head } else { Method::Get };
            prop_assert_eq!(parse_response(bytes.as_bytes(), method, &Limits::default(), &mut head), Ok(true));
            let response = ResponseOut {
                head: &head,
                bytes: bytes.as_bytes(),
                framing: if chunked { Framing::Chunked } else { head.framing },
                keep_length: to_head,
                edits: &all[rules].0,
                changes: &changes(changed, second),
                version: if old { Version::Http10 } else { Version::Http11 },
                keep_alive,
                date: date.as_bytes(),
            };
            let (mut long, mut out) = (b"before".to_vec(), b"before".to_vec());
            write_response(&mut long, &response);
            writer.write(&mut out, &response, (1, rules));
            prop_assert_eq!(out.escape_ascii().to_string(), long.escape_ascii().to_string());
        }
    }
}
