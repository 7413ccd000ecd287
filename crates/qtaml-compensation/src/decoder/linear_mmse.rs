//! The linear MMSE decoder.

use qtaml_fault::{FaultError, QuantizedChannel};

use super::raw;
use crate::CodeHistogram;

pub(super) fn values(
    channel: &QuantizedChannel,
    prior: &CodeHistogram,
) -> Result<Vec<f64>, FaultError> {
    let codes = raw::values(channel.format());
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let read = channel.pass(prior.shares())?;

    // Both deviations are taken before they are multiplied: nothing large is subtracted.
    let (mean_stored, mean_read) = (prior.mean(), dot(&read, &codes));
    let stored_deviation: Vec<f64> =
        prior.shares().iter().zip(&codes).map(|(share, q)| share * (q - mean_stored)).collect();
    let read_deviation: Vec<f64> = codes.iter().map(|y| y - mean_read).collect();

    let covariance = dot(&channel.pass(&stored_deviation)?, &read_deviation);
    let variance: f64 = read.iter().zip(&read_deviation).map(|(share, y)| share * y * y).sum();
    let slope = if variance > 0.0 { covariance / variance } else { 1.0 };
    Ok(read_deviation.iter().map(|y| mean_stored + slope * y).collect())
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::ChannelMatrix;
    use qtaml_quant::Word;

    use super::super::fixtures::{bell, channels};
    use super::*;

    /// The residual of the best line is orthogonal to a constant and to what is read: by summation
    /// over the matrix, for every channel.
    #[test]
    fn the_residual_is_orthogonal_to_every_line() {
        for channel in channels() {
            let (format, prior) = (channel.format(), bell(channel.format()));
            let (matrix, values) =
                (ChannelMatrix::new(&channel), values(&channel, &prior).unwrap());
            let code = |word| f64::from(format.code_of(word));
            let inner = |f: &dyn Fn(Word) -> f64| -> f64 {
                let residual = |stored, read| values[usize::from(read)] - code(stored);
                let of = |x| matrix.expect(x, |read| residual(x, read) * f(read));
                prior.iter().map(|(stored, share)| share * of(stored)).sum()
            };
            assert_relative_eq!(inner(&|_| 1.0), 0.0, epsilon = 1e-10);
            assert_relative_eq!(inner(&code), 0.0, epsilon = 1e-8);
        }
    }
}
