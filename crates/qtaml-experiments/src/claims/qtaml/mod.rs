//! Claims of quantum-tunneling-aware machine learning (arXiv 2606.00741).

pub mod drift;
pub mod layer;
pub mod reading;
pub mod rho;
pub mod score;
pub mod variance;
