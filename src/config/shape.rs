//! The schema in the form that checking a file against it needs: every reference resolved, once.

use foldhash::{HashMap, HashMapExt};
use serde_json::{Map, Value as Json};

use super::written::Written;
use super::{HashKey, HostHeader, Size, StatusRange, Time};

/// What a setting may be.
#[derive(Debug)]
pub(super) enum Shape {
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Text,
    /// A text of a form of its own.
    Form(Form),
    /// One of these words.
    Choice(Vec<String>),
    List(Box<Shape>),
    /// An object with these settings.
    Table(Fields),
    /// An object with names of the user's choice.
    Map(Box<Shape>),
    /// Whatever can be written.
    Any,
    /// May be `null`.
    Optional(Box<Shape>),
}

/// A text of a form of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub name: &'static str,
    pub expected: &'static str,
    pub numbers: bool,
    pub check: fn(&str) -> Result<(), String>,
}

/// The settings of an object.
#[derive(Debug)]
pub(super) struct Fields {
    /// In the order of the schema.
    pub list: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Fields {
    /// The place of a setting in the list.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|(name, _)| name.as_str())
    }
}

impl Shape {
    /// Takes a schema apart that was made from the settings; it holds no more than settings need.
    pub fn of(schema: &Json) -> Shape {
        let none = Map::new();
        let definitions = schema["$defs"].as_object().unwrap_or(&none);
        compile(schema, definitions)
    }

    /// What is expected, for a message: `must be ...`.
    pub fn expected(&self) -> String {
        match self {
            Shape::Bool => "true or false".into(),
            Shape::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Shape::Number { min, max } => format!("a number from {min} to {max}"),
            Shape::Text => "text".into(),
            Shape::Form(form) => form.expected.into(),
            Shape::Choice(words) => format!("one of {}", words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")),
            Shape::List(_) => "a list".into(),
            Shape::Table(_) | Shape::Map(_) => "an object".into(),
            Shape::Any => "any value".into(),
            Shape::Optional(shape) => shape.expected(),
        }
    }
}

fn compile(schema: &Json, definitions: &Map<String, Json>) -> Shape {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        return match FORMS.iter().find(|form| form.name == name) {
            Some(form) => Shape::Form(*form),
            None => compile(&definitions[name], definitions),
        };
    }
    let members = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
    if let [one, other] = members("anyOf")
        && other["type"] == "null"
    {
        return Shape::Optional(Box::new(compile(one, definitions)));
    }
    if !members("oneOf").is_empty() {
        return Shape::Choice(members("oneOf").iter().filter_map(|one| one["const"].as_str()).map(str::to_owned).collect());
    }
    if let [one, _null] = members("type") {
        let mut schema = schema.clone();
        schema["type"] = one.clone();
        return Shape::Optional(Box::new(compile(&schema, definitions)));
    }
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => Shape::Bool,
        "integer" => {
            let (min, max) = width(schema["format"].as_str().unwrap_or_default());
            Shape::Integer { min: schema["minimum"].as_i64().unwrap_or(min), max: schema["maximum"].as_i64().unwrap_or(max) }
        }
        "number" => {
            Shape::Number { min: schema["minimum"].as_f64().unwrap_or(f64::MIN), max: schema["maximum"].as_f64().unwrap_or(f64::MAX) }
        }
        "array" => Shape::List(Box::new(compile(&schema["items"], definitions))),
        "object" if schema["additionalProperties"].is_object() => {
            Shape::Map(Box::new(compile(&schema["additionalProperties"], definitions)))
        }
        "object" if schema["additionalProperties"] == true => Shape::Map(Box::new(Shape::Any)),
        "object" => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let list: Vec<(String, Shape)> = properties.map(|(name, schema)| (name.clone(), compile(schema, definitions))).collect();
            let mut places = HashMap::with_capacity(list.len());
            places.extend(list.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)));
            Shape::Table(Fields { list, places })
        }
        _ => Shape::Text,
    }
}

/// The numbers that a Rust type holds.
fn width(format: &str) -> (i64, i64) {
    match format {
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        _ => (0, i64::MAX),
    }
}

const fn form<T: Written>() -> Form {
    Form { name: T::NAME, expected: T::EXPECTED, numbers: T::NUMBERS.is_some(), check: |text| text.parse::<T>().map(drop) }
}

const FORMS: &[Form] = &[form::<Time>(), form::<Size>(), form::<StatusRange>(), form::<HashKey>(), form::<HostHeader>()];
