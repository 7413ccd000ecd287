//! What rounding makes of a tensor: a scale for each group of it, and the error that is left.

use std::sync::atomic::{AtomicU32, Ordering};

use qtaml::quant::{
    Code, CodeRange, Format, Grid, GroupLayout, QuantError, QuantizationNoise, Scales,
};

/// The largest magnitude of each group, found by several threads at once.
#[derive(Debug)]
pub(super) struct Largest {
    layout: GroupLayout,
    /// The bits of magnitudes are in their order.
    bits: Vec<AtomicU32>,
}

impl Largest {
    pub(super) fn new(layout: GroupLayout) -> Self {
        Self { layout, bits: (0..layout.groups()).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Takes finite weights into account, the first of which is weight `first`.
    pub(super) fn see(&self, values: &[f32], first: usize) {
        let positions = first..first + values.len();
        if let Some(stretches) = self.layout.across(positions.clone()) {
            for across in stretches {
                let values = &values[across.within(first)];
                across
                    .groups()
                    .zip(values)
                    .for_each(|(group, value)| self.see_one(group, value.abs()));
            }
            return;
        }
        for run in self.layout.runs(positions) {
            let values = &values[run.within(first)];
            let largest = values.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            self.see_one(run.group, largest);
        }
    }

    fn see_one(&self, group: usize, magnitude: f32) {
        let (largest, known) = (magnitude.to_bits(), &self.bits[group]);
        // Most are no longer the largest: reading costs less than writing.
        if largest > known.load(Ordering::Relaxed) {
            known.fetch_max(largest, Ordering::Relaxed);
        }
    }

    /// The grid of each group, from its largest magnitude.
    pub(super) fn into_rounding(self, format: Format) -> Result<Rounding, QuantError> {
        let lost = self.bits.iter().map(|_| AtomicU32::new(0)).collect();
        let grid = |bits: AtomicU32| {
            let largest = f32::from_bits(bits.into_inner());
            Grid::spanning(format, CodeRange::Symmetric, -largest, largest)
        };
        let grids = self.bits.into_iter().map(grid).collect::<Result<Vec<_>, QuantError>>()?;
        Ok(Rounding { scales: Scales::new(self.layout, &grids)?, lost })
    }
}

/// The way of weights to words and back.
#[derive(Debug)]
pub(super) struct Rounding {
    scales: Scales,
    /// The weights of each group that are not zero and become it.
    lost: Vec<AtomicU32>,
}

/// The error of rounding, and what it makes of weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rounded {
    pub(super) noise: QuantizationNoise,
    /// Weights whose code is zero.
    pub(super) zeros: u64,
}

impl Rounding {
    pub(super) fn count(&self) -> usize {
        self.scales.scales().len()
    }

    /// The scales whose lowest code, which no weight has but a fault can make, is beyond `largest`.
    pub(super) fn beyond(&self, largest: f32) -> usize {
        let lowest = self.scales.format().min_code() as f32;
        self.scales.scales().iter().filter(|&&scale| (scale * lowest).abs() > largest).count()
    }

    /// The scales that have rounded more than half of their weights to zero: those of a channel with
    /// one huge weight.
    pub(super) fn emptying(&self) -> usize {
        let layout = self.scales.layout();
        let lost = self.lost.iter().map(|lost| lost.load(Ordering::Relaxed) as usize);
        lost.enumerate().filter(|&(group, lost)| 2 * lost > layout.range(group).len()).count()
    }

    /// What rounding makes of finite weights, the first of which is weight `first`.
    pub(super) fn round(&self, values: &[f32], first: usize) -> Rounded {
        let (mut words, mut stored) = (vec![0; values.len()], vec![0.0; values.len()]);
        self.scales.quantize(first, values, &mut words);
        self.scales.dequantize(first, &words, &mut stored);
        let mut noise = QuantizationNoise::default();
        noise.add(values, &stored);
        let zero = self.scales.format().word_of(Code(0)).0;
        if noise.lost() > 0 {
            self.count_lost(values, &words, first, zero);
        }
        Rounded { noise, zeros: words.iter().map(|&word| u64::from(word == zero)).sum() }
    }

    /// Counts in each group the weights other than zero that have its word.
    fn count_lost(&self, values: &[f32], words: &[u8], first: usize, zero: u8) {
        let is_lost = |(&value, &word): (&f32, &u8)| word == zero && value != 0.0;
        let (layout, positions) = (self.scales.layout(), first..first + values.len());
        if let Some(stretches) = layout.across(positions.clone()) {
            for across in stretches {
                let here = across.within(first);
                let pairs = values[here.clone()].iter().zip(&words[here]);
                for (group, _) in across.groups().zip(pairs).filter(|(_, pair)| is_lost(*pair)) {
                    self.lost[group].fetch_add(1, Ordering::Relaxed);
                }
            }
            return;
        }
        for run in layout.runs(positions) {
            let here = run.within(first);
            let pairs = values[here.clone()].iter().zip(&words[here]);
            let lost = pairs.filter(|pair| is_lost(*pair)).count() as u32;
            if lost > 0 {
                self.lost[run.group].fetch_add(lost, Ordering::Relaxed);
            }
        }
    }
}

impl Rounded {
    pub(super) fn and(self, other: Self) -> Self {
        Self { noise: self.noise.and(other.noise), zeros: self.zeros + other.zeros }
    }

    /// Signal to quantization noise in dB; none without noise.
    pub(super) fn sqnr(&self) -> Option<f64> {
        Some(self.noise.sqnr_db()).filter(|db| db.is_finite())
    }

    /// The share of codes that are zero.
    pub(super) fn zero_share(&self) -> f64 {
        self.zeros as f64 / self.noise.weights().max(1) as f64
    }

    /// The share of the weights that are not zero and become it.
    pub(super) fn lost_share(&self) -> f64 {
        self.noise.lost_share()
    }
}

#[cfg(test)]
mod tests {
    use qtaml::quant::{BitWidth, ChannelMajor, Encoding, Granularity, QuantizedTensor};

    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.37).sin() * (i % 13) as f32).collect()
    }

    fn layout(shape: &[usize], axis: usize, scope: Granularity) -> GroupLayout {
        GroupLayout::of(shape, Some(axis), scope).unwrap()
    }

    /// The weights of each scale, in the order of the library.
    fn by_library(
        values: &[f32],
        shape: &[usize],
        axis: usize,
        scope: Granularity,
    ) -> Vec<Vec<f32>> {
        let axis = (scope != Granularity::Tensor).then_some(axis);
        let order = ChannelMajor::new(shape, axis);
        let channels = axis.map_or(1, |axis| shape[axis]);
        let sorted: Vec<f32> = order.positions(0..values.len()).map(|i| values[i]).collect();
        let channel = values.len() / channels;
        let group = if let Granularity::Group(group) = scope { group } else { channel };
        sorted.chunks(channel).flat_map(|c| c.chunks(group)).map(<[f32]>::to_vec).collect()
    }

    /// Against the quantization of the library, slice by slice.
    #[test]
    fn parts_are_rounded_as_the_library_does() {
        let shapes =
            [(vec![6, 20], 0), (vec![6, 20], 1), (vec![3, 4, 5, 2], 1), (vec![4, 3, 7], 2)];
        for (shape, axis) in shapes {
            let weights = values(shape.iter().product());
            for scope in [Granularity::Tensor, Granularity::Channel, Granularity::Group(7)] {
                for bits in [BitWidth::INT8, BitWidth::new(3).unwrap()] {
                    let format = Format::new(bits, Encoding::Gray);
                    let layout = layout(&shape, axis, scope);
                    let slices = by_library(&weights, &shape, axis, scope);
                    assert_eq!(layout.groups(), slices.len(), "{shape:?} {scope}");
                    let is_as_long =
                        |(i, slice): (usize, &Vec<f32>)| layout.range(i).len() == slice.len();
                    assert!(slices.iter().enumerate().all(is_as_long));
                    let largest = Largest::new(layout);
                    // In pieces that no part ends with.
                    let pieces =
                        || weights.chunks(11).enumerate().map(|(i, piece)| (piece, 11 * i));
                    pieces().for_each(|(piece, first)| largest.see(piece, first));
                    let scales = largest.into_rounding(format).unwrap();
                    let rounded = pieces()
                        .map(|(piece, first)| scales.round(piece, first))
                        .fold(Rounded::default(), Rounded::and);

                    let stored: Vec<_> = slices
                        .iter()
                        .map(|slice| {
                            QuantizedTensor::quantize(slice, &[slice.len()], format).unwrap()
                        })
                        .collect();
                    let expected: Vec<f32> = stored.iter().map(QuantizedTensor::scale).collect();
                    assert_eq!(scales.scales.scales(), expected, "{shape:?} {axis} {scope}");
                    let mut noise = 0.0;
                    for (slice, stored) in slices.iter().zip(&stored) {
                        for (&w, stored) in slice.iter().zip(stored.dequantize()) {
                            noise += (f64::from(w) - f64::from(stored)).powi(2);
                        }
                    }
                    let zeros: usize =
                        stored.iter().map(|s| s.codes().filter(|&code| code == 0).count()).sum();
                    let found = rounded.noise.mean_square_error() * weights.len() as f64;
                    assert!((found - noise).abs() <= 1e-9 * noise, "{shape:?} {scope}");
                    assert_eq!(rounded.zeros, zeros as u64);
                }
            }
        }
    }

    #[test]
    fn zeros_that_were_zeros_are_not_lost() {
        let layout = layout(&[1, 6], 0, Granularity::Channel);
        let largest = Largest::new(layout);
        let weights = [127.0, 0.0, 0.0, 0.2, 0.3, -1.0];
        largest.see(&weights, 0);
        let scales = largest.into_rounding(Format::INT8).unwrap();
        let rounded = scales.round(&weights, 0);
        assert_eq!((rounded.zeros, rounded.noise.lost()), (4, 2));
        assert_eq!(rounded.lost_share(), 0.5);
        assert_eq!(scales.emptying(), 0, "two of six");
        let expected = 10.0 * ((127.0_f64.powi(2) + 1.13) / 0.13).log10();
        assert!((rounded.sqnr().unwrap() - expected).abs() < 1e-6);
        let none = Largest::new(layout).into_rounding(Format::INT8).unwrap().round(&[0.0; 6], 0);
        assert_eq!((none.sqnr(), none.lost_share(), none.zero_share()), (None, 0.0, 1.0));
    }

    /// Fault 13: the largest F16 is a code of 127, and that of -128 is beyond.
    #[test]
    fn codes_beyond_the_type_are_counted() {
        let largest = Largest::new(layout(&[2, 2], 0, Granularity::Channel));
        largest.see(&[65504.0, 0.0, 0.0, 1.0], 0);
        let scales = largest.into_rounding(Format::INT8).unwrap();
        assert_eq!((scales.count(), scales.beyond(65504.0)), (2, 1));
    }
}
