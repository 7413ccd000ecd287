//! A network whose weights lie in a leaking memory.

use std::collections::BTreeMap;

use burn::module::Module;
use qtaml_compensation::{
    Allocation, CodeHistogram, DecodeTable, Decoder, LayerDistortion, mean_square_error,
};
use qtaml_fault::{BitFlips, CodeChannel, Keeper, Protection, Seed, Site};
use qtaml_physics::FlipProfile;
use qtaml_quant::{Format, QuantizedTensor};

use crate::sensitivity::JacobianNorm;
use crate::{TrainError, parameters, replace_parameters};

/// The memory that the weights are stored in: how often its bits flip, from which seed, and what
/// keeps the protected ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    flips: FlipProfile,
    seed: Seed,
    keeper: Keeper,
}

impl Memory {
    /// A memory whose unprotected bits flip as `flips` says, one probability standing for that of
    /// every bit; its patterns follow from `seed`.
    pub fn new(flips: impl Into<FlipProfile>, seed: Seed) -> Self {
        Self { flips: flips.into(), seed, keeper: Keeper::Ideal }
    }

    /// The same memory with its protected bits in a real code.
    #[must_use]
    pub fn with_keeper(self, keeper: Keeper) -> Self {
        Self { keeper, ..self }
    }

    /// The flip probabilities of unprotected bits.
    pub const fn flips(&self) -> &FlipProfile {
        &self.flips
    }
}

/// One weight tensor of a network, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLayer {
    /// The name of the parameter, such as `conv1.weight`: with the seed it addresses the faults.
    pub name: String,
    /// Its words and scale.
    pub tensor: QuantizedTensor,
}

impl StoredLayer {
    /// What happens to its words in `memory`, with the `k` top bits of each protected.
    ///
    /// # Errors
    /// [`TrainError::Fault`] if the memory or `k` do not fit the width of its words.
    pub fn channel(&self, memory: &Memory, k: u32) -> Result<CodeChannel, TrainError> {
        let protection = Protection::top(k, self.tensor.bits())?;
        let channel = CodeChannel::new(memory.flips.clone(), self.tensor.format(), protection)?;
        Ok(channel.kept_by(memory.keeper)?)
    }
}

/// A network with its weights stored as codes.
///
/// Every parameter of rank two or more is stored; biases and norm parameters, about a percent of a
/// network, stay as they are (ours).
#[derive(Debug, Clone)]
pub struct StoredNetwork<M> {
    golden: M,
    layers: Vec<StoredLayer>,
}

impl<M: Module> StoredNetwork<M> {
    /// Quantizes the weights of `model`, one scale per tensor. A width alone stands for two's
    /// complement.
    ///
    /// # Errors
    /// [`TrainError::Quant`] naming the parameter for weights that are NaN or infinite,
    /// [`TrainError::NoWeights`] if there are none.
    pub fn quantize(model: &M, format: impl Into<Format>) -> Result<Self, TrainError> {
        let format = format.into();
        let layers: Vec<StoredLayer> = parameters(model)
            .into_iter()
            .filter(crate::Parameter::is_weight)
            .map(|p| match QuantizedTensor::quantize(&p.values, &p.shape, format) {
                Ok(tensor) => Ok(StoredLayer { name: p.name, tensor }),
                Err(source) => Err(TrainError::Quant { name: p.name, source }),
            })
            .collect::<Result<_, _>>()?;
        if layers.is_empty() {
            return Err(TrainError::NoWeights);
        }
        let weights = layers.iter().map(|l| (l.name.clone(), l.tensor.dequantize())).collect();
        let golden = replace_parameters(model.clone(), weights)?;
        Ok(Self { golden, layers })
    }

    /// The quantized network as it is without faults.
    pub fn golden(&self) -> &M {
        &self.golden
    }

    /// The stored weights, in the order of the network's fields.
    pub fn layers(&self) -> &[StoredLayer] {
        &self.layers
    }

    /// What faults do to the output, layer by layer and for every number of protected top bits.
    ///
    /// # Formula
    /// `D_l(k) = ||J_l||_F^2 Δ_l^2 mse_l(k)` summed over the layer's weights (docs/theory.md, section 4).
    /// `Δ_l` is proportional to `||W_l||_inf`, and `mse_l(k)` is exact for the layer's own codes. The
    /// bias of the raw decoder is counted as if it were noise (ours).
    ///
    /// # Errors
    /// [`TrainError::UnknownParameter`] if `norms` lacks a stored layer, and
    /// [`TrainError::Compensation`] if the decoder does not exist for this memory.
    pub fn distortions(
        &self,
        memory: &Memory,
        decoder: Decoder,
        norms: &[JacobianNorm],
    ) -> Result<Vec<LayerDistortion>, TrainError> {
        self.by_layer(memory, norms, |histogram, channel| {
            let table = DecodeTable::new(decoder, channel)?;
            Ok(mean_square_error(histogram, channel, &table))
        })
    }

    /// The variance that faults in each layer give the output, to first order, for every number of
    /// protected top bits: the drift of the mean is left out.
    ///
    /// # Formula
    /// `||J_l||_F^2 Δ_l^2 Var[q']`, with the variance averaged over the layer's own codes
    /// (docs/theory.md, section 2).
    ///
    /// # Errors
    /// [`TrainError::UnknownParameter`] if `norms` lacks a stored layer.
    pub fn output_variances(
        &self,
        memory: &Memory,
        norms: &[JacobianNorm],
    ) -> Result<Vec<LayerDistortion>, TrainError> {
        self.by_layer(memory, norms, |histogram, channel| {
            Ok(histogram.iter().map(|(stored, share)| share * channel.variance(stored)).sum())
        })
    }

    /// What an error of `per_weight` squared steps, for each number of protected bits, does to the
    /// output.
    fn by_layer(
        &self,
        memory: &Memory,
        norms: &[JacobianNorm],
        per_weight: impl Fn(&CodeHistogram, &CodeChannel) -> Result<f64, TrainError>,
    ) -> Result<Vec<LayerDistortion>, TrainError> {
        self.layers
            .iter()
            .map(|layer| {
                let norm = norms.iter().find(|n| n.name == layer.name).ok_or_else(|| {
                    let known = norms.iter().map(|n| n.name.clone()).collect();
                    TrainError::UnknownParameter { name: layer.name.clone(), known }
                })?;
                let score = norm.squared * f64::from(layer.tensor.scale()).powi(2);
                let histogram = CodeHistogram::of(&layer.tensor);
                let by_protected = (0..=layer.tensor.bits().get())
                    .map(|k| Ok(score * per_weight(&histogram, &layer.channel(memory, k)?)?))
                    .collect::<Result<_, TrainError>>();
                Ok(LayerDistortion::new(&layer.name, layer.tensor.len(), by_protected?)?)
            })
            .collect()
    }

    /// The words read in one trial, layer by layer.
    ///
    /// The same memory and trial give the same faults under every allocation; more protection
    /// only removes some.
    ///
    /// # Errors
    /// [`TrainError::Allocation`] if the allocation has another number of layers,
    /// [`TrainError::Fault`] if it protects more bits than a layer has.
    pub fn words(
        &self,
        memory: &Memory,
        trial: u32,
        allocation: &Allocation,
    ) -> Result<Vec<Vec<u8>>, TrainError> {
        let (layers, given) = (self.layers.len(), allocation.protected_bits().len());
        if layers != given {
            return Err(TrainError::Allocation { layers, given });
        }
        self.layers
            .iter()
            .zip(allocation.protected_bits())
            .map(|(layer, &k)| {
                let bits = layer.tensor.bits();
                let site = Site::new(memory.seed, trial, &layer.name);
                let model = BitFlips::new(memory.flips.clone(), bits)?;
                let protection = Protection::top(k, bits)?;
                Ok(memory.keeper.read(layer.tensor.words(), &model, &site, protection)?.words)
            })
            .collect()
    }

    /// The network as it is read in one trial.
    ///
    /// # Errors
    /// As [`words`](Self::words), and [`TrainError::Compensation`] if the decoder does not exist
    /// for this memory.
    pub fn read(
        &self,
        memory: &Memory,
        trial: u32,
        allocation: &Allocation,
        decoder: Decoder,
    ) -> Result<M, TrainError> {
        let mut weights = BTreeMap::new();
        let words = self.words(memory, trial, allocation)?;
        for ((layer, words), &k) in self.layers.iter().zip(words).zip(allocation.protected_bits()) {
            let channel = layer.channel(memory, k)?;
            let table = DecodeTable::new(decoder, &channel)?;
            weights.insert(layer.name.clone(), table.weights(&words, layer.tensor.scale()));
        }
        replace_parameters(self.golden.clone(), weights)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_compensation::allocation::uniform_path;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::{Dataset, Granularity, LeNet, LeNetConfig, initialise, sensitivity};

    fn network() -> (StoredNetwork<LeNet>, Vec<JacobianNorm>) {
        let device = Device::flex();
        let model = initialise(LeNetConfig::digits().init(&device), Seed(2)).unwrap();
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1]);
        let norms =
            sensitivity::jacobian_norms(&model, Granularity::Tensor, &images, 4, Seed(0), &device)
                .unwrap();
        (StoredNetwork::quantize(&model, BitWidth::INT8).unwrap(), norms)
    }

    fn memory(p: f64) -> Memory {
        Memory::new(FlipProbability::symmetric(p).unwrap(), Seed(42))
    }

    #[test]
    fn full_protection_reads_the_golden_network() {
        let (network, norms) = network();
        let layers = network.distortions(&memory(0.1), Decoder::Affine, &norms).unwrap();
        let path = uniform_path(&layers);
        let full = &path[8];
        assert_eq!(full.distortion(&layers), 0.0);
        for decoder in [Decoder::Raw, Decoder::Affine] {
            let read = network.read(&memory(0.1), 0, full, decoder).unwrap();
            assert_eq!(parameters(&read), parameters(network.golden()));
        }
    }

    #[test]
    fn faults_change_weights_and_nothing_else() {
        let (network, norms) = network();
        let layers = network.distortions(&memory(0.1), Decoder::Raw, &norms).unwrap();
        let read = network.read(&memory(0.1), 0, &uniform_path(&layers)[0], Decoder::Raw).unwrap();
        for (clean, faulty) in parameters(network.golden()).iter().zip(parameters(&read)) {
            assert_eq!(clean.values == faulty.values, !clean.is_weight(), "{}", clean.name);
        }
    }

    /// Three copies of the top bits: some flips come through, fewer than without, and the predicted
    /// distortion lies in between as well.
    #[test]
    fn a_real_code_keeps_less_than_an_ideal_one() {
        let (network, norms) = network();
        let ideal = memory(0.1);
        let real = memory(0.1).with_keeper("repetition:3".parse().unwrap());
        let [ideal_layers, real_layers] = [&ideal, &real]
            .map(|memory| network.distortions(memory, Decoder::Raw, &norms).unwrap());
        let two = &uniform_path(&ideal_layers)[2];
        let wrong = |memory: &Memory| -> u32 {
            let read = network.words(memory, 0, two).unwrap();
            let layers = network.layers().iter().zip(&read);
            let flips = |(layer, read): (&StoredLayer, &Vec<u8>)| -> u32 {
                let words = layer.tensor.words().iter().zip(read);
                words.map(|(a, b)| ((a ^ b) & 0b1100_0000).count_ones()).sum()
            };
            layers.map(flips).sum()
        };
        assert_eq!(wrong(&ideal), 0);
        let stored: usize = network.layers().iter().map(|layer| 2 * layer.tensor.len()).sum();
        let share = f64::from(wrong(&real)) / stored as f64;
        // 3p^2 - 2p^3 = 0.028 of 39,000 bits: ten standard errors.
        assert!((share - 0.028).abs() < 0.0085, "{share}");
        for (ideal, real) in ideal_layers.iter().zip(&real_layers) {
            let (kept, none) = (real.by_protected()[2], real.by_protected()[0]);
            assert!(ideal.by_protected()[2] < kept && kept < none);
        }
    }

    /// The law of two's complement, and what the distortion of raw reading has beyond it: the bias.
    #[test]
    fn the_output_varies_with_range_and_jacobian() {
        let (network, norms) = network();
        let p = 0.01;
        let variances = network.output_variances(&memory(p), &norms).unwrap();
        let distortions = network.distortions(&memory(p), Decoder::Raw, &norms).unwrap();
        for ((layer, norm), (variance, distortion)) in
            network.layers().iter().zip(&norms).zip(variances.iter().zip(&distortions))
        {
            let step = f64::from(layer.tensor.scale());
            let hierarchy = p * (1.0 - p) * f64::from((1 << 16) - 1) / 3.0;
            let expected = norm.squared * step * step * hierarchy;
            let found = variance.by_protected()[0];
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
            assert!(found < distortion.by_protected()[0]);
        }
    }

    #[test]
    fn a_layer_without_a_norm_is_named() {
        let (network, norms) = network();
        let error = network.distortions(&memory(0.1), Decoder::Raw, &norms[1..]).unwrap_err();
        assert!(error.to_string().starts_with("unknown parameter \"conv1.weight\""), "{error}");
    }

    #[test]
    fn an_allocation_for_another_network_is_refused() {
        let (network, norms) = network();
        let layers = network.distortions(&memory(0.1), Decoder::Raw, &norms).unwrap();
        let fewer = &uniform_path(&layers[1..])[0];
        let error = network.read(&memory(0.1), 0, fewer, Decoder::Raw).unwrap_err().to_string();
        assert_eq!(error, "the allocation has 4 layers, the network stores 5");
    }

    #[test]
    fn infinite_weights_are_named() {
        let model = LeNetConfig::digits().init(&Device::flex());
        let values = BTreeMap::from([("fc3.weight".to_owned(), vec![f32::INFINITY; 840])]);
        let model = replace_parameters(model, values).unwrap();
        let error = StoredNetwork::quantize(&model, BitWidth::INT8).unwrap_err().to_string();
        assert_eq!(error, "parameter \"fc3.weight\": weight 0 is inf: weights must be finite");
    }
}
