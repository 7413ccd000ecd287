//! Gate dielectrics as tunneling electrons see them, each number with its source.

use crate::barrier::{Barrier, HEIGHT_EV, MASS_RATIO};
use crate::error::{PhysicsError, checked};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;

pub(crate) const PERMITTIVITY: RangeInclusive<f64> = 1.0..=1e4;

/// A number and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced {
    /// The number, in the unit that its place states.
    pub value: f64,
    /// Who measured or chose it.
    pub source: Cow<'static, str>,
}

impl Sourced {
    /// `value` as `source` has it.
    pub fn new(value: f64, source: impl Into<Cow<'static, str>>) -> Self {
        Self { value, source: source.into() }
    }

    const fn published(value: f64, source: &'static str) -> Self {
        Self { value, source: Cow::Borrowed(source) }
    }
}

/// A dielectric on silicon.
///
/// The numbers of the built-in materials differ in quality. Those of SiO2 have been measured for
/// decades. Band offsets and permittivities of the others vary by about 0.2 eV and 10 to 20 %
/// between films. Tunneling masses are fits that depend on the model fitted; where several were
/// published, the source of the number names the range. A mass that is half as large takes 0.7 of
/// the WKB exponent, so a leakage current through hafnium oxide that is computed from this table
/// is an order of magnitude at best.
///
/// ```
/// use qtaml_physics::{Material, Sourced};
///
/// // Much thicker for the same capacitance, but lower and lighter to cross.
/// let (sio2, hfo2) = (Material::SIO2, Material::HFO2);
/// assert!(hfo2.static_permittivity() > 6.0 * sio2.static_permittivity());
/// assert!(hfo2.barrier(5.0)?.kappa_per_nm() < 0.4 * sio2.barrier(5.0)?.kappa_per_nm());
///
/// let mine = Material::new(
///     "ZrO2",
///     Sourced::new(1.5, "J. Robertson, Eur. Phys. J. Appl. Phys. 28, 265 (2004)"),
///     Sourced::new(0.2, "assumed"),
///     Sourced::new(25.0, "J. Robertson, Eur. Phys. J. Appl. Phys. 28, 265 (2004)"),
///     Sourced::new(4.8, "assumed"),
/// )?;
/// assert_eq!(mine.name(), "ZrO2");
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Material {
    name: Cow<'static, str>,
    height_ev: Sourced,
    mass_ratio: Sourced,
    static_permittivity: Sourced,
    optical_permittivity: Sourced,
}

const ROBERTSON: &str = "J. Robertson, Eur. Phys. J. Appl. Phys. 28, 265 (2004)";
const HALF_WAY: &str = "ours: half way between SiO2 and Si3N4";

impl Material {
    /// Silicon dioxide, thermally grown.
    pub const SIO2: Self = Self {
        name: Cow::Borrowed("SiO2"),
        height_ev: Sourced::published(
            3.1,
            "R. Williams, Phys. Rev. 140, A569 (1965): 4.25 eV above silicon's valence band, \
             less its gap of 1.12 eV",
        ),
        mass_ratio: Sourced::published(
            0.42,
            "M. Lenzlinger and E. H. Snow, J. Appl. Phys. 40, 278 (1969); R. K. Chanana, IOSR J. \
             Appl. Phys. 6(3), 1 (2014); other fits reach 0.5 (Z. A. Weinberg, J. Appl. Phys. 53, \
             5052 (1982))",
        ),
        static_permittivity: Sourced::published(3.9, ROBERTSON),
        optical_permittivity: Sourced::published(
            2.13,
            "square of the refractive index 1.458; I. H. Malitson, J. Opt. Soc. Am. 55, 1205 \
             (1965)",
        ),
    };

    /// Silicon oxynitride, half oxide and half nitride: every number is half way between
    /// [`SIO2`](Self::SIO2) and [`SI3N4`](Self::SI3N4). Real films contain anything between a few
    /// percent and pure nitride.
    pub const SION: Self = Self {
        name: Cow::Borrowed("SiON"),
        height_ev: Sourced::published(2.75, HALF_WAY),
        mass_ratio: Sourced::published(0.41, HALF_WAY),
        static_permittivity: Sourced::published(5.45, HALF_WAY),
        optical_permittivity: Sourced::published(3.115, HALF_WAY),
    };

    /// Silicon nitride.
    pub const SI3N4: Self = Self {
        name: Cow::Borrowed("Si3N4"),
        height_ev: Sourced::published(2.4, ROBERTSON),
        mass_ratio: Sourced::published(
            0.4,
            "round working value; fits to leakage currents lie between about 0.3 and 0.5",
        ),
        static_permittivity: Sourced::published(7.0, ROBERTSON),
        optical_permittivity: Sourced::published(
            4.1,
            "square of the refractive index 2.02; H. R. Philipp, J. Electrochem. Soc. 120, 295 \
             (1973)",
        ),
    };

    /// Aluminium oxide.
    pub const AL2O3: Self = Self {
        name: Cow::Borrowed("Al2O3"),
        height_ev: Sourced::published(2.8, ROBERTSON),
        mass_ratio: Sourced::published(
            0.3,
            "round working value; fits to leakage currents lie between about 0.2 and 0.4",
        ),
        static_permittivity: Sourced::published(9.0, ROBERTSON),
        optical_permittivity: Sourced::published(
            3.1,
            "square of the refractive index 1.77 of sapphire; I. H. Malitson, J. Opt. Soc. Am. 52, \
             1377 (1962); amorphous films lie near 2.7",
        ),
    };

    /// Hafnium oxide.
    pub const HFO2: Self = Self {
        name: Cow::Borrowed("HfO2"),
        height_ev: Sourced::published(
            1.4,
            "J. Robertson, Eur. Phys. J. Appl. Phys. 28, 265 (2004); 1.5 in J. Vac. Sci. Technol. \
             B 18, 1785 (2000)",
        ),
        mass_ratio: Sourced::published(
            0.11,
            "S. Monaghan et al., Proc. 9th Int. Conf. Ultimate Integration of Silicon, 107 (2008): \
             0.11 +- 0.03; fits for hafnium dielectrics range from 0.03 (M.-J. Chen and C.-Y. Hsu, \
             Evidence for a very small tunneling effective mass (0.03 m0) in MOSFET high-k (HfSiON) \
             gate dielectrics, IEEE Electron Device Lett. 33, April 2012) to about 0.2",
        ),
        static_permittivity: Sourced::published(25.0, ROBERTSON),
        optical_permittivity: Sourced::published(
            4.0,
            "round working value: the refractive index of films is about 2",
        ),
    };

    /// All built-in materials, from low to high permittivity.
    pub const TABLE: [Self; 5] = [Self::SIO2, Self::SION, Self::SI3N4, Self::AL2O3, Self::HFO2];

    /// A material of one's own: barrier height against silicon's conduction band in eV, tunneling
    /// mass in free electron masses, relative permittivities at rest and at optical frequencies.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the height is in `0.001..=100` eV, the mass ratio in
    /// `0.001..=100` and both permittivities in `1..=10000`.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        height_ev: Sourced,
        mass_ratio: Sourced,
        static_permittivity: Sourced,
        optical_permittivity: Sourced,
    ) -> Result<Self, PhysicsError> {
        checked("height_ev", height_ev.value, HEIGHT_EV)?;
        checked("mass_ratio", mass_ratio.value, MASS_RATIO)?;
        checked("static_permittivity", static_permittivity.value, PERMITTIVITY)?;
        checked("optical_permittivity", optical_permittivity.value, PERMITTIVITY)?;
        let name = name.into();
        Ok(Self { name, height_ev, mass_ratio, static_permittivity, optical_permittivity })
    }

    /// The built-in material of that name, in upper or lower case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::TABLE.into_iter().find(|material| material.name.eq_ignore_ascii_case(name))
    }

    /// Chemical formula or trade name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Height of its conduction band above silicon's, in eV.
    pub const fn height_ev(&self) -> f64 {
        self.height_ev.value
    }

    /// Tunneling mass over the mass of a free electron.
    pub const fn mass_ratio(&self) -> f64 {
        self.mass_ratio.value
    }

    /// Relative permittivity at rest, which divides an applied field among layers.
    pub const fn static_permittivity(&self) -> f64 {
        self.static_permittivity.value
    }

    /// Relative permittivity at optical frequencies, which screens the image of an electron that
    /// crosses within femtoseconds: the ions of the lattice do not follow.
    pub const fn optical_permittivity(&self) -> f64 {
        self.optical_permittivity.value
    }

    /// The four numbers by name, with their sources.
    pub const fn numbers(&self) -> [(&'static str, &Sourced); 4] {
        [
            ("height_ev", &self.height_ev),
            ("mass_ratio", &self.mass_ratio),
            ("static_permittivity", &self.static_permittivity),
            ("optical_permittivity", &self.optical_permittivity),
        ]
    }

    /// A layer of it on its own, `thickness_nm` wide, for an electron at the edge of silicon's
    /// conduction band.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the thickness is in `0.001..=10000` nm.
    pub fn barrier(&self, thickness_nm: f64) -> Result<Barrier, PhysicsError> {
        Barrier::new(self.height_ev(), thickness_nm, self.mass_ratio())
    }
}

/// What a file may hold before it has been looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    name: Cow<'static, str>,
    height_ev: Sourced,
    mass_ratio: Sourced,
    static_permittivity: Sourced,
    optical_permittivity: Sourced,
}

impl TryFrom<Unchecked> for Material {
    type Error = PhysicsError;

    fn try_from(raw: Unchecked) -> Result<Self, PhysicsError> {
        Self::new(
            raw.name,
            raw.height_ev,
            raw.mass_ratio,
            raw.static_permittivity,
            raw.optical_permittivity,
        )
    }
}

/// A built-in material by its name, in upper or lower case.
impl FromStr for Material {
    type Err = PhysicsError;

    fn from_str(name: &str) -> Result<Self, PhysicsError> {
        let known = || Self::TABLE.iter().map(|material| material.name.to_lowercase()).collect();
        Self::by_name(name).ok_or_else(|| PhysicsError::UnknownName {
            kind: "material",
            name: name.into(),
            known: known(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn the_table_passes_its_own_checks_and_survives_a_file() {
        for material in Material::TABLE {
            let json = serde_json::to_string(&material).unwrap();
            assert_eq!(serde_json::from_str::<Material>(&json).unwrap(), material);
            assert_eq!(Material::by_name(&material.name().to_lowercase()), Some(material));
        }
        assert_eq!(Material::by_name("unobtainium"), None);
        assert_eq!("hfo2".parse(), Ok(Material::HFO2));
        let error = "wood".parse::<Material>().unwrap_err().to_string();
        assert!(error.starts_with("there is no material \"wood\", only sio2, "), "{error}");
    }

    #[test]
    fn permittivities_are_in_order() {
        let at_rest = Material::TABLE.map(|material| material.static_permittivity());
        assert!(at_rest.is_sorted_by(|low, high| low < high), "{at_rest:?}");
        for material in Material::TABLE {
            // Ions add to what electrons do at optical frequencies.
            let (at_rest, optical) =
                (material.static_permittivity(), material.optical_permittivity());
            assert!(1.0 < optical && optical < at_rest, "{}", material.name());
        }
    }

    #[test]
    fn optical_permittivities_are_squares_of_the_refractive_indices() {
        for (material, index) in [
            (Material::SIO2, 1.458_f64),
            (Material::SI3N4, 2.02),
            (Material::AL2O3, 1.77),
            (Material::HFO2, 2.0),
        ] {
            let square = index * index;
            assert_relative_eq!(material.optical_permittivity(), square, max_relative = 0.015);
        }
    }

    #[test]
    fn oxynitride_is_half_way() {
        let [oxide, middle, nitride] = [Material::SIO2, Material::SION, Material::SI3N4]
            .map(|material| material.numbers().map(|(_, number)| number.value));
        for (i, value) in middle.into_iter().enumerate() {
            assert_relative_eq!(value, f64::midpoint(oxide[i], nitride[i]), max_relative = 1e-15);
        }
    }

    #[test]
    fn files_with_impossible_numbers_are_refused() {
        let mut json = serde_json::to_value(Material::HFO2).unwrap();
        json["static_permittivity"]["value"] = 0.5.into();
        let message = serde_json::from_value::<Material>(json).unwrap_err().to_string();
        assert!(message.contains("static_permittivity = 0.5 is outside 1.0..="), "{message}");
    }
}
