//! A tensor of weights as it lies in memory: words and one scale.

use crate::{BitWidth, Code, Format, Grid, Origin, QuantError, Rounding, Word};

/// Weights of one tensor, quantized with one scale, symmetrically unless a [`Grid`] says otherwise. With
/// more scales it is a [`ScaledTensor`](crate::ScaledTensor).
///
/// # Formula
/// `scale = max |w| / (2^(b-1) - 1)`, `code = round(w / scale)` with ties to even,
/// `w ≈ scale * code` (docs/theory.md, section 2); any other range may be given. The code
/// `-2^(b-1)` is never written, but a fault can produce it, and reading knows it. A tensor of zeros
/// has scale 0. Within the last percent of what `f32` holds, the scale is cut so that every code,
/// faulty ones too, still has a finite weight. It is rounded to `f32`: where it is subnormal, that
/// may clip the largest weights (in INT8 those of tensors below some 1e-41), and where it becomes 0,
/// below some 1e-43, all weights are read as zeros.
///
/// # Shapes
/// Any shape with at least one element; words are row-major, one byte each, in its low `b` bits.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedTensor {
    shape: Vec<usize>,
    grid: Grid,
    words: Vec<u8>,
}

impl QuantizedTensor {
    /// Quantizes `weights`, row-major, of the given `shape`; a width alone stands for two's
    /// complement.
    ///
    /// # Errors
    /// [`QuantError::Empty`], [`QuantError::Shape`], or [`QuantError::NotFinite`] for NaN and
    /// infinite weights.
    pub fn quantize(
        weights: &[f32],
        shape: &[usize],
        format: impl Into<Format>,
    ) -> Result<Self, QuantError> {
        let largest = weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
        Self::quantize_within(weights, shape, format, largest)
    }

    /// Quantizes `weights` with the scale of a tensor whose largest magnitude is `limit`. Weights
    /// beyond it are clipped: they get the outermost codes `±(2^(b-1) - 1)`.
    ///
    /// A smaller range means finer steps and less noise where bits flip, at the price of the few
    /// weights outside it.
    ///
    /// ```
    /// use qtaml_quant::{BitWidth, QuantizedTensor};
    ///
    /// let weights = [0.5, -1.0, 40.0];
    /// let stored = QuantizedTensor::quantize_within(&weights, &[3], BitWidth::INT4, 1.75)?;
    /// assert_eq!(stored.dequantize(), [0.5, -1.0, 1.75]);
    /// # Ok::<(), qtaml_quant::QuantError>(())
    /// ```
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize), and [`QuantError::Limit`] for a limit that is negative, NaN
    /// or infinite, or 0 where not every weight is.
    pub fn quantize_within(
        weights: &[f32],
        shape: &[usize],
        format: impl Into<Format>,
        limit: f32,
    ) -> Result<Self, QuantError> {
        check_weights(weights, shape)?;
        let zero_for_zeros = || limit == 0.0 && weights.iter().all(|&w| w == 0.0);
        if !(limit > 0.0 && limit.is_finite() || zero_for_zeros()) {
            return Err(QuantError::Limit(limit));
        }
        Self::quantize_on(weights, shape, Grid::symmetric(format.into(), limit))
    }

    /// Quantizes `weights` on a grid. Weights beyond its ends are clipped.
    ///
    /// ```
    /// use qtaml_quant::{BitWidth, CodeRange, Grid, QuantizedTensor};
    ///
    /// // Three bits, all eight codes from -1 to 2.5.
    /// let grid = Grid::spanning(BitWidth::new(3)?, CodeRange::MinMax, -1.0, 2.5)?;
    /// let stored = QuantizedTensor::quantize_on(&[-1.0, 0.1, 2.5, 40.0], &[4], grid)?;
    /// assert_eq!(stored.dequantize(), [-1.0, 0.0, 2.5, 2.5]);
    /// # Ok::<(), qtaml_quant::QuantError>(())
    /// ```
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize).
    pub fn quantize_on(weights: &[f32], shape: &[usize], grid: Grid) -> Result<Self, QuantError> {
        check_weights(weights, shape)?;
        let words = Rounding::on(grid).words(weights);
        Ok(Self { shape: shape.to_vec(), grid, words })
    }

    /// Takes words that were stored before.
    ///
    /// # Errors
    /// [`QuantError::Empty`], [`QuantError::Shape`], [`QuantError::Scale`] for a scale that is
    /// negative, NaN, or so large that a code would have an infinite weight, [`QuantError::Word`]
    /// for a word with bits above the width.
    pub fn from_words(
        words: Vec<u8>,
        shape: &[usize],
        format: impl Into<Format>,
        scale: f32,
    ) -> Result<Self, QuantError> {
        check_shape(shape, words.len())?;
        Self::from_words_on(words, shape, Grid::new(format, scale, Origin::Zero)?)
    }

    /// The same with a grid.
    ///
    /// # Errors
    /// [`QuantError::Empty`], [`QuantError::Shape`], and [`QuantError::Word`] for a word with bits above
    /// the width.
    pub fn from_words_on(words: Vec<u8>, shape: &[usize], grid: Grid) -> Result<Self, QuantError> {
        check_shape(shape, words.len())?;
        check_words(&words, grid.format())?;
        Ok(Self { shape: shape.to_vec(), grid, words })
    }

    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of weights.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty: construction refuses that")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// What its words mean.
    pub fn format(&self) -> Format {
        self.grid.format()
    }

    /// The width of a word.
    pub fn bits(&self) -> BitWidth {
        self.format().bits()
    }

    /// What one step of the code is worth, in units of the weights.
    pub fn scale(&self) -> f32 {
        self.grid.scale()
    }

    /// The weights that the codes stand for.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The stored words, row-major.
    pub fn words(&self) -> &[u8] {
        &self.words
    }

    /// The stored codes, row-major.
    pub fn codes(&self) -> impl Iterator<Item = i32> {
        self.words.iter().map(|&word| self.format().code_of(Word(word)).0)
    }

    /// The weights that the codes stand for, row-major.
    pub fn dequantize(&self) -> Vec<f32> {
        self.codes().map(|code| self.grid.weight(Code(code))).collect()
    }
}

/// Refuses weights that do not fill the shape, and NaN and infinite ones.
pub(crate) fn check_weights(weights: &[f32], shape: &[usize]) -> Result<(), QuantError> {
    check_shape(shape, weights.len())?;
    match weights.iter().position(|w| !w.is_finite()) {
        Some(index) => Err(QuantError::NotFinite { index, value: weights[index] }),
        None => Ok(()),
    }
}

/// Refuses words with bits above their width.
pub(crate) fn check_words(words: &[u8], format: Format) -> Result<(), QuantError> {
    let bits = format.bits();
    match words.iter().position(|word| word & !bits.mask() != 0) {
        Some(index) => Err(QuantError::Word { index, word: Word(words[index]), bits: bits.get() }),
        None => Ok(()),
    }
}

pub(crate) fn check_shape(shape: &[usize], values: usize) -> Result<(), QuantError> {
    let expected = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    if expected == 0 {
        return Err(QuantError::Empty { shape: shape.to_vec() });
    }
    if expected != values {
        return Err(QuantError::Shape { shape: shape.to_vec(), expected, values });
    }
    Ok(())
}

/// The largest scale at which every code has a finite weight.
pub(crate) fn largest_scale(bits: BitWidth) -> f32 {
    // A power of two: the product with the most negative code is exact.
    f32::MAX / (bits.max_code() + 1) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantize(weights: &[f32], format: impl Into<Format>) -> QuantizedTensor {
        QuantizedTensor::quantize(weights, &[weights.len()], format).unwrap()
    }

    #[test]
    fn ties_go_to_the_even_code() {
        let stored = quantize(&[127.0, 0.5, 1.5, -0.5, -2.5], BitWidth::INT8);
        assert_eq!(stored.codes().collect::<Vec<_>>(), [127, 0, 2, 0, -2]);
    }

    #[test]
    fn zeros_stay_zero() {
        let stored = quantize(&[0.0, -0.0], BitWidth::INT4);
        assert_eq!((stored.scale(), stored.words()), (0.0, &[0_u8, 0][..]));
    }

    #[test]
    fn weights_too_small_for_a_scale_become_zero() {
        assert_eq!(quantize(&[f32::from_bits(1)], BitWidth::INT8).dequantize(), [0.0]);
    }

    #[test]
    fn no_code_has_an_infinite_weight() {
        for bits in BitWidth::all() {
            let stored = quantize(&[f32::MAX, -f32::MAX], bits);
            assert!(stored.dequantize().iter().all(|w| w.is_finite()));
            let lowest = Format::from(bits).word_of(Code(-bits.max_code() - 1)).0;
            let words = |scale| QuantizedTensor::from_words(vec![lowest], &[1], bits, scale);
            assert!(words(stored.scale()).unwrap().dequantize()[0].is_finite());
            assert_eq!(words(f32::MAX), Err(QuantError::Scale(f32::MAX)));
        }
    }

    #[test]
    fn bad_input_is_named() {
        let bits = BitWidth::INT8;
        assert_eq!(
            QuantizedTensor::quantize(&[], &[0, 3], bits),
            Err(QuantError::Empty { shape: vec![0, 3] })
        );
        assert_eq!(
            QuantizedTensor::quantize(&[1.0], &[2, 2], bits).unwrap_err().to_string(),
            "1 values do not fill shape [2, 2], which holds 4"
        );
        assert_eq!(
            QuantizedTensor::quantize(&[1.0, f32::NAN], &[2], bits).unwrap_err().to_string(),
            "weight 1 is NaN: weights must be finite"
        );
        assert_eq!(
            QuantizedTensor::from_words(vec![3, 16], &[2], BitWidth::INT4, 1.0),
            Err(QuantError::Word { index: 1, word: Word(16), bits: 4 })
        );
        assert_eq!(
            QuantizedTensor::from_words(vec![3], &[1], bits, -1.0),
            Err(QuantError::Scale(-1.0))
        );
        assert!(QuantizedTensor::quantize(&[1.0], &[usize::MAX, 2], bits).is_err());
    }

    #[test]
    fn every_encoding_stores_the_same_codes() {
        let weights: Vec<f32> = (-50..50).map(|i| (i as f32 * 0.7).sin()).collect();
        for format in Format::all() {
            let stored = quantize(&weights, format);
            assert_eq!(stored.dequantize(), quantize(&weights, format.bits()).dequantize());
        }
    }

    #[test]
    fn a_limit_is_a_range_or_an_error() {
        let within = |weights: &[f32], limit| {
            QuantizedTensor::quantize_within(weights, &[weights.len()], BitWidth::INT8, limit)
        };
        for limit in [f32::NAN, -1.0, f32::INFINITY, 0.0, -0.0] {
            let error = within(&[0.0, 1.0], limit).unwrap_err();
            assert!(error.to_string().starts_with(&format!("range limit {limit} is")), "{error}");
        }
        assert_eq!(within(&[0.0, -0.0], 0.0).unwrap().dequantize(), [0.0, 0.0]);
        assert_eq!(within(&[0.0, 0.0], 2.0).unwrap().dequantize(), [0.0, 0.0]);
        let bad = within(&[1.0, f32::INFINITY], 1.0);
        assert_eq!(bad, Err(QuantError::NotFinite { index: 1, value: f32::INFINITY }));
    }

    proptest! {
        #[test]
        fn weights_within_are_rounded_and_others_saturate(
            weights in prop::collection::vec(-10.0_f32..10.0, 1..64),
            limit in 0.01_f32..12.0,
            bits in 2_u32..=8,
        ) {
            let bits = BitWidth::new(bits).unwrap();
            let shape = [weights.len()];
            let stored = QuantizedTensor::quantize_within(&weights, &shape, bits, limit).unwrap();
            for (&w, read) in weights.iter().zip(stored.dequantize()) {
                let off = (w.clamp(-limit, limit) - read).abs();
                prop_assert!(off <= 0.5 * stored.scale() + 1e-6 * limit);
            }
        }

        #[test]
        fn the_error_is_at_most_half_a_step(
            weights in prop::collection::vec(-1e3_f32..1e3, 1..64),
            bits in 2_u32..=8,
        ) {
            let stored = quantize(&weights, BitWidth::new(bits).unwrap());
            let half_step = stored.scale() * 0.5;
            let slack = 1e-6 * weights.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
            for (w, read) in weights.iter().zip(stored.dequantize()) {
                prop_assert!((w - read).abs() <= half_step + slack);
            }
        }

        #[test]
        fn quantizing_again_changes_no_code(
            weights in prop::collection::vec(-10.0_f32..10.0, 1..64),
            bits in 2_u32..=8,
        ) {
            let first = quantize(&weights, BitWidth::new(bits).unwrap());
            let second = quantize(&first.dequantize(), first.bits());
            prop_assert_eq!(first.words(), second.words());
        }
    }
}
