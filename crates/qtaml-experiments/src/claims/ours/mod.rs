//! Claims of this project.

pub mod bayes;
pub mod codec;
pub mod opta;
pub mod real_ecc;
pub mod tac;
