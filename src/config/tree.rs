//! A configuration file as a tree of values that know where they stand, whatever the file's format.

use compact_str::CompactString;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    /// Offset into the file's text, in bytes.
    pub at: u32,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(CompactString),
    /// A text of which `${...}` was a part.
    Expanded(Box<Expanded>),
    List(Box<[Value]>),
    Table(Box<[Entry]>),
    /// A problem was reported; the setting's default stands for it, so that checking can go on.
    Refused,
}

/// A text of which `${...}` was a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expanded {
    pub text: String,
    /// The text as it stands in the file.
    pub written: String,
    /// Part of it was read from the environment or a file, so it must not be shown.
    pub secret: bool,
}

/// One setting of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub name: CompactString,
    /// Where the name begins.
    pub at: u32,
    pub value: Value,
}

impl Value {
    pub fn new(at: usize, kind: Kind) -> Self {
        // A file has fewer bytes than that.
        Value { at: u32::try_from(at).unwrap_or(u32::MAX), kind }
    }

    pub fn empty_table() -> Self {
        Value::new(0, Kind::Table(Box::default()))
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Expanded(expanded) => Some(&expanded.text),
            _ => None,
        }
    }

    /// Whether part of it was read from the environment or a file, so that it must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(&self.kind, Kind::Expanded(expanded) if expanded.secret)
    }

    /// What the value is, for a message about it.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Null => "null".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Integer(value) => value.to_string(),
            Kind::Float(value) => value.to_string(),
            Kind::Text(text) => quoted(text),
            Kind::Expanded(expanded) => quoted(if expanded.secret { &expanded.written } else { &expanded.text }),
            Kind::List(_) => "a list".into(),
            Kind::Table(_) => "an object".into(),
            Kind::Refused => "refused".into(),
        }
    }

    /// The value at a path such as `routes[3].upstream`, or the nearest one around it.
    pub fn find(&self, path: &str) -> &Value {
        self.step(path).map_or(self, |(value, rest)| value.find(rest))
    }

    /// The value one step down the path, and the path from there.
    fn step<'a>(&self, path: &'a str) -> Option<(&Value, &'a str)> {
        match &self.kind {
            Kind::List(values) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                Some((values.get(index.parse::<usize>().ok()?)?, rest))
            }
            Kind::Table(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                let rest =
                    |entry: &Entry| path.strip_prefix(entry.name.as_str()).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
                // Names may hold dots, as those of headers do: the longest that fits is meant.
                let fitting = entries.iter().filter_map(|entry| rest(entry).map(|rest| (&entry.value, rest)));
                fitting.min_by_key(|(_, rest)| rest.len())
            }
            _ => None,
        }
    }

    /// Calls `visit` with every text from outside.
    pub fn each_secret<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        match &self.kind {
            Kind::Expanded(expanded) if expanded.secret => visit(&expanded.text),
            Kind::List(values) => values.iter().for_each(|value| value.each_secret(visit)),
            Kind::Table(entries) => entries.iter().for_each(|entry| entry.value.each_secret(visit)),
            _ => {}
        }
    }
}

impl<'de> Deserializer<'de> for &'de Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Null | Kind::Refused => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Integer(value) => visitor.visit_i64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::Expanded(expanded) => visitor.visit_borrowed_str(&expanded.text),
            Kind::List(values) => visitor.visit_seq(SeqDeserializer::new(values.iter())),
            Kind::Table(entries) => {
                let sound = entries.iter().filter(|entry| entry.value.kind != Kind::Refused);
                visitor.visit_map(MapDeserializer::new(sound.map(|entry| (entry.name.as_str(), &entry.value))))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.kind == Kind::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.text().unwrap_or_default().into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de> for &'de Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A text in quotes, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Characters of a text that a message shows.
const SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: Vec<(&str, Value)>) -> Value {
        let entries = entries.into_iter().map(|(name, value)| Entry { name: name.into(), at: 0, value }).collect();
        Value { at: 0, kind: Kind::Table(entries) }
    }

    fn leaf(at: u32) -> Value {
        Value { at, kind: Kind::Null }
    }

    #[test]
    fn finds_a_path_or_what_is_nearest() {
        let headers = table(vec![("X", leaf(1)), ("X.Y", leaf(2)), ("[0]", leaf(3))]);
        let tree = table(vec![("routes", Value { at: 9, kind: Kind::List([headers, leaf(4)].into()) })]);
        for (path, at) in [("routes[0].X", 1), ("routes[0].X.Y", 2), ("routes[0].[0]", 3), ("routes[1]", 4), ("routes[1].x[2]", 4)] {
            assert_eq!(tree.find(path).at, at, "{path}");
        }
        for (path, at) in [("", 0), ("nothing", 0), ("routes[7].X", 9), ("routes[", 9), ("routes", 9), ("route", 0)] {
            assert_eq!(tree.find(path).at, at, "{path}");
        }
    }

    #[test]
    fn a_long_text_is_shown_in_part() {
        assert_eq!(quoted(&"ä".repeat(81)), format!("\"{}\"...", "ä".repeat(80)));
    }
}
