//! JSON as configuration files have it: strict, but for comments and trailing commas.

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::load::Fault;
use super::tree::{Entry, Kind, Text, Value};

/// Reads a text; an empty one is an empty object.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Fault>> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options);
    let parsed = parsed.map_err(|error| vec![Fault::syntax(error.range().start, &error.kind().to_string())])?;
    let mut faults = Vec::new();
    let value = parsed.value.map_or(Value { at: 0, kind: Kind::Table(Vec::new()) }, |value| convert(value, &mut faults));
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}

fn convert(value: ast::Value, faults: &mut Vec<Fault>) -> Value {
    let at = value.range().start;
    let kind = match value {
        ast::Value::NullKeyword(_) => Kind::Null,
        ast::Value::BooleanLit(literal) => Kind::Bool(literal.value),
        ast::Value::NumberLit(literal) => number(literal.value).unwrap_or_else(|| {
            faults.push(Fault::syntax(at, &format!("{} is not a number that can be taken", literal.value)));
            Kind::Refused
        }),
        ast::Value::StringLit(literal) => Kind::Text(Text::new(literal.value)),
        ast::Value::Array(array) => Kind::List(array.elements.into_iter().map(|value| convert(value, faults)).collect()),
        ast::Value::Object(object) => {
            let entries = object.properties.into_iter().map(|property| Entry {
                at: property.name.range().start,
                name: property.name.into_string(),
                value: convert(property.value, faults),
            });
            Kind::Table(entries.collect())
        }
    };
    Value { at, kind }
}

fn number(text: &str) -> Option<Kind> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
        return None;
    }
    match text.parse::<i64>() {
        Ok(integer) => Some(Kind::Integer(integer)),
        Err(_) => text.parse::<f64>().ok().filter(|float| float.is_finite()).map(Kind::Float),
    }
}
