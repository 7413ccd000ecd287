//! How far a layer is off, as a function of the bits that are protected.

use qtaml_fault::{ChannelMatrix, CodeChannel};
use qtaml_quant::{BitWidth, QuantizedTensor};

use crate::{CompensationError, DecodeTable};

/// How often each word is stored in a tensor: all that the error law needs to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeHistogram {
    bits: BitWidth,
    share: Vec<f64>,
}

impl CodeHistogram {
    /// The histogram of a stored tensor. Shares sum to 1.
    pub fn of(stored: &QuantizedTensor) -> Self {
        let bits = stored.bits();
        let mut share = vec![0.0; bits.levels()];
        let one = 1.0 / stored.len() as f64;
        for &word in stored.words() {
            share[usize::from(word)] += one;
        }
        Self { bits, share }
    }

    /// The words that occur, with their shares.
    pub fn iter(&self) -> impl Iterator<Item = (u8, f64)> {
        self.bits.words().zip(self.share.iter().copied()).filter(|&(_, share)| share > 0.0)
    }
}

/// Mean square error per weight of a tensor read through `channel` and decoded by `table`, in
/// squared units of the code: exact, by summation over all words, without sampling.
///
/// # Formula
/// `Σ_q π(q) Σ_y P(y | q) (g(y) - q)^2` (docs/theory.md, section 3).
pub fn mean_square_error(
    histogram: &CodeHistogram,
    channel: &CodeChannel,
    table: &DecodeTable,
) -> f64 {
    let matrix = ChannelMatrix::new(channel);
    histogram
        .iter()
        .map(|(stored, share)| {
            let code = f64::from(channel.format().code_of(stored));
            share * matrix.expect(stored, |read| (table.value(read) - code).powi(2))
        })
        .sum()
}

/// What the faults in one layer do to the network's output, for every number of protected bits.
///
/// `D_l(k) = S_l mse_l(k)` with the score `S_l = ||J_l||_F^2 Δ_l^2`, `Δ_l` proportional to
/// `||W_l||_inf` (docs/theory.md, section 4).
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDistortion {
    name: String,
    weights: usize,
    by_protected: Vec<f64>,
}

impl LayerDistortion {
    /// A layer of so many weights whose distortion with `k` protected top bits is
    /// `by_protected[k]`, for `k` in `0..=b`.
    ///
    /// # Errors
    /// [`CompensationError::EmptyLayer`] without weights, [`CompensationError::Distortion`] for a
    /// distortion that is negative, NaN or infinite, or if there is none.
    pub fn new(
        name: impl Into<String>,
        weights: usize,
        by_protected: Vec<f64>,
    ) -> Result<Self, CompensationError> {
        let name = name.into();
        if weights == 0 {
            return Err(CompensationError::EmptyLayer(name));
        }
        let bad = |d: &f64| !(d.is_finite() && *d >= 0.0);
        let offending = match by_protected.iter().position(bad) {
            Some(protected) => Some((protected, by_protected[protected])),
            None => by_protected.is_empty().then_some((0, f64::NAN)),
        };
        match offending {
            Some((protected, value)) => {
                Err(CompensationError::Distortion { layer: name, protected, value })
            }
            None => Ok(Self { name, weights, by_protected }),
        }
    }

    /// The layer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.weights
    }

    /// The distortion with 0, 1, ... b protected bits.
    pub fn by_protected(&self) -> &[f64] {
        &self.by_protected
    }

    /// The largest number of bits that can be protected.
    pub fn max_protected(&self) -> usize {
        self.by_protected.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::Protection;
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::Decoder;

    fn stored() -> QuantizedTensor {
        let weights: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        QuantizedTensor::quantize(&weights, &[1000], BitWidth::INT8).unwrap()
    }

    #[test]
    fn shares_sum_to_one() {
        let total: f64 = CodeHistogram::of(&stored()).iter().map(|(_, share)| share).sum();
        assert_relative_eq!(total, 1.0, max_relative = 1e-12);
    }

    /// Summation over the matrix against bias and variance in closed form, weight by weight.
    #[test]
    fn the_error_is_variance_plus_squared_bias() {
        let tensor = stored();
        let p = FlipProbability::asymmetric(0.1, 0.2).unwrap();
        for k in 0..=8 {
            let protection = Protection::top(k, BitWidth::INT8).unwrap();
            let channel = CodeChannel::new(p, BitWidth::INT8, protection).unwrap();
            let histogram = CodeHistogram::of(&tensor);
            let n = tensor.len() as f64;

            let raw = DecodeTable::new(Decoder::Raw, &channel).unwrap();
            let expected: f64 = tensor
                .words()
                .iter()
                .map(|&word| channel.drift(word).powi(2) + channel.variance(word))
                .sum();
            let error = mean_square_error(&histogram, &channel, &raw);
            assert_relative_eq!(error, expected / n, epsilon = 1e-9, max_relative = 1e-9);

            let affine = DecodeTable::new(Decoder::Affine, &channel).unwrap();
            let variance: f64 = tensor.words().iter().map(|&word| channel.variance(word)).sum();
            let expected = variance / (1.0_f64 - 0.1 - 0.2).powi(2) / n;
            let error = mean_square_error(&histogram, &channel, &affine);
            assert_relative_eq!(error, expected, epsilon = 1e-9, max_relative = 1e-9);
        }
    }

    /// The affine decoder is unbiased, but for a symmetric channel the noise that it adds outweighs
    /// the bias that it removes, for every single code (docs/theory.md, section 3).
    #[test]
    fn raw_is_never_further_off_than_affine_on_a_symmetric_channel() {
        for p in [1e-3, 0.05, 0.1, 0.3, 0.49] {
            for k in 0..=8 {
                let protection = Protection::top(k, BitWidth::INT8).unwrap();
                let p = FlipProbability::symmetric(p).unwrap();
                let channel = CodeChannel::new(p, BitWidth::INT8, protection).unwrap();
                let [raw, affine] = [Decoder::Raw, Decoder::Affine]
                    .map(|decoder| DecodeTable::new(decoder, &channel).unwrap());
                let matrix = ChannelMatrix::new(&channel);
                for stored in BitWidth::INT8.words() {
                    let code = f64::from(channel.format().code_of(stored));
                    let [raw, affine] = [&raw, &affine].map(|table| {
                        matrix.expect(stored, |read| (table.value(read) - code).powi(2))
                    });
                    assert!(raw <= affine * (1.0 + 1e-9) + 1e-9, "{p} k {k} code {code}");
                }
            }
        }
    }

    #[test]
    fn bad_layers_are_named() {
        assert_eq!(
            LayerDistortion::new("fc", 0, vec![1.0]),
            Err(CompensationError::EmptyLayer("fc".into()))
        );
        let error = LayerDistortion::new("fc", 1, vec![1.0, -2.0]).unwrap_err().to_string();
        assert!(error.contains("\"fc\" has distortion -2 with 1 bits"), "{error}");
        assert!(LayerDistortion::new("fc", 1, vec![]).is_err());
    }
}
