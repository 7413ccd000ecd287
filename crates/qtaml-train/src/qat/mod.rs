//! Quantization-aware training (QAT), with and without faults.
//!
//! burn lets a parameter be read through a function of what is stored ([`Reparameterization`]).
//! Each [`QatMethod`] is such a function, so any module made of burn's layers, the user's own
//! included, trains with it unmodified: [`prepare`], train, [`convert`].
//!
//! ```
//! use burn::module::Module;
//! use burn::nn::{Linear, LinearConfig};
//! use burn::optim::{AdamConfig, GradientsParams};
//! use burn::tensor::{Device, Tensor, activation::relu};
//! use qtaml_fault::Seed;
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::BitWidth;
//! use qtaml_train::qat::{self, BitErrors, QatMethod};
//!
//! #[derive(Module, Debug)]
//! struct Mine {
//!     hidden: Linear,
//!     output: Linear,
//! }
//!
//! # #[cfg(feature = "flex")] {
//! let device = Device::flex();
//! let [hidden, output] = [(4, 16), (16, 1)].map(|(i, o)| LinearConfig::new(i, o).init(&device));
//! let errors = BitErrors::new(BitWidth::INT8, FlipProbability::symmetric(0.01)?);
//! let mut net = qat::prepare(Mine { hidden, output }, QatMethod::BitErrors(errors), Seed(42))?;
//!
//! let inputs = Tensor::<2>::ones([8, 4], &device.autodiff());
//! let mut adam = AdamConfig::new().init();
//! for step in 0..10 {
//!     net.at_step(step); // the faults are a function of seed, step and parameter
//!     let seen = net.model.output.forward(relu(net.model.hidden.forward(inputs.clone())));
//!     let gradients = GradientsParams::from_grads((seen - 1.0).square().mean().backward(), &net.model);
//!     net.model = adam.step(1e-2, net.model, gradients);
//! }
//! let trained = qat::convert(&net)?;
//! assert_eq!(trained.layers[0].name, "hidden.weight"); // its words, and in `trained.model` their weights
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Randomness
//!
//! Noise and faults are drawn on the host from streams of their own, at the step that
//! [`Prepared::at_step`] says. They depend on nothing else: not on the backend, on how often a layer
//! reads its weight within the step, or on what was drawn before.
//!
//! [`Reparameterization`]: burn::module::Reparameterization

mod bit_errors;
mod draw;
mod fake_quant;
mod gaussian;
mod lsq;
mod method;
mod prepared;
mod rounding;
mod t0;
mod wkb_noise;

pub use bit_errors::BitErrors;
pub use fake_quant::FakeQuant;
pub use gaussian::Gaussian;
pub use lsq::Lsq;
pub use method::QatMethod;
pub use prepared::{Converted, Prepared, QuantizedLayer, convert, prepare, prepare_with_rules};
pub use t0::T0;
pub use wkb_noise::WkbNoise;
