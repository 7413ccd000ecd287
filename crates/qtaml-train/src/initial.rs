//! Initial weights from a seed, the same on every backend.

use std::collections::BTreeMap;

use burn::module::Module;
use qtaml_deploy::{Role, WeightTensor};
use qtaml_fault::Seed;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::TrainError;
use crate::parameters::replace_state;
use crate::weights::list;

/// The module as if never trained, drawn on the host: weights uniform in ±sqrt(6 / fan-in)
/// (He et al., ICCV 2015, for networks with rectifiers), embeddings normal and of length about one
/// (ours), the scales and running variances of norms one, biases, shifts and running means zero. What is
/// none of these, such as the slope of a rectifier or a vector of a user's own layer, stays as it is.
/// Fields of one parameter stay one.
///
/// The fan-in of a kernel `[out, in, ...]` is all but its first axis, that of a transposed one all but
/// its second, and that of a matrix `[in, out]`, as burn keeps linear layers, its first. Weights of
/// unknown layers count as the one or the other by their rank.
///
/// # Errors
/// [`TrainError::Weights`] as [`ModuleWeights::of`](crate::ModuleWeights::of).
pub fn initialise<M: Module>(module: M, seed: Seed) -> Result<M, TrainError> {
    let found = list(&module, false).found.into_iter();
    let values: BTreeMap<String, Vec<f32>> = found
        .filter_map(|found| Some((found.tensor.name.clone(), start(&found.tensor, seed)?)))
        .collect();
    replace_state(module, values)
}

/// Initial values of a tensor, if it has any but its own.
fn start(tensor: &WeightTensor, seed: Seed) -> Option<Vec<f32>> {
    let WeightTensor { name, shape, role, .. } = tensor;
    let mut rng = seed.rng(&format!("initial.{name}"), 0);
    let count = tensor.len();
    let product = |axes: &[usize]| axes.iter().product::<usize>();
    let mut uniform = |fan_in: usize| {
        let bound = (6.0 / fan_in as f32).sqrt();
        (0..count).map(|_| rng.random_range(-bound..bound)).collect()
    };
    // The fields of burn's norm layers.
    let field = name.rsplit('.').next().unwrap_or_default();
    Some(match (role, &shape[..]) {
        (Role::Embedding, [_, width]) => {
            let normal = StandardNormal.sample_iter(rng).take(count);
            normal.map(|z: f32| z / (*width as f32).sqrt()).collect()
        }
        (Role::TransposedConvolution, [inputs, _, area @ ..]) => uniform(inputs * product(area)),
        (role, [fan_in, _]) if role.is_weight() => uniform(*fan_in),
        (role, [_, rest @ ..]) if role.is_weight() => uniform(product(rest)),
        (Role::Norm, _) if field == "gamma" => vec![1.0; count],
        (Role::Statistics, _) if field == "running_var" => vec![1.0; count],
        (Role::Bias | Role::Norm, _) => vec![0.0; count],
        (Role::Statistics, _) if field == "running_mean" => vec![0.0; count],
        _ => return None,
    })
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::{BatchNormConfig, EmbeddingConfig, LinearConfig, conv::Conv2dConfig};
    use burn::tensor::{Device, Tensor};

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
        // Within five standard errors of 10,000 draws; a uniform distribution's fourth moment would be 1.8.
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

    #[test]
    fn what_is_of_no_known_layer_stays_and_tied_fields_stay_one() {
        use burn::module::Param;
        use burn::nn::{Embedding, PRelu, PReluConfig};

        #[derive(Module, Debug)]
        struct Own {
            slope: PRelu,
            gain: Param<Tensor<1>>,
            table: Embedding,
            head: Param<Tensor<2>>,
        }

        let device = Device::flex();
        let table: Embedding = EmbeddingConfig::new(3, 2).init(&device);
        let own = Own {
            slope: PReluConfig::new().init(&device),
            gain: Param::from_tensor(Tensor::from_floats([2.0, 3.0], &device)),
            head: table.weight.clone(),
            table,
        };
        let own = initialise(own, Seed(1)).unwrap();
        let found: Vec<Vec<f32>> = parameters(&own).into_iter().map(|p| p.values).collect();
        assert_eq!(found[..2], [vec![0.25], vec![2.0, 3.0]]);
        assert_eq!(found.len(), 3);
        assert_eq!(own.head.val().into_data(), own.table.weight.val().into_data());
    }
}
