//! Keys of a cell file, read like the flags of the same name.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A value that has a name, or a number in its place.
pub(super) fn parse<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = match NameOrNumber::deserialize(deserializer)? {
        NameOrNumber::Name(name) => name,
        NameOrNumber::Number(number) => number.to_string(),
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

/// A ratio need not stand in quotes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a name or a number")]
enum NameOrNumber {
    Name(String),
    Number(f64),
}
