//! Claims of quantum-tunneling-aware machine learning (arXiv 2606.00741).

pub mod codesign;
pub mod drift;
pub mod gaussian;
pub mod layer;
pub mod mean_correction;
pub mod reading;
pub mod rho;
pub mod score;
pub mod tac;
pub mod variance;
pub mod width;
