//! The clipping of a group: which weights lie outside its codes.

use multiversion::multiversion;

use crate::{CodeRange, Format, Grid, QuantError};

/// Where the ends of the codes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Clip {
    /// The outermost weights: nothing is clipped.
    #[default]
    Max,
    /// The ends that make the mean square error of quantization least, see [`ClipSearch`].
    MinMse,
}

crate::names!(Clip, "clipping", {
    Max: "max",
    MinMse: "min-mse",
});

/// The search for the ends of least mean square error, for weights that may come in pieces.
///
/// # The candidates
/// Let `[low, high]` be all weights, `c` their mean (0 in a symmetric range) and `t` the distance from `c`
/// to the farther end. The candidates are the ends `max(low, c - t 2^(-k/4))` and
/// `min(high, c + t 2^(-k/4))` for `k = 0..=24`: what lies farther from the centre than `1/64` of the
/// farthest weight is never clipped. Of each the squared error is summed over all weights, rounding and
/// clipping together, so that nothing is estimated; the first of the least ones is taken, and so never
/// anything worse than no clipping. Steps of `2^(1/4)` miss the best ends by less than 10 %, and where
/// weights are spread smoothly their error by less than a tenth.
///
/// Where many weights are 0, as in a pruned tensor, what counts in a min-max range is whether a code falls on
/// them. So of each pair of ends around 0 there are two more: the code nearest to 0 is moved onto it, once
/// by the lower end and once by the upper one. A zero-point range has such a code in any case.
///
/// Faults are not asked: ends that are best under faults need the memory, and are found by
/// `qtaml_compensation::clipping`.
///
/// ```
/// use qtaml_quant::{BitWidth, ClipSearch, CodeRange};
///
/// // A hundred thousand small weights and one large one, in three bits.
/// let mut weights: Vec<f32> = (0..100_000).map(|i| (i as f32).sin()).collect();
/// weights.push(8.0);
/// let mut search = ClipSearch::new(BitWidth::new(3)?, CodeRange::Symmetric, (-1.0, 8.0), 0.0)?;
/// search.add(&weights);
/// let (low, high) = search.best();
/// assert!(low == -1.0 && (1.0..1.5).contains(&high));
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClipSearch {
    candidates: Vec<Candidate>,
}

/// Steps of `2^(-1/4)` down to `1/64` of the farthest weight.
const STEPS_DOWN: u32 = 24;

#[derive(Debug, Clone, Copy)]
struct Candidate {
    ends: (f32, f32),
    grid: RealGrid,
    /// The sum of squares of what is missed.
    error: f64,
}

/// A grid in `f64`.
#[derive(Debug, Clone, Copy)]
struct RealGrid {
    weight: f64,
    scale: f64,
    in_one: f64,
    least: f64,
    most: f64,
}

impl ClipSearch {
    /// A search among the ends of weights that lie within `ends`, around `mean`, which a symmetric range
    /// does not ask.
    ///
    /// # Errors
    /// [`QuantError::Limit`] for ends or a mean that are NaN or infinite.
    pub fn new(
        format: impl Into<Format>,
        range: CodeRange,
        ends: (f32, f32),
        mean: f64,
    ) -> Result<Self, QuantError> {
        let (format, (low, high)) = (format.into(), ends);
        let center = if range.is_symmetric() { 0.0 } else { mean };
        let distance = (center - f64::from(low)).max(f64::from(high) - center);
        if !distance.is_finite() {
            return Err(QuantError::Limit(distance as f32));
        }
        let candidate = |ends: (f32, f32)| {
            let grid = Grid::spanning(format, range, ends.0, ends.1)?;
            Ok(Candidate { ends, grid: RealGrid::of(grid), error: 0.0 })
        };
        let ends = |step: u32| {
            let distance = distance * (-f64::from(step) / 4.0).exp2();
            let near = (low.max((center - distance) as f32), high.min((center + distance) as f32));
            // The first is no clipping at all, whatever the centre was rounded to.
            if step == 0 { (low, high) } else { (near.0, near.1.max(near.0)) }
        };
        let ends = (0..=STEPS_DOWN).map(ends);
        let with_zero = |ends| on_zero(format, ends).into_iter().flatten();
        let others = ends.clone().filter(|_| range == CodeRange::MinMax).flat_map(with_zero);
        let candidates = ends.chain(others).map(candidate);
        Ok(Self { candidates: candidates.collect::<Result<_, QuantError>>()? })
    }

    /// Takes more weights into account. Sums depend on the order of the weights, in their last digits.
    pub fn add(&mut self, weights: &[f32]) {
        for candidate in &mut self.candidates {
            candidate.error += squared_error(&candidate.grid, weights);
        }
    }

    /// The ends of the least error.
    pub fn best(&self) -> (f32, f32) {
        let first = self.candidates[0];
        let less = |best: Candidate, next: &Candidate| {
            if next.error < best.error { *next } else { best }
        };
        self.candidates.iter().fold(first, less).ends
    }
}

/// Ends of a min-max range of which one is moved so that a code falls on 0, the one that is nearest to it
/// now; `None` unless 0 lies between two codes, or if f32 has no such end.
fn on_zero(format: Format, (low, high): (f32, f32)) -> Option<[(f32, f32); 2]> {
    let steps = f64::from(format.bits().max_code() - format.min_code());
    let (low, high) = (f64::from(low), f64::from(high));
    let below = (-low / (high - low) * steps).round();
    let is_inside = low < 0.0 && high > 0.0 && (1.0..steps).contains(&below);
    let (lower, upper) = (-high * below / (steps - below), -low * (steps - below) / below);
    let ends = [(lower as f32, high as f32), (low as f32, upper as f32)];
    (is_inside && ends.iter().all(|(low, high)| low.is_finite() && high.is_finite()))
        .then_some(ends)
}

impl RealGrid {
    fn of(grid: Grid) -> Self {
        let (code, weight) = grid.anchor();
        let (scale, max) = (f64::from(grid.scale()), grid.format().bits().max_code());
        // In a symmetric range the lowest code of two's complement is never written.
        let least = if grid.origin().is_zero() { -max } else { grid.format().min_code() };
        Self {
            weight: weight.into(),
            scale,
            in_one: if scale == 0.0 { 0.0 } else { 1.0 / scale },
            least: f64::from(least - code),
            most: f64::from(max - code),
        }
    }

    #[inline(always)]
    fn squared_error(self, weight: f32) -> f64 {
        const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;
        let distance = f64::from(weight) - self.weight;
        let steps = (distance * self.in_one).clamp(self.least, self.most) + WHOLE - WHOLE;
        let missed = distance - steps * self.scale;
        missed * missed
    }
}

/// Sums that are kept apart, so that they can be added side by side.
const LANES: usize = 8;

#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn squared_error(grid: &RealGrid, weights: &[f32]) -> f64 {
    let (whole, rest) = weights.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for weights in whole {
        for (sum, &weight) in sums.iter_mut().zip(weights) {
            *sum += grid.squared_error(weight);
        }
    }
    let rest: f64 = rest.iter().map(|&weight| grid.squared_error(weight)).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitWidth, Rounding};

    fn ends(weights: &[f32]) -> (f32, f32) {
        let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
        (low, weights.iter().copied().fold(f32::NEG_INFINITY, f32::max))
    }

    fn mean(weights: &[f32]) -> f64 {
        weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len() as f64
    }

    fn best(weights: &[f32], format: Format, range: CodeRange) -> (f32, f32) {
        let search = ClipSearch::new(format, range, ends(weights), mean(weights));
        let mut search = search.unwrap();
        search.add(weights);
        search.best()
    }

    /// The error by the types that store weights.
    fn error(weights: &[f32], format: Format, range: CodeRange, (low, high): (f32, f32)) -> f64 {
        let grid = Grid::spanning(format, range, low, high).unwrap();
        let words = Rounding::on(grid).words(weights);
        let off = |(&w, word): (&f32, u8)| {
            (f64::from(w) - f64::from(grid.weight_of_word(crate::Word(word)))).powi(2)
        };
        weights.iter().zip(words).map(off).sum()
    }

    /// A Laplacian that falls more slowly above its middle, which is not 0.
    fn skewed(n: u32) -> Vec<f32> {
        let weight = |i: u32| {
            let v = f64::from(i) * 0.618_033_988_749_895 % 1.0 - 0.5;
            let magnitude = -(1.0 - 2.0 * v.abs() * 0.9999).ln();
            (if v > 0.0 { 1.5 * magnitude } else { -magnitude } + 0.3) as f32
        };
        (0..n).map(weight).collect()
    }

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for clip in Clip::ALL {
            assert_eq!(clip.name().parse(), Ok(clip));
            assert_eq!(serde_json::to_string(&clip).unwrap(), format!("\"{clip}\""));
        }
        let error = "mse".parse::<Clip>().unwrap_err().to_string();
        assert!(error.contains("\"mse\"") && error.contains("min-mse"), "{error}");
    }

    /// Against a fine scan of the same kind of ends.
    #[test]
    fn the_ends_are_nearly_the_best_there_are() {
        let weights = skewed(5000);
        for format in Format::all() {
            for range in CodeRange::ALL {
                let found = error(&weights, format, range, best(&weights, format, range));
                let (low, high) = ends(&weights);
                let center = if range.is_symmetric() { 0.0 } else { mean(&weights) as f32 };
                let farthest = (center - low).max(high - center);
                let scan = (1..=600).map(|i| {
                    let distance = farthest * i as f32 / 600.0;
                    let ends = (low.max(center - distance), high.min(center + distance));
                    error(&weights, format, range, ends)
                });
                let least = scan.fold(f64::INFINITY, f64::min);
                assert!(found <= 1.1 * least, "{format} {range}: {found} {least}");
            }
        }
    }

    /// Pruned tensors of several kinds, against a fine scan of the ends that know nothing of 0: by
    /// `numpy`, without a code on 0 the error is up to 180 times that of the scan.
    #[test]
    fn weights_heaped_at_zero_have_a_code() {
        let n = 4000_u32;
        for kept in [0.5, 0.1, 0.01] {
            for moved in [0.0, 0.5_f32] {
                let uniform = |i: u32| f64::from(i + 1) * 0.754_877_666_246_693 % 1.0;
                let smooth = skewed(n);
                let pruned = (0..n).zip(&smooth);
                let pruned: Vec<f32> = pruned
                    .map(|(i, w)| if uniform(i) < kept { w - 0.3 + moved } else { 0.0 })
                    .collect();
                for format in Format::all() {
                    let range = CodeRange::MinMax;
                    let found = error(&pruned, format, range, best(&pruned, format, range));
                    let (low, high) = ends(&pruned);
                    let center = mean(&pruned) as f32;
                    let farthest = (center - low).max(high - center);
                    let scan = (1..=600).map(|i| {
                        let distance = farthest * i as f32 / 600.0;
                        let ends = (low.max(center - distance), high.min(center + distance));
                        error(&pruned, format, range, ends)
                    });
                    let least = scan.fold(f64::INFINITY, f64::min);
                    assert!(found <= 1.1 * least, "{kept} {moved} {format}: {found} {least}");
                }
            }
        }
    }

    /// The code of 0 is there, whichever end was moved.
    #[test]
    fn the_end_that_moves_puts_a_code_on_zero() {
        for format in Format::all() {
            for (low, high) in [(-0.9, 2.2), (-5.0, 1.0), (-1.0, 1.0_f32)] {
                for ends in on_zero(format, (low, high)).into_iter().flatten() {
                    let grid = Grid::spanning(format, CodeRange::MinMax, ends.0, ends.1).unwrap();
                    let step = f64::from(grid.scale());
                    let nearest = grid.weight_of(grid.zero().round());
                    assert!(nearest.abs() < 1e-4 * step, "{format} {ends:?}: {nearest} of {step}");
                    assert!(ends.0 == low || ends.1 == high);
                }
            }
            assert_eq!(on_zero(format, (0.0, 1.0)), None);
            assert_eq!(on_zero(format, (0.5, 1.0)), None);
            assert_eq!(on_zero(format, (0.0, 0.0)), None);
            assert_eq!(on_zero(format, (-f32::from_bits(1), f32::MAX)), None);
        }
    }

    #[test]
    fn odd_weights_have_ends() {
        let tiny = f32::from_bits(1);
        for format in Format::all() {
            for range in CodeRange::ALL {
                for weights in [
                    &[0.0][..],
                    &[0.3],
                    &[-2.0; 7],
                    &[f32::MAX, -f32::MAX],
                    &[tiny; 3],
                    &[0.0, tiny],
                ] {
                    let (low, high) = best(weights, format, range);
                    assert!(low <= high && low.is_finite() && high.is_finite(), "{weights:?}");
                }
            }
        }
        let search = ClipSearch::new(BitWidth::INT4, CodeRange::MinMax, (0.0, f32::INFINITY), 0.0);
        assert!(matches!(search, Err(QuantError::Limit(_))));
    }

    proptest! {
        #[test]
        fn clipping_never_hurts(
            weights in prop::collection::vec(-1.0_f32..1.0, 1..60),
            power in 1_i32..6,
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
            range in prop::sample::select(CodeRange::ALL.to_vec()),
        ) {
            let weights: Vec<f32> = weights.into_iter().map(|w| w.powi(power)).collect();
            let clipped = error(&weights, format, range, best(&weights, format, range));
            let whole = error(&weights, format, range, ends(&weights));
            // Sums are those of other roundings.
            prop_assert!(clipped <= whole * (1.0 + 1e-4) + 1e-12, "{} {}", clipped, whole);
        }
    }
}
