//! The quantities that can be swept or solved for.

use clap::ValueEnum;

/// A quantity on the way from oxide to flip probability, named like its flag.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Thickness of the oxide
    OxideNm,
    /// Field in the oxide
    FieldVPerNm,
    /// How long the cell is left alone
    RetentionS,
    /// Temperature of the electrode that the charge leaves
    TemperatureK,
}

impl Quantity {
    /// The name of its flag without the dashes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OxideNm => "oxide-nm",
            Self::FieldVPerNm => "field-v-per-nm",
            Self::RetentionS => "retention-s",
            Self::TemperatureK => "temperature-k",
        }
    }

    /// What a reader calls it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::OxideNm => "oxide thickness",
            Self::FieldVPerNm => "oxide field",
            Self::RetentionS => "retention time",
            Self::TemperatureK => "temperature",
        }
    }

    /// Its unit.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::OxideNm => "nm",
            Self::FieldVPerNm => "V/nm",
            Self::RetentionS => "s",
            Self::TemperatureK => "K",
        }
    }

    /// The names of all, to tell a user what to choose from.
    pub(super) fn names() -> String {
        let names: Vec<_> = Self::value_variants().iter().map(|q| q.name()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantity_is_read_by_its_name() {
        for quantity in Quantity::value_variants() {
            assert_eq!(Quantity::from_str(quantity.name(), false), Ok(*quantity));
        }
    }
}
