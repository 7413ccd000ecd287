//! Quantum tunneling through gate oxides: from barrier to bit-flip probability.
//!
//! A memory cell keeps a bit as charge behind an oxide a few nanometres thick. Electrons tunnel
//! through it, and now and then a bit is lost. This crate walks from the oxide to the one number
//! that the rest of the project works with, the probability that a stored bit reads back flipped.
//!
//! # The walk
//!
//! 1. An oxide is a [`Barrier`]: a height, a thickness and a tunneling mass. In it the wave
//!    function decays by a factor e every `1 / kappa`.
//! 2. A field tilts the barrier into a [`Shape`] that is easier to cross. The WKB exponent is
//!    known in closed form for each, and the transmission is its exponential.
//! 3. A [`Cell`] multiplies the transmission with the attempt rate and with the
//!    [`thermal factor`](Barrier::thermal_factor), for warm electrons stand higher against the
//!    barrier: so many charges leave per second.
//! 4. [`Leakage`] says which stored value that destroys. Its [`Rates`] and a storage time make a
//!    two-state Markov process, and this a [`FlipProbability`].
//!
//! ```
//! use qtaml_physics::{Barrier, Cell, Condition, Shape, YEAR_S};
//!
//! // 1. Silicon dioxide: a decade of leakage per 0.2 nm.
//! let oxide = Barrier::sio2(4.5)?;
//! assert!((oxide.thickness_per_decade_nm() - 0.2).abs() < 0.01);
//!
//! // 2. A small read voltage tilts the barrier.
//! assert_eq!(oxide.shape(0.02), Shape::Trapezoidal);
//! assert!(oxide.wkb_exponent(0.02) < oxide.wkb_exponent(0.0));
//!
//! // 3. and 4. Ten years on the shelf, as one chain of numbers that can be shown or saved.
//! let cell = Cell::new(oxide, 1e13);
//! let shelf = Condition::at_rest(10.0 * YEAR_S);
//! let chain = cell.tunneling(&shelf)?;
//! assert!((chain.thermal_factor - 1.086).abs() < 0.001);
//! assert!((chain.probability.p01() - 0.0462).abs() < 1e-4);
//!
//! // In a hot car it is worse.
//! let hot = Condition { temperature_k: 350.0, ..shelf };
//! assert!(cell.flip_probability(&hot)?.p01() > chain.probability.p01());
//!
//! // And back: when is one bit in ten lost? Which field, which oxide would lose as many?
//! let years = cell.retention_for(0.1, &shelf)? / YEAR_S;
//! assert!((years - 23.0).abs() < 0.1);
//! assert!(cell.field_for(0.1, &shelf)? > 0.0 && cell.thickness_for(0.1, &shelf)? < 4.5);
//! # Ok::<(), qtaml_physics::PhysicsError>(())
//! ```
//!
//! [`Preset`] has cells of familiar memories to start from. Where the bits of a word are not kept
//! alike, a [`FlipProfile`] holds one flip probability per bit.
//!
//! # Other barriers
//!
//! Real barriers are rarely one straight line. Everything that implements [`Potential`] has its
//! [`wkb_exponent`], and its exact transmission from [`transfer_matrix`] to measure the
//! approximation against: a [`Barrier`] under a field, a [`Stack`] of [`Material`]s, a sampled
//! profile ([`PiecewiseLinear`]), a formula ([`Analytic`]), and each of them with the
//! [`ImageForce`] of the electrodes.
//!
//! ```
//! use qtaml_physics::{Layer, Material, Stack, transfer_matrix, wkb_transmission};
//! use qtaml_physics::transfer_matrix::Electrodes;
//!
//! // A gate stack under 1 V.
//! let stack = Stack::new(vec![
//!     Layer { material: Material::SIO2, thickness_nm: 0.8 },
//!     Layer { material: Material::HFO2, thickness_nm: 2.0 },
//! ])?;
//! let potential = stack.under_field(1.0 / stack.thickness_nm())?;
//! let metal = Electrodes::alike(2.0, 1.0).lowered(1.0);
//! let exact = transfer_matrix::transmission(&potential, 0.0, &metal)?;
//! let prefactor = exact / wkb_transmission(&potential, 0.0)?;
//! assert!((0.1..10.0).contains(&prefactor));
//! # Ok::<(), qtaml_physics::PhysicsError>(())
//! ```
//!
//! # What to trust
//!
//! WKB is right in the exponent and off by a prefactor of order one
//! ([`Barrier::exact_rectangular_transmission`] shows by how much), worth about a tenth of
//! a nanometre of oxide. The prefactor comes from the abrupt edges: it depends on kinetic energy
//! and mass in the electrodes, about which WKB knows nothing. Three cases are worse and call for
//! [`transfer_matrix`]:
//!
//! - electrons near the top, where the exponent falls below about 2; a smooth barrier follows
//!   [`kemble_transmission`] there,
//! - electrons above the top, all of which WKB lets pass while an abrupt barrier reflects some,
//! - very thin oxide, a few tenths of a nanometre, in which nothing has room to decay.
//!
//! Of the [`Material`]s, SiO2 is well known and the others are working values.
//!
//! The thermal factor is Landauer's average over the Fermi edge; to use it under any field, for the
//! electrons that an attempt rate counts, is ours. That a bit hangs on one electron, and equal
//! rates for both stored values unless [`Leakage`] says otherwise, are our simplifications. Traps,
//! worn oxide and everything else that leaks in a real memory are left out; [`Preset::limits`] says
//! what that means for each. [`XI`] is a postulate of one of the project's sources and takes no
//! part in the physics.

#![deny(missing_docs)]

mod barrier;
mod cell;
mod constants;
mod error;
mod image_force;
mod inverse;
mod leakage;
mod material;
mod piecewise;
mod potential;
mod preset;
mod probability;
mod profile;
mod quadrature;
mod retention;
mod stack;
mod thermal;
pub mod transfer_matrix;
mod wkb;

pub use barrier::{Barrier, Shape};
pub use cell::{Cell, Chain, Condition};
pub use constants::{
    BOLTZMANN_EV_PER_K, ELECTRON_MASS_KG, ELEMENTARY_CHARGE_C, IMAGE_EV_NM, KAPPA_PER_NM,
    REDUCED_PLANCK_J_S, VACUUM_PERMITTIVITY_F_PER_M, XI, YEAR_S,
};
pub use error::PhysicsError;
pub use image_force::{ImageForce, schottky_lowering_ev};
pub use leakage::Leakage;
pub use material::{Material, Sourced};
pub use piecewise::{Knot, PiecewiseLinear};
pub use potential::{Analytic, Potential};
pub use preset::Preset;
pub use probability::FlipProbability;
pub use profile::FlipProfile;
pub use retention::Rates;
pub use stack::{Layer, Stack};
pub use wkb::{kemble_transmission, turning_points, wkb_exponent, wkb_transmission};
