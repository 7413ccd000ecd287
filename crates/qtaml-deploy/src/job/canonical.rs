//! Canonical JSON: one text for one value.

use serde::Serialize;
use serde::ser::{self, Error as _};
use serde_json::Value;

use super::CanonicalError;

/// The canonical text of a value: no white space, keys sorted by their bytes.
pub(super) fn canonical_json(value: &(impl Serialize + ?Sized)) -> Result<String, CanonicalError> {
    canonical_text(&strict_value(value)?)
}

/// The value as JSON; a number that is not finite is an error, where `serde_json` writes `null`.
pub(super) fn strict_value(value: &(impl Serialize + ?Sized)) -> Result<Value, CanonicalError> {
    value.serialize(AllFinite).map_err(|NotFinite(found)| match found {
        Some(value) => CanonicalError::NotFinite { value },
        // The type's own error comes again below, in its own words.
        None => match serde_json::to_value(value) {
            Err(error) => CanonicalError::Json(error),
            Ok(_) => CanonicalError::Json(serde_json::Error::custom("it cannot be serialized")),
        },
    })?;
    serde_json::to_value(value).map_err(CanonicalError::Json)
}

/// The canonical text of JSON. Objects of `serde_json` keep the order of insertion if any crate of a
/// program asks for that: so they are sorted here.
pub(super) fn canonical_text(value: &Value) -> Result<String, CanonicalError> {
    let mut text = String::new();
    append(&mut text, value).map_err(CanonicalError::Json)?;
    Ok(text)
}

fn append(text: &mut String, value: &Value) -> serde_json::Result<()> {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                append(text, item)?;
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, item)) in fields.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(&serde_json::to_string(key)?);
                text.push(':');
                append(text, item)?;
            }
            text.push('}');
        }
        scalar => text.push_str(&serde_json::to_string(scalar)?),
    }
    Ok(())
}

/// A serializer that writes nothing, and fails at the first number that is not finite.
#[derive(Clone, Copy)]
struct AllFinite;

/// The number, or `None` where a type refused to be serialized.
#[derive(Debug)]
struct NotFinite(Option<f64>);

impl std::fmt::Display for NotFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number is not finite")
    }
}

impl std::error::Error for NotFinite {}

impl ser::Error for NotFinite {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

type Checked = Result<(), NotFinite>;

/// Scalars that are always fine.
macro_rules! fine {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method(self, _: $type) -> Checked {
            Ok(())
        })*
    };
}

impl ser::Serializer for AllFinite {
    type Ok = ();
    type Error = NotFinite;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fine! {
        serialize_bool(bool), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32),
        serialize_u64(u64), serialize_u128(u128), serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, value: f32) -> Checked {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Checked {
        if value.is_finite() { Ok(()) } else { Err(NotFinite(Some(value))) }
    }

    fn serialize_none(self) -> Checked {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Checked {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, NotFinite> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, NotFinite> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, NotFinite> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotFinite> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, NotFinite> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotFinite> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotFinite> {
        Ok(self)
    }
}

/// The parts of compound values.
macro_rules! parts {
    ($($part:ident::$method:ident($($name:ty)?)),* $(,)?) => {
        $(impl ser::$part for AllFinite {
            type Ok = ();
            type Error = NotFinite;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Checked {
                value.serialize(*self)
            }

            fn end(self) -> Checked {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
}

impl ser::SerializeMap for AllFinite {
    type Ok = ();
    type Error = NotFinite;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Checked {
        key.serialize(*self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
        value.serialize(*self)
    }

    fn end(self) -> Checked {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_has_one_text() {
        let text =
            r#"{"A":null,"a":[1,1.0,-0.0,1e-7,18446744073709551615],"b":{"c":"\"ξ\"","d":true}}"#;
        for source in [
            text.to_owned(),
            r#" { "b": {"d":true, "c":"\"\u03be\""}, "a":[1,1.0,-0.0,0.0000001,18446744073709551615], "A":null } "#.to_owned(),
        ] {
            let value: Value = serde_json::from_str(&source).unwrap();
            assert_eq!(canonical_text(&value).unwrap(), text);
        }
    }

    #[test]
    fn keys_are_sorted_by_their_bytes() {
        let map: HashMap<String, u8> =
            ["z", "é", "a", "Z", "aa"].into_iter().map(|key| (key.to_owned(), 1)).collect();
        assert_eq!(canonical_json(&map).unwrap(), r#"{"Z":1,"a":1,"aa":1,"z":1,"é":1}"#);
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_wherever_they_stand() {
        #[derive(Serialize)]
        enum Deep {
            New(f32),
            Tuple(u8, f64),
            Struct { x: Option<f64> },
        }
        let nan = [
            canonical_json(&f64::NAN),
            canonical_json(&vec![1.0, f64::INFINITY]),
            canonical_json(&BTreeMap::from([("x", f32::NEG_INFINITY)])),
            canonical_json(&Deep::New(f32::NAN)),
            canonical_json(&Deep::Tuple(1, f64::NAN)),
            canonical_json(&Deep::Struct { x: Some(f64::NAN) }),
        ];
        for result in nan {
            assert!(matches!(result, Err(CanonicalError::NotFinite { .. })), "{result:?}");
        }
        assert_eq!(canonical_json(&Deep::Struct { x: None }).unwrap(), r#"{"Struct":{"x":null}}"#);
        assert_eq!(canonical_json(&Deep::Tuple(1, 0.5)).unwrap(), r#"{"Tuple":[1,0.5]}"#);
    }

    #[test]
    fn what_json_cannot_say_is_an_error_with_a_cause() {
        let error = canonical_json(&HashMap::from([([1, 2], 3)])).unwrap_err();
        assert!(matches!(error, CanonicalError::Json(_)), "{error}");
        assert_eq!(canonical_json(&json!({})).unwrap(), "{}");
    }
}
