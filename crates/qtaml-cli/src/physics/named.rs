//! Values that flags and files give by name.

use qtaml::physics::{Leakage, Material, Preset};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Something a user can name.
pub(super) trait Named: Sized {
    /// What goes by this name, or which names there are.
    fn named(name: &str) -> Result<Self, String>;
}

impl Named for Preset {
    fn named(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let preset = Self::ALL.into_iter().find(|preset| preset.name() == name);
        preset.ok_or_else(|| format!("there is no preset {name:?}, only {names}"))
    }
}

impl Named for Material {
    fn named(name: &str) -> Result<Self, String> {
        Self::by_name(name).ok_or_else(|| {
            let names: Vec<_> = Self::TABLE.iter().map(|m| m.name().to_lowercase()).collect();
            format!("there is no material {name:?}, only {}", names.join(", "))
        })
    }
}

impl Named for Leakage {
    fn named(name: &str) -> Result<Self, String> {
        let ratio = || name.parse().map(|g01_over_g10| Self::Ratio { g01_over_g10 });
        match name {
            "symmetric" => Ok(Self::Symmetric),
            "one-way" => Ok(Self::OneWay),
            _ => ratio().map_err(|_| format!("{name:?} is not symmetric, one-way or a number")),
        }
    }
}

/// For the keys of a file, to be read like the flags.
pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Named,
{
    let name = match Said::deserialize(deserializer)? {
        Said::Name(name) => name,
        Said::Number(number) => number.to_string(),
    };
    T::named(&name).map(Some).map_err(D::Error::custom)
}

/// A ratio need not stand in quotes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a name or a number")]
enum Said {
    Name(String),
    Number(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_named_is_found_and_nothing_else() {
        for preset in Preset::ALL {
            assert_eq!(Preset::named(preset.name()), Ok(preset));
        }
        assert_eq!(Material::named("hfo2"), Ok(Material::HFO2));
        assert_eq!(Leakage::named("one-way"), Ok(Leakage::OneWay));
        assert_eq!(Leakage::named("0.5"), Ok(Leakage::Ratio { g01_over_g10: 0.5 }));
        let error = Preset::named("tape").unwrap_err();
        assert_eq!(error, "there is no preset \"tape\", only floating-gate, dram, sram");
        assert!(Material::named("wood").unwrap_err().ends_with("al2o3, hfo2"));
        assert!(Leakage::named("none").is_err());
    }
}
