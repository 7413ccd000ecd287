//! Histograms of stored words.

use qtaml_quant::{Format, QuantizedTensor, Word};

use crate::DecoderError;

/// How often each word is stored in a unit of weights: all that the error distribution, and a decoder, need
/// to know of it.
///
/// ```
/// use qtaml_compensation::CodeHistogram;
/// use qtaml_quant::{BitWidth, QuantizedTensor};
///
/// let stored = QuantizedTensor::quantize(&[0.5, -1.0, 0.5, 1.0], &[4], BitWidth::new(2)?)?;
/// let histogram = CodeHistogram::of(&stored);
/// assert_eq!(histogram.shares(), [0.5, 0.25, 0.0, 0.25]);
/// assert_eq!(histogram.mean_square(), 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CodeHistogram {
    format: Format,
    weights: f64,
    shares: Vec<f64>,
}

impl CodeHistogram {
    /// The histogram of a stored tensor. Shares sum to 1.
    pub fn of(stored: &QuantizedTensor) -> Self {
        let mut counts = vec![0.0; stored.bits().levels()];
        for &word in stored.words() {
            counts[usize::from(word)] += 1.0;
        }
        Self::normalised(stored.format(), counts)
    }

    /// The histogram of words that are stored so many times each, in the order of their bit
    /// patterns; a width alone stands for two's complement.
    ///
    /// # Errors
    /// [`DecoderError::Counts`] unless there is one count per word and one above 0.
    pub fn from_counts(format: impl Into<Format>, counts: &[u64]) -> Result<Self, DecoderError> {
        let format = format.into();
        if counts.len() != format.bits().levels() || counts.iter().all(|&count| count == 0) {
            return Err(DecoderError::Counts { given: counts.len(), format });
        }
        Ok(Self::normalised(format, counts.iter().map(|&count| count as f64).collect()))
    }

    /// Counts of words, at least one of them above 0.
    pub(crate) fn normalised(format: Format, counts: Vec<f64>) -> Self {
        let weights: f64 = counts.iter().sum();
        Self { format, weights, shares: counts }.scaled(1.0 / weights)
    }

    /// Shares of words, which sum to 1, of so many weights.
    pub(crate) fn of_shares(format: Format, weights: f64, shares: Vec<f64>) -> Self {
        Self { format, weights, shares }
    }

    /// How often each word was counted: [`from_counts`](Self::from_counts) leads back.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.shares.iter().map(|share| (share * self.weights).round() as u64).collect()
    }

    fn scaled(mut self, factor: f64) -> Self {
        self.shares.iter_mut().for_each(|share| *share *= factor);
        self
    }

    /// What the words mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The number of weights that were counted.
    pub fn weights(&self) -> f64 {
        self.weights
    }

    /// The share of every word, in the order of their bit patterns.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The words that occur, with their shares.
    pub fn iter(&self) -> impl Iterator<Item = (Word, f64)> {
        let words = self.format.bits().words();
        words.zip(self.shares.iter().copied()).filter(|&(_, share)| share > 0.0)
    }

    /// `E[f(q)]` over the stored codes `q`.
    pub(crate) fn expect(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.iter().map(|(word, share)| share * f(f64::from(self.format.code_of(word)))).sum()
    }

    /// The mean code.
    pub fn mean(&self) -> f64 {
        self.expect(|code| code)
    }

    /// The mean square of the codes, in squared units of the code.
    pub fn mean_square(&self) -> f64 {
        self.expect(|code| code * code)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_quant::{BitWidth, Encoding};

    use super::*;

    #[test]
    fn moments_are_those_of_the_codes() {
        let weights: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        for format in Format::all() {
            let stored = QuantizedTensor::quantize(&weights, &[1000], format).unwrap();
            let histogram = CodeHistogram::of(&stored);
            let mean = |f: fn(f64) -> f64| -> f64 {
                stored.codes().map(|q| f(f64::from(q))).sum::<f64>() / 1000.0
            };
            assert_relative_eq!(histogram.shares().iter().sum::<f64>(), 1.0, epsilon = 1e-12);
            assert_relative_eq!(histogram.mean(), mean(|q| q), epsilon = 1e-10);
            assert_relative_eq!(histogram.mean_square(), mean(|q| q * q), max_relative = 1e-12);
        }
    }

    #[test]
    fn counts_are_shares_of_their_words() {
        let format = Format::new(BitWidth::new(2).unwrap(), Encoding::SignMagnitude);
        let histogram = CodeHistogram::from_counts(format, &[2, 1, 0, 5]).unwrap();
        assert_eq!((histogram.format(), histogram.weights()), (format, 8.0));
        assert_eq!(
            histogram.iter().collect::<Vec<_>>(),
            [(0, 0.25), (1, 0.125), (3, 0.625)].map(|(word, share)| (Word(word), share))
        );
        assert_eq!(histogram.mean(), 0.125 - 0.625);
    }

    #[test]
    fn counts_that_are_no_histogram_are_refused() {
        for counts in [&[][..], &[1; 15], &[0; 16]] {
            let error = CodeHistogram::from_counts(BitWidth::INT4, counts).unwrap_err();
            assert!(error.to_string().contains("takes 16"), "{error}");
        }
    }
}
