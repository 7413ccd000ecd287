//! A tensor of weights with one scale for each of its groups.

use crate::tensor::{check_shape, check_weights, check_words};
use crate::{
    Clip, ClipSearch, Extent, Format, Grid, GroupLayout, QuantError, QuantizationNoise, Scales,
    Scaling,
};

/// Weights of one tensor, quantized with a scale for the tensor, for each output channel, or for each
/// group of weights within one.
///
/// Words are row-major, one byte each, and so are the positions of faults; scales are numbered by
/// [`GroupLayout`].
///
/// ```
/// use qtaml_quant::{BitWidth, Granularity, ScaledTensor, Scaling};
///
/// // The second channel, along axis 0, is a thousand times as large.
/// let weights = [0.3, -0.7, 700.0, 100.0];
/// let scaling = Scaling { granularity: Granularity::Channel, axis: Some(0), ..Scaling::default() };
/// let stored = ScaledTensor::quantize(&weights, &[2, 2], BitWidth::INT4, scaling)?;
/// assert_eq!(stored.scales().scales(), [0.1, 100.0]);
/// assert_eq!(stored.noise(&weights).lost(), 0);
/// // With one scale the first channel is gone.
/// let stored = ScaledTensor::quantize(&weights, &[2, 2], BitWidth::INT4, Scaling::default())?;
/// assert_eq!(stored.dequantize(), [0.0, 0.0, 700.0, 100.0]);
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScaledTensor {
    shape: Vec<usize>,
    words: Vec<u8>,
    scales: Scales,
}

impl ScaledTensor {
    /// Quantizes `weights`, row-major, of the given `shape`; a width alone stands for two's complement.
    ///
    /// # Errors
    /// [`QuantError::Empty`], [`QuantError::Shape`], [`QuantError::NotFinite`] for NaN and infinite
    /// weights, [`QuantError::Axis`] for an axis that the shape lacks.
    pub fn quantize(
        weights: &[f32],
        shape: &[usize],
        format: impl Into<Format>,
        scaling: Scaling,
    ) -> Result<Self, QuantError> {
        check_weights(weights, shape)?;
        let format = format.into();
        let layout = GroupLayout::of(shape, scaling.axis, scaling.granularity)?;
        let grid = |group| {
            let weights = layout.order().gather_range(layout.range(group), weights);
            grid_of(&weights, format, scaling)
        };
        let grids = (0..layout.groups()).map(grid).collect::<Result<Vec<_>, _>>()?;
        let scales = Scales::new(layout, &grids)?;
        let mut words = vec![0; weights.len()];
        scales.quantize(0, weights, &mut words);
        Ok(Self { shape: shape.to_vec(), words, scales })
    }

    /// Takes words that were stored before.
    ///
    /// # Errors
    /// [`QuantError::Empty`], [`QuantError::Shape`], [`QuantError::Word`] for a word with bits above the
    /// width, and [`QuantError::Groups`] for scales of another number of weights.
    pub fn from_words(words: Vec<u8>, shape: &[usize], scales: Scales) -> Result<Self, QuantError> {
        check_shape(shape, words.len())?;
        check_words(&words, scales.format())?;
        let layout = scales.layout();
        if layout.weights() != words.len() {
            return Err(QuantError::Groups { groups: words.len(), given: layout.weights() });
        }
        Ok(Self { shape: shape.to_vec(), words, scales })
    }

    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The stored words, row-major.
    pub fn words(&self) -> &[u8] {
        &self.words
    }

    /// The scales of its groups.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// The weights that the words stand for, row-major.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.words.len()];
        self.scales.dequantize(0, &self.words, &mut weights);
        weights
    }

    /// How far they are from `weights`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn noise(&self, weights: &[f32]) -> QuantizationNoise {
        let mut noise = QuantizationNoise::default();
        noise.add(weights, &self.dequantize());
        noise
    }
}

/// The grid of one group of weights, which are finite.
fn grid_of(weights: &[f32], format: Format, scaling: Scaling) -> Result<Grid, QuantError> {
    let mut extent = Extent::default();
    extent.add(weights);
    let mut ends = extent.ends()?;
    if scaling.clip == Clip::MinMse {
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len() as f64;
        let mut search = ClipSearch::new(format, scaling.range, ends, mean)?;
        search.add(weights);
        ends = search.best();
    }
    Grid::spanning(format, scaling.range, ends.0, ends.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitWidth, Code, CodeRange, Granularity, Origin, QuantizedTensor, Word};

    fn scaling(granularity: Granularity, axis: Option<usize>, range: CodeRange) -> Scaling {
        Scaling { granularity, axis, range, clip: Clip::Max }
    }

    /// A tensor of three axes whose channels along any axis differ in size, off any grid.
    fn weights(shape: [usize; 3]) -> Vec<f32> {
        let index = |i: usize| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
        let of = |i: usize| {
            let [a, b, c] = index(i).map(|at| at as f32 + 1.0);
            (i as f32 * 0.37).sin() * a * a * b * (c + 3.0) - 0.3 * b
        };
        (0..shape.iter().product()).map(of).collect()
    }

    /// One scale and a symmetric range is what the older type stores.
    #[test]
    fn one_symmetric_scale_is_the_quantized_tensor() {
        let (shape, weights) = ([3, 4, 5], weights([3, 4, 5]));
        for format in Format::all() {
            let one = QuantizedTensor::quantize(&weights, &shape, format).unwrap();
            let scaled = ScaledTensor::quantize(&weights, &shape, format, Scaling::default());
            let scaled = scaled.unwrap();
            assert_eq!(scaled.words(), one.words());
            assert_eq!(scaled.scales().scales(), [one.scale()]);
            assert_eq!(scaled.dequantize(), one.dequantize());
        }
    }

    /// Each weight by the formulas of the page, group by group, from the indices alone.
    #[test]
    fn every_weight_is_that_of_its_own_group() {
        let (shape, weights) = ([3, 4, 5], weights([3, 4, 5]));
        for format in Format::all() {
            for axis in 0..3 {
                for range in CodeRange::ALL {
                    for granularity in [Granularity::Channel, Granularity::Group(4)] {
                        let scaling = scaling(granularity, Some(axis), range);
                        let stored =
                            ScaledTensor::quantize(&weights, &shape, format, scaling).unwrap();
                        let read = stored.dequantize();
                        let groups = groups(shape, axis, granularity);
                        assert_eq!(stored.scales().scales().len(), groups.len());
                        for (number, group) in groups.iter().enumerate() {
                            let of_group: Vec<f32> = group.iter().map(|&i| weights[i]).collect();
                            for (&i, expected) in
                                group.iter().zip(by_hand(&of_group, format, range))
                            {
                                let step = stored.scales().scales()[number];
                                assert!(
                                    (read[i] - expected).abs() < 1e-5 + 1e-5 * step,
                                    "{format}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    /// The positions of each group, by the index along the axis.
    fn groups(shape: [usize; 3], axis: usize, granularity: Granularity) -> Vec<Vec<usize>> {
        let stride: usize = shape[axis + 1..].iter().product();
        let channels = (0..shape[axis]).map(|channel| -> Vec<usize> {
            (0..60).filter(|i| i / stride % shape[axis] == channel).collect()
        });
        match granularity {
            Granularity::Group(n) => channels
                .flat_map(|c| c.chunks(n).map(<[usize]>::to_vec).collect::<Vec<_>>())
                .collect(),
            _ => channels.collect(),
        }
    }

    /// Quantized and read back in f64, by the formulas, with scales of f32.
    fn by_hand(weights: &[f32], format: Format, range: CodeRange) -> Vec<f32> {
        let w: Vec<f64> = weights.iter().map(|&w| w.into()).collect();
        let (low, high) = (
            w.iter().copied().fold(f64::MAX, f64::min),
            w.iter().copied().fold(f64::MIN, f64::max),
        );
        let (max, least) = (f64::from(format.bits().max_code()), f64::from(format.min_code()));
        let read = |w: &f64| match range {
            CodeRange::Symmetric => {
                let scale = f64::from((low.abs().max(high.abs()) / max) as f32);
                scale * (w / scale).round_ties_even().clamp(-max, max)
            }
            CodeRange::MinMax => {
                let scale = f64::from(((high - low) / (max - least)) as f32);
                low + scale * ((w - low) / scale).round_ties_even()
            }
            CodeRange::ZeroPoint => {
                let (low, high) = (low.min(0.0), high.max(0.0));
                let scale = f64::from(((high - low) / (max - least)) as f32);
                let zero = (least - low / scale).round_ties_even().clamp(least, max);
                scale * (((w / scale).round_ties_even() + zero).clamp(least, max) - zero)
            }
        };
        w.iter().map(|w| read(w) as f32).collect()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let quantize = |weights: &[f32], shape: &[usize], scaling| {
            ScaledTensor::quantize(weights, shape, BitWidth::INT4, scaling).unwrap_err()
        };
        let channel = scaling(Granularity::Channel, Some(2), CodeRange::MinMax);
        assert!(matches!(quantize(&[1.0], &[1, 1], channel), QuantError::Axis { axis: 2, .. }));
        let plain = Scaling::default();
        assert!(matches!(quantize(&[1.0], &[1, 2], plain), QuantError::Shape { .. }));
        assert!(matches!(quantize(&[], &[0, 2], plain), QuantError::Empty { .. }));
        for range in CodeRange::ALL {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let error = quantize(&[1.0, bad], &[2], Scaling { range, ..plain }).to_string();
                assert!(error.starts_with("weight 1 is "), "{error}");
            }
        }
        let layout = GroupLayout::of(&[2, 2], Some(0), Granularity::Channel).unwrap();
        let grid = |origin| Grid::new(BitWidth::INT4, 1.0, origin).unwrap();
        let (zero, minimum) = (grid(Origin::Zero), grid(Origin::Minimum(1.0)));
        assert!(matches!(Scales::new(layout, &[zero]), Err(QuantError::Groups { .. })));
        assert!(matches!(Scales::new(layout, &[zero, minimum]), Err(QuantError::Groups { .. })));
        let scales = Scales::new(layout, &[zero, zero]).unwrap();
        let words = |words: Vec<u8>, shape: &[usize]| {
            ScaledTensor::from_words(words, shape, scales.clone()).map(|_| ())
        };
        assert_eq!(words(vec![0; 4], &[2, 2]), Ok(()));
        assert!(matches!(words(vec![0; 6], &[6]), Err(QuantError::Groups { .. })));
        assert!(matches!(words(vec![0, 0, 0, 16], &[4]), Err(QuantError::Word { index: 3, .. })));
    }

    #[test]
    fn all_that_is_stored_beside_the_words_is_counted() {
        let bits = |range| {
            let scaling = scaling(Granularity::Group(2), Some(0), range);
            let stored =
                ScaledTensor::quantize(&weights([3, 4, 5]), &[3, 4, 5], BitWidth::INT4, scaling);
            stored.unwrap().scales().metadata_bits()
        };
        // Thirty groups of two.
        let expected = [30 * 32, 30 * 64, 30 * 36];
        assert_eq!(CodeRange::ALL.map(bits), expected);
    }

    /// Zero is among the numbers of a zero-point range: what is pruned stays pruned.
    #[test]
    fn zeros_stay_zero() {
        let weights = [0.0, 0.731, -0.2, 0.0];
        for format in Format::all() {
            for range in [CodeRange::Symmetric, CodeRange::ZeroPoint] {
                let scaling = Scaling { range, ..Scaling::default() };
                let stored = ScaledTensor::quantize(&weights, &[4], format, scaling).unwrap();
                let read = stored.dequantize();
                assert_eq!((read[0], read[3]), (0.0, 0.0), "{format} {range}");
            }
        }
    }

    fn any_scaling() -> impl Strategy<Value = Scaling> {
        let granularity = prop_oneof![
            Just(Granularity::Tensor),
            Just(Granularity::Channel),
            (1_usize..5).prop_map(Granularity::Group),
        ];
        let (range, clip) = (
            prop::sample::select(CodeRange::ALL.to_vec()),
            prop::sample::select(Clip::ALL.to_vec()),
        );
        (granularity, 0_usize..2, range, clip).prop_map(|(granularity, axis, range, clip)| {
            Scaling { granularity, axis: Some(axis), range, clip }
        })
    }

    proptest! {
        /// Pieces of any size are quantized and read as the whole.
        #[test]
        fn pieces_agree_with_the_whole(
            scaling in any_scaling(),
            rows in 1_usize..6,
            columns in 1_usize..40,
            cut in any::<prop::sample::Index>(),
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
        ) {
            let count = rows * columns;
            let weights: Vec<f32> = (0..count).map(|i| (i as f32 * 0.71).sin() + 0.2).collect();
            let stored = ScaledTensor::quantize(&weights, &[rows, columns], format, scaling).unwrap();
            let cut = cut.index(count + 1);
            let (mut words, mut read) = (vec![0; count], vec![0.0; count]);
            for part in [0..cut, cut..count] {
                let (words, read) = (&mut words[part.clone()], &mut read[part.clone()]);
                stored.scales().quantize(part.start, &weights[part.clone()], words);
                stored.scales().dequantize(part.start, words, read);
            }
            prop_assert_eq!(&words, stored.words());
            prop_assert_eq!(&read, &stored.dequantize());
            let again = ScaledTensor::from_words(words, &[rows, columns], stored.scales().clone());
            prop_assert_eq!(again, Ok(stored));
        }

        /// What is read is quantized to the same words again, if the ends are those of the weights.
        #[test]
        fn quantizing_again_changes_no_word(
            weights in prop::collection::vec(-10.0_f32..10.0, 12),
            granularity in prop_oneof![Just(Granularity::Tensor), Just(Granularity::Channel)],
            range in prop::sample::select(vec![CodeRange::Symmetric, CodeRange::MinMax]),
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
        ) {
            let scaling = scaling(granularity, Some(1), range);
            let first = ScaledTensor::quantize(&weights, &[3, 4], format, scaling).unwrap();
            let again = ScaledTensor::quantize(&first.dequantize(), &[3, 4], format, scaling).unwrap();
            prop_assert_eq!(first.words(), again.words());
        }

        /// The outermost weights of a min-max group have the outermost codes.
        #[test]
        fn ends_have_the_end_codes(
            weights in prop::collection::vec(-10.0_f32..10.0, 2..40),
            format in prop::sample::select(Format::all().collect::<Vec<_>>()),
        ) {
            let scaling = scaling(Granularity::Tensor, None, CodeRange::MinMax);
            let stored = ScaledTensor::quantize(&weights, &[weights.len()], format, scaling).unwrap();
            let code = |i: usize| format.code_of(Word(stored.words()[i]));
            let least = (0..weights.len()).min_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap();
            let most = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap();
            prop_assert_eq!(code(least), Code(format.min_code()));
            if weights[least] < weights[most] {
                prop_assert_eq!(code(most), Code(format.bits().max_code()));
            }
        }
    }
}
