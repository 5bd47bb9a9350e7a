//! The JSON Schema of a configuration, made from the settings and their doc comments.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value as Json, json};

use super::Config;
use super::shape::Shape;

/// The schema in the form that files are checked against.
pub(super) static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::of(&of_settings()));

/// The JSON Schema (draft 2020-12) of a configuration, for editors: `config/schema.json`.
pub fn schema() -> Json {
    let mut schema = of_settings();
    schema["title"] = json!("Configuration of ringway");
    allow_expansions(&mut schema);
    schema
}

fn of_settings() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().into()
}

/// Lets `"${PORT}"` stand for whatever isn't text.
fn allow_expansions(schema: &mut Json) {
    if let Some(kind) = schema.get("type").cloned() {
        let kinds: Vec<Json> = kind.as_array().cloned().unwrap_or_else(|| vec![kind]);
        if kinds.iter().any(|kind| kind == "integer" || kind == "number" || kind == "boolean") {
            schema["type"] = kinds.into_iter().chain([json!("string")]).collect();
            schema["pattern"] = json!(EXPANSION);
        }
    }
    if let Some(pattern) = schema["pattern"].as_str().filter(|pattern| *pattern != EXPANSION) {
        schema["pattern"] = json!(format!("{pattern}|{EXPANSION}"));
    }
    if let Some(choices) = schema.get_mut("oneOf").and_then(Json::as_array_mut) {
        choices.push(json!({ "description": "Read from outside.", "type": "string", "pattern": EXPANSION }));
    }
    for group in ["properties", "$defs"] {
        schema.get_mut(group).and_then(Json::as_object_mut).into_iter().flatten().for_each(|(_, schema)| allow_expansions(schema));
    }
    for single in ["items", "additionalProperties"] {
        schema.get_mut(single).filter(|schema| schema.is_object()).into_iter().for_each(allow_expansions);
    }
    schema.get_mut("anyOf").and_then(Json::as_array_mut).into_iter().flatten().for_each(allow_expansions);
}

/// A text that holds an expansion.
const EXPANSION: &str = r"\$\{";
