//! Weight groups stored by block codes.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use qtaml_fault::FaultStream;
use rayon::prelude::*;

use super::accumulate::LANES;
use super::codes::{BlockCode, BlockCodes};
use super::entropy::EntropyCode;
use super::quantizer::Quantizer;
use crate::codebook::StandardShape;
use crate::outliers::{Outliers, Parted};
use crate::storage::{StoredAs, StoredBytes, WeightStorage, check_length};
use crate::{BlockCodeError, CodebookError, PlanGroup, PlannedStorage, RestoreError, StorageError};

/// Stored bytes of a block at most. Longer ones would gain little.
const BLOCK: usize = 1 << 13;
/// The share of shorter blocks than [`LONG`] bytes that are lost in the memory that their code is
/// made for: 281 of 1.6 million were, of 24 to 1024 bytes and with p from 0.001 to 0.2. Of longer
/// ones none was in 20,480.
const LOST: f64 = 2e-4;
const LONG: usize = 1 << 11;

/// Weights stored in blocks of thousands, quantized, entropy coded and error corrected.
///
/// The step of the quantizer is the least at which every block of the unit holds its weights. A
/// block that cannot be corrected is lost: its weights are read as 0. The few weights that lie far outside
/// the shape are stored apart, exactly and protected, and count among the metadata bits. In small units the codes of
/// [`codebook`](crate::codebook) are better: below some 300 stored bits in a good memory, and 900
/// where one bit in ten flips.
///
/// Byte `i` of a block lies at the position of its `i`-th weight. A unit may begin anywhere.
///
/// ```
/// use std::sync::Arc;
///
/// use qtaml_compensation::WeightStorage;
/// use qtaml_compensation::codebook::{CodebookStorage, Codebooks};
/// use qtaml_compensation::blockcode::{BlockCodes, BlockCodedStorage};
/// use qtaml_fault::{Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
///
/// let p = FlipProbability::symmetric(0.1)?;
/// // Weights in a bell: the quantiles of a logistic distribution.
/// let quantile = |u: f32| (u / (1.0 - u)).ln();
/// let weights: Vec<f32> = (0..3000).map(|i| quantile((i as f32 + 0.5) / 3000.0)).collect();
/// let one_by_one = CodebookStorage::new(&weights, &Arc::new(Codebooks::new(p)), 6, 0)?;
/// let together = BlockCodedStorage::new(&weights, &Arc::new(BlockCodes::new(p)?), 6)?;
///
/// assert_eq!(together.stored_bits(), one_by_one.stored_bits());
/// assert!(together.mean_square_error() < one_by_one.mean_square_error() / 3.0);
/// assert_eq!(together.read(&FaultStream::new(Seed(42), 0, "fc"), 0)?, together.golden());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BlockCodedStorage {
    codes: Arc<BlockCodes>,
    rate: u32,
    shape: StandardShape,
    sigma: f32,
    quantizer: Quantizer,
    outliers: Outliers,
    blocks: Vec<Block>,
    /// The error that a plan predicts, where the weights are not known.
    predicted: Option<f64>,
}

/// The weights of a block, the position of the first of them in the unit, and the block's code.
struct Part<'a> {
    first: u64,
    weights: &'a [f32],
    code: Arc<BlockCode>,
}

/// A block as it is stored.
#[derive(Debug, Clone)]
struct Block {
    code: Arc<BlockCode>,
    /// The position of its first weight in the unit.
    first: u64,
    symbols: Vec<u16>,
    /// What is stored, made when it is first read: most units are only asked how good they would be.
    stored: OnceLock<Vec<u8>>,
    /// Sums of the square errors of its weights: corrected, and lost.
    errors: [f64; 2],
}

impl BlockCodedStorage {
    /// As many trials as this are read in the time of one.
    pub const TRIALS: usize = LANES;

    /// Stores `weights` as one unit, in so many bits each, rounded down to whole bytes a block.
    ///
    /// # Errors
    /// [`BlockCodeError::StoredBits`] outside 1..=8, [`WeightsError::None`],
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite.
    ///
    /// [`WeightsError::None`]: crate::WeightsError::None
    /// [`WeightsError::NotFinite`]: crate::WeightsError::NotFinite
    pub fn new(
        weights: &[f32],
        codes: &Arc<BlockCodes>,
        bits: u32,
    ) -> Result<Self, BlockCodeError> {
        if !(1..=8).contains(&bits) {
            return Err(BlockCodeError::StoredBits(bits));
        }
        Self::of_parted((weights, &Parted::of(weights)?), codes, bits)
    }

    /// The same of weights that are parted already.
    pub(crate) fn of_parted(
        (weights, Parted { outliers, sample }): (&[f32], &Parted),
        codes: &Arc<BlockCodes>,
        bits: u32,
    ) -> Result<Self, BlockCodeError> {
        if !(1..=8).contains(&bits) {
            return Err(BlockCodeError::StoredBits(bits));
        }
        let (sigma, weights) = (sample.rms() as f32, &outliers.without(weights));
        let parts = split(weights, codes, bits as usize);
        let [gaussian, laplacian] = StandardShape::ALL.map(|shape| {
            let (codes, outliers) = (codes.clone(), outliers.clone());
            let quantizer = finest(&parts, shape, sigma);
            let block = |part| Block::new(part, &quantizer, &outliers);
            let blocks = parts.iter().map(block).collect();
            let predicted = None;
            Self { codes, rate: bits, shape, sigma, quantizer, outliers, blocks, predicted }
        });
        let better = laplacian.rounding_error() < gaussian.rounding_error();
        Ok(if better { laplacian } else { gaussian })
    }

    /// The storage of a planned group whose blocks lie in a memory, with rate, shape, root mean square
    /// and step of its plan. All its errors are what the plan predicts.
    pub(crate) fn restored(
        group: &PlanGroup,
        codes: &Arc<BlockCodes>,
        (rate, shape, sigma, step): (u32, StandardShape, f32, f32),
        outliers: Outliers,
        stored: &StoredBytes,
    ) -> Result<Self, RestoreError> {
        let expected = bytes_of_blocks(group.weights as u64, rate);
        check_length("blocks", group.weights, expected, &stored.words)?;
        check_length("check bits", group.weights, 0, &stored.check)?;
        // 0 stands for a step at which nothing is held.
        let step = if step > 0.0 { step } else { f32::INFINITY };
        let quantizer = Quantizer::new(shape, sigma, step);
        let (mut blocks, mut rest) = (Vec::new(), stored.words.as_slice());
        for (block, weights) in places(group.weights, rate as usize).enumerate() {
            let code = codes.code(weights.len() * rate as usize / 8);
            let (bytes, others) = rest.split_at(code.bytes());
            let wrong = |reason| RestoreError::Block { block, reason };
            blocks.push(Block::restored(weights, code, bytes, &quantizer).map_err(wrong)?);
            rest = others;
        }
        let (codes, predicted) = (codes.clone(), Some(group.predicted_mse));
        let storage = Self { codes, rate, shape, sigma, quantizer, outliers, blocks, predicted };
        if !storage.golden().iter().all(|weight| weight.is_finite()) {
            return Err(StorageError::from(CodebookError::Sigma(sigma)).into());
        }
        Ok(storage)
    }

    /// The unit as it is read at each of some streams, as by [`read`](WeightStorage::read) at one after the
    /// other, but on this thread alone and [`TRIALS`](Self::TRIALS) at a time.
    ///
    /// # Errors
    /// As [`read`](WeightStorage::read).
    pub fn read_each(
        &self,
        streams: &[FaultStream],
        start: u64,
    ) -> Result<Vec<Vec<f32>>, BlockCodeError> {
        let mut read: Vec<Vec<f32>> = vec![vec![0.0; self.weights()]; streams.len()];
        for block in &self.blocks {
            for (streams, read) in streams.chunks(LANES).zip(read.chunks_mut(LANES)) {
                let jobs: Vec<_> = streams.iter().map(|stream| (block, stream)).collect();
                for (values, read) in self.read_blocks(&jobs, start)?.into_iter().zip(read) {
                    read[block.first as usize..][..values.len()].copy_from_slice(&values);
                }
            }
        }
        for read in &mut read {
            self.outliers.restore(read);
        }
        Ok(read)
    }

    /// The weights of at most [`LANES`] blocks of one code, each at its stream; zeros where it is lost.
    fn read_blocks(
        &self,
        jobs: &[(&Block, &FaultStream)],
        start: u64,
    ) -> Result<Vec<Vec<f32>>, BlockCodeError> {
        let Some((Block { code, .. }, _)) = jobs.first() else { return Ok(Vec::new()) };
        let entropy = self.quantizer.entropy();
        let read = |(block, stream): &(&Block, &FaultStream)| {
            let first = start.saturating_add(block.first);
            self.codes.read(block.stored(entropy), stream, first)
        };
        let read = jobs.iter().map(read).collect::<Result<Vec<Vec<u8>>, _>>()?;
        let values = |(data, (block, _)): (Option<Vec<u8>>, &(&Block, _))| {
            let count = block.symbols.len();
            match data {
                None => vec![0.0; count],
                Some(data) if block.stored(entropy).starts_with(&data) => {
                    self.quantizer.values(&block.symbols)
                }
                Some(data) => self.quantizer.values(&entropy.decode(&data, count)),
            }
        };
        Ok(code.decode(&read).into_iter().zip(jobs).map(values).collect())
    }

    /// What may be read in a trial, at once: no code is decoded, but each block is lost with the share of lost
    /// blocks that [`forecast`](Self::forecast) counts on. Over many trials it is what reading is, as far as that share is
    /// right; in one trial other blocks are lost.
    pub fn drawn(&self, stream: &FaultStream, start: u64) -> Vec<f32> {
        let chances = stream.substream("lost blocks");
        let mut drawn = Vec::with_capacity(self.weights());
        for block in &self.blocks {
            let is_lost = chances.uniform(start.saturating_add(block.first)) < lost(&block.code);
            let values = || self.quantizer.values(&block.symbols);
            drawn.extend(if is_lost { vec![0.0; block.symbols.len()] } else { values() });
        }
        self.outliers.restore(&mut drawn);
        drawn
    }

    /// The step of the quantizer; infinite where the blocks hold nothing.
    pub fn step(&self) -> f32 {
        self.quantizer.step()
    }

    /// What [`mean_square_error`](WeightStorage::mean_square_error) would count, in a moment: with a share
    /// of lost blocks that was counted once for all memories, 2e-4 below 2 KiB and none above. Not for
    /// codes in another memory than theirs.
    pub fn forecast(&self) -> f64 {
        self.error_if_lost(lost)
    }

    fn error_if_lost(&self, share: impl Fn(&BlockCode) -> f64) -> f64 {
        if let Some(predicted) = self.predicted {
            return predicted;
        }
        let of_block = |block: &Block| {
            let (lost, [rounding, all]) = (share(&block.code), block.errors);
            rounding + lost * (all - rounding)
        };
        self.blocks.iter().map(of_block).sum::<f64>() / self.weights() as f64
    }

    /// The mean square error per weight of the quantizer alone: exact, but of a restored unit what its plan
    /// predicts.
    pub fn rounding_error(&self) -> f64 {
        if let Some(predicted) = self.predicted {
            return predicted;
        }
        let total: f64 = self.blocks.iter().map(|block| block.errors[0]).sum();
        total / self.weights() as f64
    }
}

/// The share of blocks that are lost in the memory that their code is made for, about.
fn lost(code: &BlockCode) -> f64 {
    if code.bytes() < LONG { LOST } else { 0.0 }
}

/// The number of blocks of so many weights.
pub(crate) fn block_count(weights: u64, bits: u32) -> u64 {
    (u128::from(weights) * u128::from(bits)).div_ceil(8 * BLOCK as u128) as u64
}

/// Bytes of all blocks of so many weights. A number that 64 bits cannot hold is the largest that they can.
pub(crate) fn bytes_of_blocks(weights: u64, bits: u32) -> u64 {
    let count = block_count(weights, bits);
    if count == 0 {
        return 0;
    }
    // Blocks have as many weights as each other, or one more.
    let (least, more) = (u128::from(weights / count), u128::from(weights % count));
    let bytes = |weights: u128| weights * u128::from(bits) / 8;
    let total = (u128::from(count) - more) * bytes(least) + more * bytes(least + 1);
    u64::try_from(total).unwrap_or(u64::MAX)
}

/// The weights of each block: as few blocks as possible, as equal as possible.
fn places(weights: usize, bits: usize) -> impl Iterator<Item = Range<usize>> {
    let count = (weights * bits).div_ceil(8 * BLOCK);
    let edge = move |block: usize| block * weights / count;
    (0..count).map(move |block| edge(block)..edge(block + 1))
}

/// The blocks of some weights, each with its code.
fn split<'a>(weights: &'a [f32], codes: &BlockCodes, bits: usize) -> Vec<Part<'a>> {
    let part = |place: Range<usize>| {
        let (first, weights) = (place.start as u64, &weights[place]);
        Part { first, weights, code: codes.code(weights.len() * bits / 8) }
    };
    places(weights.len(), bits).map(part).collect()
}

/// The quantizer of the least step at which all blocks hold their weights.
fn finest(parts: &[Part], shape: StandardShape, sigma: f32) -> Quantizer {
    let nothing = || Quantizer::new(shape, sigma, f32::INFINITY);
    if sigma <= 0.0 {
        return nothing();
    }
    let with = |number| Quantizer::with_step(shape, sigma, number);
    let nearly_fits = |quantizer: &Quantizer| {
        let fits = |part: &Part| quantizer.about(part.weights) <= part.code.data_bytes();
        parts.par_iter().all(fits)
    };
    let (mut low, mut high) = (0, Quantizer::STEPS);
    while low < high {
        let middle = u16::midpoint(low, high);
        if nearly_fits(&with(middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let fits = |quantizer: &Quantizer| {
        parts.par_iter().all(|part| {
            let symbols = quantizer.symbols(part.weights);
            quantizer.entropy().encode(&symbols).len() <= part.code.data_bytes()
        })
    };
    (low..=Quantizer::STEPS).map(with).find(fits).unwrap_or_else(nothing)
}

impl Block {
    fn new(part: &Part, quantizer: &Quantizer, outliers: &Outliers) -> Self {
        let &Part { first, weights, ref code } = part;
        let symbols = quantizer.symbols(weights);
        let square = |x: f64| x * x;
        let rounded = quantizer.values(&symbols);
        let error = |(&w, v): (&f32, f32)| square(f64::from(w) - f64::from(v));
        let errors = [
            outliers.rest_from(first as usize, weights.iter().zip(rounded)).map(error).sum(),
            weights.iter().map(|&w| square(f64::from(w))).sum(),
        ];
        Self { code: code.clone(), first, symbols, stored: OnceLock::new(), errors }
    }

    /// The block of these weights that is stored as `bytes`. Data come first in it, and no two blocks hold
    /// the same symbols.
    fn restored(
        weights: Range<usize>,
        code: Arc<BlockCode>,
        bytes: &[u8],
        quantizer: &Quantizer,
    ) -> Result<Self, &'static str> {
        let data = &bytes[..code.data_bytes()];
        let symbols = quantizer.entropy().decode(data, weights.len());
        let mut again = quantizer.entropy().encode(&symbols);
        let fits = again.len() <= data.len();
        again.resize(data.len(), 0);
        if !fits || again != data {
            return Err("its data are those of no weights");
        }
        if code.encode(data) != bytes {
            return Err("its check bits are not those of its data");
        }
        let (first, stored) = (weights.start as u64, OnceLock::from(bytes.to_vec()));
        Ok(Self { code, first, symbols, stored, errors: [0.0; 2] })
    }

    fn stored(&self, entropy: &EntropyCode) -> &[u8] {
        self.stored.get_or_init(|| {
            let mut data = entropy.encode(&self.symbols);
            data.resize(self.code.data_bytes(), 0);
            self.code.encode(&data)
        })
    }
}

impl WeightStorage for BlockCodedStorage {
    fn weights(&self) -> usize {
        self.blocks.iter().map(|block| block.symbols.len()).sum()
    }

    fn stored_bits(&self) -> u64 {
        self.blocks.iter().map(|block| 8 * block.code.bytes() as u64).sum()
    }

    /// 0: no bit is relied on.
    fn protected_bits(&self) -> u64 {
        0
    }

    /// 32 bits of the scale, 32 of the step, one that tells the shape, and outliers if there are any.
    fn metadata_bits(&self) -> u64 {
        65 + self.outliers.metadata_bits()
    }

    /// Here an estimate. Exact is what rounding costs; how often blocks are lost is counted in
    /// trials of 2^20 stored bits in all, in 16 to 1000 blocks, which are the same every time. For a
    /// share `s` in `n` trials its standard error is `√(s (1 - s) / n)`; none in `n` leaves up to
    /// `3 / n` at 95 % confidence, which is more than rounding costs where that is very little.
    fn mean_square_error(&self) -> f64 {
        self.error_if_lost(|code| self.codes.failures(code))
    }

    fn golden(&self) -> Vec<f32> {
        let values = self.blocks.iter().flat_map(|block| self.quantizer.values(&block.symbols));
        let mut golden: Vec<f32> = values.collect();
        self.outliers.restore(&mut golden);
        golden
    }

    /// On all threads, blocks of one length in each.
    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        let mut blocks: Vec<(&Block, &FaultStream)> =
            self.blocks.iter().map(|b| (b, stream)).collect();
        blocks.sort_by_key(|(block, _)| block.code.bytes());
        let alike = |(a, _): &(&Block, _), (b, _): &(&Block, _)| Arc::ptr_eq(&a.code, &b.code);
        let chunks: Vec<&[_]> =
            blocks.chunk_by(alike).flat_map(|alike| alike.chunks(LANES)).collect();
        let values = chunks.into_par_iter().map(|chunk| self.read_blocks(chunk, start));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let mut read = vec![0.0; self.weights()];
        for ((block, _), values) in blocks.iter().zip(values.into_iter().flatten()) {
            read[block.first as usize..][..values.len()].copy_from_slice(&values);
        }
        self.outliers.restore(&mut read);
        Ok(read)
    }

    fn drawn(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        Ok(Self::drawn(self, stream, start))
    }

    fn stored_as(&self) -> StoredAs {
        StoredAs::BlockCoded { rate: self.rate }
    }

    fn planned(&self) -> PlannedStorage {
        let Self { rate, shape, sigma, .. } = *self;
        // Where nothing is held, weights are read as zeros whatever the step.
        let step = Some(self.step()).filter(|step| step.is_finite()).unwrap_or(0.0);
        let outliers = self.outliers.all().to_vec();
        PlannedStorage::BlockCoded { rate, shape, sigma, step, outliers }
    }

    fn stored(&self) -> Result<StoredBytes, StorageError> {
        let blocks = self.blocks.iter().map(|block| block.stored(self.quantizer.entropy()));
        Ok(StoredBytes::new(blocks.collect::<Vec<_>>().concat(), Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_fault::Seed;
    use qtaml_fault::ecc::capacity;
    use qtaml_physics::FlipProbability;
    use rand::RngExt;

    use super::*;
    use crate::WeightsError;

    fn codes(p: f64) -> Arc<BlockCodes> {
        Arc::new(BlockCodes::new(FlipProbability::symmetric(p).unwrap()).unwrap())
    }

    fn stream(trial: u32) -> FaultStream {
        FaultStream::new(Seed(3), trial, "w")
    }

    /// Normal weights, by Box and Muller.
    fn normal(n: usize) -> Vec<f32> {
        let mut rng = Seed(1).rng("normal", 0);
        let mut weight = || {
            let (u, turn): (f64, f64) = (rng.random(), rng.random());
            (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
        };
        (0..n).map(|_| weight() as f32).collect()
    }

    fn error(weights: &[f32], read: &[f32]) -> f64 {
        let square = |(w, r): (&f32, &f32)| (f64::from(*w) - f64::from(*r)).powi(2);
        weights.iter().zip(read).map(square).sum::<f64>() / weights.len() as f64
    }

    /// The table of docs/theory.md, section 8.5, at a length for which tests have the time: within
    /// 6 dB of the bound and never past it.
    #[test]
    fn the_shannon_bound_is_neared_and_never_beaten() {
        let weights = normal(4096);
        for (p, bits) in [(0.01, 4), (0.05, 4), (0.1, 4), (0.1, 8)] {
            let unit = BlockCodedStorage::new(&weights, &codes(p), bits).unwrap();
            let rate = f64::from(bits) * capacity(FlipProbability::symmetric(p).unwrap());
            let above = 10.0 * (unit.rounding_error() * (2.0 * rate).exp2()).log10();
            assert!((0.0..6.0).contains(&above), "p = {p}, {bits} bits: {above} dB");
            assert_eq!(unit.read(&stream(0), 0).unwrap(), unit.golden());
            let found = error(&weights, &unit.golden());
            assert!((found / unit.rounding_error() - 1.0).abs() < 1e-12);
        }
    }

    /// Blocks in a worse memory than they are made for are lost as often as the trials say: within
    /// 5 standard errors, a false alarm rate below 1e-6.
    #[test]
    fn drawn_faults_cost_what_is_stated() {
        let weights = normal(48);
        let memory = |p| FlipProbability::symmetric(p).unwrap();
        let codes = BlockCodes::new(memory(0.05)).unwrap().in_memory(memory(0.11));
        let codes = Arc::new(codes.unwrap());
        let unit = BlockCodedStorage::new(&weights, &codes, 8).unwrap();
        let lost = codes.failures(&unit.blocks[0].code);
        assert!((0.1..0.9).contains(&lost), "{lost}");
        let golden = unit.golden();
        let fails = |trial: &u32| unit.read(&stream(*trial), 0).unwrap() != golden;
        let found = (0..1000).filter(fails).count() as f64 / 1000.0;
        let spread = (2.0 * lost * (1.0 - lost) / 1000.0).sqrt();
        assert!((found - lost).abs() < 5.0 * spread, "{found} {lost}");
        let all = error_of_zeros(&weights);
        let stated = unit.rounding_error() + lost * (all - unit.rounding_error());
        assert!((unit.mean_square_error() / stated - 1.0).abs() < 1e-12);
    }

    /// Blocks of other lengths and memories than those that [`LOST`] was counted in: of six thousand,
    /// one or two should be lost. Ten would be by a chance of 1e-6.
    #[test]
    fn blocks_are_lost_as_seldom_as_forecast() {
        let (mut blocks, mut lost) = (0.0, 0.0);
        for p in [0.005, 0.07] {
            let codes = codes(p);
            for bytes in [40, 80, 120] {
                blocks += 1000.0;
                lost += 1000.0 * codes.failures(&codes.code(bytes));
            }
            let (small, large) = (normal(100), normal(1 << 12));
            let of = |weights| BlockCodedStorage::new(weights, &codes, 8).unwrap();
            let error = of(&small).rounding_error();
            let all = error_of_zeros(&small);
            let forecast = error + LOST * (all - error);
            assert!((of(&small).forecast() / forecast - 1.0).abs() < 1e-9);
            assert_eq!(of(&large).forecast(), of(&large).rounding_error());
        }
        assert!(lost < 10.0 && blocks * LOST > 1.0, "{lost} of {blocks}");
    }

    /// Of 200 blocks in 1000 trials some forty are lost: by a chance below 1e-6 ten or less, or ninety or more.
    #[test]
    fn blocks_are_drawn_as_lost_as_often_as_forecast() {
        let unit = BlockCodedStorage::new(&normal(100), &codes(0.05), 8).unwrap();
        let golden = unit.golden();
        let is_lost = |trial, start| unit.drawn(&stream(trial), start) != golden;
        let pairs = (0..1000).flat_map(|trial| (0..200).map(move |start| (trial, start)));
        let lost = pairs.filter(|&(trial, start)| is_lost(trial, start)).count();
        assert!((11..90).contains(&lost), "{lost}");
        let long = BlockCodedStorage::new(&normal(1 << 12), &codes(0.05), 8).unwrap();
        assert!((0..100).all(|trial| long.drawn(&stream(trial), 0) == long.golden()));
    }

    fn error_of_zeros(weights: &[f32]) -> f64 {
        error(weights, &vec![0.0; weights.len()])
    }

    #[test]
    fn a_perfect_memory_leaves_the_quantizer() {
        let weights = normal(1000);
        let unit = BlockCodedStorage::new(&weights, &codes(0.0), 5).unwrap();
        assert_eq!(unit.read(&stream(0), 9).unwrap(), unit.golden());
        assert_eq!(unit.mean_square_error(), unit.rounding_error());
        // Both lie in one cell.
        let near = |(w, g): (&f32, &f32)| (w - g).abs() <= unit.step();
        assert!(weights.iter().zip(&unit.golden()).all(near));
        // 1.53 dB from the best, 2^-10, and a little for the state of the coder.
        let above = 10.0 * (unit.rounding_error() * 1024.0).log10();
        assert!((1.3..2.0).contains(&above), "{above} dB");
    }

    #[test]
    fn blocks_are_balanced_and_counted() {
        let weights = normal(20_000);
        let unit = BlockCodedStorage::new(&weights, &codes(0.3), 7).unwrap();
        // 17,500 bytes in three blocks of 6666 or 6667 weights.
        assert_eq!(unit.blocks.len(), 3);
        assert_eq!((unit.weights(), unit.golden().len()), (20_000, 20_000));
        assert_eq!(unit.stored_bits(), 8 * (5832 + 5833 + 5833));
        assert_eq!((unit.protected_bits(), unit.metadata_bits()), (0, 65));
    }

    /// Outliers are beside the blocks: they come back, also where all blocks are lost.
    #[test]
    fn outliers_come_back_and_cost_what_is_said() {
        let bell = normal(4000);
        let mut one = bell.clone();
        (one[7], one[3999]) = (170.0, -90.0);
        let codes = codes(0.1);
        let [plain, stored] =
            [&bell, &one].map(|weights| BlockCodedStorage::new(weights, &codes, 4).unwrap());
        assert_eq!(plain.metadata_bits(), 65);
        assert_eq!(stored.metadata_bits(), 65 + 32 + 2 * (32 + 12));
        let read = stored.read(&stream(0), 0).unwrap();
        assert_eq!((read[7], read[3999]), (170.0, -90.0));
        assert_eq!(stored.read_each(&[stream(0)], 0).unwrap(), [read]);
        let near = stored.rounding_error() / plain.rounding_error();
        assert!((near - 1.0).abs() < 0.02, "{near}");
        let square = |(&w, g): (&f32, f32)| (f64::from(w) - f64::from(g)).powi(2);
        let golden = stored.golden();
        let error = one.iter().zip(golden).map(square).sum::<f64>() / 4000.0;
        assert!((stored.rounding_error() / error - 1.0).abs() < 1e-9);
        let planned = stored.planned();
        assert!(
            matches!(planned, PlannedStorage::BlockCoded { outliers, .. } if outliers.len() == 2)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// The blocks of a unit are read as if each were a unit of its own, where it lies.
        #[test]
        fn slices_agree_with_the_whole(start in 0..1_u64 << 40) {
            let memory = |p| FlipProbability::symmetric(p).unwrap();
            // Some blocks are lost.
            let codes = BlockCodes::new(memory(0.05)).unwrap().in_memory(memory(0.13));
            let codes = Arc::new(codes.unwrap());
            let mut whole = BlockCodedStorage::new(&normal(9000), &codes, 8).unwrap();
            let read = whole.read(&stream(2), start).unwrap();
            let mut back = whole.clone();
            back.blocks.drain(..1);
            prop_assert_eq!(&whole.read_each(&[stream(1), stream(2)], start).unwrap()[1], &read);
            let cut = whole.blocks[0].symbols.len();
            back.blocks[0].first = 0;
            whole.blocks.truncate(1);
            prop_assert_eq!(whole.read(&stream(2), start).unwrap(), &read[..cut]);
            prop_assert_eq!(back.read(&stream(2), start + cut as u64).unwrap(), &read[cut..]);
        }
    }

    /// Side by side blocks of one length and trials of one block are the same as one by one.
    #[test]
    fn blocks_and_trials_do_not_meet() {
        let memory = |p| FlipProbability::symmetric(p).unwrap();
        let codes = BlockCodes::new(memory(0.05)).unwrap().in_memory(memory(0.058)).unwrap();
        let unit = BlockCodedStorage::new(&normal(1 << 14), &Arc::new(codes), 8).unwrap();
        assert!(unit.blocks.iter().map(|block| block.code.bytes()).eq([1 << 13; 2]));
        let streams: Vec<FaultStream> = (0..3).map(stream).collect();
        let together = unit.read_each(&streams, 7).unwrap();
        for (stream, read) in streams.iter().zip(&together) {
            assert_eq!(&unit.read(stream, 7).unwrap(), read);
            let one_by_one: Vec<f32> = unit
                .blocks
                .iter()
                .flat_map(|b| unit.read_blocks(&[(b, stream)], 7).unwrap().concat())
                .collect();
            assert_eq!(&one_by_one, read);
        }
        assert!(together.iter().any(|read| *read != unit.golden()), "some blocks are lost");
    }

    #[test]
    fn odd_weights_are_stored_or_refused() {
        for p in [0.0, 0.1, 0.5] {
            let codes = codes(p);
            let store = |weights: &[f32]| BlockCodedStorage::new(weights, &codes, 4);
            for weights in
                [&[0.0_f32; 9][..], &[0.7], &[-0.7; 54], &[f32::from_bits(1)], &[f32::MAX; 99]]
            {
                let unit = store(weights).unwrap();
                let all = error_of_zeros(weights);
                assert!(unit.rounding_error() <= 1.01 * all, "{weights:?} {p}");
                let read = unit.read(&stream(0), 0).unwrap();
                assert!(read.iter().all(|weight| weight.is_finite()), "{weights:?} {p}");
            }
            assert_eq!(store(&[]).unwrap_err(), WeightsError::None.into());
            for value in [f32::NAN, f32::INFINITY] {
                let error = store(&[1.0, value]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("weight 1 is {value}")), "{error}");
            }
        }
        for bits in [0, 9] {
            let error = BlockCodedStorage::new(&[1.0], &codes(0.1), bits).unwrap_err();
            assert_eq!(error, BlockCodeError::StoredBits(bits));
        }
    }
}
