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
//! use qtaml_physics::{Barrier, Cell, Condition, Shape};
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
//! let shelf = Condition::at_rest(3.156e8);
//! let chain = cell.tunneling(&shelf)?;
//! assert!((chain.thermal_factor - 1.086).abs() < 0.001);
//! assert!((chain.probability.p01() - 0.0462).abs() < 1e-4);
//!
//! // In a hot car it is worse.
//! let hot = Condition { temperature_k: 350.0, ..shelf };
//! assert!(cell.flip_probability(&hot)?.p01() > chain.probability.p01());
//!
//! // And back: when is one bit in ten lost? Which field, which oxide would lose as many?
//! let years = cell.retention_for(0.1, &shelf)? / 3.156e7;
//! assert!((years - 23.0).abs() < 0.1);
//! assert!(cell.field_for(0.1, &shelf)? > 0.0 && cell.thickness_for(0.1, &shelf)? < 4.5);
//! # Ok::<(), qtaml_physics::PhysicsError>(())
//! ```
//!
//! [`Preset`] has cells of familiar memories to start from. Where the bits of a word are not kept
//! alike, a [`FlipProfile`] holds one law per bit.
//!
//! # What to trust
//!
//! WKB is right in the exponent and off by a prefactor of order one
//! ([`Barrier::exact_rectangular_transmission`] shows by how much), worth about a tenth of
//! a nanometre of oxide. The thermal factor is Landauer's average over the Fermi edge; to use it
//! under any field, for the electrons that an attempt rate counts, is ours. That a bit hangs on one
//! electron, and equal rates for both stored values unless [`Leakage`] says otherwise, are our
//! simplifications. Traps, worn oxide and everything else that leaks in a real memory are left out;
//! [`Preset::limits`] says what that means for each. [`XI`] is a postulate of one of the project's
//! sources and takes no part in the physics.

#![deny(missing_docs)]

mod barrier;
mod cell;
mod constants;
mod error;
mod inverse;
mod leakage;
mod preset;
mod probability;
mod profile;
mod retention;
mod thermal;

pub use barrier::{Barrier, Shape};
pub use cell::{Cell, Chain, Condition};
pub use constants::{
    BOLTZMANN_EV_PER_K, ELECTRON_MASS_KG, ELEMENTARY_CHARGE_C, KAPPA_PER_NM, REDUCED_PLANCK_J_S, XI,
};
pub use error::PhysicsError;
pub use leakage::Leakage;
pub use preset::Preset;
pub use probability::FlipProbability;
pub use profile::FlipProfile;
pub use retention::Rates;
