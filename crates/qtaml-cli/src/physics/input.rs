//! A cell and what it is exposed to, from flags and a file.

use std::fs;
use std::path::Path;

use clap::Args;
use miette::{
    IntoDiagnostic, LabeledSpan, MietteDiagnostic, NamedSource, Report, Result, WrapErr, miette,
};
use qtaml::physics::{Barrier, Cell, Condition, PhysicsError};
use serde::Deserialize;

use super::quantity::Quantity;
use crate::usage::WrongUsage;

/// What a user has said about a cell: the flags, and in the same words the keys of a file.
#[derive(Args, Deserialize, Debug, Default, Clone, Copy, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Cell and condition")]
pub(super) struct Input {
    /// Oxide thickness in nanometres
    #[arg(long, value_name = "NM")]
    oxide_nm: Option<f64>,

    /// How long the cell is left alone, in seconds
    #[arg(long, value_name = "S")]
    retention_s: Option<f64>,

    /// Field in the oxide, in volts per nanometre [default: 0]
    #[arg(long, value_name = "V/NM", allow_negative_numbers = true)]
    field_v_per_nm: Option<f64>,

    /// Barrier height in electronvolts [default: 3.1, SiO2 on silicon]
    #[arg(long, value_name = "EV")]
    barrier_ev: Option<f64>,

    /// Tunneling mass in electron masses [default: 0.42, SiO2]
    #[arg(long, value_name = "RATIO")]
    mass: Option<f64>,

    /// How often an electron tries, in hertz [default: 1e13]
    #[arg(long, value_name = "HZ")]
    attempt_rate_hz: Option<f64>,
}

const ATTEMPT_RATE_HZ: f64 = 1e13;

impl Input {
    /// What a TOML file says.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .into_diagnostic()
            .wrap_err_with(|| format!("cannot read the cell file {}", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            let label = error.span().map(|span| LabeledSpan::at(span, "here"));
            let message = format!("cell file {}: {}", path.display(), error.message());
            Report::new(MietteDiagnostic::new(message).with_labels(label))
                .with_source_code(NamedSource::new(path.display().to_string(), text.clone()))
        })
    }

    /// What this input says, and the `fallback` where it says nothing.
    pub(super) fn or(self, fallback: Self) -> Self {
        Self {
            oxide_nm: self.oxide_nm.or(fallback.oxide_nm),
            retention_s: self.retention_s.or(fallback.retention_s),
            field_v_per_nm: self.field_v_per_nm.or(fallback.field_v_per_nm),
            barrier_ev: self.barrier_ev.or(fallback.barrier_ev),
            mass: self.mass.or(fallback.mass),
            attempt_rate_hz: self.attempt_rate_hz.or(fallback.attempt_rate_hz),
        }
    }

    /// The same input with another value of one quantity.
    pub(super) fn with(mut self, quantity: Quantity, value: f64) -> Self {
        *self.slot(quantity) = Some(value);
        self
    }

    /// Whether a value of the quantity was given.
    pub(super) fn has(mut self, quantity: Quantity) -> bool {
        self.slot(quantity).is_some()
    }

    const fn slot(&mut self, quantity: Quantity) -> &mut Option<f64> {
        match quantity {
            Quantity::OxideNm => &mut self.oxide_nm,
            Quantity::FieldVPerNm => &mut self.field_v_per_nm,
            Quantity::RetentionS => &mut self.retention_s,
        }
    }

    /// The cell and its condition, with the defaults for all that has one.
    ///
    /// # Errors
    ///
    /// Wrong usage if the thickness or the time is missing; otherwise a number out of its range.
    pub(super) fn resolve(self) -> Result<(Cell, Condition)> {
        let (Some(oxide_nm), Some(retention_s)) = (self.oxide_nm, self.retention_s) else {
            return Err(self.missing().into());
        };
        let sio2 = Barrier::sio2(oxide_nm).map_err(refused)?;
        let height_ev = self.barrier_ev.unwrap_or(sio2.height_ev());
        let mass_ratio = self.mass.unwrap_or(sio2.mass_ratio());
        let barrier = Barrier::new(height_ev, oxide_nm, mass_ratio).map_err(refused)?;
        let attempt_rate_hz = self.attempt_rate_hz.unwrap_or(ATTEMPT_RATE_HZ);
        let field_v_per_nm = self.field_v_per_nm.unwrap_or(0.0);
        Ok((Cell { barrier, attempt_rate_hz }, Condition { field_v_per_nm, retention_s }))
    }

    fn missing(self) -> WrongUsage {
        let needed = [Quantity::OxideNm, Quantity::RetentionS];
        let missing: Vec<_> = needed
            .into_iter()
            .filter(|quantity| !self.has(*quantity))
            .map(|quantity| format!("--{}", quantity.name()))
            .collect();
        WrongUsage {
            message: format!("missing {}", missing.join(" and ")),
            help: "say it on the command line or in --cell FILE.toml; examples: qtaml physics \
                   --help"
                .into(),
        }
    }
}

/// An error of the physics, with the flag to change where the library has another name for it.
pub(super) fn refused(error: PhysicsError) -> Report {
    let PhysicsError::OutOfRange { quantity, .. } = &error else {
        return Report::from_err(error);
    };
    let flag = match *quantity {
        "thickness_nm" => "oxide-nm",
        "height_ev" => "barrier-ev",
        "mass_ratio" => "mass",
        other => &other.replace('_', "-"),
    };
    let help = format!("change --{flag}, or `{flag}` in the cell file");
    miette!(help = help, "{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Input {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_one_by_one() {
        let flags = parse("oxide-nm = 2.0\nmass = 0.5");
        let both = flags.or(parse("oxide-nm = 3.0\nretention-s = 1"));
        assert_eq!(both, parse("oxide-nm = 2.0\nmass = 0.5\nretention-s = 1.0"));
    }

    #[test]
    fn what_is_not_said_is_sio2_without_a_field() {
        let (cell, condition) = parse("oxide-nm = 2\nretention-s = 1").resolve().unwrap();
        assert_eq!(cell.barrier, Barrier::sio2(2.0).unwrap());
        assert_eq!((cell.attempt_rate_hz, condition.field_v_per_nm), (1e13, 0.0));
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let error = Input::default().resolve().unwrap_err();
        assert_eq!(error.to_string(), "missing --oxide-nm and --retention-s");
        let error = parse("oxide-nm = 2").resolve().unwrap_err();
        assert!(error.is::<WrongUsage>());
        assert_eq!(error.to_string(), "missing --retention-s");
    }

    #[test]
    fn a_refused_number_leads_to_its_flag() {
        let help = |text| parse(text).resolve().unwrap_err().help().unwrap().to_string();
        assert!(help("oxide-nm = -1\nretention-s = 1").contains("--oxide-nm"));
        assert!(help("oxide-nm = 1\nretention-s = 1\nmass = 0").contains("--mass"));
        let error =
            PhysicsError::OutOfRange { quantity: "retention_s", value: -1.0, allowed: 0.0..=1e300 };
        assert!(refused(error).help().unwrap().to_string().contains("--retention-s"));
    }
}
