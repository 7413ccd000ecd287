//! The clipping range of least mean square error: clipping against rounding and flips.
//!
//! A range `L` sets the step `Δ = L / (2^(b-1) - 1)`. Weights beyond it are clipped to `±L`, all
//! others are rounded by at most `Δ / 2`. Without faults the range is best close to the largest
//! weight. Under faults it is not: a flip changes the code by so many steps whatever they are
//! worth, so its noise grows with `Δ²`, and giving up a few large weights can pay.
//!
//! # The objective
//! Let `q_w` be the code of the weight `w`, and `m_q`, `v_q` the mean and the variance of what the
//! decoder believes where `q` is stored, in units of the code. The error of `w` has three causes,
//! rounding or clipping `w - Δ q_w`, bias `Δ (q_w - m_q)`, and noise of variance `Δ² v_q`. The
//! first two are not random and add up before they are squared, cross terms and all:
//!
//! `E(L) = 1/n Σ_w [(w - Δ m_(q_w))² + Δ² v_(q_w)]`
//!
//! With `n_q`, `S_q`, `T_q` the number, the sum and the sum of squares of the weights that are
//! rounded to `q`, the sum over weights becomes one over codes:
//!
//! `E(L) = 1/n Σ_q [T_q - 2 Δ m_q S_q + Δ² (m_q² + v_q) n_q]`
//!
//! The weights with the code `q` are those in `(Δ (q - 1/2), Δ (q + 1/2))`, without a limit for the
//! two outermost codes. Where the weights are sorted and their sums kept, each of the three numbers
//! is a difference of two look-ups. The shares `n_q / n` are the histogram from which prior and
//! decoder follow, so these adapt to every range that is tried; `m_q` and `v_q` take `b 2^b` steps
//! (docs/theory.md, section 3.2). One evaluation costs some ten microseconds, a few times as many
//! where a distribution is fitted, and hardly depends on the number of weights.
//!
//! # The search
//! The objective has several valleys where the decoder knows the weights: a code that hardly any weight
//! has is believed to be another one, and which codes these are changes with the range. On them it has many
//! small corners, where a weight moves from one code to the next. A grid of ranges, each `2^(1/8)` below
//! the one before, from `max |w|` down to `2^-10` of it, finds the valleys. The three deepest ones are looked
//! through in eighths of a step, and the neighbourhood of the best range in eighths of these: to 0.1 %. The
//! answer need not be the deepest corner, but it is the best of all ranges that were tried. In the end it is
//! compared with no clipping, by the exact error of the tensors that would be stored.

use std::sync::Arc;

use qtaml_fault::QuantizedChannel;
use qtaml_quant::{Code, CodeRange, Format, Grid, Origin, QuantizedTensor};

use crate::{CodeHistogram, DecodeTable, Decoder, DecoderError, Prior, weight_error};

/// A range and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The largest magnitude that is not clipped.
    pub limit: f32,
    /// Mean square error per weight in squared units of the weights, from rounding, clipping and
    /// faults: exact.
    pub mean_square_error: f64,
}

/// The ends of codes in any range, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The smallest weight that is not clipped.
    pub low: f32,
    /// The largest one.
    pub high: f32,
    /// How far from the mean of the weights nothing is clipped: from 0 in a symmetric range.
    pub distance: f64,
    /// Mean square error per weight in squared units of the weights, from rounding, clipping and
    /// faults: exact.
    pub mean_square_error: f64,
}

/// How many times the range is divided by `2^(1/8)`: no range below `2^-10` of the largest is tried.
const STEPS_DOWN: usize = 80;
/// Such steps in a factor of two.
const STEPS_PER_HALVING: f64 = 8.0;
/// Valleys of the grid that are looked into.
const VALLEYS: usize = 3;
/// So many times finer is each look at the neighbours of the best range: to 0.1 % in the end.
const FINER: f64 = 8.0;
/// Of more weights than this, so many are looked at in the search, evenly spaced in their order.
const SAMPLE: usize = 1 << 20;

/// The range in which `weights`, quantized to the channel's format, are closest to what `decoder`
/// makes of them under faults; never worse than the range of the largest weight.
///
/// ```
/// use qtaml_compensation::{Decoder, Prior, clipping::best_range};
/// use qtaml_fault::{QuantizedChannel, BitMask};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::Format;
///
/// // A thousand small weights and a large one.
/// let mut weights: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
/// weights.push(8.0);
/// let p = FlipProbability::symmetric(0.01)?;
/// let channel = QuantizedChannel::new(p, Format::INT8, BitMask::NONE)?;
/// let best = best_range(&weights, &channel, Decoder::Raw, Prior::Histogram)?;
/// assert!(best.limit < 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DecoderError::Quant`] for no weights, or NaN and infinite ones, and as
/// [`DecodeTable::new`].
pub fn best_range(
    weights: &[f32],
    channel: &QuantizedChannel,
    decoder: Decoder,
    prior: Prior,
) -> Result<Range, DecoderError> {
    let best = best_span(weights, channel, decoder, prior, CodeRange::Symmetric)?;
    Ok(Range { limit: best.high, mean_square_error: best.mean_square_error })
}

/// The same for any range of codes: [`Clipping`] for one channel.
///
/// # Errors
/// As [`best_range`].
pub fn best_span(
    weights: &[f32],
    channel: &QuantizedChannel,
    decoder: Decoder,
    prior: Prior,
    range: CodeRange,
) -> Result<Span, DecoderError> {
    Clipping::of(weights, range)?.best(channel, decoder, prior)
}

/// Weights that are sorted once, to be clipped for any number of channels and decoders.
///
/// Let `c` be the mean of the weights, 0 in a symmetric range: the ends are `max(low, c - t)` and
/// `min(high, c + t)`, and `t` is searched for.
///
/// ```
/// use qtaml_compensation::{Decoder, Prior, clipping::Clipping};
/// use qtaml_fault::{BitMask, QuantizedChannel};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{CodeRange, Format};
///
/// let weights: Vec<f32> = (0..1000).map(|i| (i as f32).sin().powi(5)).collect();
/// let clipping = Clipping::of(&weights, CodeRange::Symmetric)?;
/// let p = FlipProbability::symmetric(0.05)?;
/// let error = |protected| -> Result<f64, Box<dyn std::error::Error>> {
///     let mask = BitMask::top(protected, Format::INT8.bits())?;
///     let channel = QuantizedChannel::new(p, Format::INT8, mask)?;
///     Ok(clipping.best(&channel, Decoder::Bayes, Prior::Histogram)?.mean_square_error)
/// };
/// assert!(error(2)? < error(0)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Clipping<'a> {
    weights: &'a [f32],
    range: CodeRange,
    around: Around,
    sums: Arc<SortedSums>,
}

impl<'a> Clipping<'a> {
    /// Sorts the weights.
    ///
    /// # Errors
    /// [`DecoderError::Quant`] for no weights, or NaN and infinite ones.
    pub fn of(weights: &'a [f32], range: CodeRange) -> Result<Self, DecoderError> {
        Self::of_sorted(weights, range, || Arc::new(SortedSums::of(weights)))
    }

    /// The same of weights that may be sorted already.
    pub(crate) fn of_sorted(
        weights: &'a [f32],
        range: CodeRange,
        sums: impl FnOnce() -> Arc<SortedSums>,
    ) -> Result<Self, DecoderError> {
        // Names what cannot be stored, before an end that follows from it is no number.
        let anything = Grid::as_read(Format::INT8, 0.0, Origin::Zero);
        QuantizedTensor::quantize_on(weights, &[weights.len()], anything)?;
        let around = Around::in_range(weights, range);
        Ok(Self { weights, range, around, sums: sums() })
    }

    /// The ends between which the weights are closest to what `decoder` makes of them under faults; never
    /// worse than those of all weights.
    ///
    /// # Errors
    /// As [`DecodeTable::new`].
    pub fn best(
        &self,
        channel: &QuantizedChannel,
        decoder: Decoder,
        prior: Prior,
    ) -> Result<Span, DecoderError> {
        let (farthest, reader) = (self.around.farthest, Reader { channel, decoder, prior });
        let whole = self.span(&reader, farthest)?;
        if farthest == 0.0 {
            return Ok(whole);
        }
        let distance = self.distance(&reader)?;
        // Never so small that f32 has no such range.
        let least = farthest.min(f32::MIN_POSITIVE.into());
        let clipped = self.span(&reader, distance.clamp(least, farthest))?;
        Ok(if clipped.mean_square_error < whole.mean_square_error { clipped } else { whole })
    }

    /// How far from the mean of the weights [`best`](Self::best) clips them, by the sums alone: what the tensors lose that
    /// it leads to is not asked.
    pub(crate) fn best_distance(
        &self,
        channel: &QuantizedChannel,
        decoder: Decoder,
        prior: Prior,
    ) -> Result<f64, DecoderError> {
        if self.around.farthest == 0.0 {
            return Ok(0.0);
        }
        self.distance(&Reader { channel, decoder, prior })
    }

    fn distance(&self, reader: &Reader<'_>) -> Result<f64, DecoderError> {
        let farthest = self.around.farthest;
        let grid = |shrink: f64| self.grid(reader.channel, farthest * shrink);
        Ok(farthest * search(|shrink| reader.error_on(&self.sums, grid(shrink)?))?)
    }

    fn grid(&self, channel: &QuantizedChannel, distance: f64) -> Result<Grid, DecoderError> {
        Ok(self.around.grid(channel.format(), self.range, distance)?)
    }

    /// The span that reaches so far, with the error of the tensor that it leads to.
    fn span(&self, reader: &Reader<'_>, distance: f64) -> Result<Span, DecoderError> {
        let (low, high) = self.around.ends(distance);
        let mean_square_error =
            reader.exact_on(self.weights, self.grid(reader.channel, distance)?)?;
        Ok(Span { low, high, distance, mean_square_error })
    }
}

/// Where weights lie around their mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around {
    low: f32,
    high: f32,
    pub(crate) mean: f64,
    /// The distance from the mean to the farther end.
    pub(crate) farthest: f64,
}

impl Around {
    /// Around the mean, or around 0 in a symmetric range.
    fn in_range(weights: &[f32], range: CodeRange) -> Self {
        if !range.is_symmetric() {
            return Self::of(weights);
        }
        let largest = weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
        Self { low: -largest, high: largest, mean: 0.0, farthest: largest.into() }
    }

    pub(crate) fn of(weights: &[f32]) -> Self {
        let (low, high) = ends_of(weights);
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len().max(1) as f64;
        let farthest = (mean - f64::from(low)).max(f64::from(high) - mean);
        Self { low, high, mean, farthest }
    }

    /// The ends at a distance from the mean, or those of all weights.
    pub(crate) fn ends(self, distance: f64) -> (f32, f32) {
        if distance >= self.farthest {
            return (self.low, self.high);
        }
        let low = self.low.max((self.mean - distance) as f32);
        (low, self.high.min((self.mean + distance) as f32).max(low))
    }

    /// The standard deviation of the weights.
    pub(crate) fn deviation(self, weights: &[f32]) -> f64 {
        let square = |w: &f32| (f64::from(*w) - self.mean).powi(2);
        (weights.iter().map(square).sum::<f64>() / weights.len().max(1) as f64).sqrt()
    }

    fn grid(
        self,
        format: Format,
        range: CodeRange,
        distance: f64,
    ) -> Result<Grid, qtaml_quant::QuantError> {
        let (low, high) = self.ends(distance);
        Grid::spanning(format, range, low, high)
    }
}

/// The smallest and the largest weight; infinite ends the wrong way round without any.
pub(crate) fn ends_of(weights: &[f32]) -> (f32, f32) {
    let widen = |(low, high): (f32, f32), &w: &f32| (low.min(w), high.max(w));
    weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), widen)
}

/// The number in `2^-11..=1` where `error` is least: a geometric grid, then finer ones in its deepest valleys.
fn search<E>(mut error: impl FnMut(f64) -> Result<f64, E>) -> Result<f64, E> {
    let mut at = |step: f64| error((-step / STEPS_PER_HALVING).exp2());
    let grid = (0..=STEPS_DOWN).map(|step| at(step as f64)).collect::<Result<Vec<_>, E>>()?;
    let is_valley = |&step: &usize| {
        let beside = [step.checked_sub(1), step.checked_add(1)].into_iter().flatten();
        beside.filter_map(|step| grid.get(step)).all(|other| grid[step] <= *other)
    };
    let mut valleys: Vec<usize> = (0..grid.len()).filter(is_valley).collect();
    valleys.sort_by(|&a, &b| grid[a].total_cmp(&grid[b]));
    valleys.truncate(VALLEYS);
    let deepest = valleys.first().map_or(0, |&step| step);
    let mut best = (grid[deepest], deepest as f64);
    for valley in valleys {
        best = nearby(best, valley as f64, 1.0 / FINER, &mut at)?;
    }
    let (middle, width) = (best.1, 1.0 / FINER.powi(2));
    Ok((-nearby(best, middle, width, &mut at)?.1 / STEPS_PER_HALVING).exp2())
}

/// The least error that is known, with its place, or a lesser one at a place that is up to eight widths from
/// `middle`.
fn nearby<E>(
    mut best: (f64, f64),
    middle: f64,
    width: f64,
    at: &mut impl FnMut(f64) -> Result<f64, E>,
) -> Result<(f64, f64), E> {
    let offsets = (1..=FINER as u32).flat_map(|n| [f64::from(n), -f64::from(n)]);
    for place in offsets.map(|n| middle + n * width).filter(|place| *place >= 0.0) {
        let error = at(place)?;
        if error < best.0 {
            best = (error, place);
        }
    }
    Ok(best)
}

/// How stored weights are read.
struct Reader<'a> {
    channel: &'a QuantizedChannel,
    decoder: Decoder,
    prior: Prior,
}

impl Reader<'_> {
    fn table(&self, stored: &CodeHistogram, grid: Grid) -> Result<DecodeTable, DecoderError> {
        DecodeTable::of_group(self.decoder, self.channel, self.prior, stored, grid)
    }

    /// The error of the tensor on a grid.
    fn exact_on(&self, weights: &[f32], grid: Grid) -> Result<f64, DecoderError> {
        let stored = QuantizedTensor::quantize_on(weights, &[weights.len()], grid)?;
        let table = self.table(&CodeHistogram::of(&stored), grid)?;
        weight_error(weights, &stored, self.channel, &table)
    }

    /// `n E` by the sums over codes: with `a` the weight of code 0, which is 0 in a symmetric range, it is
    /// `Σ_q [T_q - 2 (a + Δ m_q) S_q + (a² + 2 a Δ m_q + Δ² (m_q² + v_q)) n_q]`.
    fn error_on(&self, sums: &SortedSums, grid: Grid) -> Result<f64, DecoderError> {
        let format = self.channel.format();
        let cells = sums.cells(format, grid);
        let counts = cells.iter().map(|cell| cell.count).collect();
        let table = self.table(&CodeHistogram::normalised(format, counts), grid)?;
        let (scale, a) = (f64::from(grid.scale()), grid.weight_of(0.0));
        let error = |(cell, (mean, variance)): (&Sums, (f64, f64))| {
            let spread = scale * scale * (mean * mean + variance) + a * (a + 2.0 * scale * mean);
            cell.square - 2.0 * (a + scale * mean) * cell.sum + spread * cell.count
        };
        let believed = self.channel.moments_of(table.values())?;
        Ok(cells.iter().zip(believed).map(error).sum())
    }
}

/// Number, sum and sum of squares of some weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sums {
    count: f64,
    sum: f64,
    square: f64,
}

impl std::ops::Sub for Sums {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            sum: self.sum - other.sum,
            square: self.square - other.square,
        }
    }
}

/// Weights in their order, and the sums of those before each of them.
#[derive(Debug)]
pub(crate) struct SortedSums {
    weights: Vec<f32>,
    before: Vec<Sums>,
}

impl SortedSums {
    pub(crate) fn of(weights: &[f32]) -> Self {
        let mut weights = weights.to_vec();
        weights.sort_unstable_by(f32::total_cmp);
        let stride = weights.len().div_ceil(SAMPLE);
        let weights: Vec<f32> = weights.into_iter().skip(stride / 2).step_by(stride).collect();
        let mut all = Sums::default();
        let mut before = vec![all];
        before.extend(weights.iter().map(|&w| {
            let w = f64::from(w);
            all = Sums { count: all.count + 1.0, sum: all.sum + w, square: all.square + w * w };
            all
        }));
        Self { weights, before }
    }

    /// The sums over the weights of each word.
    fn cells(&self, format: Format, grid: Grid) -> Vec<Sums> {
        let max = format.bits().max_code();
        // In a symmetric range the lowest code of two's complement is never written.
        let least = if grid.origin().is_zero() { -max } else { format.min_code() };
        let mut cells = vec![Sums::default(); format.bits().levels()];
        let mut from = 0;
        for code in least..=max {
            let edge = grid.weight_of(f64::from(code) + 0.5);
            let here = |w: &f32| code == max || f64::from(*w) < edge;
            let to = from + self.weights[from..].partition_point(here);
            cells[usize::from(format.word_of(Code(code)))] = self.before[to] - self.before[from];
            from = to;
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_fault::BitMask;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, Encoding, QuantError};

    use super::*;

    fn channel(p: f64, format: impl Into<Format>, k: u32) -> QuantizedChannel {
        let format = format.into();
        let p = FlipProbability::symmetric(p).unwrap();
        QuantizedChannel::new(p, format, BitMask::top(k, format.bits()).unwrap()).unwrap()
    }

    fn symmetric(format: impl Into<Format>, limit: f32) -> Grid {
        Grid::spanning(format, CodeRange::Symmetric, -limit, limit).unwrap()
    }

    /// Many small weights and few large ones.
    fn heavy(n: u32) -> Vec<f32> {
        (0..n).map(|i| (f64::from(i) * 0.618_034 % 1.0 - 0.5) as f32).map(|u| u.powi(5)).collect()
    }

    /// Quantiles of the logistic distribution, in no order.
    fn bell(n: u32) -> Vec<f32> {
        let uniform = |i: u32| f64::from(i + 1) * 0.618_033_988_749_895 % 1.0;
        (0..n).map(|i| (uniform(i) / (1.0 - uniform(i))).ln() as f32).collect()
    }

    /// The sums over codes against the error of each weight.
    #[test]
    fn the_objective_is_the_error_of_the_tensor() {
        let weights = heavy(777);
        for format in Format::all() {
            let channel = channel(0.1, format, 1);
            for decoder in Decoder::ALL {
                let reader = Reader { channel: &channel, decoder, prior: Prior::Histogram };
                for limit in [0.03_f32, 0.02, 0.001] {
                    let grid = symmetric(format, limit);
                    let exact = reader.exact_on(&weights, grid).unwrap();
                    let sums = reader.error_on(&SortedSums::of(&weights), grid).unwrap();
                    assert_relative_eq!(sums / 777.0, exact, max_relative = 1e-4);
                }
            }
        }
    }

    /// The same on grids that are not symmetric.
    #[test]
    fn the_objective_is_the_error_of_the_tensor_on_any_grid() {
        let weights: Vec<f32> = heavy(777).into_iter().map(|w| w + 0.02).collect();
        for range in [CodeRange::MinMax, CodeRange::ZeroPoint] {
            for format in Format::all() {
                let channel = channel(0.1, format, 1);
                for decoder in Decoder::ALL {
                    let reader = Reader { channel: &channel, decoder, prior: Prior::Histogram };
                    let around = Around::of(&weights);
                    for shrink in [1.0, 0.4, 0.05] {
                        let grid = around.grid(format, range, around.farthest * shrink).unwrap();
                        let exact = reader.exact_on(&weights, grid).unwrap();
                        let sums = reader.error_on(&SortedSums::of(&weights), grid);
                        assert_relative_eq!(sums.unwrap() / 777.0, exact, max_relative = 1e-3);
                    }
                }
            }
        }
    }

    /// Never worse than all weights, and near a fine scan of all distances.
    #[test]
    fn the_span_is_nearly_the_best_there_is() {
        let weights: Vec<f32> = heavy(2000).into_iter().map(|w| w + 0.01).collect();
        for range in [CodeRange::MinMax, CodeRange::ZeroPoint] {
            for p in [1e-4, 0.1] {
                let (channel, prior) = (channel(p, BitWidth::INT8, 0), Prior::GeneralisedNormal);
                for decoder in [Decoder::Raw, Decoder::Bayes] {
                    let reader = Reader { channel: &channel, decoder, prior };
                    let best = best_span(&weights, &channel, decoder, prior, range).unwrap();
                    let grid =
                        |low, high| Grid::spanning(BitWidth::INT8, range, low, high).unwrap();
                    let again = reader.exact_on(&weights, grid(best.low, best.high)).unwrap();
                    assert_relative_eq!(best.mean_square_error, again, max_relative = 1e-9);
                    let around = Around::of(&weights);
                    let scan = (1..=300).map(|i| {
                        let distance = around.farthest * f64::from(i) / 300.0;
                        let (low, high) = around.ends(distance);
                        reader.exact_on(&weights, grid(low, high)).unwrap()
                    });
                    let least = scan.fold(f64::INFINITY, f64::min);
                    let found = best.mean_square_error;
                    assert!(found <= 1.05 * least, "{range} {p} {decoder}: {found} {least}");
                }
            }
        }
        let channel = channel(0.1, BitWidth::INT8, 0);
        let one = best_span(&[5.0; 9], &channel, Decoder::Raw, Prior::Histogram, CodeRange::MinMax);
        let one = one.unwrap();
        assert_eq!((one.low, one.high, one.mean_square_error), (5.0, 5.0, 0.0));
    }

    /// Against a fine scan of all ranges, linear and geometric: within 1 % of the best one there is.
    #[test]
    fn the_range_is_nearly_the_best_there_is() {
        for weights in [heavy(2000), bell(2000)] {
            let largest = weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
            let linear = (1..=200).map(|i| i as f32 / 200.0);
            let shrinks: Vec<f32> =
                linear.chain((0..200).map(|i| (-(i as f32) / 20.0).exp2())).collect();
            for p in [1e-4, 0.01, 0.1] {
                let channel = channel(p, BitWidth::INT8, 0);
                for decoder in [Decoder::Raw, Decoder::Bayes, Decoder::BayesGain] {
                    for prior in [Prior::GeneralisedNormal, Prior::Histogram] {
                        let reader = Reader { channel: &channel, decoder, prior };
                        let scan = shrinks.iter().map(|shrink| {
                            let grid = symmetric(BitWidth::INT8, largest * shrink);
                            reader.exact_on(&weights, grid).unwrap()
                        });
                        let least = scan.fold(f64::INFINITY, f64::min);
                        let best = best_range(&weights, &channel, decoder, prior).unwrap();
                        let found = best.mean_square_error / least;
                        assert!(found <= 1.01, "{p} {decoder} {prior}: {found}");
                    }
                }
            }
        }
    }

    /// The minimum of a quadratic in the logarithm.
    #[test]
    fn the_search_finds_a_minimum() {
        for least in [0.9_f64, 0.5, 0.01] {
            let error = |x: f64| Ok::<_, ()>((x / least).ln().powi(2));
            assert_relative_eq!(search(error).unwrap(), least, max_relative = 1e-3);
        }
        assert_eq!(search(|x: f64| Ok::<_, ()>(-x)), Ok(1.0));
    }

    #[test]
    fn without_faults_hardly_anything_is_clipped() {
        let weights: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
        let channel = channel(0.0, BitWidth::INT8, 0);
        let best = best_range(&weights, &channel, Decoder::Raw, Prior::Histogram).unwrap();
        assert!(best.limit > 0.98, "{best:?}");
    }

    #[test]
    fn odd_weights_have_a_range_or_a_reason() {
        let channel = channel(0.1, BitWidth::INT8, 0);
        for decoder in Decoder::ALL {
            for prior in Prior::ALL {
                let best = |weights: &[f32]| best_range(weights, &channel, decoder, prior);
                let zeros = best(&[0.0; 5]).unwrap();
                assert_eq!(zeros, Range { limit: 0.0, mean_square_error: 0.0 });
                for weights in
                    [&[0.3][..], &[-2.0; 7], &[f32::MAX, 0.0, -1.0], &[f32::from_bits(1); 3]]
                {
                    let range = best(weights).unwrap();
                    assert!(range.limit > 0.0 && range.mean_square_error.is_finite(), "{range:?}");
                }
                let none = QuantError::Empty { shape: vec![0] };
                assert_eq!(best(&[]), Err(none.into()));
                let error = best(&[1.0, f32::NAN]).unwrap_err().to_string();
                assert!(error.contains("weight 1 is NaN"), "{error}");
            }
        }
    }

    /// More weights than the search looks at: their order alone decides which.
    #[test]
    fn a_sample_of_many_weights_stands_for_all() {
        let many = heavy(SAMPLE as u32 + 10);
        let sums = SortedSums::of(&many);
        assert!(sums.weights.len() <= SAMPLE && sums.weights.len() > SAMPLE / 3);
        let channel = channel(0.1, BitWidth::INT8, 0);
        let reader =
            Reader { channel: &channel, decoder: Decoder::Raw, prior: Prior::GeneralisedNormal };
        let grid = symmetric(BitWidth::INT8, 0.01);
        let sampled = reader.error_on(&sums, grid).unwrap() / sums.weights.len() as f64;
        let exact = reader.exact_on(&many, grid).unwrap();
        assert_relative_eq!(sampled, exact, max_relative = 1e-4);
    }

    proptest! {
        #[test]
        fn clipping_never_hurts(
            weights in prop::collection::vec(-1.0_f32..1.0, 1..80),
            power in 1_i32..6,
            p in 0.0..0.4,
            encoding in prop::sample::select(Encoding::ALL.to_vec()),
            bits in 2_u32..=8,
            decoder in prop::sample::select(Decoder::ALL.to_vec()),
            prior in prop::sample::select(Prior::ALL.to_vec()),
        ) {
            let weights: Vec<f32> = weights.into_iter().map(|w| w.powi(power)).collect();
            let channel = channel(p, Format::new(BitWidth::new(bits).unwrap(), encoding), 0);
            let reader = Reader { channel: &channel, decoder, prior };
            let largest = weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
            let exact = |limit| reader.exact_on(&weights, symmetric(channel.format(), limit)).unwrap();
            let best = best_range(&weights, &channel, decoder, prior).unwrap();
            prop_assert!(best.mean_square_error <= exact(largest));
            prop_assert!(best.limit <= largest);
            prop_assert_eq!(best.mean_square_error, exact(best.limit));
        }
    }
}
