//! JSON (RFC 8259) as configuration files have it: with `//` and `/* */` comments and trailing commas, strict otherwise.

use compact_str::CompactString;

use super::load::Fault;
use super::tree::{Entry, Kind, Value};

/// Levels of nesting, at most.
const DEPTH_MAX: usize = 64;

/// Reads a text; an empty one is an empty object.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Fault>> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.file().map_err(|fault| vec![fault])
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn file(&mut self) -> Result<Value, Fault> {
        self.skip()?;
        if self.peek().is_none() {
            return Ok(Value::empty_table());
        }
        let value = self.value()?;
        self.skip()?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(Fault::syntax(self.at, "nothing may follow the end of the configuration")),
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over white space and comments.
    #[inline]
    fn skip(&mut self) -> Result<(), Fault> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(b'/') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        let length = if rest.starts_with("//") {
            memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len())
        } else if let Some(rest) = rest.strip_prefix("/*") {
            rest.find("*/").map(|end| end + 4).ok_or_else(|| Fault::syntax(self.at, "this comment is never closed"))?
        } else {
            return Err(Fault::syntax(self.at, "a comment begins with \"//\" or \"/*\""));
        };
        self.at += length;
        Ok(())
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let at = self.at;
        let kind = match self.peek() {
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'{') => Kind::Table(self.nested(b'}', Self::entry)?.into()),
            Some(b'[') => Kind::List(self.nested(b']', Self::value)?.into()),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'\'') => return Err(Fault::syntax(at, "text must be in double quotes")),
            _ => self.word()?,
        };
        Ok(Value::new(at, kind))
    }

    /// Reads what stands between brackets, separated by commas.
    fn nested<T>(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let open = self.at;
        if self.depth == DEPTH_MAX {
            return Err(Fault::syntax(open, &format!("more than {DEPTH_MAX} levels of nesting")));
        }
        self.depth += 1;
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip()?;
            let end = match self.peek() {
                Some(byte) if byte == close => break,
                None => return Err(self.unclosed(open)),
                Some(_) => {
                    items.push(item(self)?);
                    self.at
                }
            };
            self.skip()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => break,
                None => return Err(self.unclosed(open)),
                // The place that lacks the comma is behind the value, not before the next one.
                Some(_) => return Err(Fault::syntax(end, &format!("a \",\" or \"{}\" is missing here", char::from(close)))),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(items)
    }

    fn unclosed(&self, open: usize) -> Fault {
        Fault::syntax(open, &format!("this \"{}\" is never closed", &self.text[open..=open]))
    }

    fn entry(&mut self) -> Result<Entry, Fault> {
        let at = self.at;
        match self.peek() {
            Some(b'"') => {}
            Some(b',') => return Err(Fault::syntax(at, "there is a \",\" too many")),
            _ => return Err(Fault::syntax(at, "the name of a setting must be in double quotes")),
        }
        let name = self.string()?;
        let end = self.at;
        self.skip()?;
        if self.peek() != Some(b':') {
            return Err(Fault::syntax(end, "a \":\" is missing here"));
        }
        self.at += 1;
        self.skip()?;
        Ok(Entry { name, at: at as u32, value: self.value()? })
    }

    fn string(&mut self) -> Result<CompactString, Fault> {
        let open = self.at;
        self.at += 1;
        let mut text = CompactString::default();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            let plain = plain.ok_or_else(|| Fault::syntax(open, "this text is never closed"))?;
            text.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => break,
                b'\\' => text.push(self.escape()?),
                b'\n' | b'\r' => return Err(Fault::syntax(open, "this text is not closed on its line; a line end within text is \"\\n\"")),
                _ => return Err(Fault::syntax(self.at, "a control character must be written as an escape, such as \"\\t\"")),
            }
        }
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let at = self.at;
        self.at += 2;
        Ok(match self.text.as_bytes().get(at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(at),
            _ => return Err(Fault::syntax(at, "there is no such escape; a backslash itself is \"\\\\\"")),
        })
    }

    /// The rest of an escape that began at `at`: four hexadecimal digits, or twice that for what UTF-16 needs two units for.
    fn unicode(&mut self, at: usize) -> Result<char, Fault> {
        let bad = || Fault::syntax(at, "this escape names no character");
        let high = self.unit().ok_or_else(bad)?;
        let low = if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            Some(self.unit().ok_or_else(bad)?)
        } else {
            None
        };
        let mut characters = char::decode_utf16([Some(high), low].into_iter().flatten());
        match (characters.next(), characters.next()) {
            (Some(Ok(character)), None) => Ok(character),
            _ => Err(bad()),
        }
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let text = self.take(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte));
        let start = self.at - text.len();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, rest) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
        let leading = whole.len() > 1 && whole.starts_with('0');
        let dot = rest.strip_prefix('.').is_none_or(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let bad = || Fault::syntax(start, &format!("{text} is not a number; durations and sizes are text: \"30s\", \"64KiB\""));
        if whole.is_empty() || leading || !dot {
            return Err(bad());
        }
        match text.parse::<i64>() {
            Ok(number) => Ok(Kind::Integer(number)),
            Err(_) => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Kind::Float).ok_or_else(bad),
        }
    }

    fn word(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        match self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.') {
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            "null" => Ok(Kind::Null),
            "" => Err(Fault::syntax(start, "a value is missing here")),
            word => Err(Fault::syntax(start, &format!("{word} is not a value; text must be in double quotes"))),
        }
    }

    /// Takes the bytes that follow and are of this kind.
    fn take(&mut self, kind: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&kind) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }
}
