//! A cell, its field, temperature and storage time, from flags, a file and a preset.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use qtaml::files;
use qtaml::physics::{
    Barrier, Cell, Condition, FlipProbability, Leakage, Material, PhysicsError, Preset,
};
use serde::Deserialize;

use super::key;
use super::quantity::Quantity;
use super::steps::Steps;
use crate::flags::number;
use crate::usage::UsageError;

/// What a user has said about a cell: the flags, and in the same words the keys of a file.
#[derive(Args, Deserialize, Debug, Default, Clone, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Cell and condition")]
pub(super) struct Input {
    /// Start from a cell and a condition of a familiar memory: floating-gate, dram or sram
    #[arg(long, value_name = "NAME", value_parser = Preset::from_str)]
    #[serde(default, deserialize_with = "key::parse")]
    preset: Option<Preset>,

    /// Oxide thickness in nanometres
    #[arg(long, value_name = "NM", value_parser = number)]
    oxide_nm: Option<f64>,

    /// How long the cell is left alone, in seconds
    #[arg(long, value_name = "S", value_parser = number)]
    retention_s: Option<f64>,

    /// Field in the oxide, in volts per nanometre [default: 0]
    #[arg(long, value_name = "V/NM", value_parser = number)]
    field_v_per_nm: Option<f64>,

    /// Temperature in kelvin [default: 300]
    #[arg(long, value_name = "K", value_parser = number)]
    temperature_k: Option<f64>,

    /// Barrier and mass of a dielectric on silicon: sio2, sion, si3n4, al2o3, hfo2 [default: sio2]
    #[arg(long, value_name = "NAME", value_parser = Material::from_str)]
    #[serde(default, deserialize_with = "key::parse")]
    material: Option<Material>,

    /// Barrier height in electronvolts [default: the material's]
    #[arg(long, value_name = "EV", value_parser = number)]
    barrier_ev: Option<f64>,

    /// Tunneling mass in electron masses [default: the material's]
    #[arg(long, value_name = "RATIO", value_parser = number)]
    mass: Option<f64>,

    /// How often an electron tries, in hertz [default: 1e13]
    #[arg(long, value_name = "HZ", value_parser = number)]
    attempt_rate_hz: Option<f64>,

    /// Which stored value leaks: symmetric, one-way (only a 1), or the rate of 0 to 1 over that of
    /// 1 to 0 [default: symmetric]
    #[arg(long, value_name = "KIND", value_parser = Leakage::from_str)]
    #[serde(default, deserialize_with = "key::parse")]
    leakage: Option<Leakage>,
}

const ATTEMPT_RATE_HZ: f64 = 1e13;

/// How often a bit flips in the cell that a file describes, under the condition that it describes.
pub(crate) fn flips_of_cell(path: &Path) -> Result<FlipProbability, UsageError> {
    let input = Input::layered(Input::default(), Input::read(path)?);
    let keys = input.misses();
    if !keys.is_empty() {
        return Err(UsageError::CellMisses { path: path.into(), keys });
    }
    let steps = Steps::new(&input);
    let named = || format!("{} describes no cell", path.display());
    Ok(steps.with_context(named)?.chain.probability)
}

impl Input {
    /// What a TOML file says.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let input = Self::of_toml(files::read(path)?);
        input.with_context(|| format!("{} describes no cell", path.display()))
    }

    fn of_toml(bytes: Vec<u8>) -> Result<Self> {
        Ok(toml::from_str(&String::from_utf8(bytes)?)?)
    }

    /// The flags, where they say nothing the file, and where both do the preset that one of them
    /// names.
    pub(super) fn layered(flags: Self, file: Self) -> Self {
        let preset = flags.preset.or(file.preset);
        let fallback = preset.map(Self::of).unwrap_or_default();
        flags.spelt_out().or(file.spelt_out()).or(fallback)
    }

    /// What a preset says.
    fn of(preset: Preset) -> Self {
        let (Cell { barrier, attempt_rate_hz, leakage }, condition) =
            (preset.cell(), preset.condition());
        Self {
            preset: Some(preset),
            oxide_nm: Some(barrier.thickness_nm()),
            retention_s: Some(condition.retention_s),
            field_v_per_nm: Some(condition.field_v_per_nm),
            temperature_k: Some(condition.temperature_k),
            material: None,
            barrier_ev: Some(barrier.height_ev()),
            mass: Some(barrier.mass_ratio()),
            attempt_rate_hz: Some(attempt_rate_hz),
            leakage: Some(leakage),
        }
    }

    /// The material as its numbers, so that a layer below cannot come between the two.
    fn spelt_out(self) -> Self {
        let of_material = |number: fn(&Material) -> f64| self.material.as_ref().map(number);
        let barrier_ev = self.barrier_ev.or(of_material(Material::height_ev));
        let mass = self.mass.or(of_material(Material::mass_ratio));
        Self { barrier_ev, mass, ..self }
    }

    fn or(self, fallback: Self) -> Self {
        Self {
            preset: self.preset.or(fallback.preset),
            oxide_nm: self.oxide_nm.or(fallback.oxide_nm),
            retention_s: self.retention_s.or(fallback.retention_s),
            field_v_per_nm: self.field_v_per_nm.or(fallback.field_v_per_nm),
            temperature_k: self.temperature_k.or(fallback.temperature_k),
            material: self.material.or(fallback.material),
            barrier_ev: self.barrier_ev.or(fallback.barrier_ev),
            mass: self.mass.or(fallback.mass),
            attempt_rate_hz: self.attempt_rate_hz.or(fallback.attempt_rate_hz),
            leakage: self.leakage.or(fallback.leakage),
        }
    }

    /// The preset that this starts from.
    pub(super) const fn preset(&self) -> Option<Preset> {
        self.preset
    }

    /// The same input with another value of one quantity.
    pub(super) fn with(&self, quantity: Quantity, value: f64) -> Self {
        let mut input = self.clone();
        let slot = match quantity {
            Quantity::OxideNm => &mut input.oxide_nm,
            Quantity::FieldVPerNm => &mut input.field_v_per_nm,
            Quantity::RetentionS => &mut input.retention_s,
            Quantity::TemperatureK => &mut input.temperature_k,
        };
        *slot = Some(value);
        input
    }

    /// Whether a value of the quantity was given.
    pub(super) const fn has(&self, quantity: Quantity) -> bool {
        match quantity {
            Quantity::OxideNm => self.oxide_nm.is_some(),
            Quantity::FieldVPerNm => self.field_v_per_nm.is_some(),
            Quantity::RetentionS => self.retention_s.is_some(),
            Quantity::TemperatureK => self.temperature_k.is_some(),
        }
    }

    /// The cell and its condition, with the defaults for all that has one.
    ///
    /// # Errors
    ///
    /// Wrong usage if the thickness or the time is missing, or a number out of its range.
    pub(super) fn resolve(&self) -> Result<(Cell, Condition)> {
        let (Some(oxide_nm), Some(retention_s)) = (self.oxide_nm, self.retention_s) else {
            return Err(self.missing().into());
        };
        let height_ev = self.barrier_ev.unwrap_or(Material::SIO2.height_ev());
        let mass_ratio = self.mass.unwrap_or(Material::SIO2.mass_ratio());
        let barrier = Barrier::new(height_ev, oxide_nm, mass_ratio).map_err(refused)?;
        let cell = Cell::new(barrier, self.attempt_rate_hz.unwrap_or(ATTEMPT_RATE_HZ))
            .with_leakage(self.leakage.unwrap_or_default());
        let rest = Condition::at_rest(retention_s);
        let condition = Condition {
            field_v_per_nm: self.field_v_per_nm.unwrap_or(rest.field_v_per_nm),
            temperature_k: self.temperature_k.unwrap_or(rest.temperature_k),
            ..rest
        };
        Ok((cell, condition))
    }

    fn missing(&self) -> UsageError {
        UsageError::Missing(self.misses().into_iter().map(|name| format!("--{name}")).collect())
    }

    /// What has no default and was not said.
    fn misses(&self) -> Vec<&'static str> {
        let needed = [Quantity::OxideNm, Quantity::RetentionS].into_iter();
        needed.filter(|quantity| !self.has(*quantity)).map(Quantity::name).collect()
    }
}

/// A number that the physics refuses, with our name for it where the library has another.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}", of_flag(error))]
pub(crate) struct OutOfRange {
    error: PhysicsError,
}

/// An error of the physics. A number out of its range is wrong usage, as it is where the parser sees
/// it by itself.
pub(super) fn refused(error: PhysicsError) -> anyhow::Error {
    match error {
        PhysicsError::OutOfRange { .. } => UsageError::from(OutOfRange { error }).into(),
        _ => anyhow!("{error}{}", of_flag(&error)),
    }
}

/// Which flag a quantity belongs to.
fn of_flag(error: &PhysicsError) -> String {
    let (PhysicsError::OutOfRange { quantity, .. } | PhysicsError::NoSolution { quantity, .. }) =
        error
    else {
        return String::new();
    };
    let name = match *quantity {
        "thickness_nm" => "oxide-nm",
        "height_ev" => "barrier-ev",
        "mass_ratio" => "mass",
        "g01_over_g10" => "leakage",
        "probability" => "p",
        _ => return String::new(),
    };
    format!(" ({quantity} is called {name} on the command line and in files)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{Mutator, cases, peak_kib};

    fn parse(text: &str) -> Input {
        toml::from_str(text).unwrap()
    }

    fn resolved(flags: &str, file: &str) -> (Cell, Condition) {
        Input::layered(parse(flags), parse(file)).resolve().unwrap()
    }

    #[test]
    fn flags_win_over_the_file_one_by_one() {
        let both = resolved("oxide-nm = 2.0\nmass = 0.5", "oxide-nm = 3.0\nretention-s = 1");
        assert_eq!(both, resolved("oxide-nm = 2.0\nmass = 0.5\nretention-s = 1.0", ""));
    }

    #[test]
    fn what_is_not_said_is_sio2_at_rest() {
        let (cell, condition) = resolved("oxide-nm = 2\nretention-s = 1", "");
        assert_eq!(cell, Cell::new(Barrier::sio2(2.0).unwrap(), 1e13));
        assert_eq!(condition, Condition::at_rest(1.0));
    }

    #[test]
    fn a_preset_is_the_last_resort_wherever_it_is_named() {
        for (flags, file) in [("preset = \"dram\"", ""), ("", "preset = \"dram\"")] {
            let (cell, condition) = resolved(flags, file);
            assert_eq!((cell, condition), (Preset::Dram.cell(), Preset::Dram.condition()));
        }
        let (cell, condition) = resolved("preset = \"dram\"", "retention-s = 1\noxide-nm = 5");
        assert_eq!((condition.retention_s, cell.barrier.thickness_nm()), (1.0, 5.0));
        assert_eq!(cell.leakage, Preset::Dram.cell().leakage);
    }

    #[test]
    fn a_material_goes_before_all_that_lies_below_it() {
        let (cell, _) = resolved("material = \"HfO2\"", "preset = \"sram\"\nmass = 0.3");
        let [height, mass] = [cell.barrier.height_ev(), cell.barrier.mass_ratio()];
        assert_eq!([height, mass], [Material::HFO2.height_ev(), Material::HFO2.mass_ratio()]);
        let (cell, _) = resolved("mass = 0.2", "preset = \"sram\"\nmaterial = \"hfo2\"");
        let [height, mass] = [cell.barrier.height_ev(), cell.barrier.mass_ratio()];
        assert_eq!([height, mass], [Material::HFO2.height_ev(), 0.2]);
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let error = Input::default().resolve().unwrap_err();
        assert!(error.to_string().starts_with("missing --oxide-nm and --retention-s: "));
        let error = parse("oxide-nm = 2").resolve().unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(error.to_string().starts_with("missing --retention-s: "));
    }

    #[test]
    fn a_ratio_stands_in_quotes_or_not() {
        for ratio in ["0.5", "\"0.5\""] {
            let (cell, _) =
                resolved(&format!("leakage = {ratio}\noxide-nm = 2\nretention-s = 1"), "");
            assert_eq!(cell.leakage, Leakage::Ratio { g01_over_g10: 0.5 });
        }
        let message = |text| toml::from_str::<Input>(text).unwrap_err().message().to_owned();
        assert_eq!(message("leakage = true"), "expected a name or a number");
        assert_eq!(
            message("preset = 1"),
            "there is no preset \"1\", only floating-gate, dram, sram"
        );
    }

    /// Thousands of mutated files: an error or a cell whose numbers lead back, and never a panic.
    #[test]
    fn hostile_cell_files() {
        let files = [
            "oxide-nm = 4.5\nmaterial = \"sio2\"\nretention-s = 3.156e8\nfield-v-per-nm = 0.02\n\
             temperature-k = 350\nleakage = \"one-way\"\n",
            "preset = \"dram\"\nleakage = 0.5\nbarrier-ev = 3.2\nmass = 0.4\nattempt-rate-hz = 1e13\n",
            "preset = \"floating-gate\"\nfield-v-per-nm = 1.1\n",
        ];
        let before = peak_kib();
        let mut mutator = Mutator::new(42);
        let (mut cells, count) = (0, cases(20_000));
        for _ in 0..count {
            let (file, other) = (mutator.pick(&files), mutator.pick(&files));
            let bytes = mutator.mutated(file.as_bytes(), other.as_bytes());
            let steps = Input::of_toml(bytes)
                .and_then(|file| Steps::new(&Input::layered(Input::default(), file)));
            match steps {
                Ok(Steps { cell, condition, chain }) => {
                    cells += 1;
                    let [p01, p10] = [chain.probability.p01(), chain.probability.p10()];
                    assert!((0.0..=1.0).contains(&p01) && (0.0..=1.0).contains(&p10), "{cell:?}");
                    let json = serde_json::to_string(&(cell, condition)).unwrap();
                    let back: (Cell, Condition) = serde_json::from_str(&json).unwrap();
                    assert_eq!(back, (cell, condition));
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        assert!(0 < cells && cells < count, "{cells} of {count} are cells");
        assert!(peak_kib().saturating_sub(before) < 64 * 1024);
    }

    #[test]
    fn a_refused_number_leads_to_its_flag() {
        let error = |text| parse(text).resolve().unwrap_err().to_string();
        assert!(error("oxide-nm = -1\nretention-s = 1").contains("oxide-nm on the command line"));
        let mass = error("oxide-nm = 1\nretention-s = 1\nmass = 0");
        assert!(mass.contains("mass on the command line"), "{mass}");
    }
}
