//! YAML 1.2 of the same shape as the JSON form. Aliases are followed; tags and merge keys are refused.

use std::collections::HashMap;

use compact_str::CompactString;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::load::Fault;
use super::tree::{Entry, Kind, Value};

/// Levels of nesting, at most.
const DEPTH_MAX: usize = 64;
/// Values that aliases may make, at most: a few lines of aliases of aliases could fill the memory.
const COPIES_MAX: usize = 100_000;

/// Reads a text of one document; an empty one is an empty object.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Fault>> {
    let offsets: Vec<usize> = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
    let offset = |index: usize| match offsets.is_empty() {
        true => index.min(text.len()),
        false => offsets.get(index).copied().unwrap_or(text.len()),
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error: ScanError| vec![Fault::syntax(offset(error.marker().index()), error.info())])?;
        builder.take(event, offset(span.start.index())).map_err(|fault| vec![fault])?;
    }
    let root = builder.root.filter(|root| root.kind != Kind::Null);
    Ok(root.unwrap_or_else(Value::empty_table))
}

/// The values that have begun but not ended, and those that are named.
#[derive(Default)]
struct Builder {
    root: Option<Value>,
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    copies: usize,
}

struct Open {
    at: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    /// Its entries, and the name whose value comes next.
    Table(Vec<Entry>, Option<(CompactString, u32)>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: usize) -> Result<(), Fault> {
        match event {
            Event::Scalar(.., Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err(Fault::syntax(at, "tags are not supported"))
            }
            Event::Scalar(text, style, anchor, None) => {
                // A name is text, whatever it looks like.
                let name = matches!(self.open.last(), Some(Open { content: Content::Table(_, None), .. }));
                let kind = if style == ScalarStyle::Plain && !name { plain(&text) } else { Kind::Text(text.into()) };
                self.place(Value::new(at, kind), anchor)
            }
            Event::SequenceStart(anchor, None) => self.begin(at, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, None) => self.begin(at, anchor, Content::Table(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, anchor, content }) = self.open.pop() else { return Ok(()) };
                let kind = match content {
                    Content::List(values) => Kind::List(values.into()),
                    Content::Table(entries, _) => Kind::Table(entries.into()),
                };
                self.place(Value::new(at, kind), anchor)
            }
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault::syntax(at, "an alias can't stand inside of what it names"));
                };
                self.copies += size(&value);
                match self.copies <= COPIES_MAX {
                    true => self.place(value, 0),
                    false => Err(Fault::syntax(at, &format!("aliases make more than {COPIES_MAX} values"))),
                }
            }
            Event::DocumentStart(_) if self.root.is_some() => Err(Fault::syntax(at, "there must be only one document")),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, at: usize, anchor: usize, content: Content) -> Result<(), Fault> {
        if self.open.len() == DEPTH_MAX {
            return Err(Fault::syntax(at, &format!("more than {DEPTH_MAX} levels of nesting")));
        }
        self.open.push(Open { at, anchor, content });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, value: Value, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(value),
            Some(Content::List(values)) => values.push(value),
            Some(Content::Table(entries, name @ Some(_))) => {
                entries.extend(name.take().map(|(name, at)| Entry { name, at, value }));
            }
            Some(Content::Table(_, name)) => match value.kind {
                Kind::Text(text) => *name = Some((text, value.at)),
                _ => return Err(Fault::syntax(value.at as usize, "the name of a setting must be text")),
            },
        }
        Ok(())
    }
}

fn size(value: &Value) -> usize {
    match &value.kind {
        Kind::List(values) => 1 + values.iter().map(size).sum::<usize>(),
        Kind::Table(entries) => 1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>(),
        _ => 1,
    }
}

/// What a text without quotes means (YAML 1.2 section 10.3.2).
fn plain(text: &str) -> Kind {
    let radix = |prefix: &str, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    if let Some(integer) = text.parse().ok().or_else(|| radix("0o", 8)).or_else(|| radix("0x", 16)) {
        return Kind::Integer(integer);
    }
    let float = text.starts_with(['.', '+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    match text.parse::<f64>() {
        Ok(value) if float && value.is_finite() => Kind::Float(value),
        _ => Kind::Text(text.into()),
    }
}
