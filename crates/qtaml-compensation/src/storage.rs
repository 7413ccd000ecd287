//! Units of weights as they lie in memory, behind one face.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use qtaml_fault::{BitFlips, BitMask, Ecc, FaultModel, FaultStream, QuantizedChannel};
use qtaml_physics::FlipProfile;
use qtaml_quant::{Format, QuantizedTensor};

use crate::clipping::{Clip, best_range};
use crate::{
    CodeHistogram, CompensationError, DecodeTable, Decoder, FittedPrior, Prior, weight_error,
};

/// A unit of weights as it lies in memory, with the table that reads it.
///
/// A unit is what shares one scale and one protection: a tensor, a channel, a group. Which of the
/// many ways to store it was taken is hidden here, so that budgets and networks need not know.
pub trait WeightStorage: Send + Sync + Debug {
    /// The number of weights.
    fn weights(&self) -> usize;

    /// Bits in the memory that leaks, check bits of a code included.
    fn stored_bits(&self) -> u64;

    /// How many of them are kept ideally, which is how the source counts protection; 0 where a code
    /// keeps bits, whose price is among the stored ones.
    fn protected_bits(&self) -> u64;

    /// Bits that must be stored reliably beside them: scale, and what the decoder must know.
    fn side_bits(&self) -> u64;

    /// The mean square error per weight in squared units of the weights, from rounding, clipping
    /// and faults: exact, without sampling.
    fn mean_square_error(&self) -> f64;

    /// The weights without faults: those that the stored codes stand for, as if there were no
    /// decoder, which may shrink or shift also what was read right.
    fn golden(&self) -> Vec<f32>;

    /// The weights under the faults of one trial, decoded. Position `start` in the tensor of the
    /// stream is that of the first weight.
    ///
    /// # Errors
    /// [`FaultError::Misaligned`](qtaml_fault::FaultError::Misaligned) for a position at which this
    /// storage cannot start.
    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, CompensationError>;

    /// The storage as protected words, if it is that: they are what a [`Plan`](crate::Plan) can
    /// speak of.
    fn as_protected(&self) -> Option<&QuantizedStorage> {
        None
    }
}

/// The memory that many units share: its format, its faults and what keeps protected bits.
///
/// What is costly about it is made once: the fault model, and the channel of each set of protected
/// bits when it is first asked for.
///
/// ```
/// use qtaml_compensation::ChannelKit;
/// use qtaml_fault::{Ecc, BitMask};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::Format;
///
/// let p = FlipProbability::symmetric(0.1)?;
/// let kit = ChannelKit::new(Format::INT8, p, Ecc::Ideal)?;
/// let channel = kit.channel(BitMask::top(2, Format::INT8.bits())?)?;
/// assert_eq!(channel.flip(7, true), 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ChannelKit {
    format: Format,
    flips: FlipProfile,
    ecc: Ecc,
    model: BitFlips,
    /// By the protected bits.
    channels: Mutex<BTreeMap<u8, Arc<QuantizedChannel>>>,
}

impl ChannelKit {
    /// A memory for words of one format, whose bits flip as `flips` says and whose protected bits
    /// are kept by `ecc`.
    ///
    /// # Errors
    /// [`CompensationError::Fault`] for flip probabilities of another number of bits.
    pub fn new(
        format: impl Into<Format>,
        flips: impl Into<FlipProfile>,
        ecc: Ecc,
    ) -> Result<Self, CompensationError> {
        let (format, flips) = (format.into(), flips.into());
        let model = BitFlips::new(flips.clone(), format.bits())?;
        Ok(Self { format, flips, ecc, model, channels: Mutex::default() })
    }

    /// What the words mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The flip probabilities of unprotected bits.
    pub fn flips(&self) -> &FlipProfile {
        &self.flips
    }

    /// What keeps protected bits.
    pub fn ecc(&self) -> Ecc {
        self.ecc
    }

    /// The model that draws the faults.
    pub fn model(&self) -> &BitFlips {
        &self.model
    }

    /// The channel where these bits are protected.
    ///
    /// # Errors
    /// [`CompensationError::Fault`] for bits that the format lacks, and for a ecc that cannot
    /// keep them under this law, see [`Ecc::residual`].
    pub fn channel(&self, protection: BitMask) -> Result<Arc<QuantizedChannel>, CompensationError> {
        // Nothing panics while it is held, and what is in it is whole at any time.
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&protection.mask()) {
            return Ok(channel.clone());
        }
        let channel = QuantizedChannel::new(self.flips.clone(), self.format, protection)?;
        let channel = Arc::new(channel.with_ecc(self.ecc)?);
        channels.insert(protection.mask(), channel.clone());
        Ok(channel)
    }

    /// Bits in the memory for so many weights, with the check bits of the last, partly filled code
    /// word of each protected bit.
    fn stored_bits(&self, weights: usize, protection: BitMask) -> Result<u64, CompensationError> {
        let weights = weights as u64;
        let check = self.ecc.check_bits(weights)?.saturating_mul(protection.count().into());
        Ok((weights * u64::from(self.format.bits().get())).saturating_add(check))
    }

    /// What is read of a slice of a tensor that starts at word `first`.
    fn read(
        &self,
        words: &[u8],
        first: u64,
        stream: &FaultStream,
        protection: BitMask,
    ) -> Result<Vec<u8>, CompensationError> {
        // Handing a small unit to other threads takes longer than its faults.
        if self.ecc == Ecc::Ideal && words.len() <= self.model.grain() {
            let mut read = words.to_vec();
            self.model.inject_slice(&mut read, first, stream, protection.into())?;
            return Ok(read);
        }
        Ok(self.ecc.read_slice(words, first, &self.model, stream, protection)?.words)
    }
}

/// How one unit is stored in the memory of a [`ChannelKit`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StorageConfig {
    /// The bits of each weight that the memory keeps.
    pub protection: BitMask,
    /// What to believe of a word that is read.
    pub decoder: Decoder,
    /// What the decoder knows of the weights.
    pub prior: Prior,
    /// The range of the weights.
    pub clip: Clip,
}

/// Quantized weights, some of whose bits are protected, read through a decoder.
///
/// Under ideal protection the faults of a unit are those of its slice of the tensor, however the
/// tensor is cut into units and whatever is protected. A real code works on whole code words of its
/// own: there a unit must start at a multiple of [`Ecc::alignment`]. Units that lie otherwise
/// are read at position 0 of a stream each.
///
/// ```
/// use std::sync::Arc;
///
/// use qtaml_compensation::{ChannelKit, Decoder, QuantizedStorage, WeightStorage, StorageConfig};
/// use qtaml_fault::{Ecc, Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::Format;
///
/// let p = FlipProbability::symmetric(0.1)?;
/// let kit = Arc::new(ChannelKit::new(Format::INT8, p, Ecc::Ideal)?);
/// // Weights in a bell: the quantiles of a logistic law.
/// let quantile = |u: f32| (u / (1.0 - u)).ln();
/// let weights: Vec<f32> = (0..1000).map(|i| quantile((i as f32 + 0.5) / 1000.0)).collect();
/// let raw = QuantizedStorage::new(&weights, &kit, StorageConfig::default())?;
/// let bayes = StorageConfig { decoder: Decoder::Bayes, ..StorageConfig::default() };
/// let bayes = QuantizedStorage::new(&weights, &kit, bayes)?;
///
/// // The same bits in the same memory, 64 more beside it, and a quarter of the error.
/// assert_eq!(raw.stored_bits(), bayes.stored_bits());
/// assert_eq!((raw.side_bits(), bayes.side_bits()), (32, 96));
/// assert!(bayes.mean_square_error() < raw.mean_square_error() / 4.0);
/// let read = bayes.read(&FaultStream::new(Seed(42), 0, "conv1.weight"), 0)?;
/// assert_eq!(read.len(), weights.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct QuantizedStorage {
    kit: Arc<ChannelKit>,
    protection: BitMask,
    decoder: Decoder,
    prior: Prior,
    tensor: QuantizedTensor,
    table: DecodeTable,
    stored_bits: u64,
    side_bits: u64,
    mean_square_error: f64,
}

impl QuantizedStorage {
    /// Stores `weights` as one unit.
    ///
    /// # Errors
    /// [`CompensationError::Quant`] for no weights, NaN or infinite ones, or a range that is none;
    /// as [`ChannelKit::channel`] and [`DecodeTable::new`].
    pub fn new(
        weights: &[f32],
        kit: &Arc<ChannelKit>,
        config: StorageConfig,
    ) -> Result<Self, CompensationError> {
        let StorageConfig { protection, decoder, prior, clip } = config;
        let (format, channel) = (kit.format, kit.channel(protection)?);
        let limit = match clip {
            Clip::None => None,
            Clip::Best => Some(best_range(weights, &channel, decoder, prior)?.limit),
            Clip::At(limit) => Some(limit),
        };
        let shape = [weights.len()];
        let tensor = match limit {
            None => QuantizedTensor::quantize(weights, &shape, format)?,
            Some(limit) => QuantizedTensor::quantize_within(weights, &shape, format, limit)?,
        };
        let stored = CodeHistogram::of(&tensor);
        let table = DecodeTable::of_unit(decoder, &channel, prior, &stored)?;
        Ok(Self {
            kit: kit.clone(),
            protection,
            decoder,
            prior,
            stored_bits: kit.stored_bits(weights.len(), protection)?,
            side_bits: 32 + decoder.side_bits(prior, format),
            mean_square_error: weight_error(weights, &tensor, &channel, &table),
            tensor,
            table,
        })
    }

    /// The stored tensor, of shape `[n]`.
    pub fn tensor(&self) -> &QuantizedTensor {
        &self.tensor
    }

    /// The table that reads it.
    pub fn table(&self) -> &DecodeTable {
        &self.table
    }

    /// The protected bits.
    pub fn protection(&self) -> BitMask {
        self.protection
    }

    /// The memory that it lies in.
    pub fn kit(&self) -> &ChannelKit {
        &self.kit
    }

    /// The decoder that made the table.
    pub fn decoder(&self) -> Decoder {
        self.decoder
    }

    /// What the decoder knows of the weights, if it asks.
    pub fn prior(&self) -> Option<FittedPrior> {
        let fitted = || self.prior.fitted_to(&CodeHistogram::of(&self.tensor));
        self.decoder.needs_prior().then(fitted)
    }
}

impl WeightStorage for QuantizedStorage {
    fn weights(&self) -> usize {
        self.tensor.len()
    }

    fn stored_bits(&self) -> u64 {
        self.stored_bits
    }

    fn protected_bits(&self) -> u64 {
        match self.kit.ecc {
            Ecc::Ideal => self.weights() as u64 * u64::from(self.protection.count()),
            Ecc::Code(_) | Ecc::Interleaved { .. } => 0,
        }
    }

    fn side_bits(&self) -> u64 {
        self.side_bits
    }

    /// With a real code the law of its bits is that of full code words: [`Ecc::residual`].
    fn mean_square_error(&self) -> f64 {
        self.mean_square_error
    }

    fn golden(&self) -> Vec<f32> {
        self.tensor.dequantize()
    }

    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, CompensationError> {
        let read = self.kit.read(self.tensor.words(), start, stream, self.protection)?;
        Ok(self.table.weights(&read, self.tensor.scale()))
    }

    fn as_protected(&self) -> Option<&QuantizedStorage> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use qtaml_fault::{FaultError, Seed};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, QuantError};

    use super::*;

    fn kit(p01: f64, p10: f64, format: impl Into<Format>, ecc: &str) -> Arc<ChannelKit> {
        let p = FlipProbability::asymmetric(p01, p10).unwrap();
        Arc::new(ChannelKit::new(format, p, ecc.parse().unwrap()).unwrap())
    }

    fn config(k: u32, bits: BitWidth, decoder: Decoder) -> StorageConfig {
        let protection = BitMask::top(k, bits).unwrap();
        StorageConfig { protection, decoder, ..StorageConfig::default() }
    }

    fn stream(trial: u32, tensor: &str) -> FaultStream {
        FaultStream::new(Seed(3), trial, tensor)
    }

    /// A bell whose weights do not lie on any grid.
    fn weights(n: u32) -> Vec<f32> {
        let uniform = |i: u32| f64::from(i) * 0.618_033_988_749_895 % 1.0;
        (0..n)
            .map(|i| ((0..4).map(|k| uniform(4 * i + k * k + 1)).sum::<f64>() - 2.0) as f32)
            .collect()
    }

    /// The exact error against that of sampled faults, for every decoder, encoding, law and
    /// protection, clipped and not: each within six standard errors, in 240 comparisons. False
    /// alarm of all together: 5e-7.
    #[test]
    fn the_error_is_that_of_sampled_faults() {
        let weights = weights(1 << 14);
        for format in Format::all().filter(|format| [4, 8].contains(&format.bits().get())) {
            for (p01, p10) in [(0.1, 0.1), (0.02, 0.3)] {
                let kit = kit(p01, p10, format, "ideal");
                for decoder in Decoder::ALL {
                    for (k, clip) in [(0, Clip::None), (0, Clip::At(0.5)), (2, Clip::None)] {
                        let config = StorageConfig { clip, ..config(k, format.bits(), decoder) };
                        let unit = QuantizedStorage::new(&weights, &kit, config).unwrap();
                        sampled(&unit, &weights, &format!("{format} {decoder} {k} {clip:?}"));
                    }
                }
            }
        }
    }

    fn sampled(unit: &QuantizedStorage, weights: &[f32], case: &str) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for trial in 0..4 {
            let read = unit.read(&stream(trial, case), 0).unwrap();
            for (&w, &r) in weights.iter().zip(&read) {
                let error = (f64::from(w) - f64::from(r)).powi(2);
                n += 1.0;
                sum += error;
                squares += error * error;
            }
        }
        // Weights differ in their mean error: the variance around the common mean is an upper
        // bound.
        let mean: f64 = sum / n;
        let standard_error = ((squares / n - mean * mean) / n).sqrt();
        let score = (mean - unit.mean_square_error()) / standard_error;
        assert!(score.abs() < 6.0, "{case}: {mean} {} {score}", unit.mean_square_error());
    }

    /// Under ideal protection it is one tensor, however it is cut.
    #[test]
    fn units_meet_the_faults_of_their_slice() {
        let weights = weights(1000);
        for p in [0.1, 1e-3] {
            let kit = kit(p, p, Format::INT8, "ideal");
            let stored = |weights: &[f32]| {
                let config = StorageConfig { clip: Clip::At(2.0), ..StorageConfig::default() };
                QuantizedStorage::new(weights, &kit, config).unwrap()
            };
            let whole = stored(&weights).read(&stream(0, "w"), 0).unwrap();
            let pieces = (0..)
                .zip(weights.chunks(54))
                .flat_map(|(i, channel)| stored(channel).read(&stream(0, "w"), 54 * i).unwrap());
            assert_eq!(pieces.collect::<Vec<f32>>(), whole);
            assert_ne!(whole, stored(&weights).golden());
        }
    }

    /// A large unit is read on all threads: the same faults.
    #[test]
    fn large_units_are_read_like_small_ones() {
        let weights = weights(300_000);
        let kit = kit(0.1, 0.1, Format::INT8, "ideal");
        let config = StorageConfig { clip: Clip::At(2.0), ..StorageConfig::default() };
        let stored = |weights: &[f32]| QuantizedStorage::new(weights, &kit, config).unwrap();
        let whole = stored(&weights).read(&stream(0, "w"), 0).unwrap();
        assert!(weights.len() > kit.model().grain());
        assert_eq!(
            stored(&weights[290_000..]).read(&stream(0, "w"), 290_000).unwrap(),
            whole[290_000..]
        );
    }

    #[test]
    fn a_code_costs_check_bits_and_starts_at_its_words() {
        let (weights, top) = (weights(100), config(2, BitWidth::INT8, Decoder::Raw));
        let ideal = kit(0.01, 0.01, Format::INT8, "ideal");
        let ideal = QuantizedStorage::new(&weights, &ideal, top).unwrap();
        assert_eq!(
            (ideal.stored_bits(), ideal.protected_bits(), ideal.side_bits()),
            (800, 200, 32)
        );

        let secded = kit(0.01, 0.01, Format::INT8, "secded:64");
        let coded = QuantizedStorage::new(&weights, &secded, top).unwrap();
        // Two code words for each of two bits, of eight check bits each.
        assert_eq!((coded.stored_bits(), coded.protected_bits()), (800 + 2 * 2 * 8, 0));
        assert!(coded.mean_square_error() > ideal.mean_square_error());
        assert_eq!(coded.read(&stream(0, "w"), 0).unwrap().len(), 100);
        let kept = secded.ecc().read(
            coded.tensor().words(),
            secded.model(),
            &stream(0, "w"),
            top.protection,
        );
        assert_eq!(kept.unwrap().tally.check_bits + 800, coded.stored_bits());
        let error = coded.read(&stream(0, "w"), 54).unwrap_err();
        let expected = FaultError::Misaligned { first: 54, alignment: 64 };
        assert_eq!(error, CompensationError::Fault(expected));
    }

    /// The residual law of the code predicts the error that is read: five standard errors of code
    /// words, since the bits of one are wrong together.
    #[test]
    fn the_error_behind_a_code_is_that_of_sampled_faults() {
        let weights = weights(1 << 16);
        let kit = kit(0.05, 0.05, Format::INT8, "secded:16");
        let unit = QuantizedStorage::new(&weights, &kit, config(2, BitWidth::INT8, Decoder::Bayes))
            .unwrap();
        let read = unit.read(&stream(0, "w"), 0).unwrap();
        let errors: Vec<f64> = weights
            .iter()
            .zip(&read)
            .map(|(&w, &r)| (f64::from(w) - f64::from(r)).powi(2))
            .collect();
        let words: Vec<f64> = errors.chunks(16).map(|e| e.iter().sum::<f64>() / 16.0).collect();
        let n = words.len() as f64;
        let mean = words.iter().sum::<f64>() / n;
        let variance = words.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / n;
        let score = (mean - unit.mean_square_error()) / (variance / n).sqrt();
        assert!(score.abs() < 5.0, "{mean} {} {score}", unit.mean_square_error());
    }

    #[test]
    fn odd_weights_are_stored_or_refused() {
        let kit = kit(0.1, 0.1, Format::INT8, "ideal");
        for decoder in Decoder::ALL {
            for prior in Prior::ALL {
                for clip in [Clip::None, Clip::Best] {
                    let config = StorageConfig { decoder, prior, clip, ..StorageConfig::default() };
                    let store = |weights: &[f32]| QuantizedStorage::new(weights, &kit, config);
                    let zeros = store(&[0.0; 9]).unwrap();
                    assert_eq!(zeros.mean_square_error(), 0.0);
                    assert_eq!(zeros.read(&stream(0, "w"), 0).unwrap(), [0.0; 9]);
                    for weights in [&[0.7][..], &[-0.7; 54], &[0.7, -0.7]] {
                        let unit = store(weights).unwrap();
                        assert_eq!(unit.weights(), weights.len());
                        assert!(unit.mean_square_error().is_finite());
                        let read = unit.read(&stream(0, "w"), 0).unwrap();
                        assert!(read.iter().all(|w| w.is_finite()));
                        for (golden, weight) in unit.golden().iter().zip(weights) {
                            assert_eq!(golden.signum(), weight.signum());
                        }
                    }
                    let none = QuantError::Empty { shape: vec![0] };
                    assert_eq!(store(&[]).unwrap_err(), none.into());
                    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                        let error = store(&[1.0, value]).unwrap_err().to_string();
                        assert!(error.starts_with(&format!("weight 1 is {value}")), "{error}");
                    }
                }
            }
        }
        let clip = StorageConfig { clip: Clip::At(-1.0), ..StorageConfig::default() };
        let error = QuantizedStorage::new(&[1.0], &kit, clip).unwrap_err();
        assert_eq!(error, QuantError::Limit(-1.0).into());
        let wide = config(6, BitWidth::INT8, Decoder::Raw);
        let narrow = self::kit(0.1, 0.1, BitWidth::INT4, "ideal");
        assert!(QuantizedStorage::new(&[1.0], &narrow, wide).is_err());
    }

    #[test]
    fn a_channel_is_made_once() {
        let kit = kit(0.05, 0.05, Format::INT8, "bch:5:2");
        let top = BitMask::top(2, BitWidth::INT8).unwrap();
        assert!(Arc::ptr_eq(&kit.channel(top).unwrap(), &kit.channel(top).unwrap()));
    }
}
