//! Enums by name: one list of names for printing, parsing and files.

/// A name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is unknown: {} are there", listed(known))]
#[non_exhaustive]
pub struct UnknownName {
    /// What was named.
    pub what: &'static str,
    /// The name that was given.
    pub name: String,
    /// The names that exist.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    /// The error of `name` where only `known` names exist.
    pub fn new(what: &'static str, name: &str, known: impl Into<Vec<&'static str>>) -> Self {
        Self { what, name: name.to_owned(), known: known.into() }
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        _ => names.concat(),
    }
}

/// Gives the variants of an enum their names: all of them (`ALL`), `name`, `Display`, `FromStr`
/// with [`UnknownName`], and the same names in files (serde). Each is written once, here.
///
/// ```
/// #[derive(Debug, Clone, Copy, PartialEq)]
/// enum Colour {
///     Red,
///     DarkBlue,
/// }
///
/// qtaml_quant::names!(Colour, "colour", { Red: "red", DarkBlue: "dark-blue" });
///
/// assert_eq!("dark-blue".parse(), Ok(Colour::DarkBlue));
/// assert_eq!(serde_json::to_string(&Colour::ALL)?, r#"["red","dark-blue"]"#);
/// let error = "green".parse::<Colour>().unwrap_err();
/// assert_eq!(error.to_string(), r#"colour "green" is unknown: red and dark-blue are there"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! names {
    ($type:ident, $what:literal, { $($variant:ident: $name:literal),+ $(,)? }) => {
        // As visible as the enum itself.
        #[allow(unreachable_pub)]
        impl $type {
            /// Every one there is.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Its name, as on a command line and in files.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::UnknownName;

            fn from_str(name: &str) -> ::std::result::Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownName::new($what, name, Self::ALL.map(Self::name))),
                }
            }
        }

        $crate::text_in_files!($type);
    };
}

/// Writes a type into files as the text that it prints, and reads what it parses (serde).
///
/// ```
/// use std::{fmt, str::FromStr};
///
/// #[derive(Debug, PartialEq)]
/// struct Metres(f64);
///
/// impl fmt::Display for Metres {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "{} m", self.0)
///     }
/// }
///
/// impl FromStr for Metres {
///     type Err = std::num::ParseFloatError;
///
///     fn from_str(text: &str) -> Result<Self, Self::Err> {
///         text.trim_end_matches(" m").parse().map(Self)
///     }
/// }
///
/// qtaml_quant::text_in_files!(Metres);
///
/// assert_eq!(serde_json::to_string(&Metres(1.5))?, "\"1.5 m\"");
/// assert_eq!(serde_json::from_str::<Metres>("\"2 m\"")?, Metres(2.0));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! text_in_files {
    ($type:ident) => {
        impl $crate::serde::Serialize for $type {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                target: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                target.collect_str(self)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                source: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let text =
                    <::std::string::String as $crate::serde::Deserialize>::deserialize(source)?;
                text.parse().map_err($crate::serde::de::Error::custom)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Only {
        One,
    }

    crate::names!(Only, "number", { One: "one" });

    #[test]
    fn print_parse_and_file_agree() {
        assert_eq!(Only::ALL.map(|only| only.to_string().parse()), [Ok(Only::One)]);
        let json = serde_json::to_value(Only::One).unwrap();
        assert_eq!(json, "one");
        assert_eq!(serde_json::from_value::<Only>(json).unwrap(), Only::One);
        let error = serde_json::from_str::<Only>("\"One\"").unwrap_err().to_string();
        assert!(error.starts_with("number \"One\" is unknown: one are there"), "{error}");
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(listed(&["a"]), "a");
    }
}
