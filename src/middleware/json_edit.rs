//! Editing JSON where it is asked for and nowhere else: what isn't on the way to an edit stays byte for byte as it was, numbers of any
//! size and the order of names with it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The body is no JSON (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Where something stands: the names and numbers that lead there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

impl Path {
    /// A JSON pointer (RFC 6901), `/user/name`, or the same with dots, `user.name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Path, &'static str> {
        let parts: Vec<String> = match text.strip_prefix('/') {
            None => text.split('.').map(str::to_owned).collect(),
            Some(rest) => {
                if rest.replace("~0", "").replace("~1", "").contains('~') {
                    return Err("has a \"~\" that is neither \"~0\" nor \"~1\"");
                }
                rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
            }
        };
        match parts.iter().any(String::is_empty) && !text.starts_with('/') || text.is_empty() {
            true => Err("names nothing in one of its parts"),
            false if parts.len() > DEPTH_MAX => Err("is more than 32 levels deep"),
            false => Ok(Path(parts)),
        }
    }

    fn split(&self) -> (&[String], &str) {
        let (last, parents) = self.0.split_last().expect("a path has a part");
        (parents, last)
    }
}

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Takes away what stands there.
    Remove(Path),
    /// Gives what stands there another name, in place of what has that name.
    Rename(Path, String),
    /// Puts this there, and objects on the way where there is nothing. Nothing is put below what is neither an object nor an array; an
    /// array's elements are replaced, and `-` puts one behind them.
    Set(Path, Box<RawValue>),
}

/// The body after these edits, in their order; `None` if they changed nothing.
///
/// # Errors
/// When the body is no JSON.
pub(super) fn apply(edits: &[Edit], body: &[u8]) -> Result<Option<Vec<u8>>, Invalid> {
    let mut root = Node::Raw(serde_json::from_slice(body).map_err(|_| Invalid)?);
    let mut changed = false;
    for edit in edits {
        changed |= match edit {
            Edit::Remove(path) => root.remove(path),
            Edit::Rename(path, name) => root.rename(path, name),
            Edit::Set(path, value) => root.set(path, value),
        };
    }
    let mut out = Vec::with_capacity(if changed { body.len() } else { 0 });
    if changed {
        root.write(&mut out);
    }
    Ok(changed.then_some(out))
}

/// A value, read as far as an edit had to look into it.
enum Node<'a> {
    Raw(&'a RawValue),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    /// Reads one level.
    fn open(&mut self) -> &mut Self {
        if let Node::Raw(raw) = *self {
            // A value that was read once is read again without fail.
            *self = match raw.get().as_bytes().first() {
                Some(b'{') => serde_json::from_str(raw.get()).map_or(Node::Raw(raw), |Members(members)| Node::Object(members)),
                Some(b'[') => serde_json::from_str(raw.get()).map_or(Node::Raw(raw), |Elements(elements)| Node::Array(elements)),
                _ => Node::Raw(raw),
            };
        }
        self
    }

    fn child(&mut self, part: &str) -> Option<&mut Node<'a>> {
        match self.open() {
            Node::Object(members) => members.iter_mut().find(|(name, _)| name == part).map(|(_, value)| value),
            Node::Array(elements) => elements.get_mut(index(part)?),
            Node::Raw(_) => None,
        }
    }

    fn at(&mut self, parts: &[String]) -> Option<&mut Node<'a>> {
        parts.iter().try_fold(self, |node, part| node.child(part))
    }

    fn remove(&mut self, path: &Path) -> bool {
        let (parents, last) = path.split();
        match self.at(parents).map(Node::open) {
            Some(Node::Object(members)) => {
                let before = members.len();
                // Some senders repeat names, and readers differ in which one they take.
                members.retain(|(name, _)| name != last);
                members.len() < before
            }
            Some(Node::Array(elements)) => {
                index(last).filter(|&index| index < elements.len()).map(|index| elements.remove(index)).is_some()
            }
            _ => false,
        }
    }

    fn rename(&mut self, path: &Path, to: &str) -> bool {
        let (parents, last) = path.split();
        let Some(Node::Object(members)) = self.at(parents).map(Node::open) else { return false };
        if to == last || !members.iter().any(|(name, _)| name == last) {
            return false;
        }
        members.retain(|(name, _)| name != to);
        members.iter_mut().filter(|(name, _)| name == last).for_each(|(name, _)| *name = to.to_owned().into());
        true
    }

    fn set(&mut self, path: &Path, value: &'a RawValue) -> bool {
        let (parents, last) = path.split();
        let mut node = self;
        for part in parents {
            if let Node::Object(members) = node.open()
                && !members.iter().any(|(name, _)| name == part)
            {
                members.push((part.clone().into(), Node::Object(Vec::new())));
            }
            match node.child(part) {
                Some(child) => node = child,
                None => return false,
            }
        }
        match node.open() {
            Node::Object(members) => match members.iter().position(|(name, _)| name == last) {
                None => members.push((last.to_owned().into(), Node::Raw(value))),
                Some(first) => {
                    members[first].1 = Node::Raw(value);
                    let mut at = 0;
                    members.retain(|(name, _)| {
                        at += 1;
                        at - 1 <= first || name != last
                    });
                }
            },
            Node::Array(elements) if last == "-" => elements.push(Node::Raw(value)),
            Node::Array(elements) => match index(last).and_then(|index| elements.get_mut(index)) {
                Some(element) => *element = Node::Raw(value),
                None => return false,
            },
            Node::Raw(_) => return false,
        }
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        let list = |out: &mut Vec<u8>, ends: [u8; 2], count: usize, each: &mut dyn FnMut(&mut Vec<u8>, usize)| {
            out.push(ends[0]);
            for at in 0..count {
                if at > 0 {
                    out.push(b',');
                }
                each(out, at);
            }
            out.push(ends[1]);
        };
        match self {
            Node::Raw(raw) => out.extend_from_slice(raw.get().as_bytes()),
            Node::Object(members) => list(out, *b"{}", members.len(), &mut |out, at| {
                let (name, value) = &members[at];
                // Writing to a vector can't fail.
                let _ = serde_json::to_writer(&mut *out, name);
                out.push(b':');
                value.write(out);
            }),
            Node::Array(elements) => list(out, *b"[]", elements.len(), &mut |out, at| elements[at].write(out)),
        }
    }
}

/// An array's index (RFC 6901 section 4): without leading zeros.
fn index(part: &str) -> Option<usize> {
    let plain = part == "0" || (part.bytes().all(|byte| byte.is_ascii_digit()) && !part.starts_with('0'));
    part.parse().ok().filter(|_| plain)
}

/// An object's members in their order, repeated names too.
struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);
struct Elements<'a>(Vec<Node<'a>>);

struct Reader;

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::<&'a RawValue>::deserialize(from).map(|elements| Elements(elements.into_iter().map(Node::Raw).collect()))
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = from.next_entry::<String, &'de RawValue>()? {
            members.push((Cow::Owned(name), Node::Raw(value)));
        }
        Ok(Members(members))
    }
}

/// Levels of a path.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn set(at: &str, value: &str) -> Edit {
        Edit::Set(path(at), RawValue::from_string(value.into()).unwrap())
    }

    fn edited(edits: &[Edit], body: &str) -> Option<String> {
        apply(edits, body.as_bytes()).unwrap().map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn paths_are_pointers_or_have_dots() {
        assert_eq!(path("a.b.0"), Path(vec!["a".into(), "b".into(), "0".into()]));
        assert_eq!(path("/a~1b/m~0n/c.d/"), Path(vec!["a/b".into(), "m~n".into(), "c.d".into(), String::new()]));
        for bad in ["", "a..b", ".", "a.", "/a~2", "/~"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
        assert!(Path::parse(&["a"; 33].join(".")).is_err());
    }

    #[test]
    fn only_what_is_on_the_way_is_touched() {
        let body = r#" {"z": 1e400, "user" : {"id": 12345678901234567890123.50, "ssn":"1", "tags": [ 1, 2 , {"a" :null} ]}, "a\u00e9": "\u00e9" } "#;
        assert_eq!(
            edited(&[Edit::Remove(path("user.ssn"))], body).unwrap(),
            r#"{"z":1e400,"user":{"id":12345678901234567890123.50,"tags":[ 1, 2 , {"a" :null} ]},"aé":"\u00e9"}"#
        );
        for nothing in ["user.name", "user.tags.3", "user.tags.01", "user.tags.-", "z.a", "user.id.0", "none.at.all"] {
            assert_eq!(edited(&[Edit::Remove(path(nothing))], body), None, "{nothing}");
        }
        assert_eq!(edited(&[Edit::Remove(path("/0/a"))], r#"[{"a":1,"b":2},{"a":3}]"#).unwrap(), r#"[{"b":2},{"a":3}]"#);
        assert_eq!(edited(&[Edit::Remove(path("1"))], "[1,2,3]").unwrap(), "[1,3]");
    }

    #[test]
    fn a_name_that_stands_there_twice_is_taken_away_or_replaced_as_a_whole() {
        let body = r#"{"a":1,"b":2,"a":3}"#;
        assert_eq!(edited(&[Edit::Remove(path("a"))], body).unwrap(), r#"{"b":2}"#);
        assert_eq!(edited(&[set("a", "true")], body).unwrap(), r#"{"a":true,"b":2}"#);
        assert_eq!(edited(&[Edit::Remove(path("/\u{e9}"))], r#"{"\u00e9":1}"#).unwrap(), "{}", "however it is written");
    }

    #[test]
    fn what_is_set_makes_its_way() {
        assert_eq!(edited(&[set("a.b.c", r#"{"x":[1]}"#)], "{}").unwrap(), r#"{"a":{"b":{"c":{"x":[1]}}}}"#);
        assert_eq!(edited(&[set("a.b", "1")], r#"{"a":7}"#), None, "a number has nothing below it");
        assert_eq!(edited(&[set("/a/-", "3"), set("/a/0", "0")], r#"{"a":[1,2]}"#).unwrap(), r#"{"a":[0,2,3]}"#);
        assert_eq!(edited(&[set("a.5", "1")], r#"{"a":[1]}"#), None);
        assert_eq!(edited(&[set("a", "1")], "null"), None);
        assert_eq!(
            edited(&[Edit::Rename(path("a.old"), "new".into())], r#"{"a":{"new":0,"old":1,"x":2}}"#).unwrap(),
            r#"{"a":{"new":1,"x":2}}"#
        );
        assert_eq!(edited(&[Edit::Rename(path("a.old"), "new".into())], r#"{"a":[1]}"#), None);
        let both = [Edit::Rename(path("a"), "b".into()), set("b.c", "2")];
        assert_eq!(edited(&both, r#"{"a":{"c":1}}"#).unwrap(), r#"{"b":{"c":2}}"#, "one after the other");
    }

    #[test]
    fn what_is_no_json_is_refused_however_deep() {
        for bad in ["", "{", "{'a':1}", "[1,]", "{} {}", "nul", "\u{feff}{}", "{\"a\":01}"] {
            assert_eq!(apply(&[], bad.as_bytes()), Err(Invalid), "{bad}");
        }
        assert_eq!(apply(&[], b"\"\xff\""), Err(Invalid));
        assert_eq!(apply(&[], b"[1, 2]"), Ok(None));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(edited(&[set("b", "1")], &deep).is_some_and(|out| out.ends_with(",\"b\":1}")));
    }
}
