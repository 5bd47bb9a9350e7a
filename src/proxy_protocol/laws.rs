//! What is written reads back, whatever follows; what isn't a header is refused as early as can be told.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn written(version: Version, ends: Option<&Ends>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, version, ends);
    bytes
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// A header of version 2 by its parts.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

proptest! {
    #[test]
    fn what_is_written_reads_back(from in address(), to in address(), v1 in any::<bool>(), behind in vec(any::<u8>(), 0..40)) {
        let bytes = written(if v1 { Version::V1 } else { Version::V2 }, Some(&Ends { from, to }));
        let header = parse(&[&bytes[..], &behind].concat()).unwrap().unwrap();
        prop_assert_eq!(header.length, bytes.len());
        let read = header.ends.unwrap();
        prop_assert_eq!((canonical(read.from), canonical(read.to)), (canonical(from), canonical(to)));
        prop_assert_eq!(read.from.is_ipv4(), read.to.is_ipv4());
        let most = if v1 { V1_MAX } else { V2_MAX };
        prop_assert!(bytes.len() <= most);
    }

    #[test]
    fn a_part_of_a_header_is_incomplete_and_never_refused(from in address(), to in address(), extra in vec(any::<u8>(), 0..500)) {
        let ends = Ends { from, to };
        let mut long = written(Version::V2, Some(&ends));
        let length = u16::try_from(long.len() - FIXED + extra.len()).unwrap();
        long[14..16].copy_from_slice(&length.to_be_bytes());
        long.extend_from_slice(&extra);
        let unknown = b"PROXY UNKNOWN ffff::1 2.2.2.2 \x7f\r what you like\r\n".to_vec();
        for bytes in [written(Version::V1, Some(&ends)), long, written(Version::V1, None), written(Version::V2, None), unknown] {
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end]), Ok(None), "{} of {:?}", end, bytes.escape_ascii().to_string());
            }
            prop_assert_eq!(parse(&bytes).unwrap().unwrap().length, bytes.len());
        }
    }

    /// However bytes go on: once refused they stay refused, and a header stays what it is.
    #[test]
    fn more_bytes_never_change_a_verdict(start in 0..4usize, noise in vec(any::<u8>(), 0..60), more in vec(any::<u8>(), 1..900)) {
        let starts: [&[u8]; 4] = [b"", b"PROXY ", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2", SIGNATURE];
        let bytes = [starts[start], &noise].concat();
        let longer = [&bytes[..], &more].concat();
        match parse(&bytes) {
            Ok(None) => {}
            verdict => prop_assert_eq!(parse(&longer), verdict),
        }
        if let Ok(Some(header)) = parse(&longer) {
            prop_assert!(header.length <= longer.len() && header.length <= V2_MAX);
        }
    }

    #[test]
    fn nobody_waits_for_the_end_of_what_is_too_long(byte in any::<u8>().prop_filter("no line end", |&byte| byte != b'\n')) {
        let line = [b"PROXY UNKNOWN ", &[byte; V1_MAX][..]].concat();
        prop_assert_eq!(parse(&line[..V1_MAX - 1]), Ok(None));
        prop_assert_eq!(parse(&line[..V1_MAX]), Err(Malformed));
    }
}

#[test]
fn lines_are_taken_by_the_letter() {
    let ends = |text: &str| parse(text.as_bytes()).map(|header| header.and_then(|header| header.ends));
    let told = Ends { from: "10.1.2.3:0".parse().unwrap(), to: "9.9.9.9:65535".parse().unwrap() };
    assert_eq!(ends("PROXY TCP4 10.1.2.3 9.9.9.9 0 65535\r\n"), Ok(Some(told)));
    let told = Ends { from: "[2001:db8::1]:5".parse().unwrap(), to: "[::1]:443".parse().unwrap() };
    assert_eq!(ends("PROXY TCP6 2001:DB8::1 0:0:0:0:0:0:0:1 5 443\r\nGET /"), Ok(Some(told)));
    for refused in [
        "PROXY TCP4 10.1.2.3 9.9.9.9 0 65535\n",
        "PROXY TCP4 10.1.2.3 9.9.9.9 0 65536\r\n",
        "PROXY TCP4 10.1.2.3 9.9.9.9 01 1\r\n",
        "PROXY TCP4 10.1.2.3 9.9.9.9 +1 1\r\n",
        "PROXY TCP4 10.1.2.3 9.9.9.9 1\r\n",
        "PROXY TCP4 10.1.2.3 9.9.9.9 1 1 1\r\n",
        "PROXY TCP4 10.1.2.3  9.9.9.9 1 1\r\n",
        "PROXY TCP4 10.1.2.3 9.9.9.9 1 1 \r\n",
        "PROXY TCP4 10.1.2.03 9.9.9.9 1 1\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 10.1.2.3 9.9.9.9 1 1\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
        "PROXY TCP4 a.example 9.9.9.9 1 1\r\n",
        "PROXY UDP4 10.1.2.3 9.9.9.9 1 1\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY unknown\r\n",
        "PROXY \r\n",
        "PROXY\tTCP4",
        "proxy TCP4",
        "GET / HTTP/1.1",
        "\x16\x03\x01",
        "\r\n\r\nG",
    ] {
        assert_eq!(parse(refused.as_bytes()), Err(Malformed), "{refused:?}");
    }
}

#[test]
fn who_has_no_client_over_tcp_tells_of_none() {
    let none = |bytes: &[u8]| assert_eq!(parse(bytes), Ok(Some(Header { ends: None, length: bytes.len() })), "{}", bytes.escape_ascii());
    none(b"PROXY UNKNOWN\r\n");
    none(b"PROXY UNKNOWN 1.1.1.1 2.2.2.2 1 2\r\n");
    none(&v2(0x20, UNSPEC, b""));
    none(&v2(0x20, TCP4, &[1; 12]));
    none(&v2(0x20, 0xff, b"whatever"));
    none(&v2(0x21, UNSPEC, b"skipped"));
    none(&v2(0x21, UDP4, &[1; 12]));
    none(&v2(0x21, UDP6, &[1; 36]));
    none(&v2(0x21, UNIX_STREAM, &[1; 216]));
    none(&v2(0x21, UNIX_DATAGRAM, &[1; 216 + 536]));
}

#[test]
fn bytes_are_taken_by_the_letter() {
    for (command, family, block) in [
        (0x11, TCP4, 12),
        (0x22, TCP4, 12),
        (0x31, TCP4, 12),
        (0x21, 0x10, 12),
        (0x21, 0x13, 12),
        (0x21, 0x41, 12),
        (0x21, TCP4, 11),
        (0x21, TCP6, 35),
        (0x21, UNIX_STREAM, 215),
        (0x21, TCP4, 216 + 537),
        (0x20, UNSPEC, 216 + 537),
    ] {
        assert_eq!(parse(&v2(command, family, &vec![0; block])), Err(Malformed), "{command:x} {family:x} {block}");
    }
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), Err(Malformed));
    let told = parse(&v2(0x21, TCP4, b"\x0a\x01\x02\x03\x09\x09\x09\x09\x00\x50\x01\xbb\x04\x00\x01\x00")).unwrap().unwrap();
    assert_eq!(told.ends, Some(Ends { from: "10.1.2.3:80".parse().unwrap(), to: "9.9.9.9:443".parse().unwrap() }));
}
