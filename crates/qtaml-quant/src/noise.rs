//! The noise of quantization: how far stored weights are from those that were given.

use multiversion::multiversion;

/// The noise that rounding and clipping add to weights, which may come in pieces.
///
/// ```
/// use qtaml_quant::{BitWidth, QuantizationNoise, QuantizedTensor};
///
/// let weights = [100.0, 0.1, -0.2, 0.3];
/// let stored = QuantizedTensor::quantize(&weights, &[4], BitWidth::INT8)?;
/// let mut noise = QuantizationNoise::default();
/// noise.add(&weights, &stored.dequantize());
/// assert_eq!((noise.weights(), noise.lost()), (4, 3));
/// assert!((noise.sqnr_db() - 48.5).abs() < 0.1);
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QuantizationNoise {
    sums: Sums,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sums {
    weights: u64,
    zeros: u64,
    lost: u64,
    signal: f64,
    noise: f64,
}

impl QuantizationNoise {
    /// Takes more weights into account, which are stored as the others.
    ///
    /// # Panics
    /// If there are not as many of both.
    pub fn add(&mut self, weights: &[f32], stored: &[f32]) {
        assert_eq!(weights.len(), stored.len(), "one stored weight for each");
        *self = self.and(Self { sums: sums(weights, stored) });
    }

    /// That of two parts of the weights.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (a, b) = (self.sums, other.sums);
        Self {
            sums: Sums {
                weights: a.weights + b.weights,
                zeros: a.zeros + b.zeros,
                lost: a.lost + b.lost,
                signal: a.signal + b.signal,
                noise: a.noise + b.noise,
            },
        }
    }

    /// The number of weights.
    pub fn weights(&self) -> u64 {
        self.sums.weights
    }

    /// Weights, zeros not among them, that are missed by at least what they are: in a symmetric range
    /// those that are rounded to zero.
    pub fn lost(&self) -> u64 {
        self.sums.lost
    }

    /// The share of the weights that are lost among those that are not zero, which cannot be lost; 0 without
    /// any.
    pub fn lost_share(&self) -> f64 {
        let could_be = self.sums.weights - self.sums.zeros;
        self.sums.lost as f64 / could_be.max(1) as f64
    }

    /// The mean square error per weight, in squared units of the weights; 0 without weights.
    pub fn mean_square_error(&self) -> f64 {
        if self.sums.weights == 0 { 0.0 } else { self.sums.noise / self.sums.weights as f64 }
    }

    /// The signal-to-quantization-noise ratio `10 lg (Σ w² / Σ (w - ŵ)²)`, in decibels; infinite without
    /// noise.
    pub fn sqnr_db(&self) -> f64 {
        if self.sums.noise == 0.0 {
            return f64::INFINITY;
        }
        10.0 * (self.sums.signal / self.sums.noise).log10()
    }
}

/// Sums that are kept apart, so that they can be added side by side.
const LANES: usize = 8;

#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn sums(weights: &[f32], stored: &[f32]) -> Sums {
    let (whole, rest) = weights.as_chunks::<LANES>();
    let (stored, stored_rest) = stored.as_chunks::<LANES>();
    let (mut signal, mut noise) = ([0.0; LANES], [0.0; LANES]);
    let (mut zeros, mut lost) = ([0_u64; LANES], [0_u64; LANES]);
    for (weights, stored) in whole.iter().zip(stored) {
        for lane in 0..LANES {
            let (weight, off) =
                (f64::from(weights[lane]), f64::from(weights[lane]) - f64::from(stored[lane]));
            signal[lane] += weight * weight;
            noise[lane] += off * off;
            zeros[lane] += u64::from(weight == 0.0);
            lost[lane] += u64::from(weight != 0.0 && off.abs() >= weight.abs());
        }
    }
    let mut sums = Sums {
        weights: weights.len() as u64,
        zeros: zeros.iter().sum(),
        lost: lost.iter().sum(),
        signal: signal.iter().sum(),
        noise: noise.iter().sum(),
    };
    for (&weight, &stored) in rest.iter().zip(stored_rest) {
        let (weight, off) = (f64::from(weight), f64::from(weight) - f64::from(stored));
        sums.signal += weight * weight;
        sums.noise += off * off;
        sums.zeros += u64::from(weight == 0.0);
        sums.lost += u64::from(weight != 0.0 && off.abs() >= weight.abs());
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Format, QuantizedTensor};

    fn of(weights: &[f32], stored: &[f32]) -> QuantizationNoise {
        let mut noise = QuantizationNoise::default();
        noise.add(weights, stored);
        noise
    }

    #[test]
    fn nothing_has_no_noise() {
        let nothing = QuantizationNoise::default();
        assert_eq!((nothing.mean_square_error(), nothing.lost()), (0.0, 0));
        assert_eq!(nothing.sqnr_db(), f64::INFINITY);
        assert_eq!(of(&[0.0; 20], &[0.0; 20]).lost(), 0);
        assert_eq!([nothing.lost_share(), of(&[0.0; 20], &[0.0; 20]).lost_share()], [0.0; 2]);
        assert_eq!(of(&[0.0, 0.0, 1.0, 0.1], &[0.0, 0.0, 1.0, 0.0]).lost_share(), 0.5);
        assert_eq!(of(&[&[0.0; 10][..], &[0.1; 10]].concat(), &[0.0; 20]).lost_share(), 1.0);
        assert_eq!(of(&[0.0; 2], &[1.0; 2]).sqnr_db(), f64::NEG_INFINITY);
    }

    /// Evenly spread weights in b bits: the step `Δ` leaves `Δ²/12`, some 6 dB a bit.
    #[test]
    fn it_is_a_twelfth_of_the_squared_step_where_weights_are_spread_evenly() {
        let weights: Vec<f32> = (0..100_001).map(|i| i as f32 / 50_000.0 - 1.0).collect();
        for format in Format::all() {
            let stored = QuantizedTensor::quantize(&weights, &[weights.len()], format).unwrap();
            let noise = of(&weights, &stored.dequantize());
            let step = f64::from(stored.scale());
            let ratio = noise.mean_square_error() / (step * step / 12.0);
            assert!((ratio - 1.0).abs() < 0.01, "{format}: {ratio}");
            let expected = 10.0 * (4.0 / (step * step)).log10();
            assert!((noise.sqnr_db() - expected).abs() < 0.05, "{format}");
        }
    }

    proptest! {
        #[test]
        fn pieces_add_up(
            pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let (weights, stored): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let cut = cut.index(weights.len() + 1);
            let mut pieces = of(&weights[..cut], &stored[..cut]);
            pieces.add(&weights[cut..], &stored[cut..]);
            let whole = of(&weights, &stored);
            let lost = weights.iter().zip(&stored).filter(|(w, s)| {
                **w != 0.0 && (f64::from(**w) - f64::from(**s)).abs() >= f64::from(w.abs())
            });
            prop_assert_eq!((whole.lost(), pieces.lost()), (lost.count() as u64, whole.lost()));
            prop_assert!((whole.mean_square_error() - pieces.mean_square_error()).abs() < 1e-12);
        }
    }
}
