//! A file against the schema: unknown and repeated settings, wrong types, numbers out of range, words that don't exist.
//!
//! What a problem was reported of is marked refused, so that the rest can be read and checked further.

use std::fmt;

use super::problem::{meant, there_are};
use super::shape::{Fields, Shape};
use super::tree::{Entry, Kind, Value};

/// A problem, before its place is turned into line and column.
#[derive(Debug)]
pub(super) struct Finding {
    pub at: u32,
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
    /// The setting that was probably meant; nothing more is said about it.
    pub meant: Option<String>,
}

/// Where the check is: a setting, and the one around it.
#[derive(Clone, Copy)]
struct Step<'a> {
    above: Option<&'a Step<'a>>,
    part: Part<'a>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Root,
    Name(&'a str),
    Index(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match self.part {
            Part::Root => Ok(()),
            Part::Name(name) => {
                let first = self.above.is_none_or(|above| matches!(above.part, Part::Root));
                f.write_str(if first { "" } else { "." })?;
                name.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
            }
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Checks a whole file.
pub(super) fn check(root: &mut Value, shape: &Shape) -> Vec<Finding> {
    let mut findings = Vec::new();
    value(root, shape, Step { above: None, part: Part::Root }, &mut findings);
    findings
}

fn value(value: &mut Value, shape: &Shape, step: Step<'_>, findings: &mut Vec<Finding>) {
    match (shape, &mut value.kind) {
        // The problem has been reported.
        (_, Kind::Refused) | (Shape::Any, _) => return,
        (Shape::Optional(_), Kind::Null) => return,
        (Shape::Optional(shape), _) => return self::value(value, shape, step, findings),
        (Shape::List(shape), Kind::List(values)) => {
            for (index, value) in values.iter_mut().enumerate() {
                self::value(value, shape, Step { above: Some(&step), part: Part::Index(index) }, findings);
            }
            // Taking an element away would give the others the wrong numbers.
            if values.iter().any(|value| value.kind == Kind::Refused) {
                value.kind = Kind::Refused;
            }
            return;
        }
        (Shape::Table(fields), Kind::Table(entries)) => return table(entries, fields, step, findings),
        (Shape::Map(shape), Kind::Table(entries)) => return map(entries, shape, step, findings),
        _ => {}
    }
    let (message, hint) = match leaf(value, shape) {
        Ok(None) => return,
        Ok(Some(kind)) => {
            value.kind = kind;
            return;
        }
        Err(fault) => fault,
    };
    findings.push(Finding { at: value.at, path: step.to_string(), message, hint, meant: None });
    value.kind = Kind::Refused;
}

/// Checks a setting that holds no others. `Some` is what a text with an expansion in it stands for.
fn leaf(value: &Value, shape: &Shape) -> Result<Option<Kind>, (String, Option<String>)> {
    // Within quotes a number or switch can only be meant where it came from outside.
    let outside = match &value.kind {
        Kind::Expanded(expanded) => Some(expanded.text.trim()),
        _ => None,
    };
    match (shape, &value.kind) {
        (Shape::Bool, Kind::Bool(_)) | (Shape::Text, Kind::Text(_) | Kind::Expanded(_)) => return Ok(None),
        (Shape::Bool, _) => {
            if let Some(word) = outside.and_then(|text| text.parse().ok()) {
                return Ok(Some(Kind::Bool(word)));
            }
        }
        (Shape::Integer { min, max }, kind) => {
            let written = if let Kind::Integer(number) = kind { Some(*number) } else { outside.and_then(|text| text.parse().ok()) };
            if let Some(number) = written.filter(|number| (min..=max).contains(&number)) {
                return Ok(Some(Kind::Integer(number)));
            }
        }
        (Shape::Number { min, max }, kind) => {
            let written = match kind {
                Kind::Integer(number) => Some(*number as f64),
                Kind::Float(number) => Some(*number),
                _ => outside.and_then(|text| text.parse().ok()),
            };
            if let Some(number) = written.filter(|number| (min..=max).contains(&number)) {
                return Ok(Some(Kind::Float(number)));
            }
        }
        (Shape::Form(form), Kind::Text(_) | Kind::Expanded(_)) => {
            let checked = (form.check)(value.text().unwrap_or_default());
            return checked.map(|()| None).map_err(|message| match message.starts_with("must be") {
                true => (format!("{message}, is {}", value.shown()), None),
                false => (format!("{} {message}", value.shown()), None),
            });
        }
        (Shape::Form(form), Kind::Integer(number)) if form.numbers && (form.check)(&number.to_string()).is_ok() => return Ok(None),
        (Shape::Choice(words), Kind::Text(_) | Kind::Expanded(_)) => {
            let text = value.text().unwrap_or_default();
            if words.iter().any(|word| word == text) {
                return Ok(None);
            }
            let all = there_are(words.iter().map(String::as_str));
            let meant = meant(text, words.iter().map(String::as_str)).filter(|_| !value.is_secret());
            let hint = meant.map_or(all.clone(), |word| format!("did you mean {word:?}? {all}"));
            return Err((format!("there is no {}", value.shown()), Some(hint)));
        }
        _ => {}
    }
    let hint = match (shape, &value.kind) {
        (Shape::Text, Kind::Bool(_) | Kind::Integer(_) | Kind::Float(_)) => Some(format!("put it in quotes: \"{}\"", value.shown())),
        (Shape::Bool | Shape::Integer { .. } | Shape::Number { .. }, Kind::Text(text)) => {
            Some("write it without quotes".to_owned()).filter(|_| text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok())
        }
        (Shape::List(_), Kind::Text(_)) => Some(format!("write [{}]", value.shown())),
        _ => None,
    };
    Err((format!("must be {}, is {}", shape.expected(), value.shown()), hint))
}

fn table(entries: &mut [Entry], fields: &Fields, step: Step<'_>, findings: &mut Vec<Finding>) {
    let mut seen = vec![false; fields.list.len()];
    for entry in entries {
        let here = Step { above: Some(&step), part: Part::Name(&entry.name) };
        let Some(place) = fields.place(&entry.name) else {
            let renamed = RENAMED.iter().find(|(old, new)| *old == entry.name && fields.place(new).is_some()).map(|(_, new)| *new);
            let meant = renamed.or_else(|| meant(&entry.name, fields.names()));
            let hint = match meant {
                Some(name) => format!("did you mean {name:?}?"),
                None => there_are(fields.names().filter(|name| !name.starts_with('$'))),
            };
            findings.push(Finding {
                at: entry.at,
                path: here.to_string(),
                message: "there is no such setting".into(),
                hint: Some(hint),
                meant: meant.map(|name| Step { above: Some(&step), part: Part::Name(name) }.to_string()),
            });
            entry.value.kind = Kind::Refused;
            continue;
        };
        if std::mem::replace(&mut seen[place], true) {
            repeated(entry, here.to_string(), findings);
            continue;
        }
        value(&mut entry.value, &fields.list[place].1, here, findings);
    }
}

fn map(entries: &mut [Entry], shape: &Shape, step: Step<'_>, findings: &mut Vec<Finding>) {
    let mut seen = foldhash::HashSet::default();
    for entry in entries {
        let here = Step { above: Some(&step), part: Part::Name(&entry.name) };
        if seen.insert(entry.name.clone()) {
            value(&mut entry.value, shape, here, findings);
        } else {
            repeated(entry, here.to_string(), findings);
        }
    }
}

fn repeated(entry: &mut Entry, path: String, findings: &mut Vec<Finding>) {
    let message = "is set twice in the same object".into();
    findings.push(Finding { at: entry.at, path, message, hint: Some("remove one of them".into()), meant: None });
    entry.value.kind = Kind::Refused;
}

/// What other gateways call a setting, where that is far from the name it has here.
const RENAMED: &[(&str, &str)] = &[
    ("backend", "upstream"),
    ("backends", "upstreams"),
    ("clusters", "upstreams"),
    ("host", "hosts"),
    ("pattern", "path"),
    ("prefix", "path"),
    ("server", "listener"),
    ("servers", "endpoints"),
    ("targets", "endpoints"),
];
