//! What rounding makes of a tensor: a scale for each part of it, and the error that is left.

use std::sync::atomic::{AtomicU32, Ordering};

use qtaml::deploy::Granularity;
use qtaml::quant::Format;

/// The parts of a tensor that have a scale each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    channels: usize,
    /// Weights of one channel.
    channel: usize,
    /// Those of them in a row.
    inner: usize,
    /// Weights of one channel with a scale of their own, and the number of such groups in a channel.
    group: usize,
    groups: usize,
}

impl Parts {
    /// The parts of a tensor of some shape, whose output channels are along `axis`.
    pub(super) fn new(shape: &[usize], axis: usize, granularity: Granularity) -> Self {
        let all = shape.iter().product::<usize>().max(1);
        let channels = match granularity {
            Granularity::Tensor => 1,
            _ => shape.get(axis).copied().unwrap_or(1).max(1),
        };
        let inner = match granularity {
            Granularity::Tensor => all,
            _ => shape.iter().skip(axis + 1).product::<usize>().max(1),
        };
        let channel = all / channels;
        let group = match granularity {
            Granularity::Group(group) => group.clamp(1, channel),
            _ => channel,
        };
        Self { channels, channel, inner, group, groups: channel.div_ceil(group) }
    }

    /// The number of scales.
    pub(super) const fn count(self) -> usize {
        self.channels * self.groups
    }

    /// The weights of a part; the last one of a channel may have fewer.
    const fn len(self, part: usize) -> usize {
        let behind = self.channel - part % self.groups * self.group;
        if behind < self.group { behind } else { self.group }
    }

    /// Calls `visit` with the part and the weights of each run of `values`, which begin with weight
    /// `first`: weights in a row that share a scale.
    fn for_each_run(self, values: &[f32], first: usize, mut visit: impl FnMut(usize, &[f32])) {
        let Self { channels, inner, group, groups, .. } = self;
        let mut within = first % inner;
        let mut channel = first / inner % channels;
        let mut outer = first / inner / channels;
        let mut rest = values;
        while !rest.is_empty() {
            let (part, most) = if groups == 1 {
                (channel, inner - within)
            } else {
                let place = outer * inner + within;
                (channel * groups + place / group, (inner - within).min(group - place % group))
            };
            let (run, behind) = rest.split_at(most.min(rest.len()));
            visit(part, run);
            (rest, within) = (behind, within + run.len());
            if within == inner {
                (within, channel) = (0, channel + 1);
                if channel == channels {
                    (channel, outer) = (0, outer + 1);
                }
            }
        }
    }
}

/// The largest magnitude of each part, found by several threads at once.
#[derive(Debug)]
pub(super) struct Largest {
    parts: Parts,
    /// The bits of magnitudes are in their order.
    bits: Vec<AtomicU32>,
}

impl Largest {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, bits: (0..parts.count()).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Takes finite weights into account, the first of which is weight `first`.
    pub(super) fn see(&self, values: &[f32], first: usize) {
        self.parts.for_each_run(values, first, |part, run| {
            let largest = run.iter().fold(0.0_f32, |max, value| max.max(value.abs())).to_bits();
            let known = &self.bits[part];
            // Most runs are no longer the largest: reading costs less than writing.
            if largest > known.load(Ordering::Relaxed) {
                known.fetch_max(largest, Ordering::Relaxed);
            }
        });
    }

    /// The scale of each part, from its largest magnitude.
    pub(super) fn into_scales(self, format: Format) -> Scales {
        let most = f64::from(format.bits().max_code());
        // As `QuantizedTensor` has it: every code times it is finite.
        let largest = f32::MAX / (format.bits().max_code() + 1) as f32;
        let scale = |bits: AtomicU32| {
            ((f64::from(f32::from_bits(bits.into_inner())) / most) as f32).min(largest)
        };
        let lost = self.bits.iter().map(|_| AtomicU32::new(0)).collect();
        let steps = self.bits.into_iter().map(scale).collect();
        Scales { parts: self.parts, format, steps, lost }
    }
}

/// The scale of each part.
#[derive(Debug)]
pub(super) struct Scales {
    parts: Parts,
    format: Format,
    steps: Vec<f32>,
    /// The weights of each part that are not zero and become it.
    lost: Vec<AtomicU32>,
}

/// The error of rounding, and what it makes of weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rounded {
    /// Sum of the squares of the weights.
    pub(super) signal: f64,
    /// Sum of the squares of the errors.
    pub(super) noise: f64,
    /// Weights whose code is zero.
    pub(super) zeros: u64,
    /// Those among them that are not zero.
    pub(super) lost: u64,
    pub(super) weights: u64,
}

/// Adding this number to one of less than 2^51 and taking it away again rounds, ties to even.
const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;

impl Scales {
    pub(super) fn count(&self) -> usize {
        self.steps.len()
    }

    /// The scales whose lowest code, which no weight has but a fault can make, is beyond `largest`.
    pub(super) fn beyond(&self, largest: f32) -> usize {
        let lowest = self.format.min_code() as f32;
        self.steps.iter().filter(|&&scale| (scale * lowest).abs() > largest).count()
    }

    /// The scales that have rounded more than half of their weights to zero: those of a channel with
    /// one huge weight.
    pub(super) fn emptying(&self) -> usize {
        let lost = self.lost.iter().map(|lost| lost.load(Ordering::Relaxed) as usize);
        lost.enumerate().filter(|&(part, lost)| 2 * lost > self.parts.len(part)).count()
    }

    /// What rounding makes of finite weights, the first of which is weight `first`. The encoding of
    /// the codes does not matter, as nothing is read wrong.
    pub(super) fn round(&self, values: &[f32], first: usize) -> Rounded {
        let mut rounded = Rounded { weights: values.len() as u64, ..Rounded::default() };
        let most = f64::from(self.format.bits().max_code());
        self.parts.for_each_run(values, first, |part, run| {
            let scale = f64::from(self.steps[part]);
            let in_one = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            let lost_before = rounded.lost;
            for &value in run {
                let value = f64::from(value);
                let code = (value * in_one).clamp(-most, most) + WHOLE - WHOLE;
                let error = value - scale * code;
                rounded.signal += value * value;
                rounded.noise += error * error;
                rounded.zeros += u64::from(code == 0.0);
                rounded.lost += u64::from(code == 0.0 && value != 0.0);
            }
            if rounded.lost > lost_before {
                let lost = (rounded.lost - lost_before) as u32;
                self.lost[part].fetch_add(lost, Ordering::Relaxed);
            }
        });
        rounded
    }
}

impl Rounded {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            signal: self.signal + other.signal,
            noise: self.noise + other.noise,
            zeros: self.zeros + other.zeros,
            lost: self.lost + other.lost,
            weights: self.weights + other.weights,
        }
    }

    /// Signal to quantization noise in dB; none without noise.
    pub(super) fn sqnr(&self) -> Option<f64> {
        (self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }

    /// The share of codes that are zero.
    pub(super) fn zero_share(&self) -> f64 {
        self.zeros as f64 / self.weights.max(1) as f64
    }

    /// The share of the weights that are not zero and become it.
    pub(super) fn lost_share(&self) -> f64 {
        let not_zero = self.weights - (self.zeros - self.lost);
        self.lost as f64 / not_zero.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use qtaml::deploy::ChannelMajor;
    use qtaml::quant::{BitWidth, Encoding, QuantizedTensor};

    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.37).sin() * (i % 13) as f32).collect()
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
                    let parts = Parts::new(&shape, axis, scope);
                    let slices = by_library(&weights, &shape, axis, scope);
                    assert_eq!(parts.count(), slices.len(), "{shape:?} {scope}");
                    assert!(
                        slices.iter().enumerate().all(|(i, slice)| parts.len(i) == slice.len())
                    );
                    let largest = Largest::new(parts);
                    // In pieces that no part ends with.
                    let pieces =
                        || weights.chunks(11).enumerate().map(|(i, piece)| (piece, 11 * i));
                    pieces().for_each(|(piece, first)| largest.see(piece, first));
                    let scales = largest.into_scales(format);
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
                    assert_eq!(scales.steps, expected, "{shape:?} {axis} {scope}");
                    let mut noise = 0.0;
                    for (slice, stored) in slices.iter().zip(&stored) {
                        for (&w, code) in slice.iter().zip(stored.codes()) {
                            noise += (f64::from(w) - f64::from(stored.scale()) * f64::from(code))
                                .powi(2);
                        }
                    }
                    let zeros: usize =
                        stored.iter().map(|s| s.codes().filter(|&code| code == 0).count()).sum();
                    assert!((rounded.noise - noise).abs() <= 1e-9 * noise, "{shape:?} {scope}");
                    assert_eq!(rounded.zeros, zeros as u64);
                }
            }
        }
    }

    #[test]
    fn zeros_that_were_zeros_are_not_lost() {
        let parts = Parts::new(&[1, 6], 0, Granularity::Channel);
        let largest = Largest::new(parts);
        let weights = [127.0, 0.0, 0.0, 0.2, 0.3, -1.0];
        largest.see(&weights, 0);
        let scales = largest.into_scales(Format::INT8);
        let rounded = scales.round(&weights, 0);
        assert_eq!((rounded.zeros, rounded.lost), (4, 2));
        assert_eq!(rounded.lost_share(), 0.5);
        assert_eq!(scales.emptying(), 0, "two of six");
        let expected = 10.0 * ((127.0_f64.powi(2) + 1.13) / 0.13).log10();
        assert!((rounded.sqnr().unwrap() - expected).abs() < 1e-6);
        let none = Largest::new(parts).into_scales(Format::INT8).round(&[0.0; 6], 0);
        assert_eq!((none.sqnr(), none.lost_share(), none.zero_share()), (None, 0.0, 1.0));
    }

    /// Fault 13: the largest F16 is a code of 127, and that of -128 is beyond.
    #[test]
    fn codes_beyond_the_type_are_counted() {
        let largest = Largest::new(Parts::new(&[2, 2], 0, Granularity::Channel));
        largest.see(&[65504.0, 0.0, 0.0, 1.0], 0);
        let scales = largest.into_scales(Format::INT8);
        assert_eq!((scales.count(), scales.beyond(65504.0)), (2, 1));
    }
}
