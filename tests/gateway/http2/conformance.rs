//! What RFC 9113 and RFC 7541 ask of a server, section by section, in frames put together by hand: what is wrong costs its stream or its
//! connection, and nothing else. A fault of a stream may be treated as one of its connection (section 5.4).

use crate::harness::http2::*;
use crate::harness::{End, Frames, Gateway, Http2, Origin, Wire, until};

/// What has to come of the frames that were sent.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The connection ends with this code, or with PROTOCOL_ERROR, which `h2` says for some of them.
    Connection(u32),
    /// The stream is reset with this code; its connection goes on.
    Stream(u32),
    /// An answer's head.
    Answer,
    /// A ping is answered.
    Pong,
    /// The first piece of a body, of this length.
    Data(usize),
    /// Settings are acknowledged.
    Ack,
}
use Then::*;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

const PUSH_PROMISE: u8 = 5;
const ACK: u8 = 1;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

/// A request's head with more fields.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    block(&[GET, fields].concat())
}

/// A request without a body.
fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(GET))
}

/// A request whose body follows, with more fields.
fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(&[&[(":method", "POST")], &GET[1..], fields].concat()))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"pingpong")
}

/// Sends each row's frames on a connection of its own.
#[track_caller]
fn check(rows: &[(&str, &str, Then, Vec<u8>)]) {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let faults: Vec<String> = rows
        .iter()
        .filter_map(|(section, what, then, bytes)| {
            let mut frames = Frames::connect(&gateway.address);
            // The gateway may end the connection before it has taken all of it.
            let _ = frames.raw(bytes);
            let seen = seen(&mut frames, *then).err()?;
            Some(format!("{section}, {what}: {then:?} was expected, and {seen} came\n"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.concat());
    assert_eq!(Http2::connect(&gateway.address).get("/").status(), 200);
    gateway.wait_idle();
    // A stream that is closed already may have been so by the gateway: what comes for it is held against nobody.
    let streams = rows.iter().filter(|(_, _, then, _)| matches!(then, Stream(PROTOCOL_ERROR | FLOW_CONTROL_ERROR))).count();
    let connections = rows.iter().filter(|(_, _, then, _)| matches!(then, Connection(_))).count();
    for (ended, count) in [("stream", streams), ("connection", connections)] {
        let name = format!("gateway_http2_protocol_errors_total{{ended=\"{ended}\"}}");
        until("as many faults as there were", || (gateway.metric(&name) >= count as f64).then_some(()));
        assert_eq!(gateway.metric(&name), count as f64);
    }
}

/// Whether that comes; else what came instead.
fn seen(frames: &mut Frames, then: Then) -> Result<(), String> {
    let one_of = |right: bool, seen: (u8, u8, u32, Vec<u8>)| if right { Ok(()) } else { Err(format!("{seen:?}")) };
    match then {
        Connection(code) => {
            let seen = until_kind(frames, GOAWAY)?;
            let told = u32::from_be_bytes(seen.3[4..8].try_into().unwrap());
            one_of([code, PROTOCOL_ERROR].contains(&told), seen)?;
            frames.end();
            Ok(())
        }
        Stream(code) => {
            let seen = until_kind(frames, RST_STREAM)?;
            one_of(seen.2 == 1 && seen.3 == code.to_be_bytes(), seen)?;
            frames.raw(&ping()).map_err(|error| error.to_string())?;
            until_kind(frames, PING).map(drop)
        }
        Answer => until_kind(frames, HEADERS).and_then(|seen| one_of(seen.2 == 1, seen)),
        Pong => until_kind(frames, PING).and_then(|seen| one_of(seen.1 == ACK && seen.3 == b"pingpong", seen)),
        Data(length) => until_kind(frames, DATA).and_then(|seen| one_of(seen.3.len() == length, seen)),
        Ack => {
            while until_kind(frames, SETTINGS)?.1 != ACK {}
            Ok(())
        }
    }
}

/// The next frame of this type; else what ended the stream or the connection before it.
fn until_kind(frames: &mut Frames, kind: u8) -> Result<(u8, u8, u32, Vec<u8>), String> {
    loop {
        let next = frames.next().ok_or("nothing more")?;
        if next.0 == kind {
            return Ok(next);
        }
        if [RST_STREAM, GOAWAY].contains(&next.0) {
            return Err(format!("{next:?}"));
        }
    }
}

#[test]
fn the_gateway_speaks_first_of_its_settings() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let (kind, flags, stream, _) = Frames::connect(&gateway.address).next().unwrap();
    assert_eq!((kind, flags, stream), (SETTINGS, 0, 0), "RFC 9113 section 3.4");
    let mut wrong = Wire::connect(&gateway.address);
    wrong.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!(wrong.rest().1, End::Closed);
    for first in [get(1), ping(), window(0, 1), frame(0x16, 0, 0, &[])] {
        let mut frames = Frames::after_preface(&gateway.address);
        frames.raw(&[&first[..], &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
        assert_eq!(frames.goaway(), Some(PROTOCOL_ERROR), "{first:?}");
        frames.end();
    }
    gateway.wait_idle();
    assert_eq!(gateway.metric("gateway_http2_protocol_errors_total{ended=\"connection\"}"), 4.0);
    assert_eq!(gateway.metric("gateway_http2_streams_total"), 0.0);
}

#[test]
fn frames() {
    let unknown = frame(0x16, 0, 0, &[0; 8]);
    let open = |flags: u8| frame(HEADERS, flags, 1, &block(GET));
    let rest = frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "1")]));
    let prioritized = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
    let full = vec![b'x'; 16 << 10];
    let large = with(&[("x", &"y".repeat(200))]).repeat(80);
    let mut reserved = ping();
    reserved[5] = 0x80;
    check(&[
        ("9113 4.1", "an unknown type is ignored", Pong, [unknown.clone(), ping()].concat()),
        ("9113 4.1", "so are flags without a meaning", Pong, frame(PING, 0x16, 0, b"pingpong")),
        ("9113 4.1", "and the reserved bit", Pong, reserved),
        ("9113 4.2", "a frame of the size that all must take", Answer, [post(&[]), frame(DATA, END_STREAM, 1, &full)].concat()),
        (
            "9113 4.2",
            "a larger one",
            Connection(FRAME_SIZE_ERROR),
            [post(&[]), frame(DATA, END_STREAM, 1, &[&full[..], b"x"].concat())].concat(),
        ),
        ("9113 4.2", "a larger head", Connection(FRAME_SIZE_ERROR), frame(HEADERS, END_HEADERS | END_STREAM, 1, &large)),
        ("9113 4.3", "a field that breaks off", Connection(COMPRESSION_ERROR), frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x40])),
        ("9113 4.3", "another frame within a head", Connection(PROTOCOL_ERROR), [open(0), prioritized.clone(), rest.clone()].concat()),
        ("9113 4.3", "another stream's head within it", Connection(PROTOCOL_ERROR), [open(0), get(3), rest.clone()].concat()),
        ("9113 5.5", "an unknown frame within it", Connection(PROTOCOL_ERROR), [open(END_STREAM), unknown].concat()),
        (
            "9113 6.10",
            "a head in pieces",
            Answer,
            [open(END_STREAM), frame(CONTINUATION, 0, 1, &block(&[("y", "1")])), rest.clone()].concat(),
        ),
        ("9113 6.10", "DATA within it", Connection(PROTOCOL_ERROR), [open(0), frame(DATA, END_STREAM, 1, b"x")].concat()),
        (
            "9113 6.10",
            "a piece of no stream",
            Connection(PROTOCOL_ERROR),
            [open(END_STREAM), frame(CONTINUATION, END_HEADERS, 0, &[])].concat(),
        ),
        ("9113 6.10", "a piece after the end", Connection(PROTOCOL_ERROR), [get(1), rest.clone()].concat()),
        ("9113 6.10", "a piece after the last piece", Connection(PROTOCOL_ERROR), [open(END_STREAM), rest.clone(), rest].concat()),
        ("9113 6.3", "a priority for an idle stream", Pong, [prioritized, ping()].concat()),
        (
            "9113 8.4",
            "a client can't push",
            Connection(PROTOCOL_ERROR),
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &block(GET)[..]].concat()),
        ),
    ]);
}

#[test]
fn streams() {
    let data = |stream| frame(DATA, END_STREAM, stream, b"test");
    let reset = |stream| frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
    let open = frame(HEADERS, END_HEADERS, 1, &block(GET));
    // Windows of nothing keep the answers from ending the streams.
    let held = frame(SETTINGS, 0, 0, &setting(4, 0));
    check(&[
        ("9113 5.1", "idle: DATA", Connection(PROTOCOL_ERROR), data(1)),
        ("9113 5.1", "idle: RST_STREAM", Connection(PROTOCOL_ERROR), reset(1)),
        ("9113 5.1", "idle: WINDOW_UPDATE", Connection(PROTOCOL_ERROR), window(1, 100)),
        ("9113 5.1", "idle: CONTINUATION", Connection(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, &block(GET))),
        ("9113 5.1", "half-closed: DATA", Connection(STREAM_CLOSED), [held.clone(), get(1), data(1)].concat()),
        ("9113 5.1", "half-closed: HEADERS", Connection(STREAM_CLOSED), [held.clone(), get(1), get(1)].concat()),
        (
            "9113 5.1",
            "half-closed: PRIORITY, WINDOW_UPDATE",
            Data(1),
            [held.clone(), get(1), frame(PRIORITY, 0, 1, &[0; 5]), window(1, 1)].concat(),
        ),
        ("9113 5.1", "reset: DATA", Stream(STREAM_CLOSED), [open.clone(), reset(1), data(1)].concat()),
        ("9113 5.1", "reset: HEADERS", Connection(STREAM_CLOSED), [open.clone(), reset(1), get(1)].concat()),
        (
            "9113 5.1",
            "reset: CONTINUATION",
            Connection(PROTOCOL_ERROR),
            [open.clone(), reset(1), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
        ),
        ("9113 5.1.1", "an even number", Connection(PROTOCOL_ERROR), get(2)),
        ("9113 5.1.1", "a number lower than the last", Connection(PROTOCOL_ERROR), [get(5), get(3)].concat()),
        ("9113 5.4.1", "an error of the connection", Connection(PROTOCOL_ERROR), frame(PING, 0, 3, &[0; 8])),
        ("9113 6.1", "DATA of no stream", Connection(PROTOCOL_ERROR), data(0)),
        ("9113 6.1", "padding", Answer, [post(&[]), frame(DATA, END_STREAM | PADDED, 1, b"\x03testxyz")].concat()),
        (
            "9113 6.1",
            "more padding than frame",
            Connection(PROTOCOL_ERROR),
            [post(&[]), frame(DATA, END_STREAM | PADDED, 1, b"\x06Test")].concat(),
        ),
        ("9113 6.2", "HEADERS of no stream", Connection(PROTOCOL_ERROR), get(0)),
        ("9113 6.2", "padding and priority", Answer, {
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITIZED, 1, &[&[2, 0, 0, 0, 0, 9][..], &block(GET), &[0; 2]].concat())
        }),
        (
            "9113 6.2",
            "more padding than frame",
            Connection(PROTOCOL_ERROR),
            frame(HEADERS, END_HEADERS | PADDED, 1, &[&[250][..], &block(GET)].concat()),
        ),
        ("9113 6.3", "PRIORITY of no stream", Connection(PROTOCOL_ERROR), frame(PRIORITY, 0, 0, &[0; 5])),
        ("9113 6.3", "PRIORITY too short", Connection(FRAME_SIZE_ERROR), [get(1), frame(PRIORITY, 0, 1, &[0; 4])].concat()),
        ("9113 6.4", "RST_STREAM of no stream", Connection(PROTOCOL_ERROR), reset(0)),
        ("9113 6.4", "RST_STREAM too short", Connection(FRAME_SIZE_ERROR), [get(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("9113 7", "a reset for an unknown reason", Pong, [open.clone(), frame(RST_STREAM, 0, 1, &0xffu32.to_be_bytes()), ping()].concat()),
    ]);
}

#[test]
fn connections() {
    let settings = |name, value| frame(SETTINGS, 0, 0, &setting(name, value));
    let ten = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[&GET[..3], &[(":path", "/?size=10")]].concat()));
    let most = 0x7fff_ffff;
    check(&[
        ("9113 6.5", "an acknowledgement with more", Connection(FRAME_SIZE_ERROR), frame(SETTINGS, ACK, 0, &[0])),
        ("9113 6.5", "settings of a stream", Connection(PROTOCOL_ERROR), frame(SETTINGS, 0, 1, &setting(3, 100))),
        ("9113 6.5", "half a setting", Connection(FRAME_SIZE_ERROR), frame(SETTINGS, 0, 0, &[0, 3, 0])),
        ("9113 6.5.2", "ENABLE_PUSH of 2", Connection(PROTOCOL_ERROR), settings(2, 2)),
        ("9113 6.5.2", "INITIAL_WINDOW_SIZE of 2^31", Connection(FLOW_CONTROL_ERROR), settings(4, 1 << 31)),
        ("9113 6.5.2", "MAX_FRAME_SIZE too small", Connection(PROTOCOL_ERROR), settings(5, 16383)),
        ("9113 6.5.2", "MAX_FRAME_SIZE too large", Connection(PROTOCOL_ERROR), settings(5, 1 << 24)),
        ("9113 6.5.2", "an unknown setting", Pong, [settings(0xff, 1), ping()].concat()),
        (
            "9113 6.5.3",
            "the last of two values counts",
            Data(1),
            [frame(SETTINGS, 0, 0, &[setting(4, 100), setting(4, 1)].concat()), ten.clone()].concat(),
        ),
        ("9113 6.5.3", "settings are acknowledged", Ack, settings(2, 0)),
        ("9113 6.7", "an answer to no ping isn't answered", Pong, [frame(PING, ACK, 0, b"not this"), ping()].concat()),
        ("9113 6.7", "a ping of a stream", Connection(PROTOCOL_ERROR), frame(PING, 0, 1, &[0; 8])),
        ("9113 6.7", "a ping too short", Connection(FRAME_SIZE_ERROR), frame(PING, 0, 0, &[0; 6])),
        ("9113 6.8", "GOAWAY of a stream", Connection(PROTOCOL_ERROR), frame(GOAWAY, 0, 1, &[0; 8])),
        ("9113 6.9", "nothing more for the connection", Connection(PROTOCOL_ERROR), window(0, 0)),
        ("9113 6.9", "nothing more for a stream", Connection(PROTOCOL_ERROR), [post(&[]), window(1, 0)].concat()),
        ("9113 6.9", "WINDOW_UPDATE too short", Connection(FRAME_SIZE_ERROR), frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("9113 6.9.1", "no more than the window", Data(1), [settings(4, 1), ten.clone()].concat()),
        ("9113 6.9.1", "a window above 2^31-1", Connection(FLOW_CONTROL_ERROR), [window(0, most), window(0, most)].concat()),
        ("9113 6.9.1", "a stream's above it", Stream(FLOW_CONTROL_ERROR), [post(&[]), window(1, most), window(1, most)].concat()),
        ("9113 6.9.2", "a window that grows later", Data(1), [settings(4, 0), ten, settings(4, 1)].concat()),
        (
            "9113 6.9.2",
            "windows that would be too large",
            Connection(FLOW_CONTROL_ERROR),
            [post(&[]), window(1, most - 70_000), settings(4, most)].concat(),
        ),
    ]);
}

#[test]
fn a_window_below_nothing_is_made_up_for_first() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let mut frames = Frames::connect(&gateway.address);
    let ten = block(&[&GET[..3], &[(":path", "/?size=10")]].concat());
    frames.send(SETTINGS, 0, 0, &setting(4, 3)).unwrap();
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &ten).unwrap();
    assert_eq!(until_kind(&mut frames, DATA).unwrap().3.len(), 3);
    frames.send(SETTINGS, 0, 0, &setting(4, 2)).unwrap();
    frames.raw(&window(1, 2)).unwrap();
    assert_eq!(until_kind(&mut frames, DATA).unwrap().3.len(), 1);
}

#[test]
fn who_says_goodbye_is_let_go() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    for code in [0, 0xff] {
        let mut frames = Frames::connect(&gateway.address);
        frames.send(GOAWAY, 0, 0, &[[0; 4], u32::to_be_bytes(code)].concat()).unwrap();
        frames.end();
    }
    gateway.wait_idle();
}

#[test]
fn messages() {
    let head = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    let but = |name| head(&GET.iter().copied().filter(|field| field.0 != name).collect::<Vec<_>>());
    let twice = |name| head(&GET.iter().copied().chain(GET.iter().copied().filter(|field| field.0 == name)).collect::<Vec<_>>());
    let more = |fields| frame(HEADERS, END_HEADERS | END_STREAM, 1, &with(fields));
    let data = |flags| frame(DATA, flags, 1, b"test");
    let trailers = |flags, fields: &[(&str, &str)]| [post(&[]), data(0), frame(HEADERS, END_HEADERS | flags, 1, &block(fields))].concat();
    check(&[
        ("9113 8.1", "trailers", Answer, trailers(END_STREAM, &[("x-test", "ok")])),
        ("9113 8.1", "trailers that aren't the end", Stream(PROTOCOL_ERROR), trailers(0, &[("x-test", "ok")])),
        ("9113 8.1", "pseudo-fields in trailers are left out", Answer, trailers(END_STREAM, &[(":method", "POST")])),
        ("9113 8.1.1", "more than was announced", Stream(PROTOCOL_ERROR), [post(&[("content-length", "1")]), data(END_STREAM)].concat()),
        ("9113 8.1.1", "more in sum", Stream(PROTOCOL_ERROR), [post(&[("content-length", "5")]), data(0), data(END_STREAM)].concat()),
        ("9113 8.1.1", "less than was announced", Stream(PROTOCOL_ERROR), [post(&[("content-length", "5")]), data(END_STREAM)].concat()),
        ("9113 8.2", "a name in upper case", Connection(PROTOCOL_ERROR), more(&[("X-Test", "ok")])),
        ("9113 8.2.2", "Connection", Stream(PROTOCOL_ERROR), more(&[("connection", "keep-alive")])),
        ("9113 8.2.2", "TE of more than trailers", Stream(PROTOCOL_ERROR), more(&[("te", "trailers, deflate")])),
        ("9113 8.3", "an unknown pseudo-field", Connection(PROTOCOL_ERROR), more(&[(":test", "ok")])),
        ("9113 8.3", "one of responses", Stream(PROTOCOL_ERROR), more(&[(":status", "200")])),
        ("9113 8.3", "one after a field", Stream(PROTOCOL_ERROR), head(&[&[("x-test", "ok")], GET].concat())),
        ("9113 8.3.1", "no :method", Stream(PROTOCOL_ERROR), but(":method")),
        ("9113 8.3.1", "no :scheme", Stream(PROTOCOL_ERROR), but(":scheme")),
        ("9113 8.3.1", "no :path", Stream(PROTOCOL_ERROR), but(":path")),
        ("9113 8.3.1", "an empty :path", Stream(PROTOCOL_ERROR), head(&[&GET[..3], &[(":path", "")]].concat())),
        ("9113 8.3.1", "two of :method", Stream(PROTOCOL_ERROR), twice(":method")),
        ("9113 8.3.1", "two of :scheme", Stream(PROTOCOL_ERROR), twice(":scheme")),
        ("9113 8.3.1", "two of :path", Stream(PROTOCOL_ERROR), twice(":path")),
    ]);
}

#[test]
fn fields_as_hpack_writes_them() {
    let head = |before: &[u8], after: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &[before, &block(GET), after].concat());
    let wrong = Connection(COMPRESSION_ERROR);
    // `x-test`, then `test`, by the code of RFC 7541 appendix B.
    let name = |after: &[u8]| head(&[], &[&[0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff], after].concat());
    check(&[
        ("7541 2.3.3", "an index of neither table", wrong, head(&[], &[0xfe])),
        ("7541 2.3.3", "a name's index of neither table", wrong, head(&[], &[0x7f, 0x07, 0])),
        ("7541 4.2", "a table's size within a head", wrong, head(&[], &[0x21])),
        ("7541 5.2", "a text by Huffman's code", Answer, name(&[0x83, 0x49, 0x50, 0x9f])),
        ("7541 5.2", "padding of more than seven bits", wrong, name(&[0x84, 0x49, 0x50, 0x9f, 0xff])),
        ("7541 5.2", "padding of zeros", wrong, name(&[0x83, 0x49, 0x50, 0x90])),
        ("7541 5.2", "an end within a text", wrong, name(&[0x87, 0xff, 0xff, 0xff, 0xfd, 0x25, 0x42, 0x7f])),
        ("7541 6.1", "index 0", wrong, head(&[], &[0x80])),
        ("7541 6.1", "a field of the table", Answer, head(&[], &[0xba])),
        ("7541 6.2", "a field to be remembered, one never to be", Answer, head(&[], b"\x40\x01a\x01b\x10\x01c\x01d\xbe")),
        ("7541 6.3", "sizes at the beginning", Answer, head(&[0x20, 0x3f, 0xe1, 0x1f], &[])),
        ("7541 6.3", "a size above what was allowed", wrong, head(&[0x3f, 0xe2, 0x1f], &[])),
    ]);
}
