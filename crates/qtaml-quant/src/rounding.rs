//! The rounding of a weight to its word.

use multiversion::multiversion;

use crate::{Code, Format, Grid, Origin, QuantError, Word};

/// Numbers from 2^52 to 2^53 are whole: adding this one rounds, ties to even, in one step where
/// processors without an instruction for it would call a function, and leaves the code in the lowest
/// byte.
const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;

/// Numbers from 2^22 to 2^23 are whole multiples of 2^-30: adding this one and taking it away again
/// rounds to them.
const GRID: f64 = 1.5 * (1_u64 << 22) as f64;

/// The words of weights on one grid: what [`QuantizedTensor`](crate::QuantizedTensor) stores, one
/// weight at a time, for tensors that are never in memory as a whole.
///
/// # Formula
/// `code = round(w / scale)` with ties to even, at most `±(2^(b-1) - 1)` (docs/theory.md, section 2).
/// Where the code `c` stands for the weight `a` it is `c + round((w - a) / scale)`, of difference and
/// quotient in `f64`, and one of all codes of the format (section 2.7).
///
/// ```
/// use qtaml_quant::{BitWidth, QuantizedTensor, Rounding};
///
/// let weights = [0.5, -1.0, 1.75];
/// let stored = QuantizedTensor::quantize(&weights, &[3], BitWidth::INT4)?;
/// let rounding = Rounding::new(BitWidth::INT4, stored.scale())?;
/// assert_eq!(weights.map(|w| rounding.word(w).0), stored.words());
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    steps: Steps,
    words: WordTable,
}

/// The word of each code, by the lowest byte of the code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WordTable([u8; 256]);

impl WordTable {
    pub(crate) fn of(format: Format) -> Self {
        Self(std::array::from_fn(|byte| format.word_of(Code((byte as u8 as i8).into())).0))
    }

    /// Turns the lowest bytes of codes into words.
    pub(crate) fn translate(&self, codes: &mut [u8]) {
        for code in codes {
            *code = self.0[usize::from(*code)];
        }
    }
}

impl Rounding {
    /// For words of a format at a scale; at scale 0 every weight is zero.
    ///
    /// # Errors
    /// [`QuantError::Scale`] for a scale that is negative, NaN, or so large that a code would have an
    /// infinite weight.
    pub fn new(format: impl Into<Format>, scale: f32) -> Result<Self, QuantError> {
        Ok(Self::on(Grid::new(format, scale, Origin::Zero)?))
    }

    /// For words on a grid; at scale 0 every weight gets the code of the grid's origin.
    pub fn on(grid: Grid) -> Self {
        Self { steps: Steps::of(grid), words: WordTable::of(grid.format()) }
    }

    /// The word of a weight. One beyond the range, infinity too, gets an outermost code; NaN gets that
    /// of the grid's origin, which is zero in a symmetric range.
    #[inline]
    pub fn word(&self, weight: f32) -> Word {
        Word(self.words.0[usize::from(self.steps.code(weight))])
    }

    /// The [`word`](Self::word) of each weight, several times as fast as one by one.
    pub fn words(&self, weights: &[f32]) -> Vec<u8> {
        let mut words = vec![0; weights.len()];
        self.steps.codes(weights, &mut words);
        self.words.translate(&mut words);
        words
    }
}

/// How weights of one grid become codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Steps {
    Even(EvenSteps),
    Moved(MovedSteps),
}

impl Steps {
    pub(crate) fn of(grid: Grid) -> Self {
        let (scale, max) = (f64::from(grid.scale()), f64::from(grid.format().bits().max_code()));
        if grid.origin().is_zero() {
            return Self::Even(EvenSteps { in_one: in_one(grid.scale()), max });
        }
        let (code, weight) = grid.anchor();
        let (from, least) = (f64::from(code), f64::from(grid.format().min_code()));
        Self::Moved(MovedSteps {
            weight: weight.into(),
            code: code as u8,
            // Whatever is divided by infinity is no step away.
            scale: if scale == 0.0 { f64::INFINITY } else { scale },
            least: least - from,
            most: max - from,
        })
    }

    /// The lowest byte of the code.
    #[inline]
    pub(crate) fn code(self, weight: f32) -> u8 {
        match self {
            Self::Even(steps) => steps.code(weight),
            Self::Moved(steps) => steps.code(weight),
        }
    }

    /// The lowest bytes of the codes of weights; of a few of them without a choice of instructions,
    /// which would take longer than they do.
    pub(crate) fn codes(self, weights: &[f32], codes: &mut [u8]) {
        const FEW: usize = 16;
        match self {
            _ if weights.len() < FEW => {
                codes.iter_mut().zip(weights).for_each(|(code, &weight)| *code = self.code(weight));
            }
            Self::Even(steps) => even_codes(&steps, weights, codes),
            Self::Moved(steps) => moved_codes(&steps, weights, codes),
        }
    }
}

/// The number of steps in a weight of one; of steps of nothing there are none.
#[inline(always)]
fn in_one(scale: f32) -> f64 {
    if scale == 0.0 { 0.0 } else { 1.0 / f64::from(scale) }
}

/// Weights in steps of the scale, where code 0 stands for 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EvenSteps {
    /// The number of steps in a weight of one.
    in_one: f64,
    /// The number of steps in the largest weight.
    max: f64,
}

impl EvenSteps {
    /// The lowest byte of the code.
    ///
    /// As if divided exactly. Two numbers of 24 bits whose quotient lies between two codes, but is no
    /// tie, miss the tie by more than 2^-26; the product with the inverse, in f64, misses the quotient
    /// by less than 2^-44. So rounding it to a grid of 2^-30 makes ties of ties and of nothing else:
    /// quotients between -1/4 and 1/4 are farther than that from any tie, and the clamp at a whole
    /// code takes none across one. NaN has a lowest byte of zero, as the fraction of an f32 moves
    /// up by 29 bits and infinity times zero is a NaN with a single bit at the top.
    #[inline(always)]
    fn code(self, weight: f32) -> u8 {
        let steps = (f64::from(weight) * self.in_one).clamp(-self.max, self.max);
        (steps + GRID - GRID + WHOLE).to_bits() as u8
    }
}

/// Weights in steps of the scale from a weight that another code stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MovedSteps {
    /// A weight, and the lowest byte of its code.
    weight: f64,
    code: u8,
    /// Infinite where all codes stand for one weight.
    scale: f64,
    /// The steps from that code to the smallest and to the largest one.
    least: f64,
    most: f64,
}

impl MovedSteps {
    /// The lowest byte of the code; divided as the formula says, so that others find the same ties.
    #[inline(always)]
    fn code(self, weight: f32) -> u8 {
        let steps = (f64::from(weight) - self.weight) / self.scale;
        let steps = steps.clamp(self.least, self.most);
        ((steps + WHOLE).to_bits() as u8).wrapping_add(self.code)
    }
}

/// The lowest bytes of the codes of weights; for these sets of vector instructions as well, of which
/// one is chosen where it runs.
#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn even_codes(steps: &EvenSteps, weights: &[f32], codes: &mut [u8]) {
    for (code, &weight) in codes.iter_mut().zip(weights) {
        *code = steps.code(weight);
    }
}

/// The same where each weight has a scale of its own.
#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub(crate) fn even_codes_across(scales: &[f32], format: Format, weights: &[f32], codes: &mut [u8]) {
    let max = format.bits().max_code().into();
    for (code, (&scale, &weight)) in codes.iter_mut().zip(scales.iter().zip(weights)) {
        *code = EvenSteps { in_one: in_one(scale), max }.code(weight);
    }
}

/// The same on grids that are moved.
#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn moved_codes(steps: &MovedSteps, weights: &[f32], codes: &mut [u8]) {
    for (code, &weight) in codes.iter_mut().zip(weights) {
        *code = steps.code(weight);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitWidth, CodeRange};

    proptest! {
        /// The formula of the moved grid, by the functions of the standard library.
        #[test]
        fn codes_of_moved_grids_are_those_of_the_formula(
            weights in prop::collection::vec(-3.0_f32..5.0, 0..40),
            low in -4.0_f32..4.0,
            width in 0.0_f32..4.0,
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
            range in prop::sample::select(vec![CodeRange::MinMax, CodeRange::ZeroPoint]),
        ) {
            let grid = Grid::spanning(format, range, low, low + width).unwrap();
            let (code, weight) = match grid.origin() {
                Origin::Minimum(minimum) => (format.min_code(), f64::from(minimum)),
                Origin::ZeroPoint(code) => (code.0, 0.0),
                Origin::Zero => unreachable!("a range that is not symmetric"),
            };
            let expected = |w: &f32| {
                let steps = (f64::from(*w) - weight) / f64::from(grid.scale());
                let steps = if grid.scale() == 0.0 { 0.0 } else { steps.round_ties_even() };
                let code = steps + f64::from(code);
                let (least, most) = (format.min_code(), format.bits().max_code());
                format.word_of(Code(code.clamp(least.into(), most.into()) as i32)).0
            };
            let words = Rounding::on(grid).words(&weights);
            prop_assert_eq!(words, weights.iter().map(expected).collect::<Vec<_>>());
        }

        /// Inside the range the error is half a step at most; beside that what `f32` rounds.
        #[test]
        fn no_weight_inside_is_off_by_more_than_half_a_step(
            weights in prop::collection::vec(-10.0_f32..10.0, 1..64),
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
            range in prop::sample::select(CodeRange::ALL.to_vec()),
        ) {
            let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
            let high = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let grid = Grid::spanning(format, range, low, high).unwrap();
            let rounding = Rounding::on(grid);
            for &weight in &weights {
                let off = (weight - grid.weight_of_word(rounding.word(weight))).abs();
                prop_assert!(off <= 0.5 * grid.scale() + 4e-6, "{} {} {}", grid.scale(), weight, off);
            }
        }

        /// The shortcut against the function of the standard library.
        #[test]
        fn codes_are_rounded_to_even(weight in -300.0_f32..300.0, eighths in 1_u32..64) {
            let scale = eighths as f32 / 8.0;
            let half = ((weight as i32) as f32 + 0.5) * scale;
            for format in Format::all() {
                let max = f64::from(format.bits().max_code());
                let rounding = Rounding::new(format, scale).unwrap();
                for weight in [weight, half, half.next_up(), half.next_down()] {
                    let steps = f64::from(weight) / f64::from(scale);
                    let expected = steps.round_ties_even().clamp(-max, max) as i32;
                    prop_assert_eq!(format.code_of(rounding.word(weight)), Code(expected));
                }
            }
        }

        /// At any scale, where a tie is nearest: against the division.
        #[test]
        fn ties_are_those_of_the_exact_quotient(
            bits in 1_u32..=0x7bff_ffff,
            code in -128_i32..128,
            off in -4_i32..=4,
        ) {
            let scale = f32::from_bits(bits);
            let tie = (f64::from(scale) * (f64::from(code) + 0.5)) as f32;
            let weight = f32::from_bits(tie.to_bits().saturating_add_signed(off));
            let steps = f64::from(weight) / f64::from(scale);
            let expected = steps.round_ties_even().clamp(-127.0, 127.0) as i32;
            let rounding = Rounding::new(Format::INT8, scale).unwrap();
            prop_assert_eq!(Format::INT8.code_of(rounding.word(weight)), Code(expected));
        }

        #[test]
        fn many_weights_are_rounded_as_each_of_them(
            weights in prop::collection::vec(any::<f32>(), 0..100),
            scale in 0.0_f32..1e30,
        ) {
            let rounding = Rounding::new(Format::INT8, scale).unwrap();
            let words: Vec<u8> = weights.iter().map(|&w| rounding.word(w).0).collect();
            prop_assert_eq!(rounding.words(&weights), words);
        }
    }

    #[test]
    fn any_weight_has_a_word() {
        for format in Format::all() {
            let max = format.bits().max_code();
            let code = |scale, weight| {
                format.code_of(Rounding::new(format, scale).unwrap().word(weight)).0
            };
            assert_eq!(code(0.0, 1.0), 0);
            assert_eq!(code(0.0, f32::INFINITY), 0);
            assert_eq!(code(1.0, f32::NAN), 0);
            assert_eq!(code(1.0, f32::INFINITY), max);
            assert_eq!(code(f32::from_bits(1), -f32::MAX), -max);
        }
    }

    #[test]
    fn scales_have_bounds() {
        for scale in [-1.0, f32::NAN, f32::INFINITY, f32::MAX] {
            let error = Rounding::new(BitWidth::INT8, scale).unwrap_err();
            assert!(matches!(error, QuantError::Scale(_)), "{scale}");
        }
    }
}
