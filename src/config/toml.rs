//! TOML of the same shape as the JSON form.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, de};

use super::load::Fault;
use super::tree::{Entry, Kind, Value};

/// Reads a text; all its faults are returned.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Fault>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<Fault> = errors.iter().map(fault).collect();
    let value = Value::new(0, table(root.into_inner(), &mut faults));
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}

fn fault(error: &de::Error) -> Fault {
    Fault::syntax(error.span().map_or(0, |span| span.start), error.message())
}

fn table(entries: DeTable<'_>, faults: &mut Vec<Fault>) -> Kind {
    let entries = entries.into_iter().map(|(name, value)| Entry {
        at: name.span().start as u32,
        name: name.into_inner().into(),
        value: convert(value, faults),
    });
    Kind::Table(entries.collect())
}

fn convert(value: Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Value {
    let at = value.span().start;
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into()),
        DeValue::Boolean(value) => Kind::Bool(value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_or(Kind::Refused, Kind::Integer),
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(float) if float.is_finite() => Kind::Float(float),
            _ => Kind::Refused,
        },
        DeValue::Datetime(date) => Kind::Text(date.to_string().into()),
        DeValue::Array(values) => Kind::List(values.into_iter().map(|value| convert(value, faults)).collect()),
        DeValue::Table(entries) => table(entries, faults),
    };
    if kind == Kind::Refused {
        faults.push(Fault::syntax(at, "this number can't be taken"));
    }
    Value::new(at, kind)
}
