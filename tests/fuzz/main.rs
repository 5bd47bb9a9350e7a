//! Fuzzing of the wire formats: seeded mutations of a corpus, checked against invariants and naive readers.
//!
//! `FUZZ_ITERATIONS` says how many messages each test makes. A failure prints the seed of its message;
//! `FUZZ_SEED=that FUZZ_ITERATIONS=1` makes the same one again.

mod cache;
mod corpus;
mod naive;

use std::fmt::Debug;

use ringway::error::Reason;
use ringway::http::{Field, Framing, Method, RequestHead, ResponseHead, Version};
use ringway::http1::{Chunked, Limits, parse_request, parse_response};

#[test]
fn requests() {
    let mut head = RequestHead::default();
    for_each_seed("requests", |draw| {
        let limits = draw.limits();
        let bytes = draw.mutant(corpus::HEADS);
        let whole = consistent(draw, &bytes, |bytes| {
            let done = parse_request(bytes, &limits, &mut head)?;
            Ok(done.then(|| head.clone()))
        });
        let Ok(Some(head)) = whole else { return };
        let text = &bytes[..head.length];
        assert!(head.length <= limits.head && head.fields.len() <= limits.headers && head.target.of(text).len() <= limits.uri);
        let naive = naive::head(text);
        check_fields(&naive, text, &head.fields);
        let version = if head.version == Version::Http11 { &b" HTTP/1.1"[..] } else { b" HTTP/1.0" };
        assert_eq!(naive.line, [head.method_name.of(text), b" ", head.target.of(text), version].concat());
        assert!(head.target.of(text).iter().all(|b| b.is_ascii_graphic() && *b != b'#'));
        assert!(matches!(head.path.of(text), b"*" | [b'/', ..]));
        assert_ne!(head.method, Method::Connect);

        let (lengths, codings, hosts) = (naive.all("content-length"), naive.all("transfer-encoding"), naive.all("host"));
        assert!(lengths.is_empty() || codings.is_empty(), "both lengths and codings");
        assert!(hosts.len() <= 1 && (hosts.len() == 1 || head.version == Version::Http10));
        match head.framing {
            Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
            Framing::Length(length) => assert!(lengths.iter().all(|value| *value == length.to_string().as_bytes())),
            Framing::Chunked => {
                assert_eq!(codings.len(), 1);
                assert!(codings[0].eq_ignore_ascii_case(b"chunked") && head.version == Version::Http11);
            }
            Framing::UntilClose => panic!("a request until close"),
        }
    });
}

#[test]
fn responses() {
    let mut head = ResponseHead::default();
    for_each_seed("responses", |draw| {
        let limits = draw.limits();
        let bytes = draw.mutant(corpus::HEADS);
        let method = draw.one_of(&[Method::Get, Method::Head, Method::Connect]);
        let whole = consistent(draw, &bytes, |bytes| {
            let done = parse_response(bytes, method, &limits, &mut head)?;
            Ok(done.then(|| head.clone()))
        });
        let head = match whole {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(reason) => {
                let own = [Reason::BadResponseHead, Reason::BadResponseFraming, Reason::ResponseHeadTooLarge];
                assert!(own.contains(&reason), "{reason:?}");
                return;
            }
        };
        let text = &bytes[..head.length];
        assert!(head.length <= limits.head && head.fields.len() <= limits.headers && head.status >= 100);
        let naive = naive::head(text);
        check_fields(&naive, text, &head.fields);
        let start = [&naive.line[..8], b" ", head.status.to_string().as_bytes()].concat();
        assert!(naive.line.starts_with(&start) && naive.line.ends_with(head.phrase.of(text)));

        let (lengths, codings) = (naive.all("content-length"), naive.all("transfer-encoding"));
        assert!(lengths.is_empty() || codings.is_empty(), "both lengths and codings");
        assert!(codings.is_empty() || head.version == Version::Http11);
        match head.framing {
            Framing::None => assert!(head.status < 200 || [204, 304].contains(&head.status) || method != Method::Get),
            Framing::Length(length) => {
                assert!(lengths.iter().all(|value| std::str::from_utf8(value).unwrap().parse() == Ok(length)));
            }
            Framing::Chunked => assert!(codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked")),
            Framing::UntilClose => assert!(lengths.is_empty() && codings.is_empty() && !head.connection.keep_alive),
        }
    });
}

#[test]
fn chunked_bodies() {
    for_each_seed("chunked_bodies", |draw| {
        let limits = draw.limits();
        let bytes = draw.mutant(corpus::BODIES);
        let whole = decode(&bytes, &limits, || usize::MAX);
        let split = decode(&bytes, &limits, || 1 + draw.below(9));
        assert_eq!(whole, split, "whole and split");
        if let Ok(Some((data, consumed, trailers))) = whole {
            assert_eq!(Some((data, consumed)), naive::chunked(&bytes));
            assert!(trailers.len() <= limits.trailers && (trailers.is_empty() || trailers.ends_with(b"\r\n")));
        }
    });
}

/// Data, bytes used up and trailers; `None` if the body isn't complete.
type Body = Option<(Vec<u8>, usize, Vec<u8>)>;

fn decode(bytes: &[u8], limits: &Limits, mut next: impl FnMut() -> usize) -> Result<Body, Reason> {
    let mut chunked = Chunked::new(limits);
    let (mut data, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let mut buf = bytes[at..].iter().copied().take(next()).collect::<Vec<_>>();
        let decoded = chunked.decode(&mut buf)?;
        assert!(decoded.data <= decoded.consumed && decoded.consumed <= buf.len());
        data.extend_from_slice(&buf[..decoded.data]);
        at += decoded.consumed;
        if decoded.done {
            return Ok(Some((data, at, chunked.trailers().to_vec())));
        }
        assert_eq!(decoded.consumed, buf.len());
    }
    Ok(None)
}

/// Parses whole, and checks that parts of the bytes and more bytes behind them lead to the same end.
fn consistent<T: Debug + PartialEq>(
    draw: &mut Draw,
    bytes: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<Option<T>, Reason>,
) -> Result<Option<T>, Reason> {
    let whole = parse(bytes);
    let mut cuts: Vec<usize> = (0..6).map(|_| draw.below(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut ended = false;
    for cut in cuts {
        let part = parse(&bytes[..cut]);
        ended |= part != Ok(None);
        assert!(!ended || part == whole, "{cut} bytes give {part:?}, all {whole:?}");
    }
    if whole != Ok(None) {
        let more = [bytes, draw.one_of(corpus::PIECES)].concat();
        assert_eq!(parse(&more), whole, "with more behind");
    }
    whole
}

fn check_fields(naive: &naive::Head<'_>, text: &[u8], fields: &[Field]) {
    assert_eq!(naive.fields.len(), fields.len());
    for ((name, value), field) in naive.fields.iter().zip(fields) {
        assert_eq!((&field.name.of(text).to_ascii_lowercase(), field.value.of(text)), (name, *value));
        assert!(field.hop || name != b"transfer-encoding" && name != b"connection");
    }
}

/// Runs a test for each seed, and says which one if it fails.
fn for_each_seed(name: &str, mut test: impl FnMut(&mut Draw)) {
    let first = number("FUZZ_SEED").unwrap_or(0);
    for seed in first..first + number("FUZZ_ITERATIONS").unwrap_or(20_000) {
        let told = Told { name, seed };
        test(&mut Draw { state: seed });
        std::mem::forget(told);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

struct Told<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("to replay: FUZZ_SEED={} FUZZ_ITERATIONS=1 cargo test --test fuzz {}", self.seed, self.name);
    }
}

/// Chance from a seed (splitmix64).
struct Draw {
    state: u64,
}

impl Draw {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn limits(&mut self) -> Limits {
        match self.below(4) {
            0 => Limits { head: 60 + self.below(100), headers: self.below(6), uri: self.below(30), chunk_extension: 9, trailers: 16 },
            _ => Limits::default(),
        }
    }

    /// A message of the corpus with up to five changes.
    fn mutant(&mut self, corpus: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.one_of(corpus).to_vec();
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] = self.next() as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..end)),
                3 => bytes.extend_from_within(at..end),
                4 => drop(bytes.splice(at..end, self.one_of(corpus::PIECES).iter().copied())),
                5 => {
                    // Between lines, where a whole line does most.
                    let ends: Vec<usize> = bytes.windows(2).enumerate().filter(|(_, two)| two == b"\r\n").map(|(at, _)| at + 2).collect();
                    let at = if ends.is_empty() { 0 } else { self.one_of(&ends) };
                    drop(bytes.splice(at..at, self.one_of(corpus::PIECES).iter().copied()));
                }
                6 => bytes.truncate(at),
                _ => drop(bytes.splice(at..at, self.one_of(corpus::PIECES).iter().copied())),
            }
        }
        bytes
    }
}
