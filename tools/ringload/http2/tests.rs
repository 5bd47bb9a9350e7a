//! A connection by the bytes of both sides.

use super::*;
use crate::tally::{Failure, Outcome};

const GET: &[u8] = &[0x82];
/// `:status: 200`, and 404.
const OK: &[u8] = &[0x88];
const NOT_FOUND: &[u8] = &[0x8d];

fn block() -> Block {
    Block { first: [GET, b"\x40\x01a\x01b"].concat(), next: [GET, &[0xbe]].concat(), plain: [GET, b"\x00\x01a\x01b"].concat() }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, kind, flags, stream, payload);
    out
}

/// What a peer begins with, whose settings are these.
fn begin(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(frame::SETTINGS, 0, 0, &payload)
}

/// A session that has begun, with so many requests under way.
fn session(calls: bool, settings: &[(u16, u32)], requests: usize) -> Session {
    let mut session = Session::new(calls);
    take(&mut session, &begin(settings)).unwrap();
    let mut out = Vec::new();
    session.write_owed(b"", &mut out);
    assert!(out.starts_with(frame::PREFACE) && out.ends_with(&frame(frame::SETTINGS, frame::ACK, 0, b"")));
    (0..requests).for_each(|_| session.write(&block(), false, b"", &mut out));
    session
}

fn take(session: &mut Session, bytes: &[u8]) -> Result<Vec<(usize, Outcome)>, Fault> {
    let mut ends = Vec::new();
    let used = session.take(bytes, |place, outcome| ends.push((place, outcome)))?;
    assert_eq!(used, bytes.len());
    Ok(ends)
}

/// All that a session has to send, as types, flags and payloads.
fn owed(session: &mut Session, body: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let (mut out, mut frames) = (Vec::new(), Vec::new());
    session.write_owed(body, &mut out);
    read(&out, &mut frames);
    frames
}

fn read(mut bytes: &[u8], frames: &mut Vec<(u8, u8, u32, Vec<u8>)>) {
    while let Some(head) = frame::Head::read(bytes) {
        frames.push((head.kind, head.flags, head.stream, bytes[9..9 + head.length].to_vec()));
        bytes = &bytes[9 + head.length..];
    }
}

#[test]
fn answers_come_in_any_order_and_however_they_are_cut() {
    let answers = [
        frame(frame::HEADERS, frame::END_HEADERS, 5, &[OK, b"\x0f\x0d\x01\x33"].concat()),
        frame(frame::DATA, 0, 5, b"ab"),
        // An interim answer (103), then a head in two pieces with padding and priority.
        frame(frame::HEADERS, frame::END_HEADERS, 1, b"\x08\x03103"),
        frame(frame::HEADERS, frame::PADDED | frame::PRIORITY, 1, &[2, 0, 0, 0, 0, 9, 0, 0]),
        frame(frame::CONTINUATION, frame::END_HEADERS, 1, NOT_FOUND),
        frame(frame::DATA, frame::PADDED | frame::END_STREAM, 5, b"\x03c\0\0\0"),
        frame(9 + 99, 7, 0, b"unknown"),
        frame(frame::HEADERS, frame::END_HEADERS | frame::END_STREAM, 3, &[0x89]),
        frame(frame::DATA, frame::END_STREAM, 1, b""),
    ]
    .concat();
    for size in [1, 2, 10, 11, answers.len()] {
        let (mut session, mut kept, mut ends) = (session(false, &[], 3), Vec::new(), Vec::new());
        for piece in answers.chunks(size) {
            kept.extend_from_slice(piece);
            let used = session.take(&kept, |place, outcome| ends.push((place, outcome))).unwrap();
            kept.drain(..used);
        }
        assert_eq!(ends, [(2, Outcome::Answer(200)), (1, Outcome::Answer(204)), (0, Outcome::Answer(404))], "{size}");
        assert!(session.streams.is_empty() && kept.is_empty());
    }
}

#[test]
fn requests_are_short_once_the_table_holds_what_they_share() {
    let heads = |settings: &[(u16, u32)]| -> Vec<Vec<u8>> {
        let (mut session, mut out, mut frames) = (session(false, settings, 0), Vec::new(), Vec::new());
        (0..3).for_each(|_| session.write(&block(), false, b"", &mut out));
        read(&out, &mut frames);
        assert_eq!(
            frames.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect::<Vec<_>>(),
            [(1, 5, 1), (1, 5, 3), (1, 5, 5)]
        );
        frames.into_iter().map(|(.., head)| head).collect()
    };
    assert_eq!(heads(&[]), [block().first, block().next, block().next]);
    assert_eq!(heads(&[(1, 4000)]), [[&[0x20], block().plain.as_slice()].concat(), block().plain, block().plain]);
    let (long, mut out, mut frames) = (vec![7; 40_000], Vec::new(), Vec::new());
    frame::write_head(&mut out, 1, true, &long);
    read(&out, &mut frames);
    let told: Vec<_> = frames.iter().map(|(kind, flags, _, piece)| (*kind, *flags, piece.len())).collect();
    assert_eq!(told, [(1, 1, 16_384), (9, 0, 16_384), (9, 4, 7232)]);
}

#[test]
fn the_peers_limits_are_kept() {
    let mut session = session(false, &[(3, 2), (4, 10), (5, 20_000)], 0);
    assert_eq!(session.room(), 2);
    let (body, mut out, mut frames) = (vec![b'x'; 100_000], Vec::new(), Vec::new());
    session.write(&block(), false, &body, &mut out);
    session.write(&block(), false, &body, &mut out);
    read(&out, &mut frames);
    assert_eq!((session.room(), frames[1].3.len(), frames[3].3.len(), session.owes()), (0, 10, 10, false));
    // A larger window for all, then for one; the connection's is 65,535 in all.
    take(&mut session, &begin(&[(4, 30_000)])).unwrap();
    assert_eq!(owed(&mut session, &body).iter().map(|frame| frame.3.len()).collect::<Vec<_>>(), [0, 20_000, 9990, 20_000, 9990]);
    assert!(!session.owes());
    take(&mut session, &frame(frame::WINDOW_UPDATE, 0, 3, &70_000u32.to_be_bytes())).unwrap();
    let lengths =
        |session: &mut Session| owed(session, &vec![b'x'; 100_000]).iter().map(|frame| (frame.1, frame.3.len())).collect::<Vec<_>>();
    assert_eq!(lengths(&mut session), [(0, 5535)]);
    take(&mut session, &frame(frame::WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes())).unwrap();
    assert_eq!(lengths(&mut session), [(0, 20_000), (0, 20_000), (0, 20_000), (1, 4465)]);
    assert_eq!(session.unsent, 1);
    // Who is answered needs no more of it.
    assert_eq!(take(&mut session, &frame(frame::HEADERS, 5, 1, NOT_FOUND)), Ok(vec![(0, Outcome::Answer(404))]));
    assert_eq!(owed(&mut session, &body), [(frame::RST_STREAM, 0, 1, vec![0, 0, 0, 8])]);
    assert_eq!((session.unsent, session.room()), (0, 1));
}

#[test]
fn windows_are_opened_again_as_answers_are_read() {
    let mut session = session(false, &[], 1);
    take(&mut session, &frame(frame::HEADERS, frame::END_HEADERS, 1, OK)).unwrap();
    let piece = frame(frame::DATA, 0, 1, &[0; 16_384]);
    let (mut opened, mut all) = ([0u64; 2], 0u64);
    for _ in 0..5000 {
        take(&mut session, &piece).unwrap();
        all += 16_384;
        for (kind, _, stream, payload) in owed(&mut session, b"") {
            assert_eq!(kind, frame::WINDOW_UPDATE);
            opened[stream as usize] += u64::from(frame::number(&payload).unwrap());
        }
        for (opened, window) in opened.iter().zip([CONNECTION_WINDOW, STREAM_WINDOW]) {
            assert!(*opened <= all && all - opened < u64::from(window) / 2 + 16_384);
        }
    }
    assert_eq!(take(&mut session, &frame(frame::DATA, frame::END_STREAM, 1, b"")), Ok(vec![(0, Outcome::Answer(200))]));
}

#[test]
fn streams_that_end_early_are_told_by_their_kind() {
    let mut session = session(false, &[], 5);
    let failure = |failure| Outcome::Failure(failure);
    assert_eq!(take(&mut session, &frame(frame::RST_STREAM, 0, 3, &[0, 0, 0, 7])), Ok(vec![(1, failure(Failure::Refused))]));
    assert_eq!(session.take_note().unwrap(), "the target reset a stream: REFUSED_STREAM");
    assert_eq!(take(&mut session, &frame(frame::RST_STREAM, 0, 5, &[0, 0, 0, 2])), Ok(vec![(1, failure(Failure::Reset))]));
    // Of three that are left, two weren't processed.
    let goaway = frame(frame::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 11, b'!']);
    assert_eq!(take(&mut session, &goaway), Ok(vec![(2, failure(Failure::Goaway)), (1, failure(Failure::Goaway))]));
    assert_eq!(session.take_note().unwrap(), "the target said goodbye: ENHANCE_YOUR_CALM");
    assert!(session.room() == 0 && !session.is_over());
    session.cancel(0);
    assert!(session.is_over() && owed(&mut session, b"") == [(frame::RST_STREAM, 0, 1, vec![0, 0, 0, 8])]);
    // What comes for it all the same counts for nothing.
    assert_eq!(take(&mut session, &frame(frame::HEADERS, 5, 1, OK)), Ok(Vec::new()));
}

#[test]
fn answers_that_contradict_themselves_are_failures_of_their_own() {
    for wrong in [
        frame(frame::HEADERS, 5, 1, b""),
        frame(frame::HEADERS, 5, 1, &[OK, OK].concat()),
        frame(frame::HEADERS, 5, 1, &[OK, b"\x0f\x0d\x011"].concat()),
        frame(frame::HEADERS, 5, 1, &[OK, b"\x0f\x0d\x01a"].concat()),
        frame(frame::DATA, frame::END_STREAM, 1, b"a"),
        [frame(frame::HEADERS, 4, 1, OK), frame(frame::HEADERS, 4, 1, b"\0\x01a\x01b")].concat(),
    ] {
        let mut session = session(false, &[], 2);
        assert_eq!(take(&mut session, &wrong), Ok(vec![(0, Outcome::Failure(Failure::Malformed))]), "{wrong:?}");
        assert_eq!(owed(&mut session, b"")[0].0, frame::RST_STREAM);
    }
    // The answer to a HEAD has the length of what isn't there.
    let mut session = session(false, &[], 0);
    session.write(&block(), true, b"", &mut Vec::new());
    assert_eq!(take(&mut session, &frame(frame::HEADERS, 5, 1, &[OK, b"\x0f\x0d\x015"].concat())), Ok(vec![(0, Outcome::Answer(200))]));
}

#[test]
fn calls_end_by_their_grpc_status() {
    let grpc = |status: &str| [b"\x40\x0bgrpc-status", &[status.len() as u8][..], status.as_bytes()].concat();
    let message = |bytes: &[u8]| [frame(frame::HEADERS, 4, 1, OK), frame(frame::DATA, 0, 1, bytes)].concat();
    let malformed = Outcome::Failure(Failure::Malformed);
    for (answer, outcome) in [
        ([message(b"\0\0\0\0\x02hi"), frame(frame::HEADERS, 5, 1, &grpc("0"))].concat(), Outcome::Call(0)),
        ([message(b"\0\0\0\0\0"), frame(frame::HEADERS, 5, 1, &grpc("13"))].concat(), Outcome::Call(13)),
        (frame(frame::HEADERS, 5, 1, &[OK, &grpc("14")].concat()), Outcome::Call(14)),
        (frame(frame::HEADERS, 5, 1, &[OK, &grpc("99")].concat()), Outcome::Call(2)),
        (frame(frame::HEADERS, 5, 1, NOT_FOUND), Outcome::Answer(404)),
        (frame(frame::HEADERS, 5, 1, OK), malformed),
        (frame(frame::HEADERS, 5, 1, &[OK, &grpc("x")].concat()), malformed),
        (frame(frame::HEADERS, 5, 1, &[OK, &grpc("0")].concat()), malformed),
        ([message(b"\0\0\0\0\x03hi"), frame(frame::HEADERS, 5, 1, &grpc("0"))].concat(), malformed),
    ] {
        assert_eq!(take(&mut session(true, &[], 1), &answer), Ok(vec![(0, outcome)]), "{answer:?}");
    }
}

#[test]
fn what_is_no_http2_ends_the_connection() {
    let begun = |bytes: Vec<u8>| take(&mut session(false, &[], 1), &bytes);
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &frame(frame::PING, 0, 0, &[0; 8])] {
        assert_eq!(Session::new(false).take(bytes, |_, _| ()), Err(Fault::Begin));
    }
    assert_eq!(begun(vec![1, 0, 0, 0, 0, 0, 0, 0, 1]), Err(Fault::Length));
    assert_eq!(begun(frame(frame::PING, 0, 0, b"short")), Err(Fault::Length));
    assert_eq!(begun(frame(frame::HEADERS, 5 | frame::PADDED, 1, &[9, 0x88])), Err(Fault::Length));
    assert_eq!(begun(frame(frame::HEADERS, 5, 1, &[0xff])), Err(Fault::Head));
    assert_eq!(begun([frame(frame::HEADERS, 0, 1, OK), frame(frame::PING, 0, 0, &[0; 8])].concat()), Err(Fault::Head));
    assert_eq!(begun(frame(frame::CONTINUATION, 4, 1, b"")), Err(Fault::Head));
    assert_eq!(begun(frame(frame::DATA, 0, 3, b"")), Err(Fault::Stream));
    assert_eq!(begun(frame(frame::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])), Err(Fault::Stream));
    assert_eq!(begun(frame(frame::WINDOW_UPDATE, 0, 0, &[0; 4])), Err(Fault::Window));
    assert_eq!(begun(frame(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])), Err(Fault::Window));
    assert_eq!(begun(begin(&[(4, 0x8000_0000)])), Err(Fault::Setting));
    assert_eq!(begun(begin(&[(5, 100)])), Err(Fault::Setting));
    // A question is answered.
    let mut asked = session(false, &[], 1);
    take(&mut asked, &frame(frame::PING, 0, 0, b"12345678")).unwrap();
    assert_eq!(owed(&mut asked, b""), [(frame::PING, frame::ACK, 0, b"12345678".to_vec())]);
}
