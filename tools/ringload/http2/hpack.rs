//! Heads on the wire (HPACK, RFC 7541): requests written in advance, and of answers those few fields that count.

use std::collections::VecDeque;

use super::huffman;

/// What a head says that ringload looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `:status`.
    Status(u16),
    /// `content-length`.
    Length(u64),
    /// `grpc-status`.
    Grpc(u8),
    /// One of these with a value that it can't have.
    Wrong,
    /// Any other.
    Other,
}

/// A name that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Status,
    Length,
    Grpc,
    Other,
}

/// A field of the dynamic table, whose text nobody needs again.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    name_length: usize,
    field: Field,
    size: usize,
}

/// An answer's head isn't made as the RFC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Reads the heads of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    entries: VecDeque<Entry>,
    size: usize,
    /// As the encoder has it.
    limit: Option<usize>,
    text: Vec<u8>,
}

/// Bytes of the dynamic table that either side may use unless told otherwise (RFC 9113, section 6.5.2).
pub const TABLE: usize = 4096;
/// What an entry counts beside its text (section 4.1).
const OVERHEAD: usize = 32;

impl Decoder {
    /// Reads a whole head.
    ///
    /// # Errors
    /// When it is broken; no further one can be read then.
    pub fn decode(&mut self, mut block: &[u8], mut on_field: impl FnMut(Field)) -> Result<(), Broken> {
        while let Some(&byte) = block.first() {
            if byte & 0x80 != 0 {
                let index = number(&mut block, 7)?;
                on_field(match index {
                    0 => return Err(Broken),
                    1..=61 => STATUSES.iter().find(|(at, _)| *at == index).map_or(Field::Other, |(_, status)| Field::Status(*status)),
                    _ => self.entries.get(index - 62).ok_or(Broken)?.field,
                });
            } else if byte & 0xe0 == 0x20 {
                let limit = number(&mut block, 5)?;
                if limit > TABLE {
                    return Err(Broken);
                }
                self.limit = Some(limit);
                self.evict(0);
            } else {
                let keeps = byte & 0x40 != 0;
                let (name, name_length) = match number(&mut block, if keeps { 6 } else { 4 })? {
                    0 => {
                        self.string(&mut block)?;
                        (Name::of(&self.text), self.text.len())
                    }
                    index @ 1..=61 => (Name::of(STATIC[index - 1].as_bytes()), STATIC[index - 1].len()),
                    index => self.entries.get(index - 62).map(|entry| (entry.name, entry.name_length)).ok_or(Broken)?,
                };
                self.string(&mut block)?;
                let field = name.with(&self.text);
                if keeps {
                    self.insert(Entry { name, name_length, field, size: name_length + self.text.len() + OVERHEAD });
                }
                on_field(field);
            }
        }
        Ok(())
    }

    /// Reads a string (section 5.2).
    fn string(&mut self, block: &mut &[u8]) -> Result<(), Broken> {
        let coded = block.first().ok_or(Broken)? & 0x80 != 0;
        let length = number(block, 7)?;
        let (text, rest) = block.split_at_checked(length).ok_or(Broken)?;
        *block = rest;
        self.text.clear();
        if !coded {
            self.text.extend_from_slice(text);
        } else if !huffman::decode(text, &mut self.text) {
            return Err(Broken);
        }
        Ok(())
    }

    /// Makes room for so many bytes (section 4.4).
    fn evict(&mut self, room: usize) {
        let limit = self.limit.unwrap_or(TABLE);
        while self.size + room > limit
            && let Some(last) = self.entries.pop_back()
        {
            self.size -= last.size;
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size);
        if entry.size <= self.limit.unwrap_or(TABLE) {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }
}

impl Name {
    fn of(text: &[u8]) -> Name {
        match text {
            b":status" => Name::Status,
            b"content-length" => Name::Length,
            b"grpc-status" => Name::Grpc,
            _ => Name::Other,
        }
    }

    fn with(self, value: &[u8]) -> Field {
        let number = || std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit))?.parse::<u64>().ok();
        match (self, number()) {
            (Name::Other, _) => Field::Other,
            (Name::Status, Some(status @ 100..=999)) => Field::Status(status as u16),
            (Name::Length, Some(length)) => Field::Length(length),
            // What isn't known counts as UNKNOWN.
            (Name::Grpc, Some(status)) => Field::Grpc(u8::try_from(status).ok().filter(|status| *status <= 16).unwrap_or(2)),
            _ => Field::Wrong,
        }
    }
}

/// Reads an integer of which `prefix` bits are in the first byte (section 5.1), below 2^28.
fn number(block: &mut &[u8], prefix: u32) -> Result<usize, Broken> {
    let (first, mut rest) = block.split_first().ok_or(Broken)?;
    let most = (1 << prefix) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        for shift in [0, 7, 14, 21] {
            let (byte, behind) = rest.split_first().ok_or(Broken)?;
            rest = behind;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Ok(number);
            }
        }
        return Err(Broken);
    }
    *block = rest;
    Ok(number)
}

/// A request's head, in the three ways in which it may have to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// As the first of a connection: it puts what all requests share into the dynamic table.
    pub first: Vec<u8>,
    /// As any other: by what is in the table.
    pub next: Vec<u8>,
    /// Where the peer's table is too small.
    pub plain: Vec<u8>,
}

/// Writes the head of one of several requests that have the fields `shared` in common, and `own` ones, pseudo-header fields first.
pub fn block(pseudo: &[(&str, &str)], shared: &[(String, String)], own: &[(&str, &str)]) -> Block {
    let mut block = Block::default();
    let all = |text: &mut Vec<u8>| {
        for (name, value) in pseudo {
            match EXACT.iter().find(|(_, pair)| *pair == (*name, *value)) {
                Some((index, _)) => write_number(text, 0x80, 7, *index),
                None => write_literal(text, 0, 4, name, value),
            }
        }
    };
    [&mut block.first, &mut block.next, &mut block.plain].into_iter().for_each(all);
    for (at, (name, value)) in shared.iter().enumerate() {
        write_literal(&mut block.first, 0x40, 6, name, value);
        // What was put in last has the lowest number.
        write_number(&mut block.next, 0x80, 7, 61 + shared.len() - at);
        write_literal(&mut block.plain, 0, 4, name, value);
    }
    for text in [&mut block.first, &mut block.next, &mut block.plain] {
        own.iter().for_each(|(name, value)| write_literal(text, 0, 4, name, value));
    }
    if size(shared) > TABLE {
        (block.first, block.next) = (block.plain.clone(), block.plain.clone());
    }
    block
}

/// Bytes that these fields take in the dynamic table.
fn size(fields: &[(String, String)]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
}

fn write_literal(out: &mut Vec<u8>, kind: u8, prefix: u32, name: &str, value: &str) {
    match STATIC.iter().position(|known| *known == name) {
        Some(index) => write_number(out, kind, prefix, index + 1),
        None => {
            out.push(kind);
            write_number(out, 0, 7, name.len());
            out.extend_from_slice(name.as_bytes());
        }
    }
    write_number(out, 0, 7, value.len());
    out.extend_from_slice(value.as_bytes());
}

fn write_number(out: &mut Vec<u8>, kind: u8, prefix: u32, number: usize) {
    let most = (1 << prefix) - 1;
    if number < most {
        out.push(kind | number as u8);
        return;
    }
    out.push(kind | most as u8);
    let mut rest = number - most;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Names of the static table (appendix A).
#[rustfmt::skip]
const STATIC: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status", ":status", ":status", ":status", ":status",
    ":status", ":status", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept", "access-control-allow-origin",
    "age", "allow", "authorization", "cache-control", "content-disposition", "content-encoding", "content-language", "content-length",
    "content-location", "content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "link", "location", "max-forwards",
    "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh", "retry-after", "server", "set-cookie",
    "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via", "www-authenticate",
];
/// Those of its entries that are whole fields of requests, and of answers.
const EXACT: [(usize, (&str, &str)); 5] =
    [(2, (":method", "GET")), (3, (":method", "POST")), (4, (":path", "/")), (6, (":scheme", "http")), (7, (":scheme", "https"))];
const STATUSES: [(usize, u16); 7] = [(8, 200), (9, 204), (10, 206), (11, 304), (12, 400), (13, 404), (14, 500)];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, Broken> {
        let mut fields = Vec::new();
        decoder.decode(block, |field| fields.push(field))?;
        Ok(fields)
    }

    /// The answers of appendix C.6, with their table of 256 bytes.
    #[test]
    fn the_answers_of_the_rfc_and_their_table() {
        let bytes =
            |hex: &str| -> Vec<u8> { (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect() };
        let mut decoder = Decoder { limit: Some(256), ..Decoder::default() };
        let other = |status| [vec![Field::Status(status)], vec![Field::Other; 3]].concat();
        let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        assert_eq!(read(&mut decoder, &bytes(first)), Ok(other(302)));
        assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
        assert_eq!(read(&mut decoder, &bytes("4883640effc1c0bf")), Ok(other(307)));
        assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
        let third = "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
        assert_eq!(read(&mut decoder, &bytes(third)).map(|fields| (fields[0], fields.len())), Ok((Field::Status(200), 6)));
        assert_eq!((decoder.size, decoder.entries.len()), (215, 3));
    }

    #[test]
    fn fields_that_count_are_found_again_in_the_table() {
        let mut decoder = Decoder::default();
        let mut block = Vec::new();
        for (name, value) in [(":status", "201"), ("content-length", "77"), ("grpc-status", "14"), ("x", "y")] {
            write_literal(&mut block, 0x40, 6, name, value);
        }
        let fields = vec![Field::Status(201), Field::Length(77), Field::Grpc(14), Field::Other];
        assert_eq!(read(&mut decoder, &block), Ok(fields.clone()));
        assert_eq!(read(&mut decoder, &[0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]), Ok(fields));
        // The name of the third, with another value, and one that is no number.
        assert_eq!(read(&mut decoder, &[0x0f, 63 - 15, 1, b'0', 0x0f, 63 - 15, 1, b'a']), Ok(vec![Field::Grpc(0), Field::Wrong]));
        assert_eq!(read(&mut decoder, &[0x20]), Ok(Vec::new()));
        assert_eq!(read(&mut decoder, &[0x80 | 62]), Err(Broken));
        for wrong in [&[0x80][..], &[0x3f, 0xe2, 0x1f], &[0x40], &[0x40, 5, b'a'], &[0xff, 0xff, 0xff, 0xff, 0xff, 1]] {
            assert_eq!(read(&mut Decoder::default(), wrong), Err(Broken), "{wrong:?}");
        }
    }

    /// What is written is read by the same rules, be it the first or another one.
    #[test]
    fn requests_say_the_same_in_all_three_ways() {
        let shared = [("user-agent".to_owned(), "x".to_owned()), ("x-long".to_owned(), "v".repeat(300))];
        let block = block(&[(":method", "GET"), (":scheme", "https"), (":path", "/a")], &shared, &[("content-length", "5")]);
        assert_eq!(block.next, [0x82, 0x87, 0x04, 2, b'/', b'a', 0x80 | 63, 0x80 | 62, 0x0f, 13, 1, b'5']);
        let mut decoder = Decoder::default();
        let fields = read(&mut decoder, &block.first).unwrap();
        assert_eq!((fields.len(), fields[5], decoder.size), (6, Field::Length(5), size(&shared)));
        assert_eq!(read(&mut decoder, &block.next), Ok(fields.clone()));
        assert_eq!(read(&mut decoder, &block.plain), Ok(fields));
        assert_eq!(decoder.entries.len(), 2);
        let large = super::block(&[], &[("a".to_owned(), "v".repeat(TABLE))], &[]);
        assert!(large.first == large.plain && large.next == large.plain);
    }
}
