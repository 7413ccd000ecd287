//! Initial weights from a seed, the same on every backend.

use burn::module::Module;
use qtaml_fault::Seed;
use rand::RngExt;

use crate::{Parameter, TrainError, parameters, replace_parameters};

/// The module with fresh weights, drawn on the host: weights uniform in ±sqrt(6 / fan-in)
/// (He et al., ICCV 2015, for networks with rectifiers), everything of rank one zero.
///
/// The fan-in of a kernel `[out, in, ...]` is all but its first axis; that of a matrix
/// `[in, out]`, as burn keeps linear layers, its first.
///
/// # Errors
/// None that a module could cause; the signature is that of [`replace_parameters`].
pub fn initialise<M: Module>(module: M, seed: Seed) -> Result<M, TrainError> {
    let values = parameters(&module).into_iter().map(|p| (p.name.clone(), draw(&p, seed)));
    let values = values.collect();
    replace_parameters(module, values)
}

fn draw(parameter: &Parameter, seed: Seed) -> Vec<f32> {
    let count = parameter.values.len();
    let fan_in = match parameter.shape[..] {
        [] | [_] => return vec![0.0; count],
        [fan_in, _] => fan_in,
        [_, ref rest @ ..] => rest.iter().product(),
    };
    let bound = (6.0 / fan_in as f32).sqrt();
    let mut rng = seed.rng(&format!("initial.{}", parameter.name), 0);
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::{LinearConfig, conv::Conv2dConfig};
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn weights_fill_their_range_and_biases_are_zero() {
        let linear = initialise(LinearConfig::new(24, 50).init(&Device::flex()), Seed(1)).unwrap();
        let [weight, bias] = &parameters(&linear)[..] else { panic!("a weight and a bias") };
        let largest = weight.values.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        assert!(largest <= 0.5 && largest > 0.49, "sqrt(6/24) = 0.5, largest {largest}");
        assert!(bias.values.iter().all(|b| *b == 0.0));
    }

    #[test]
    fn a_kernel_counts_its_inputs_times_its_area() {
        let conv = Conv2dConfig::new([6, 16], [2, 2]).init(&Device::flex());
        let conv = initialise(conv, Seed(1)).unwrap();
        let largest = parameters(&conv)[0].values.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        assert!(largest <= 0.5 && largest > 0.49, "sqrt(6/(6*4)) = 0.5, largest {largest}");
    }

    #[test]
    fn the_seed_decides() {
        let fresh = |seed| {
            let linear = LinearConfig::new(4, 4).init(&Device::flex());
            parameters(&initialise(linear, Seed(seed)).unwrap())
        };
        assert_eq!(fresh(7), fresh(7));
        assert_ne!(fresh(7), fresh(8));
    }
}
