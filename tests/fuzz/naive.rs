//! Readers as plain as can be, that share no code with the gateway: what it accepts they must read the same way.

/// A head, read naively.
pub struct Head<'a> {
    /// The first line.
    pub line: &'a [u8],
    /// Names in lower case, and trimmed values.
    pub fields: Vec<(Vec<u8>, &'a [u8])>,
}

/// Reads a head of exactly these bytes. Panics if it isn't made of lines that end with CR LF and have a colon.
pub fn head(bytes: &[u8]) -> Head<'_> {
    let text = bytes.strip_suffix(b"\r\n\r\n").expect("a blank line");
    let mut lines = lines(text).into_iter().skip_while(|line| line.is_empty());
    let line = lines.next().expect("a first line");
    let fields = lines.map(|line| {
        let colon = line.iter().position(|&b| b == b':').expect("a colon");
        let name = &line[..colon];
        assert!(!name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(b)), "a name");
        (name.to_ascii_lowercase(), line[colon + 1..].trim_ascii())
    });
    Head { line, fields: fields.collect() }
}

impl<'a> Head<'a> {
    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.fields.iter().filter(|field| field.0 == name.as_bytes()).map(|field| field.1).collect()
    }
}

/// Splits at CR LF and refuses any other line break or control byte.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    for at in 0..text.len() {
        match text[at] {
            b'\n' => {
                assert!(at > 0 && text[at - 1] == b'\r', "a bare line feed");
                lines.push(&text[start..at - 1]);
                start = at + 1;
            }
            b'\r' => assert_eq!(text.get(at + 1), Some(&b'\n'), "a bare carriage return"),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            byte => panic!("control byte {byte}"),
        }
    }
    lines.push(&text[start..]);
    lines
}

/// Decodes a complete chunked body: its data and how long it is on the wire.
pub fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let line = line(bytes, &mut at)?;
        let digits = line.split(|&b| b == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        if !line_is_empty(bytes, &mut at)? {
            return None;
        }
    }
    while !line_is_empty(bytes, &mut at)? {}
    Some((data, at))
}

fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = bytes.get(*at..)?.windows(2).position(|two| two == b"\r\n")?;
    let line = &bytes[*at..*at + length];
    *at += length + 2;
    Some(line)
}

fn line_is_empty(bytes: &[u8], at: &mut usize) -> Option<bool> {
    line(bytes, at).map(<[u8]>::is_empty)
}
