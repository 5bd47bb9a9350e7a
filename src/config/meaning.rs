//! The hash of settings' meaning, made without writing them out: a file may have many thousands of routes, each with dozens of settings.

use std::fmt::{self, Display, Write};
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, FoldHasher};
use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

/// The same for all values that serialize alike, in every process.
pub(super) fn hash(value: &impl Serialize) -> u64 {
    let mut meaning = Meaning(FixedState::default().build_hasher());
    let hashed = value.serialize(&mut meaning);
    debug_assert!(hashed.is_ok(), "settings can always be hashed");
    meaning.0.finish()
}

/// Takes in what a value serializes to. What has parts says how many, or ends in a mark, so that no two values run into each other.
struct Meaning(FoldHasher<'static>);

/// Why a value can't be serialized, as its own code says.
#[derive(Debug)]
struct Unfit;

impl Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("can't be serialized")
    }
}

impl std::error::Error for Unfit {}

impl Error for Unfit {
    fn custom<T: Display>(_: T) -> Self {
        Unfit
    }
}

impl Meaning {
    fn text(&mut self, text: &str) {
        self.0.write(text.as_bytes());
        self.0.write_usize(text.len());
    }

    fn part(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Unfit> {
        self.text(name);
        value.serialize(self)
    }

    fn mark(&mut self, mark: Mark) {
        self.0.write_u8(mark as u8);
    }
}

/// What tells values of different kinds apart, and where those end that have parts.
#[derive(Clone, Copy)]
enum Mark {
    Nothing,
    Something,
    Parts,
    End,
}

impl Write for Meaning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// One method for each kind of number.
macro_rules! numbers {
    ($($serialize:ident $number:ty => $write:ident $as:ident,)*) => {
        $(fn $serialize(self, number: $number) -> Result<(), Unfit> {
            self.0.$write($as::from(number));
            Ok(())
        })*
    };
}

impl Serializer for &mut Meaning {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_bool bool => write_u8 u8,
        serialize_i8 i8 => write_i64 i64,
        serialize_i16 i16 => write_i64 i64,
        serialize_i32 i32 => write_i64 i64,
        serialize_i64 i64 => write_i64 i64,
        serialize_u8 u8 => write_u64 u64,
        serialize_u16 u16 => write_u64 u64,
        serialize_u32 u32 => write_u64 u64,
        serialize_u64 u64 => write_u64 u64,
        serialize_char char => write_u32 u32,
    }

    fn serialize_f32(self, number: f32) -> Result<(), Unfit> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Unfit> {
        self.0.write_u64(number.to_bits());
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Unfit> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unfit> {
        self.0.write(bytes);
        self.0.write_usize(bytes.len());
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        self.mark(Mark::Nothing);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        self.mark(Mark::Something);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Unfit> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        self.part(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unfit> {
        self.mark(Mark::Parts);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Unfit> {
        self.text(variant);
        self.serialize_seq(None)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Unfit> {
        self.text(variant);
        self.serialize_seq(None)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        write!(self, "{value}").map_err(|_| Unfit)?;
        self.mark(Mark::End);
        Ok(())
    }
}

/// The methods of one kind of values with parts that have no names.
macro_rules! nameless {
    ($($kind:ident $part:ident,)*) => {
        $(impl $kind for &mut Meaning {
            type Ok = ();
            type Error = Unfit;

            fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                self.mark(Mark::Something);
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unfit> {
                self.mark(Mark::End);
                Ok(())
            }
        })*
    };
}

nameless! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

/// The methods of one kind of values with parts that have names.
macro_rules! named {
    ($($kind:ident,)*) => {
        $(impl $kind for &mut Meaning {
            type Ok = ();
            type Error = Unfit;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unfit> {
                self.part(name, value)
            }

            fn end(self) -> Result<(), Unfit> {
                self.mark(Mark::End);
                Ok(())
            }
        })*
    };
}

named! { SerializeStruct, SerializeStructVariant, }

impl SerializeMap for &mut Meaning {
    type Ok = ();
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        self.mark(Mark::Something);
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unfit> {
        self.mark(Mark::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_two_values_run_into_each_other() {
        let hashes = [
            hash(&["ab", "c"]),
            hash(&["a", "bc"]),
            hash(&["abc"]),
            hash(&"abc"),
            hash(&[vec!["a"], vec![]]),
            hash(&[vec![], vec!["a"]]),
            hash(&[None, Some("")]),
            hash(&[Some(""), None]),
            hash(&[(); 2]),
            hash(&[0u8; 2]),
            hash(&BTreeMap::from([("a", "b")])),
            hash(&BTreeMap::from([("a", Some("b"))])),
            hash(&0.0),
            hash(&-0.5),
        ];
        for (index, one) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(one), "{index}");
        }
        assert_eq!(hash(&vec!["ab", "c"]), hash(&["ab", "c"].as_slice()));
    }
}
