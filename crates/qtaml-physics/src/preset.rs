//! Cells of three familiar memories, with what the model leaves out of each.

use crate::barrier::Barrier;
use crate::cell::{Cell, Condition};
use crate::constants::YEAR_S;
use crate::error::PhysicsError;
use crate::leakage::Leakage;
use std::fmt;
use std::str::FromStr;

/// How often an electron runs against the barrier, in 1/s: a round working value, as the exponent
/// decides. A velocity of 1e6 m/s over a few tens of nanometres gives this order of magnitude.
const ATTEMPT_RATE_HZ: f64 = 1e13;

/// A memory cell with numbers from the literature, in a condition that is typical of it.
///
/// All three are one uniform oxide and one electron that decides, between electrodes with the Fermi
/// level at the edge of silicon's conduction band and electrons far below it. That makes them
/// comparable and far simpler than their namesakes: read [`limits`](Self::limits) before you quote a
/// number.
///
/// | Preset | Oxide | Field | Time | Temperature | Flip probability |
/// | --- | --- | --- | --- | --- | --- |
/// | floating-gate | 8 nm | 0.2 V/nm | 10 years | 358 K | 8.8e-14 |
/// | dram | 4 nm | 0.41 V/nm | 64 ms | 358 K | 3.7e-6 |
/// | sram | 1.2 nm | 0.83 V/nm | 1 ns | 358 K | 2.6e-2 |
///
/// ```
/// use qtaml_physics::Preset;
///
/// for preset in Preset::ALL {
///     let p = preset.cell().flip_probability(&preset.condition())?;
///     println!("{preset}: {p}; but note: {}", preset.limits());
///     assert!(p.larger() < 0.1);
/// }
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Flash memory: electrons on a floating gate behind a tunnel oxide, on the shelf.
    FloatingGate,
    /// Dynamic memory: charge on a capacitor behind its dielectric, until the next refresh.
    Dram,
    /// Static memory: a node behind a gate oxide, while its supply is switched off.
    Sram,
}

impl Preset {
    /// All presets, from the longest to the shortest memory.
    pub const ALL: [Self; 3] = [Self::FloatingGate, Self::Dram, Self::Sram];

    /// A name to choose it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FloatingGate => "floating-gate",
            Self::Dram => "dram",
            Self::Sram => "sram",
        }
    }

    /// What is modelled.
    pub const fn description(self) -> &'static str {
        match self {
            Self::FloatingGate => {
                "8 nm of tunnel oxide, 10 years on the shelf at 85 °C; the stored electrons leave, \
                 driven by their own field"
            }
            Self::Dram => {
                "capacitor dielectric worth 4 nm of SiO2 under half of 3.3 V, one refresh interval \
                 of 64 ms at 85 °C; the charged cell loses its charge"
            }
            Self::Sram => {
                "1.2 nm of gate oxide under 1 V, 1 ns at 85 °C with the supply gated off; either \
                 of the two mirror-symmetric nodes leaks"
            }
        }
    }

    /// What is *not* modelled.
    pub const fn limits(self) -> &'static str {
        match self {
            Self::FloatingGate => {
                "a real bit is many electrons, and losing one flips nothing; what limits real \
                 flash are traps in worn oxide (stress-induced leakage), charge detrapping and \
                 disturbs, not tunneling through intact oxide; the field is a round working value; the \
                 gate is taken for degenerate, with electrons far below its Fermi level"
            }
            Self::Dram => {
                "a real cell leaks mostly through the junction of its access transistor and by \
                 gate-induced drain leakage, with a wide spread from cell to cell; a real bit is \
                 tens of thousands of electrons; an oxide-nitride stack is replaced by uniform SiO2; the \
                 electrode is taken for degenerate, with electrons far below its Fermi level"
            }
            Self::Sram => {
                "a powered cell restores its bit all the time, so this holds only for a node cut \
                 off from its supply; a real bit is thousands of electrons; subthreshold leakage, \
                 particle strikes and supply noise are left out; WKB is crude for oxide this thin; the \
                 electrode is taken for degenerate, with electrons far below its Fermi level"
            }
        }
    }

    /// Where the numbers come from.
    pub const fn sources(self) -> &'static [&'static str] {
        match self {
            Self::FloatingGate => &[
                "P. Pavan, R. Bez, P. Olivo and E. Zanoni, Proc. IEEE 85, 1248 (1997): the cell",
                "A. S. Spinelli, C. Monzio Compagnoni and A. L. Lacaita, Computers 6(2), 16 \
                 (2017): what limits it",
                "working values: 8 nm of the 8 to 10 nm in use, 0.2 V/nm, 10 years at 85 °C",
            ],
            Self::Dram => &[
                "P. C. Fazan, V. K. Mathews, H. C. Chan and A. Ditali, IEEE Electron Device Lett. \
                 13, 86 (1992): oxide-nitride of 64 and 256 Mb cells, nitride of 6 nm at 3.3 V",
                "working value: 6 nm of nitride are worth 3.3 nm of SiO2, with its oxides about 4",
                "JEDEC JESD79-4 (DDR4): 8192 refreshes at 7.8 µs up to 85 °C, together 64 ms",
                "K. Saino et al., Impact of gate-induced drain leakage current on the tail \
                 distribution of DRAM data retention time, IEDM Tech. Dig. 2000",
                "J. Liu et al., An experimental study of data retention behavior in modern DRAM \
                 devices, Proc. ISCA 2013",
            ],
            Self::Sram => &[
                "P. Bai et al., A 65nm logic technology featuring 35nm gate lengths, IEDM Tech. \
                 Dig. 2004: 1.2 nm of gate oxide",
                "M. Powell et al., Gated-Vdd, Proc. ISLPED 2000, doi 10.1109/LPE.2000.876763: SRAM \
                 cells with a gated supply",
                "working values: 1 V across the oxide, 1 ns, 85 °C",
            ],
        }
    }

    /// The cell.
    pub fn cell(self) -> Cell {
        let (thickness_nm, leakage) = match self {
            Self::FloatingGate => (8.0, Leakage::OneWay),
            Self::Dram => (4.0, Leakage::OneWay),
            Self::Sram => (1.2, Leakage::Symmetric),
        };
        Cell::new(oxide(thickness_nm), ATTEMPT_RATE_HZ).with_leakage(leakage)
    }

    /// What the cell is exposed to.
    pub const fn condition(self) -> Condition {
        let (field_v_per_nm, retention_s) = match self {
            Self::FloatingGate => (0.2, 10.0 * YEAR_S),
            Self::Dram => (1.65 / 4.0, 0.064),
            Self::Sram => (1.0 / 1.2, 1e-9),
        };
        Condition { field_v_per_nm, retention_s, temperature_k: 358.15 }
    }
}

/// The name.
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = PhysicsError;

    fn from_str(name: &str) -> Result<Self, PhysicsError> {
        let known = || Self::ALL.map(|preset| preset.name().to_owned()).into();
        let preset = Self::ALL.into_iter().find(|preset| preset.name() == name);
        preset.ok_or_else(|| PhysicsError::UnknownName {
            kind: "preset",
            name: name.into(),
            known: known(),
        })
    }
}

fn oxide(thickness_nm: f64) -> Barrier {
    Barrier::sio2(thickness_nm).expect("the presets are constants in range, and tested")
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn a_preset_is_what_it_prints() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        let error = "tape".parse::<Preset>().unwrap_err().to_string();
        assert_eq!(error, "there is no preset \"tape\", only floating-gate, dram, sram");
    }

    #[test]
    fn presets_flip_as_often_as_documented() {
        // Averages, rates and probabilities by mpmath, 30 digits; the table above rounds them.
        for (preset, p10, zeros_flip) in [
            (Preset::FloatingGate, 8.802_268_191_83e-14, false),
            (Preset::Dram, 3.656_458_154_01e-6, false),
            (Preset::Sram, 2.638_411_103_81e-2, true),
        ] {
            let p = preset.cell().flip_probability(&preset.condition()).unwrap();
            assert_relative_eq!(p.p10(), p10, max_relative = 1e-9);
            assert_eq!(p.p01(), if zeros_flip { p.p10() } else { 0.0 });
        }
    }

    #[test]
    fn every_preset_has_its_own_name_and_its_sources() {
        let mut names = Preset::ALL.map(Preset::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(Preset::ALL.iter().all(|preset| !preset.sources().is_empty()));
    }
}
