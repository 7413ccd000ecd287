//! Initial weights from a seed, the same on every backend.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use qtaml_fault::Seed;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::TrainError;
use crate::parameters::replace_state;

/// The module as if never trained, drawn on the host: weights uniform in ±sqrt(6 / fan-in)
/// (He et al., ICCV 2015, for networks with rectifiers), embeddings normal and of length about one
/// (ours), the scales and running variances of norms one, everything else of rank one zero.
///
/// The fan-in of a kernel `[out, in, ...]` is all but its first axis; that of a matrix
/// `[in, out]`, as burn keeps linear layers, its first.
///
/// # Errors
/// None that a module could cause; the signature is that of
/// [`replace_parameters`](crate::replace_parameters).
pub fn initialise<M: Module>(module: M, seed: Seed) -> Result<M, TrainError> {
    let mut start = Start { path: Vec::new(), owner: String::new(), seed, values: BTreeMap::new() };
    module.visit(&mut start);
    replace_state(module, start.values)
}

/// Draws a value for whatever it visits.
struct Start {
    path: Vec<String>,
    /// What the innermost name is a field of.
    owner: String,
    seed: Seed,
    values: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Start {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.into());
        self.owner = container.into();
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let shape = param.dims();
        let mut rng = self.seed.rng(&format!("initial.{name}"), 0);
        let count = shape.iter().product();
        let mut uniform = |fan_in: usize| {
            let bound = (6.0 / fan_in as f32).sqrt();
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        };
        let values = match shape[..] {
            [] | [_] if name.ends_with("gamma") || name.ends_with("running_var") => {
                vec![1.0; count]
            }
            [] | [_] => vec![0.0; count],
            [_, width] if self.owner.ends_with(":Embedding") => {
                let normal = StandardNormal.sample_iter(rng).take(count);
                normal.map(|z: f32| z / (width as f32).sqrt()).collect()
            }
            [fan_in, _] => uniform(fan_in),
            [_, ref rest @ ..] => uniform(rest.iter().product()),
        };
        self.values.insert(name, values);
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::{BatchNormConfig, EmbeddingConfig, LinearConfig, conv::Conv2dConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::parameters;
    use crate::parameters::state;

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
    fn a_depthwise_kernel_has_nine_inputs() {
        let conv = Conv2dConfig::new([64, 64], [3, 3]).with_groups(64).init(&Device::flex());
        let conv = initialise(conv, Seed(1)).unwrap();
        let largest = parameters(&conv)[0].values.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        let bound = (6.0_f32 / 9.0).sqrt();
        assert!(largest <= bound && largest > 0.98 * bound, "{largest}");
    }

    #[test]
    fn embeddings_are_normal_and_of_length_one() {
        let embedding = EmbeddingConfig::new(100, 100).init(&Device::flex());
        let values = parameters(&initialise(embedding, Seed(1)).unwrap()).remove(0).values;
        let moment = |power| values.iter().map(|v| (10.0 * v).powi(power)).sum::<f32>() / 1e4;
        // Within five standard errors of 10,000 draws; a uniform law's fourth moment would be 1.8.
        assert!(moment(1).abs() < 0.05);
        assert!((moment(2) - 1.0).abs() < 0.05 * 2.0_f32.sqrt());
        assert!((moment(4) - 3.0).abs() < 0.05 * 96.0_f32.sqrt());
    }

    #[test]
    fn a_norm_starts_as_new_and_leaves_its_clones_alone() {
        let device = Device::flex().autodiff();
        let fresh = BatchNormConfig::new(2).init(&Device::flex());
        let used = fresh.clone().train();
        used.forward(Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 5.0]], &device));
        let kept = state(&used);
        let again = initialise(used.clone(), Seed(1)).unwrap();
        assert_eq!(state(&again), state(&fresh));
        assert_eq!(state(&used), kept);
        assert_ne!(kept, state(&fresh));
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
