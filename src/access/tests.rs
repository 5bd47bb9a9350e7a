//! Laws: a record is read as it was written, and its line is one line that says the same, whatever is in it.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::record::TEXT_MAX;
use super::*;
use crate::error::Reason;
use crate::http::{RequestHead, Span, Version};
use crate::http2::grpc;
use crate::middleware::{AccessLog, Field, LineFormat};

/// What texts are made of: words, quotes, line ends, bytes that are no UTF-8.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-z/.=& \"\\\\-]{1,9}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec![&b"\n"[..], b"\r", b"\xff", b"\0", b"\xc3\xa4"]).prop_map(<[u8]>::to_vec),
    ];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(|bits| IpAddr::from(bits).to_canonical())]
}

/// The numbers of a record; its texts come from elsewhere.
fn numbers() -> impl Strategy<Value = Record<'static>> {
    let some = (any::<u16>(), 0..4_000_000_000_000_000u64, 0..1000u16, any::<bool>(), any::<bool>());
    let reason = (prop::option::of(prop::sample::select(Reason::ALL)), prop::option::of(0..17u8));
    let time = || prop::option::of(0..u32::MAX);
    let rest = (reason, any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>(), time(), time(), address(), address());
    (some, rest).prop_map(|((core, at_us, status, upstream_status, old), rest)| {
        let ((reason, grpc_status), attempts, bytes_in, bytes_out, all, connect, first_byte, client, peer) = rest;
        Record {
            log: 0,
            core,
            at_us,
            status,
            grpc_status,
            upstream_status,
            reason,
            version: if old { Version::Http10 } else { Version::Http11 },
            http2: !old && status % 2 == 1,
            attempts,
            bytes_in,
            bytes_out,
            times: Times { all, connect, first_byte },
            client,
            peer,
            request_id: b"",
            traceparent: b"",
            line: Line::default(),
            route: Some(1),
            upstream: None,
            host: b"",
            endpoint: b"",
            cache: b"",
            rate_limit: b"",
            identity: b"",
            user_agent: b"",
        }
    })
}

/// Any record without texts, always the same.
fn some_numbers() -> Record<'static> {
    numbers().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

fn with<'a>(record: &Record<'a>, texts: &'a [Vec<u8>]) -> Record<'a> {
    let [request_id, traceparent, host, endpoint, cache, rate_limit, identity, user_agent] = texts else { panic!("8 texts") };
    Record { request_id, traceparent, host, endpoint, cache, rate_limit, identity, user_agent, ..*record }
}

/// A request line up to the end of its query.
fn asked<'a>(method: &str, path: &str, query: &str, bytes: &'a mut Vec<u8>) -> Line<'a> {
    *bytes = format!("before {method} {path}?{query} HTTP/1.1").into_bytes();
    let span = |start: usize, length: usize| Span { start: start as u32, end: (start + length) as u32 };
    let mut head = RequestHead { method_name: span(7, method.len()), has_query: true, ..RequestHead::default() };
    head.path = span(8 + method.len(), path.len());
    head.query = span(9 + method.len() + path.len(), query.len());
    Line::of(&head, bytes, true)
}

fn names(log: &AccessLog) -> Names {
    Names { generation: 7, logs: vec![log.clone()], routes: vec!["a".into(), "b c".into()], upstreams: vec![] }
}

fn line(log: &AccessLog, record: &Record<'_>) -> String {
    let (mut lines, mut line) = (Lines::default(), Vec::new());
    // What is remembered of one line must not show in the next.
    let before = Record { at_us: 5, client: [9, 9, 9, 9].into(), peer: [8; 16].into(), ..*record };
    lines.write(&mut line, &names(log), &before);
    line.clear();
    line.extend_from_slice(b"before");
    lines.write(&mut line, &names(log), record);
    String::from_utf8(line).unwrap().split_off(6)
}

fn log(format: LineFormat) -> AccessLog {
    AccessLog { format, query: true, ..AccessLog::default() }
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(all in vec((numbers(), vec(text(), 8)), 1..4), limit in 0..2000usize, cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        let mut fitting = Vec::new();
        for (numbers, texts) in &all {
            let record = with(numbers, texts);
            let before = bytes.len();
            if record.encode(&mut bytes, limit) {
                fitting.push(record);
            } else {
                prop_assert_eq!(bytes.len(), before);
            }
            prop_assert!(bytes.len() <= limit);
        }
        let mut rest = &bytes[..];
        for record in &fitting {
            prop_assert_eq!(Record::decode(&mut rest), Some(*record));
        }
        prop_assert_eq!(Record::decode(&mut rest), None);
        // Whatever is cut off or changed: no panic, and what there is before the cut.
        let mut rest = &bytes[..cut.index(bytes.len() + 1)];
        let mut read = 0;
        while let Some(record) = Record::decode(&mut rest) {
            prop_assert_eq!(record, fitting[read]);
            read += 1;
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200), length in 0..200u32) {
        let bytes = [&length.to_le_bytes()[..], &bytes].concat();
        let mut rest = &bytes[..];
        while Record::decode(&mut rest).is_some() {}
    }

    #[test]
    fn a_json_line_says_what_the_record_says(numbers in numbers(), texts in vec(text(), 8), parts in ("[!-~]{1,9}", "[!-~]{0,20}", "[!-~]{0,20}")) {
        let mut bytes = Vec::new();
        let record = Record { line: asked(&parts.0, &parts.1, &parts.2, &mut bytes), ..with(&numbers, &texts) };
        let line = line(&log(LineFormat::Json), &record);
        prop_assert!(line.ends_with('\n') && line.matches('\n').count() == 1 && !line.contains('\r'));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(read["dur_us"].as_u64(), Some(u64::from(record.times.all)));
        prop_assert_eq!(read["ttfb_us"].as_u64(), record.times.first_byte.map(u64::from));
        prop_assert_eq!(read["reason"].as_str(), record.reason.map(Reason::code));
        prop_assert_eq!(read["grpc_status"].as_str(), record.grpc_status.map(|status| grpc::NAMES[usize::from(status)]));
        prop_assert_eq!(read["client_ip"].as_str(), Some(&*record.client.to_string()));
        prop_assert_eq!(read["peer_ip"].as_str(), Some(&*record.peer.to_string()));
        let mut moment = String::new();
        crate::clock::write_rfc3339(&mut moment, record.at_us / 1000);
        prop_assert_eq!(read["ts"].as_str(), Some(&*moment));
        prop_assert_eq!((read["route"].as_str(), read["config_gen"].as_u64()), (Some("b c"), Some(7)));
        let texts = [("user_agent", record.user_agent), ("identity", record.identity), ("method", parts.0.as_bytes()), ("path", parts.1.as_bytes())];
        for (name, text) in texts {
            prop_assert_eq!(read[name].as_str().unwrap_or_default(), String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_text_line_is_one_line_whose_values_end_where_they_should(numbers in numbers(), texts in vec(text(), 8), path in "[!-~]{0,20}") {
        let mut bytes = Vec::new();
        let record = Record { line: asked("GET", &path, &path, &mut bytes), ..with(&numbers, &texts) };
        let line = line(&log(LineFormat::Text), &record);
        let (line, end) = line.split_at(line.len() - 1);
        prop_assert!(end == "\n" && line.chars().all(|character| character.is_ascii_graphic() || character == ' '), "{}", line);
        // Outside of quotes each word but the first is a pair, and its name is that of a field.
        let (mut names, mut quoted, mut escaped, mut word) = (Vec::new(), false, false, String::new());
        for character in line.chars().chain([' ']) {
            match character {
                ' ' if !quoted => names.push(std::mem::take(&mut word)),
                '"' if !escaped => quoted = !quoted,
                other if !quoted => word.push(other),
                _ => {}
            }
            escaped = character == '\\' && !escaped;
        }
        prop_assert!(!quoted);
        for word in &names[1..] {
            let name = word.split('=').next().unwrap();
            prop_assert!(Field::ALL.iter().any(|field| field.name() == name), "{} in {}", word, line);
        }
    }
}

#[test]
fn only_the_fields_asked_for_in_their_order() {
    let mut bytes = Vec::new();
    let record = Record { status: 204, line: asked("GET", "/p", "q", &mut bytes), ..some_numbers() };
    let some = AccessLog { fields: vec![Field::Status, Field::Path], ..AccessLog::default() };
    assert_eq!(line(&some, &record), "{\"status\":204,\"path\":\"/p\"}\n");
    let text = AccessLog { format: LineFormat::Text, ..some };
    assert_eq!(line(&text, &record), "status=204 path=/p\n");
}

#[test]
fn secrets_in_a_query_are_hidden() {
    let numbers = some_numbers();
    let log = AccessLog { fields: vec![Field::Query], query: true, secret_query: vec!["PIN".into()], ..AccessLog::default() };
    let cases = [
        ("a=1&token=s3cret&b", "a=1&token=***&b"),
        ("PassWord=s3cret", "PassWord=***"),
        ("pin=s3cret&pins=1", "pin=***&pins=1"),
        ("%74oken=s3cret", "%74oken=***"),
        ("key=s3=cret&=x", "key=***&=x"),
        ("%zz=1&%=2", "%zz=1&%=2"),
    ];
    for (query, shown) in cases {
        let mut bytes = Vec::new();
        assert_eq!(line(&log, &Record { line: asked("GET", "/", query, &mut bytes), ..numbers }), format!("{{\"query\":\"{shown}\"}}\n"));
    }
}

#[test]
fn a_trace_is_told_by_its_id() {
    let numbers = some_numbers();
    let log = AccessLog { fields: vec![Field::TraceId], ..AccessLog::default() };
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{id}-00f067aa0ba902b7-01");
    assert_eq!(line(&log, &Record { traceparent: traceparent.as_bytes(), ..numbers }), format!("{{\"trace_id\":\"{id}\"}}\n"));
    assert_eq!(line(&log, &Record { traceparent: b"00-secret-x-y", ..numbers }), "{}\n");
}

#[test]
fn a_text_that_is_too_long_is_cut_and_a_full_journal_drops() {
    let numbers = some_numbers();
    let long = vec![b'a'; TEXT_MAX + 1];
    let record = Record { host: &long, ..numbers };
    let names = Arc::new(names(&AccessLog::default()));
    let mut one = Vec::new();
    assert!(record.encode(&mut one, usize::MAX));
    let limit = 2 * one.len();
    let mut journal = Journal::new(limit, names.clone());
    assert!(journal.add(&record) && journal.is_full() && journal.add(&record) && !journal.add(&record));
    let batch = journal.take(Vec::with_capacity(limit));
    assert_eq!((batch.count, batch.records.capacity(), journal.is_empty()), (2, limit, true), "the buffer never grows");
    assert_eq!(Record::decode(&mut &batch.records[..]).unwrap().host.len(), TEXT_MAX);
    assert!(journal.add(&record));
    let others = Arc::new(Names::default());
    assert!(journal.is_of(&names) && journal.reopen(others.clone()) == 1 && journal.is_of(&others) && journal.is_empty());
}
