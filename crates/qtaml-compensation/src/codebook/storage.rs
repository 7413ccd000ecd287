//! Weight groups stored by standard codebooks.

use std::f64::consts::LN_2;
use std::sync::{Arc, LazyLock};

use qtaml_fault::{BitFlips, BitMask, Ecc, FaultError, FaultModel, FaultStream, WordFlips};
use qtaml_physics::FlipProbability;
use qtaml_quant::{pack_words, unpack_words};

use super::encoder::moments;
use super::{Codebook, DesignConfig, Sample, WordChannel, wide};
use crate::memo::Memo;
use crate::outliers::{Outliers, Parted};
use crate::storage::{
    StoredAs, StoredBytes, WeightStorage, WordProtection, WordStorage, check_length, check_padding,
};
use crate::{CodebookError, PlanGroup, PlannedStorage, RestoreError, StorageError};

/// Golden sections from a factor of four down to 0.4 %.
const SECTIONS: usize = 12;

/// A distribution of weights of mean 0 and variance 1 that codes are designed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StandardShape {
    /// [`Sample::gaussian`].
    Gaussian,
    /// [`Sample::laplacian`], with more small weights and more large ones.
    Laplacian,
}

qtaml_quant::names!(StandardShape, "shape", {
    Gaussian: "gaussian",
    Laplacian: "laplacian",
});

impl StandardShape {
    /// The distribution, integrated when it is first asked for.
    pub fn sample(self) -> &'static Sample {
        static GAUSSIAN: LazyLock<Sample> = LazyLock::new(Sample::gaussian);
        static LAPLACIAN: LazyLock<Sample> = LazyLock::new(Sample::laplacian);
        match self {
            Self::Gaussian => &GAUSSIAN,
            Self::Laplacian => &LAPLACIAN,
        }
    }
}

/// The codes of one memory for the standard shapes, each designed when it is first asked for.
///
/// Such a code follows from the flip probabilities of the memory, the width of the words and the number of
/// protected bits alone. It is a constant of the format, like the tables that a standard prints: no
/// model needs to store it.
///
/// A design takes a fraction of a second for words of at most 8 bits, seconds for 12.
#[derive(Debug)]
pub struct Codebooks {
    flips: FlipProbability,
    /// The fault model of each width, made when a word of it is first stored.
    models: Memo<u32, WordFlips>,
    codes: Memo<Key, StandardCode>,
}

/// Shape, width and number of protected bits.
type Key = (StandardShape, u32, u32);

/// A code, and mean and mean square of what is read of each word stored.
#[derive(Debug)]
struct StandardCode {
    code: Codebook,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Codebooks {
    /// The codes of a memory whose bits flip as `flips` says.
    pub fn new(flips: FlipProbability) -> Self {
        Self { flips, models: Memo::default(), codes: Memo::default() }
    }

    /// The flip probability of unprotected bits.
    pub fn flips(&self) -> FlipProbability {
        self.flips
    }

    /// What each word of a code is read as, for weights of variance 1, in the order of the words: the code
    /// for a shape of words of so many bits, of which the highest `protected` never flip.
    ///
    /// # Errors
    /// [`FaultError::WordWidth`] outside 1..=12, [`CodebookError::ProtectedBits`].
    pub fn table(
        &self,
        shape: StandardShape,
        width: u32,
        protected: u32,
    ) -> Result<Vec<f32>, CodebookError> {
        Ok(self.code((shape, width, protected))?.code.table().to_vec())
    }

    /// The code of words whose highest bits, so many, never flip.
    fn code(&self, key: Key) -> Result<Arc<StandardCode>, CodebookError> {
        let (shape, width, protected) = key;
        let channel = WordChannel::new(self.flips, width)?;
        if protected > width {
            return Err(CodebookError::ProtectedBits { protected, width });
        }
        let channel = channel.keeping(protected);
        Ok(self.codes.get_or_make(key, || StandardCode::design(shape, &channel)))
    }

    /// The faults of words of so many bits, the same as those of [`Codebook::read`].
    fn model(&self, width: u32) -> Result<Arc<WordFlips>, CodebookError> {
        self.models.get_or_try(width, || Ok(WordFlips::new(self.flips, width)?))
    }
}

impl StandardCode {
    fn design(shape: StandardShape, channel: &WordChannel) -> Self {
        let code = Codebook::design(shape.sample(), channel, &DesignConfig::default());
        let (mean, square) = moments(&wide(code.table()), channel);
        Self { code, mean, square }
    }

    /// Refuses a scale at which what is read could be infinite.
    fn check_sigma(&self, sigma: f32) -> Result<(), CodebookError> {
        if self.code.table().iter().all(|value| (value * sigma).is_finite()) {
            return Ok(());
        }
        Err(CodebookError::Sigma(sigma))
    }

    /// The mean square error of a sample that is stored `sigma` times as large as the code is made
    /// for, and the best scale of the table for the words that are stored then.
    fn try_sigma(&self, sample: &Sample, sigma: f64) -> (f64, f64) {
        let thresholds: Vec<f64> =
            self.code.thresholds().iter().map(|&t| sigma * f64::from(t)).collect();
        let (mut total, mut along, mut own) = (0.0, 0.0, 0.0);
        for (&word, [mass, first, second]) in
            self.code.words().iter().zip(sample.cells(&thresholds))
        {
            total += second;
            along += self.mean[usize::from(word)] * first;
            own += self.square[usize::from(word)] * mass;
        }
        let error = total - 2.0 * sigma * along + sigma * sigma * own;
        (error, if own > 0.0 { (along / own).max(0.0) } else { sigma })
    }

    /// The scale that suits a sample: golden sections of `ln σ` (J. Kiefer, Proc. Amer. Math. Soc.
    /// 4, 502, 1953), from half to twice the root mean square, then the best table for the words.
    fn best_sigma(&self, sample: &Sample) -> f32 {
        let error = |log_sigma: f64| self.try_sigma(sample, log_sigma.exp()).0;
        let (middle, golden) = (sample.rms().ln(), (5_f64.sqrt() - 1.0) / 2.0);
        let (mut low, mut high) = (middle - LN_2, middle + LN_2);
        for _ in 0..SECTIONS {
            let step = golden * (high - low);
            let inner = [high - step, low + step];
            if error(inner[0]) <= error(inner[1]) { high = inner[1] } else { low = inner[0] }
        }
        let found = (0.5 * (low + high)).exp();
        self.try_sigma(sample, found).1 as f32
    }
}

/// Weights stored as words of a standard code, scaled to them.
///
/// The few weights that lie far outside the shape are stored apart, exactly and protected, and count among
/// the metadata bits with their number and value.
///
/// Words meet the faults of [`WordFlips`] at the stream of their tensor, as those of
/// [`Codebook::read`] and of packed files do: the faults of a weight depend on its position in the
/// tensor and on the width of its word, not on what is protected or on how the tensor is cut into
/// units.
///
/// ```
/// use std::sync::Arc;
///
/// use qtaml_compensation::WeightStorage;
/// use qtaml_compensation::codebook::{CodebookStorage, Codebooks};
/// use qtaml_fault::{Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
///
/// let codes = Arc::new(Codebooks::new(FlipProbability::symmetric(0.1)?));
/// // Weights in a bell: the quantiles of a logistic distribution.
/// let quantile = |u: f32| (u / (1.0 - u)).ln();
/// let weights: Vec<f32> = (0..1000).map(|i| quantile((i as f32 + 0.5) / 1000.0)).collect();
/// let unit = CodebookStorage::new(&weights, &codes, 5, 1)?;
///
/// // Five bits a weight of which one is protected; in addition sigma and the shape.
/// assert_eq!((unit.stored_bits(), unit.protected_bits(), unit.metadata_bits()), (5000, 1000, 33));
/// // Without the protected bit it would be half as much again.
/// let exposed = CodebookStorage::new(&weights, &codes, 5, 0)?;
/// assert!(exposed.mean_square_error() > 1.5 * unit.mean_square_error());
/// let read = unit.read(&FaultStream::new(Seed(42), 0, "conv1.weight"), 0)?;
/// assert_eq!(read.len(), weights.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CodebookStorage {
    code: Arc<StandardCode>,
    model: Arc<WordFlips>,
    /// The protected bits of a low byte.
    kept: BitMask,
    shape: StandardShape,
    sigma: f32,
    protected: u32,
    outliers: Outliers,
    /// The low byte of each word.
    low: Vec<u8>,
    /// The other bits, if words have more than eight.
    high: Vec<u8>,
    mean_square_error: f64,
}

/// All of a storage but its words.
struct Told {
    code: Arc<StandardCode>,
    shape: StandardShape,
    sigma: f32,
    protected: u32,
    outliers: Outliers,
    mean_square_error: f64,
}

/// The packed words of so many weights, if all of them are words that the code stores.
fn restored_words(
    weights: usize,
    code: &Codebook,
    stored: &StoredBytes,
) -> Result<Vec<u16>, RestoreError> {
    let bits = weights as u128 * u128::from(code.width());
    let expected = u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX);
    check_length("words", weights, expected, &stored.words)?;
    check_length("check bits", weights, 0, &stored.check)?;
    check_padding(&stored.words, (bits % 8) as u64)?;
    let words = unpack_words(&stored.words, code.width(), weights);
    let mut is_stored = vec![false; code.table().len()];
    code.words().iter().for_each(|&word| is_stored[usize::from(word)] = true);
    match words.iter().position(|&word| !is_stored[usize::from(word)]) {
        Some(index) => {
            let reason = "the codebook of this memory leaves it out";
            Err(RestoreError::Word { index, word: words[index], reason })
        }
        None => Ok(words),
    }
}

impl CodebookStorage {
    /// Stores `weights` as one unit of words of `width` bits, of which the highest `protected` never
    /// flip. Of both shapes, each at its best scale, that of the smaller error is taken.
    ///
    /// # Errors
    /// [`FaultError::WordWidth`] outside 1..=12, [`CodebookError::ProtectedBits`],
    /// [`WeightsError::None`], [`WeightsError::NotFinite`] for one that is NaN or
    /// infinite, [`CodebookError::Sigma`] if what is read could be infinite.
    ///
    /// [`WeightsError::None`]: crate::WeightsError::None
    /// [`WeightsError::NotFinite`]: crate::WeightsError::NotFinite
    pub fn new(
        weights: &[f32],
        codes: &Arc<Codebooks>,
        width: u32,
        protected: u32,
    ) -> Result<Self, CodebookError> {
        Self::of_parted((weights, &Parted::of(weights)?), codes, width, protected)
    }

    /// The same of weights that are parted already.
    pub(crate) fn of_parted(
        (weights, Parted { outliers, sample }): (&[f32], &Parted),
        codes: &Arc<Codebooks>,
        width: u32,
        protected: u32,
    ) -> Result<Self, CodebookError> {
        let [gaussian, laplacian] = StandardShape::ALL.map(|shape| -> Result<_, CodebookError> {
            let code = codes.code((shape, width, protected))?;
            let sigma = if sample.rms() > 0.0 { code.best_sigma(sample) } else { 0.0 };
            Self::scaled(weights, outliers, codes, code, (shape, sigma, protected))
        });
        let (gaussian, laplacian) = (gaussian?, laplacian?);
        let better = laplacian.mean_square_error < gaussian.mean_square_error;
        Ok(if better { laplacian } else { gaussian })
    }

    fn scaled(
        weights: &[f32],
        outliers: &Outliers,
        codes: &Arc<Codebooks>,
        code: Arc<StandardCode>,
        (shape, sigma, protected): (StandardShape, f32, u32),
    ) -> Result<Self, CodebookError> {
        let (weights, outliers) = (outliers.without(weights), outliers.clone());
        code.check_sigma(sigma)?;
        // Of what rounds to nothing nothing can be kept.
        let unit: Vec<f32> =
            weights.iter().map(|w| if sigma > 0.0 { w / sigma } else { 0.0 }).collect();
        let words = code.code.encode(&unit)?;
        let sigma_wide = f64::from(sigma);
        let error = |(&weight, &word): (&f32, &u16)| {
            let (weight, word) = (f64::from(weight), usize::from(word));
            let mean = sigma_wide * code.mean[word];
            let square = sigma_wide * sigma_wide * code.square[word];
            (weight - mean).powi(2) + (square - mean * mean).max(0.0)
        };
        let total: f64 = outliers.rest_of(weights.iter().zip(&words)).map(error).sum();
        let mean_square_error = total / weights.len() as f64;
        let told = Told { code, shape, sigma, protected, outliers, mean_square_error };
        Self::of_words(&words, codes, told)
    }

    /// The storage of a planned group whose words lie in a memory, with shape, width, protected bits and
    /// scale of its plan. The error is what the plan predicts.
    pub(crate) fn restored(
        group: &PlanGroup,
        codes: &Arc<Codebooks>,
        (shape, width, protected): (StandardShape, u32, u32),
        sigma: f32,
        outliers: Outliers,
        stored: &StoredBytes,
    ) -> Result<Self, RestoreError> {
        let code = codes.code((shape, width, protected)).map_err(StorageError::from)?;
        code.check_sigma(sigma).map_err(StorageError::from)?;
        let words = restored_words(group.weights, &code.code, stored)?;
        let mean_square_error = group.predicted_mse;
        let told = Told { code, shape, sigma, protected, outliers, mean_square_error };
        Ok(Self::of_words(&words, codes, told).map_err(StorageError::from)?)
    }

    fn of_words(words: &[u16], codes: &Codebooks, told: Told) -> Result<Self, CodebookError> {
        let Told { code, shape, sigma, protected, outliers, mean_square_error } = told;
        let low = words.iter().map(|&word| word as u8).collect();
        let wide = code.code.width() > 8;
        let high = words.iter().filter(|_| wide).map(|&word| (word >> 8) as u8).collect();
        let model = codes.model(code.code.width())?;
        let exposed = (1_u16 << (code.code.width() - protected)) - 1;
        let all = model.low().bits().mask();
        let kept = BitMask::of_bits(all & !(exposed as u8), model.low().bits())?;
        Ok(Self {
            code,
            model,
            kept,
            shape,
            sigma,
            protected,
            outliers,
            low,
            high,
            mean_square_error,
        })
    }

    /// The code's shape.
    pub fn shape(&self) -> StandardShape {
        self.shape
    }

    /// What the values of the code are multiplied by.
    pub fn sigma(&self) -> f32 {
        self.sigma
    }

    /// The code, for weights of variance 1.
    pub fn code(&self) -> &Codebook {
        &self.code.code
    }

    fn stored_words(&self) -> Vec<u16> {
        let high = self.high.iter().copied().chain(std::iter::repeat(0));
        let words = self.low.iter().zip(high);
        words.map(|(&low, high)| u16::from_le_bytes([low, high])).collect()
    }

    fn values(&self, words: &[u16]) -> Vec<f32> {
        let mut values = self.code().decode(words);
        for value in &mut values {
            *value *= self.sigma;
        }
        self.outliers.restore(&mut values);
        values
    }
}

impl WeightStorage for CodebookStorage {
    fn weights(&self) -> usize {
        self.low.len()
    }

    fn stored_bits(&self) -> u64 {
        self.low.len() as u64 * u64::from(self.code().width())
    }

    fn protected_bits(&self) -> u64 {
        self.low.len() as u64 * u64::from(self.protected)
    }

    /// 32 bits of sigma, one that tells the shape, and outliers if there are any.
    fn metadata_bits(&self) -> u64 {
        33 + self.outliers.metadata_bits()
    }

    fn mean_square_error(&self) -> f64 {
        self.mean_square_error
    }

    /// Through the table that expects faults: a code for a bad memory has no other.
    fn golden(&self) -> Vec<f32> {
        self.values(&self.stored_words())
    }

    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        let mut words = self.stored_words();
        self.model.inject_slice(&mut words, start, stream, self.protected)?;
        Ok(self.values(&words))
    }

    fn as_words(&self) -> Option<&dyn WordStorage> {
        self.high.is_empty().then_some(self)
    }

    fn stored_as(&self) -> StoredAs {
        StoredAs::Codebook { width: self.code().width(), protected: self.protected }
    }

    fn planned(&self) -> PlannedStorage {
        let (width, protected) = (self.code().width(), self.protected);
        let (shape, sigma, outliers) = (self.shape, self.sigma, self.outliers.all().to_vec());
        PlannedStorage::Codebook { width, protected, shape, sigma, outliers }
    }

    fn stored(&self) -> Result<StoredBytes, StorageError> {
        let words = pack_words(&self.stored_words(), self.code().width());
        Ok(StoredBytes::new(words, Vec::new()))
    }
}

/// Of words of more than eight bits these are the low bytes.
impl WordStorage for CodebookStorage {
    fn words(&self) -> &[u8] {
        &self.low
    }

    fn model(&self) -> &BitFlips {
        self.model.low()
    }

    fn protection(&self) -> WordProtection {
        WordProtection::Alike(self.kept)
    }

    fn ecc(&self) -> Ecc {
        Ecc::Ideal
    }

    fn decode(&self, read: &[u8]) -> Result<Vec<f32>, StorageError> {
        let (given, expected) = (read.len() as u64, self.low.len() as u64);
        if given != expected {
            return Err(FaultError::Words { given, expected }.into());
        }
        let words: Vec<u16> = read.iter().map(|&word| word.into()).collect();
        Ok(self.values(&words))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_fault::Seed;

    use super::*;
    use crate::WeightsError;

    fn codes(p01: f64, p10: f64) -> Arc<Codebooks> {
        Arc::new(Codebooks::new(FlipProbability::asymmetric(p01, p10).unwrap()))
    }

    fn stream(trial: u32) -> FaultStream {
        FaultStream::new(Seed(3), trial, "w")
    }

    /// A bell with heavy tails, in no order.
    fn weights(n: u32) -> Vec<f32> {
        let uniform = |i: u32| f64::from(i + 1) * 0.618_033_988_749_895 % 1.0 - 0.5;
        (0..n).map(|i| (0.1 * uniform(i) / (0.26 - uniform(i).powi(2))) as f32).collect()
    }

    fn unit(
        weights: &[f32],
        codes: &Arc<Codebooks>,
        width: u32,
        protected: u32,
    ) -> CodebookStorage {
        CodebookStorage::new(weights, codes, width, protected).unwrap()
    }

    /// The exact error against drawn faults: within 5.5 standard errors in 16 comparisons, a false
    /// alarm rate below 1e-6 of all together.
    #[test]
    fn drawn_faults_cost_what_is_stated() {
        let weights = weights(1 << 15);
        for (p01, p10) in [(0.1, 0.1), (0.02, 0.3)] {
            let codes = codes(p01, p10);
            for (width, protected) in
                [(1, 0), (2, 2), (3, 1), (5, 0), (7, 3), (8, 0), (9, 0), (10, 1)]
            {
                let unit = unit(&weights, &codes, width, protected);
                let read = unit.read(&stream(0), 0).unwrap();
                let squares = weights.iter().zip(&read).map(|(w, r)| f64::from(w - r).powi(2));
                let squares: Vec<f64> = squares.collect();
                let n = squares.len() as f64;
                let mean = squares.iter().sum::<f64>() / n;
                let variance = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
                let (stated, bound) = (unit.mean_square_error(), 5.5 * (variance / n).sqrt());
                // What never flips is read alike every time, up to rounding.
                let bound = if protected == width { 1e-5 * stated } else { bound };
                assert!((mean - stated).abs() <= bound, "{width} {protected}: {mean}, {stated}");
            }
        }
    }

    #[test]
    fn protected_bits_never_flip_and_others_as_before() {
        let (weights, codes) = (weights(500), codes(0.3, 0.2));
        let all = unit(&weights, &codes, 4, 4);
        assert_eq!(all.read(&stream(0), 0).unwrap(), all.golden());
        // Bits are read back by a code that tells all words apart.
        let mut unit = unit(&weights, &codes, 10, 3);
        let values: Vec<f32> = (0_u16..1024).map(f32::from).collect();
        let code = Codebook::of_table(unit.code().channel().clone(), values, 0.0);
        unit.code = Arc::new(StandardCode { code, mean: Vec::new(), square: Vec::new() });
        unit.sigma = 1.0;
        let words = |unit: &CodebookStorage| -> Vec<u16> {
            unit.read(&stream(1), 0).unwrap().into_iter().map(|word| word as u16).collect()
        };
        let kept = words(&unit);
        unit.protected = 0;
        let exposed = words(&unit);
        for ((stored, kept), exposed) in unit.stored_words().into_iter().zip(kept).zip(exposed) {
            assert_eq!(kept >> 7, stored >> 7);
            assert_eq!(kept & 0x7f, exposed & 0x7f);
        }
    }

    /// Protection lets the design rely on some bits: another code, and a better one.
    #[test]
    fn protection_helps() {
        let (weights, codes) = (weights(2000), codes(0.1, 0.1));
        let error = |protected| unit(&weights, &codes, 4, protected).mean_square_error();
        assert!((0..4).all(|k| error(k + 1) < error(k)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn slices_agree_with_the_whole(cut in 0..1000_usize, width in prop::sample::select(vec![2, 9])) {
            let (weights, codes) = (weights(1000), codes(0.1, 0.05));
            let mut whole = unit(&weights, &codes, width, 1);
            let read = whole.read(&stream(2), 7).unwrap();
            let high_cut = cut.min(whole.high.len());
            let back = (whole.low.split_off(cut), whole.high.split_off(high_cut));
            let mut found = whole.read(&stream(2), 7).unwrap();
            (whole.low, whole.high) = back;
            found.extend(whole.read(&stream(2), 7 + cut as u64).unwrap());
            prop_assert_eq!(found, read);
        }

        /// Twice the weights are twice as large when read, at four times the error.
        #[test]
        fn units_are_scaled(factor in -20..20_i32) {
            let (weights, codes) = (weights(300), codes(0.05, 0.05));
            let factor = 2_f32.powi(factor);
            let other: Vec<f32> = weights.iter().map(|w| w * factor).collect();
            let (unit, other) = (unit(&weights, &codes, 4, 0), unit(&other, &codes, 4, 0));
            let read = unit.read(&stream(0), 0).unwrap();
            for (r, o) in read.iter().zip(other.read(&stream(0), 0).unwrap()) {
                assert_relative_eq!(r * factor, o, max_relative = 1e-5, epsilon = 1e-30);
            }
            let expected = unit.mean_square_error() * f64::from(factor).powi(2);
            assert_relative_eq!(other.mean_square_error(), expected, max_relative = 1e-5);
        }
    }

    /// What is stored once is read alike by every reader: narrow words, bytes and wide words.
    #[test]
    fn a_code_and_its_storage_meet_the_same_faults() {
        let weights = weights(2000);
        for (p01, p10) in [(0.1, 0.1), (1e-3, 2e-3)] {
            let codes = codes(p01, p10);
            for width in [1, 5, 8, 9, 12] {
                let unit = unit(&weights, &codes, width, 0);
                let channel = WordChannel::new(codes.flips(), width).unwrap();
                let code = unit.code().scaled(unit.sigma()).unwrap();
                let read = code.read(&unit.stored_words(), &channel, &stream(4)).unwrap();
                assert_eq!(unit.read(&stream(4), 0).unwrap(), read, "{width} bits");
                assert_ne!(unit.golden(), read, "{width} bits");
            }
        }
    }

    /// A large unit is read on all threads: the same faults.
    #[test]
    fn large_units_are_read_like_small_ones() {
        let (weights, codes) = (weights(300_000), codes(0.1, 0.1));
        let mut unit = unit(&weights, &codes, 2, 0);
        let whole = unit.read(&stream(0), 0).unwrap();
        unit.low.drain(..290_000);
        assert_eq!(unit.read(&stream(0), 290_000).unwrap(), whole[290_000..]);
    }

    #[test]
    fn weights_choose_their_shape_and_scale() {
        let codes = codes(0.01, 0.01);
        let middle = |i: u32| (f64::from(i) + 0.5) / 4001.0 - 0.5;
        let laplacian = |u: f64| -u.signum() * (1.0 - 2.0 * u.abs()).ln();
        let uniform: Vec<f32> = (0..4001).map(|i| middle(i) as f32).collect();
        let heavy: Vec<f32> = (0..4001).map(|i| laplacian(middle(i)) as f32).collect();
        assert_eq!(unit(&uniform, &codes, 4, 0).shape(), StandardShape::Gaussian);
        let unit = unit(&heavy, &codes, 4, 0);
        assert_eq!(unit.shape(), StandardShape::Laplacian);
        // A Laplace distribution of scale 1 has the variance 2, and the code was made for the variance 1.
        assert_relative_eq!(unit.sigma(), 2_f32.sqrt(), max_relative = 0.02);
        let scaled = 2.0 * unit.code().mse();
        assert_relative_eq!(unit.mean_square_error(), scaled, max_relative = 0.02);
    }

    /// One weight at 170 root mean squares, and a heavy tail: they come back, cost what is said, and the
    /// others are as without them.
    #[test]
    fn outliers_come_back_and_cost_what_is_said() {
        // A bell, and not the heavy tails of the other tests.
        let uniform = |i: u32| f64::from(i) * 0.618_033_988_749_895 % 1.0;
        let bell = |i: u32| (0..4).map(|k| uniform(4 * i + k * k + 1)).sum::<f64>() - 2.0;
        let bell: Vec<f32> = (0..2048).map(|i| bell(i) as f32).collect();
        let mut one = bell.clone();
        one[100] = 170.0 * Sample::of(&bell).unwrap().rms() as f32;
        let tail: Vec<f32> = (0..2048).map(|i| (3.1 * (uniform(i) - 0.5)).tan() as f32).collect();
        let (good, bad) = (codes(0.0, 0.0), codes(0.1, 0.1));
        let farthest = |weights: &[f32]| {
            let off = |(w, g): (&f32, f32)| (w - g).abs();
            weights.iter().zip(unit(weights, &good, 6, 0).golden()).map(off).fold(0.0, f32::max)
        };
        assert!(farthest(&one) <= 1.01 * farthest(&bell), "{} {}", farthest(&one), farthest(&bell));
        for (weights, bits) in [(&bell, 0), (&one, 32 + 32 + 11)] {
            assert_eq!(unit(weights, &good, 6, 0).metadata_bits(), 33 + bits);
            let drawn = unit(weights, &bad, 6, 1);
            let is_read = drawn.read(&stream(0), 0).unwrap()[100] == weights[100];
            assert_eq!(is_read, bits > 0);
            let near = drawn.mean_square_error() / unit(&bell, &bad, 6, 1).mean_square_error();
            assert!((near - 1.0).abs() < 0.01, "{near}");
        }
        assert!(unit(&tail, &good, 5, 0).metadata_bits() > 33 + 32 + 5 * 43);
        for weights in [&one, &tail] {
            // Without flips the error is that of the golden weights, to the last digit.
            let sound = unit(weights, &good, 5, 0);
            let square = |(&w, g): (&f32, f32)| (f64::from(w) - f64::from(g)).powi(2);
            let error: f64 = weights.iter().zip(sound.golden()).map(square).sum();
            assert_relative_eq!(sound.mean_square_error(), error / 2048.0, max_relative = 1e-5);
            // With flips it is that of sampled faults: six standard errors of the mean over trials.
            let drawn = unit(weights, &bad, 5, 0);
            let trial = |trial| -> f64 {
                let read = drawn.read(&stream(trial), 0).unwrap();
                weights.iter().zip(read).map(square).sum::<f64>() / 2048.0
            };
            let errors: Vec<f64> = (0..60).map(trial).collect();
            let mean = errors.iter().sum::<f64>() / 60.0;
            let variance = errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 59.0;
            let score = (mean - drawn.mean_square_error()) / (variance / 60.0).sqrt();
            assert!(score.abs() < 6.0, "{mean} {} {score}", drawn.mean_square_error());
            // As words of a byte each, which lie anywhere, they are read alike.
            let words = drawn.as_words().unwrap();
            assert_eq!(words.decode(words.words()).unwrap(), drawn.golden());
        }
        let planned = unit(&one, &bad, 5, 0).planned();
        assert!(
            matches!(planned, PlannedStorage::Codebook { outliers, .. } if outliers.len() == 1)
        );
    }

    #[test]
    fn bits_are_counted() {
        let unit = unit(&weights(100), &codes(0.1, 0.1), 9, 2);
        assert_eq!((unit.weights(), unit.stored_bits()), (100, 900));
        assert_eq!((unit.protected_bits(), unit.metadata_bits()), (200, 33));
    }

    #[test]
    fn odd_weights_are_stored_or_refused() {
        for p in [0.0, 0.1, 0.5, 1.0] {
            let codes = codes(p, p);
            let store = |weights: &[f32]| CodebookStorage::new(weights, &codes, 3, 1);
            let zeros = store(&[0.0; 9]).unwrap();
            assert_eq!((zeros.mean_square_error(), zeros.sigma()), (0.0, 0.0));
            assert_eq!(zeros.read(&stream(0), 0).unwrap(), [0.0; 9]);
            for weights in
                [&[0.7_f32][..], &[-0.7; 54], &[0.7, -0.7], &[f32::from_bits(1)], &[1e37]]
            {
                let unit = store(weights).unwrap();
                let power = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
                let most = 1.01 * power / weights.len() as f64;
                assert!(unit.mean_square_error() <= most, "{weights:?} {unit:?}");
                assert!(unit.read(&stream(0), 0).unwrap().iter().all(|w| w.is_finite()));
            }
            assert_eq!(store(&[]).unwrap_err(), WeightsError::None.into());
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let error = store(&[1.0, value]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("weight 1 is {value}")), "{error}");
            }
        }
        let constant = unit(&[-0.7; 54], &codes(0.0, 0.0), 3, 0);
        assert!(constant.mean_square_error() < 1e-12 * 0.49);
        let codes = codes(0.1, 0.1);
        let error = |width, protected| CodebookStorage::new(&[1.0], &codes, width, protected);
        assert_eq!(error(13, 0).unwrap_err(), FaultError::WordWidth(13).into());
        let protected = CodebookError::ProtectedBits { protected: 4, width: 3 };
        assert_eq!(error(3, 4).unwrap_err(), protected);
        let huge = CodebookStorage::new(&[f32::MAX, 0.0, 0.0], &codes, 8, 8);
        assert!(matches!(huge.unwrap_err(), CodebookError::Sigma(_)));
    }

    #[test]
    fn a_code_is_made_once() {
        let codes = codes(0.1, 0.1);
        let key = (StandardShape::Gaussian, 3, 1);
        assert!(Arc::ptr_eq(&codes.code(key).unwrap(), &codes.code(key).unwrap()));
    }
}
