//! The grid of a group: the weight that each code stands for.

use serde::{Deserialize, Serialize};

use crate::tensor::largest_scale;
use crate::{Code, CodeRange, Format, QuantError, Word};

/// The weights that the codes of a group stand for: evenly spaced, `scale` apart.
///
/// # Formula
/// `w = a + scale (q - c)`, where the code `c` stands for the weight `a`: 0 for 0 in a symmetric range,
/// the smallest code for the minimum in a min-max range, the zero point for 0 in a zero-point range. It
/// is computed in `f64` and rounded once. With [`OffsetBinary`](crate::Encoding::OffsetBinary) words `u`
/// a min-max range reads `w = min + scale u`.
///
/// ```
/// use qtaml_quant::{Code, CodeRange, Encoding, Format, Grid};
///
/// let uint4 = Format::new(qtaml_quant::BitWidth::INT4, Encoding::OffsetBinary);
/// let grid = Grid::spanning(uint4, CodeRange::MinMax, -0.5, 1.0)?;
/// assert_eq!((grid.scale(), grid.weight(Code(-8)), grid.weight(Code(7))), (0.1, -0.5, 1.0));
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    format: Format,
    scale: f32,
    origin: Origin,
}

/// What is known of a grid beside its scale: a code and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Origin {
    /// Code 0 stands for 0.
    #[default]
    Zero,
    /// The smallest code stands for this weight.
    Minimum(f32),
    /// This code stands for 0.
    ZeroPoint(Code),
}

impl Origin {
    /// The range that has such an origin.
    pub const fn range(&self) -> CodeRange {
        match self {
            Self::Zero => CodeRange::Symmetric,
            Self::Minimum(_) => CodeRange::MinMax,
            Self::ZeroPoint(_) => CodeRange::ZeroPoint,
        }
    }

    /// Whether code 0 stands for 0: what serde leaves out of files that know nothing else.
    pub const fn is_zero(&self) -> bool {
        matches!(self, Self::Zero)
    }
}

impl Grid {
    /// The grid of a scale and an origin.
    ///
    /// # Errors
    /// [`QuantError::Scale`] for a scale that is negative, NaN, or so large that a code would have an
    /// infinite weight, [`QuantError::Limit`] for a minimum that is NaN or infinite, and
    /// [`QuantError::ZeroPoint`] for one that is no code of the format.
    pub fn new(format: impl Into<Format>, scale: f32, origin: Origin) -> Result<Self, QuantError> {
        let grid = Self::as_read(format, scale, origin);
        match origin {
            Origin::Zero if !(0.0..=largest_scale(grid.format.bits())).contains(&scale) => {
                return Err(QuantError::Scale(scale));
            }
            Origin::Minimum(minimum) if !minimum.is_finite() => {
                return Err(QuantError::Limit(minimum));
            }
            Origin::ZeroPoint(Code(code)) if !grid.codes().contains(&code) => {
                return Err(QuantError::ZeroPoint { code: Code(code), format: grid.format });
            }
            _ => {}
        }
        if scale >= 0.0 && grid.is_finite() { Ok(grid) } else { Err(QuantError::Scale(scale)) }
    }

    /// The same of a scale and an origin that were read wrong: any are possible.
    pub fn as_read(format: impl Into<Format>, scale: f32, origin: Origin) -> Self {
        Self { format: format.into(), scale, origin }
    }

    /// The grid whose ends are `low` and `high`, for weights between them.
    ///
    /// # Formula
    /// - symmetric: `scale = max(|low|, |high|) / (2^(b-1) - 1)`;
    /// - min-max: `scale = (high - low) / (q_max - q_min)` and the minimum `low`;
    /// - zero-point: the same with `min(low, 0)` and `max(high, 0)`, and the code of 0 is
    ///   `round(q_min - low / scale)`, ties to even, of the format's codes the nearest.
    ///
    /// Scales are rounded to `f32`. A symmetric scale may so become 0 below some 1e-43; the others are
    /// rounded up where a code would be lost otherwise. A group of one value has the scale 0 and, in a
    /// min-max range, that value as its minimum: it is read exactly.
    ///
    /// # Errors
    /// [`QuantError::Limit`] for ends that are NaN or infinite.
    pub fn spanning(
        format: impl Into<Format>,
        range: CodeRange,
        low: f32,
        high: f32,
    ) -> Result<Self, QuantError> {
        let format = format.into();
        if let Some(&end) = [low, high].iter().find(|end| !end.is_finite()) {
            return Err(QuantError::Limit(end));
        }
        Ok(match range {
            CodeRange::Symmetric => Self::symmetric(format, low.abs().max(high.abs())),
            CodeRange::MinMax => Self::with_ends(format, low, high.max(low)),
            CodeRange::ZeroPoint => Self::with_ends(format, low.min(0.0), high.max(0.0)).on_zero(),
        })
    }

    /// The grid whose largest code stands for `limit`.
    pub(crate) fn symmetric(format: Format, limit: f32) -> Self {
        let scale = (f64::from(limit) / f64::from(format.bits().max_code())) as f32;
        Self { format, scale: scale.min(largest_scale(format.bits())), origin: Origin::Zero }
    }

    fn with_ends(format: Format, low: f32, high: f32) -> Self {
        let (steps, width) = (Self::steps(format), f64::from(high) - f64::from(low));
        let nearest = (width / steps) as f32;
        // A subnormal scale that was rounded down would clip the largest weights.
        let is_short = width > (steps + 0.5) * f64::from(nearest);
        let scale = if is_short { nearest.next_up() } else { nearest };
        let mut grid = Self { format, scale, origin: Origin::Minimum(low) };
        while !grid.is_finite() {
            grid.scale = grid.scale.next_down();
        }
        grid
    }

    /// The grid moved so that a code stands for 0.
    fn on_zero(self) -> Self {
        let Origin::Minimum(low) = self.origin else { return self };
        let (least, most) = (self.format.min_code(), self.format.bits().max_code());
        let zero = f64::from(least) - f64::from(low) / f64::from(self.scale);
        let zero = if self.scale > 0.0 { zero.round_ties_even() as i32 } else { 0 };
        let origin = Origin::ZeroPoint(Code(zero.clamp(least, most)));
        let mut grid = Self { origin, ..self };
        while !grid.is_finite() {
            grid.scale = grid.scale.next_down();
        }
        grid
    }

    /// The number of steps from the smallest to the largest code.
    fn steps(format: Format) -> f64 {
        f64::from(format.bits().max_code() - format.min_code())
    }

    fn codes(self) -> std::ops::RangeInclusive<i32> {
        self.format.min_code()..=self.format.bits().max_code()
    }

    /// Whether every code has a finite weight.
    fn is_finite(self) -> bool {
        [*self.codes().start(), *self.codes().end()]
            .iter()
            .all(|&code| self.weight(Code(code)).is_finite())
    }

    /// What the words mean.
    pub fn format(self) -> Format {
        self.format
    }

    /// What one step of the code is worth, in units of the weights.
    pub fn scale(self) -> f32 {
        self.scale
    }

    /// A code and its weight.
    pub fn origin(self) -> Origin {
        self.origin
    }

    /// The code of the origin and its weight.
    pub(crate) fn anchor(self) -> (i32, f32) {
        match self.origin {
            Origin::Zero => (0, 0.0),
            Origin::Minimum(minimum) => (self.format.min_code(), minimum),
            Origin::ZeroPoint(code) => (code.0, 0.0),
        }
    }

    /// The weight that a code stands for.
    #[inline]
    pub fn weight(self, code: Code) -> f32 {
        match self.origin {
            // Exact up to one rounding, as in f64.
            Origin::Zero => self.scale * code.0 as f32,
            _ => self.weight_of(code.into()) as f32,
        }
    }

    /// The weight that a word stands for.
    pub fn weight_of_word(self, word: Word) -> f32 {
        self.weight(self.format.code_of(word))
    }

    /// The weight of a value in units of the code, as decoders believe it.
    #[inline]
    pub fn weight_of(self, value: f64) -> f64 {
        let scale = f64::from(self.scale);
        if self.origin.is_zero() {
            return value * scale;
        }
        let (code, weight) = self.anchor();
        f64::from(weight) + scale * (value - f64::from(code))
    }

    /// The value in units of the code that stands for a weight of 0, which need not be a whole number;
    /// the smallest code where all codes stand for one weight.
    pub fn zero(self) -> f64 {
        let (code, weight) = self.anchor();
        if self.scale == 0.0 {
            return f64::from(code);
        }
        f64::from(code) - f64::from(weight) / f64::from(self.scale)
    }

    /// Bits that are stored for it beside the words.
    pub fn metadata_bits(self) -> u64 {
        self.origin.range().metadata_bits(self.format)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitWidth, Encoding, Rounding};

    const TINY: f32 = f32::from_bits(1);

    fn grid(format: impl Into<Format>, range: CodeRange, low: f32, high: f32) -> Grid {
        Grid::spanning(format, range, low, high).unwrap()
    }

    #[test]
    fn ends_are_those_of_the_weights() {
        for format in Format::all() {
            let (least, most) = (format.min_code(), format.bits().max_code());
            let grid = grid(format, CodeRange::MinMax, 5.0, 6.0);
            assert_eq!(grid.weight(Code(least)), 5.0);
            assert!((grid.weight(Code(most)) - 6.0).abs() < 1e-6, "{format}");
            let steps = f64::from(most - least);
            assert_eq!(grid.scale(), (1.0 / steps) as f32);
            let rounding = Rounding::on(grid);
            assert_eq!(format.code_of(rounding.word(5.0)), Code(least));
            assert_eq!(format.code_of(rounding.word(6.0)), Code(most));
        }
    }

    /// The offset binary word is the unsigned code `u` of `w = min + u step`.
    #[test]
    fn offset_binary_words_are_unsigned_codes() {
        let uint8 = Format::new(BitWidth::INT8, Encoding::OffsetBinary);
        let grid = grid(uint8, CodeRange::MinMax, -1.0, 254.0);
        for u in 0..=255_u8 {
            assert_eq!(grid.weight_of_word(Word(u)), f32::from(u) - 1.0);
        }
    }

    /// The example of `DynamicQuantizeLinear` of ONNX (uint8): x = [0, 2, -3, -2.5, 1.34] has scale
    /// 0.0196078438, zero point 153, and y = [153, 255, 0, 26, 221]. Its last number, 0.5, is a tie of the
    /// f32 quotient there, and none in f64.
    #[test]
    fn zero_points_are_those_of_the_onnx_operator() {
        let uint8 = Format::new(BitWidth::INT8, Encoding::OffsetBinary);
        let grid = grid(uint8, CodeRange::ZeroPoint, -3.0, 2.0);
        assert_eq!(grid.scale(), 0.019_607_844);
        assert_eq!(grid.origin(), Origin::ZeroPoint(Code(153 - 128)));
        let words = Rounding::on(grid).words(&[0.0, 2.0, -3.0, -2.5, 1.34]);
        assert_eq!(words, [153, 255, 0, 26, 221]);
        let all_positive = self::grid(uint8, CodeRange::ZeroPoint, 1.0, 4.0);
        assert_eq!(all_positive.origin(), Origin::ZeroPoint(Code(-128)));
        let all_negative = self::grid(uint8, CodeRange::ZeroPoint, -4.0, -1.0);
        assert_eq!(all_negative.origin(), Origin::ZeroPoint(Code(127)));
    }

    #[test]
    fn constant_groups_are_exact() {
        for format in Format::all() {
            for value in [0.0, 1.5, -3e38, TINY, f32::MAX] {
                let grid = grid(format, CodeRange::MinMax, value, value);
                assert_eq!(grid.scale(), 0.0);
                for word in format.bits().words() {
                    assert_eq!(grid.weight_of_word(word), value, "{format}");
                }
                assert_eq!(grid.weight_of_word(Rounding::on(grid).word(value)), value);
            }
        }
        let zeros = grid(BitWidth::INT8, CodeRange::ZeroPoint, 0.0, 0.0);
        assert_eq!(zeros.weight_of_word(Rounding::on(zeros).word(0.0)), 0.0);
        assert_eq!(zeros.zero(), 0.0);
    }

    #[test]
    fn extreme_weights_have_finite_grids() {
        for format in Format::all() {
            for range in CodeRange::ALL {
                for (low, high) in
                    [(-f32::MAX, f32::MAX), (0.0, f32::MAX), (-f32::MAX, 0.0), (-TINY, TINY)]
                {
                    let grid = grid(format, range, low, high);
                    let weights = format.bits().words().map(|word| grid.weight_of_word(word));
                    assert!(weights.into_iter().all(f32::is_finite), "{format} {range} {low}");
                    assert!(Grid::new(format, grid.scale(), grid.origin()).is_ok());
                }
            }
        }
        // The smallest step there is, rounded up: nothing is lost.
        let tiny = grid(BitWidth::INT8, CodeRange::MinMax, 0.0, TINY);
        let read = |weight| tiny.weight_of_word(Rounding::on(tiny).word(weight));
        assert_eq!([0.0, TINY].map(read), [0.0, TINY]);
    }

    #[test]
    fn what_is_no_grid_is_named() {
        let of = |scale, origin| Grid::new(BitWidth::INT4, scale, origin).map(|_| ());
        for scale in [-1.0, f32::NAN, f32::INFINITY, f32::MAX] {
            for origin in [Origin::Zero, Origin::Minimum(1.0), Origin::ZeroPoint(Code(7))] {
                assert!(matches!(of(scale, origin), Err(QuantError::Scale(_))), "{scale}");
            }
        }
        assert_eq!(of(1.0, Origin::Minimum(f32::INFINITY)), Err(QuantError::Limit(f32::INFINITY)));
        let error = of(1.0, Origin::ZeroPoint(Code(8))).unwrap_err().to_string();
        assert_eq!(error, "zero point 8 is no code of INT4 twos-complement: -8..=7 are");
        let nan = Grid::spanning(BitWidth::INT4, CodeRange::MinMax, f32::NAN, 1.0);
        assert!(matches!(nan, Err(QuantError::Limit(_))));
    }

    #[test]
    fn origins_are_written_as_they_are_called() {
        for (origin, json) in [
            (Origin::Zero, "\"zero\""),
            (Origin::Minimum(-0.5), "{\"minimum\":-0.5}"),
            (Origin::ZeroPoint(Code(-3)), "{\"zero-point\":-3}"),
        ] {
            assert_eq!(serde_json::to_string(&origin).unwrap(), json);
            assert_eq!(serde_json::from_str::<Origin>(json).unwrap(), origin);
        }
    }

    proptest! {
        /// The grid against its formula, in f64 from the start.
        #[test]
        fn weights_are_those_of_the_formula(
            low in -100.0_f32..100.0,
            width in 0.0_f32..100.0,
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
            range in prop::sample::select(CodeRange::ALL.to_vec()),
        ) {
            let grid = grid(format, range, low, low + width);
            let zero = grid.zero();
            for word in format.bits().words() {
                let code = f64::from(format.code_of(word));
                let expected = f64::from(grid.scale()) * (code - zero);
                let expected = if grid.scale() == 0.0 && range == CodeRange::MinMax {
                    f64::from(low)
                } else {
                    expected
                };
                prop_assert!((f64::from(grid.weight_of_word(word)) - expected).abs() < 2e-5);
                prop_assert_eq!(grid.weight_of(code) as f32, grid.weight_of_word(word));
            }
        }
    }
}
