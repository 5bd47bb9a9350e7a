//! Settings that are written as text of a form of their own: how serde, the schema and the checks see them.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};

/// A setting that is written as text: `Display` writes what `FromStr` reads, which says what is wrong with anything else
/// without showing it.
pub(super) trait Written: Display + FromStr<Err = String> {
    /// Its name in the schema.
    const NAME: &'static str;
    /// What is expected: `a duration such as "30s"`.
    const EXPECTED: &'static str;
    /// A regular expression for editors.
    const PATTERN: &'static str;
    /// The numbers that are taken too, if any.
    const NUMBERS: Option<(u16, u16)>;
}

/// Reads a setting of this form.
pub(super) fn deserialize<'de, T: Written, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Reader<T>(PhantomData<T>);

    impl<T: Written> Visitor<'_> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::EXPECTED)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            match T::NUMBERS {
                Some(_) => self.visit_str(&number.to_string()),
                None => Err(E::invalid_type(de::Unexpected::Unsigned(number), &self)),
            }
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            match u64::try_from(number) {
                Ok(number) => self.visit_u64(number),
                Err(_) => Err(E::invalid_type(de::Unexpected::Signed(number), &self)),
            }
        }
    }

    deserializer.deserialize_any(Reader(PhantomData))
}

/// The schema of a setting of this form.
pub(super) fn schema<T: Written>() -> schemars::Schema {
    let text = serde_json::json!({ "type": "string", "pattern": T::PATTERN });
    let schema = match T::NUMBERS {
        None => text,
        Some((low, high)) => serde_json::json!({ "anyOf": [{ "type": "integer", "minimum": low, "maximum": high }, text] }),
    };
    schemars::Schema::try_from(schema).unwrap_or_default()
}

/// Implements serde's traits and the schema for a type that is [`Written`].
macro_rules! written {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::written::deserialize(deserializer)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$type as $crate::config::written::Written>::NAME.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::config::written::schema::<$type>()
            }
        }
    };
}

pub(super) use written;
