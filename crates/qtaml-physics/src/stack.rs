//! Stacks of several dielectrics.

use crate::barrier::{FIELD_V_PER_NM, THICKNESS_NM};
use crate::error::{PhysicsError, checked};
use crate::material::Material;
use crate::piecewise::{Knot, PiecewiseLinear};
use serde::{Deserialize, Serialize};

const MOST_LAYERS: f64 = 1e3;

/// One layer of a [`Stack`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What it is made of.
    pub material: Material,
    /// How thick it is, in nm.
    pub thickness_nm: f64,
}

/// A gate stack, such as silicon dioxide under hafnium oxide: layers from the emitter to the
/// collector.
///
/// Energies are counted from the edge of silicon's conduction band at the emitter. A stack is not
/// the same from both sides: electrons that start at the other electrode meet
/// [`reversed`](Self::reversed).
///
/// ```
/// use qtaml_physics::{Layer, Material, Stack, wkb_exponent};
///
/// let stack = Stack::new(vec![
///     Layer { material: Material::SIO2, thickness_nm: 1.0 },
///     Layer { material: Material::HFO2, thickness_nm: 4.0 },
/// ])?;
/// // It switches a transistor like 1.6 nm of oxide and leaks less.
/// assert!((stack.eot_nm() - 1.624).abs() < 1e-12);
/// let oxide = Material::SIO2.barrier(stack.eot_nm())?;
/// assert!(wkb_exponent(&stack.under_field(0.0)?, 0.0)? > oxide.wkb_exponent(0.0));
///
/// // Electrons that come through the thin oxide first have an easier way under a field.
/// let [forward, backward] = [stack.under_field(0.4)?, stack.reversed().under_field(0.4)?];
/// assert!(wkb_exponent(&forward, 0.0)? < wkb_exponent(&backward, 0.0)?);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Layer>", into = "Vec<Layer>")]
pub struct Stack {
    layers: Vec<Layer>,
}

impl Stack {
    /// A stack of `layers`, from the emitter to the collector.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless there are `1..=1000` layers, and each thickness and
    /// their sum are in `0.001..=10000` nm.
    pub fn new(layers: Vec<Layer>) -> Result<Self, PhysicsError> {
        checked("layers", layers.len() as f64, 1.0..=MOST_LAYERS)?;
        for layer in &layers {
            checked("thickness_nm", layer.thickness_nm, THICKNESS_NM)?;
        }
        let stack = Self { layers };
        checked("thickness_nm", stack.thickness_nm(), THICKNESS_NM)?;
        Ok(stack)
    }

    /// The layers, from the emitter to the collector.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Thickness of all layers together, in nm.
    pub fn thickness_nm(&self) -> f64 {
        self.layers.iter().map(|layer| layer.thickness_nm).sum()
    }

    /// Equivalent oxide thickness, in nm: that of the silicon dioxide with the same capacitance.
    ///
    /// # Formula
    ///
    /// `EOT = eps(SiO2) · sum of d / eps`
    pub fn eot_nm(&self) -> f64 {
        Material::SIO2.static_permittivity() * self.reduced_nm()
    }

    /// The stack as electrons that start at the other electrode meet it.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { layers: self.layers.iter().rev().cloned().collect() }
    }

    /// The potential under a mean field: the voltage over the whole stack by its thickness. A
    /// positive one lowers the collector. [`Barrier::under_field`](crate::Barrier::under_field), alike
    /// from both sides, takes a field by its magnitude.
    ///
    /// A negative field raises the collector, which holds electrons of this emitter back. Then it
    /// is the collector that emits, into [`reversed`](Self::reversed) under the positive field.
    ///
    /// # Formula
    ///
    /// The displacement is the same in every layer, so its field is
    /// `F_i = F · d / (eps_i · sum of d_j / eps_j)`, with static permittivities.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the field is in `-20..=20` V/nm.
    pub fn under_field(&self, mean_field_v_per_nm: f64) -> Result<PiecewiseLinear, PhysicsError> {
        let mean = checked("mean_field_v_per_nm", mean_field_v_per_nm, FIELD_V_PER_NM)?;
        let displacement = mean * self.thickness_nm() / self.reduced_nm();
        let (mut x_nm, mut drop_ev) = (0.0, 0.0);
        let mut knots = Vec::with_capacity(2 * self.layers.len());
        for Layer { material, thickness_nm } in &self.layers {
            let knot = |x_nm, drop_ev| Knot {
                x_nm,
                energy_ev: material.height_ev() - drop_ev,
                mass_ratio: material.mass_ratio(),
            };
            knots.push(knot(x_nm, drop_ev));
            x_nm += thickness_nm;
            drop_ev += displacement / material.static_permittivity() * thickness_nm;
            knots.push(knot(x_nm, drop_ev));
        }
        PiecewiseLinear::new(knots)
    }

    /// Sum of thickness by permittivity, in nm: the inverse of the capacitance per area.
    fn reduced_nm(&self) -> f64 {
        self.layers
            .iter()
            .map(|layer| layer.thickness_nm / layer.material.static_permittivity())
            .sum()
    }
}

impl TryFrom<Vec<Layer>> for Stack {
    type Error = PhysicsError;

    fn try_from(layers: Vec<Layer>) -> Result<Self, PhysicsError> {
        Self::new(layers)
    }
}

impl From<Stack> for Vec<Layer> {
    fn from(stack: Stack) -> Self {
        stack.layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::potential::Potential;
    use crate::wkb::wkb_exponent;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn stack(layers: &[(Material, f64)]) -> Stack {
        let layer = |(material, thickness_nm): &(Material, f64)| Layer {
            material: material.clone(),
            thickness_nm: *thickness_nm,
        };
        Stack::new(layers.iter().map(layer).collect()).unwrap()
    }

    #[test]
    fn voltage_divides_like_over_capacitors_in_series() -> Result<(), PhysicsError> {
        let gate = stack(&[(Material::SIO2, 1.0), (Material::HFO2, 4.0)]);
        let tilted = gate.under_field(0.2)?;
        let fall =
            |from: usize| tilted.knots()[from].energy_ev - tilted.knots()[from + 1].energy_ev;
        // 1 V in all; 1 / 3.9 and 4 / 25 nm of reduced thickness.
        assert_relative_eq!(fall(0) + fall(2), 1.0, max_relative = 1e-14);
        assert_relative_eq!(fall(0) / fall(2), 25.0 / (4.0 * 3.9), max_relative = 1e-14);
        assert_eq!(tilted.width_nm(), 5.0);
        Ok(())
    }

    #[test]
    fn oxide_is_its_own_equivalent() {
        assert_relative_eq!(stack(&[(Material::SIO2, 1.7)]).eot_nm(), 1.7, max_relative = 1e-15);
    }

    #[test]
    fn two_rectangles_add_their_exponents() -> Result<(), PhysicsError> {
        let (oxide, high_k) = (Material::SIO2.barrier(1.0)?, Material::HFO2.barrier(3.0)?);
        let both = stack(&[(Material::SIO2, 1.0), (Material::HFO2, 3.0)]).under_field(0.0)?;
        let expected = oxide.wkb_exponent(0.0) + high_k.wkb_exponent(0.0);
        assert_relative_eq!(wkb_exponent(&both, 0.0)?, expected, max_relative = 1e-12);
        Ok(())
    }

    #[test]
    fn reversing_twice_changes_nothing() {
        let gate = stack(&[(Material::SIO2, 1.0), (Material::AL2O3, 2.0), (Material::HFO2, 3.0)]);
        assert_ne!(gate.reversed(), gate);
        assert_eq!(gate.reversed().reversed(), gate);
    }

    #[test]
    fn a_field_towards_the_emitter_is_met_in_reverse() -> Result<(), PhysicsError> {
        // The same slope seen from the other end, raised by the voltage between the electrodes.
        let gate = stack(&[(Material::SIO2, 1.0), (Material::HFO2, 3.0)]);
        let (uphill, downhill) = (gate.under_field(-0.3)?, gate.reversed().under_field(0.3)?);
        for x in [0.2, 1.5, 3.9] {
            let seen = downhill.energy_ev(4.0 - x) + 0.3 * 4.0;
            assert_relative_eq!(uphill.energy_ev(x), seen, max_relative = 1e-14);
        }
        Ok(())
    }

    #[test]
    fn impossible_stacks_are_refused() {
        let layer = |thickness_nm| Layer { material: Material::SIO2, thickness_nm };
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9, 2e4] {
            assert!(Stack::new(vec![layer(1.0), layer(bad)]).is_err(), "{bad}");
        }
        assert!(Stack::new(vec![]).is_err());
        assert!(Stack::new(vec![layer(9e3), layer(9e3)]).is_err());
        for field in [f64::NAN, f64::INFINITY, 21.0] {
            assert!(stack(&[(Material::SIO2, 1.0)]).under_field(field).is_err(), "{field}");
        }
        assert!(serde_json::from_str::<Stack>("[]").is_err());
    }

    #[test]
    fn a_file_is_a_list_of_layers() {
        let gate = stack(&[(Material::SIO2, 1.0), (Material::HFO2, 3.0)]);
        let json = serde_json::to_string(&gate).unwrap();
        assert_eq!(serde_json::from_str::<Stack>(&json).unwrap(), gate);
    }

    proptest! {
        #[test]
        fn one_layer_is_a_barrier(thickness in 0.2..10.0, field in 0.0..5.0) {
            let alone = stack(&[(Material::AL2O3, thickness)]).under_field(field).unwrap();
            let expected = Material::AL2O3.barrier(thickness).unwrap().wkb_exponent(field);
            assert_relative_eq!(wkb_exponent(&alone, 0.0).unwrap(), expected, max_relative = 1e-10);
        }

        #[test]
        fn splitting_a_layer_changes_nothing(
            thickness in 0.5..10.0, share in 0.1..0.9, field in 0.0..3.0,
        ) {
            let parts = [share, 1.0 - share].map(|share| (Material::SI3N4, share * thickness));
            let [whole, split] = [stack(&[(Material::SI3N4, thickness)]), stack(&parts)]
                .map(|stack| wkb_exponent(&stack.under_field(field).unwrap(), 0.0).unwrap());
            assert_relative_eq!(split, whole, max_relative = 1e-10);
        }
    }
}
