//! The residual errors of a code, exactly: all error patterns, counted.

use qtaml_physics::FlipProbability;

use super::{Code, Decoded};
use crate::EccError;

/// Counts of patterns fit 128 bits up to here.
const MAX_STORED: usize = 127;
/// 2^14 syndromes: what a second of work and 64 MiB allow, those of all counts twice.
const MAX_CHECK: usize = 14;

/// How words fare, and what is left of the flips in them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Residual {
    /// Share of words in which no error was seen, rightly.
    pub clean: f64,
    /// Share of words that were corrected, rightly.
    pub corrected: f64,
    /// Share of words that are known to be wrong.
    pub detected: f64,
    /// Share of words whose data are wrong though the decoder said `Clean` or `Corrected`.
    pub miscorrected: f64,
    /// Share of data bits that are wrong after decoding: the residual flip probability.
    pub bit_flips: f64,
}

/// The fate of every error pattern of a code, by the number of flipped bits.
///
/// The decoder of a linear code sees the errors through their syndrome alone. The patterns of each
/// weight and syndrome are counted by adding one stored bit after the other: the weight
/// distributions of the cosets. The decoder is asked once per syndrome (ours). From the counts
/// follow the residual rates for any p, without sampling and without cancellation: they are exact
/// at 1e-18 as they are at one half.
///
/// Codes of up to 127 stored and 14 check bits can be counted: counts fit 128 bits up to there, and
/// there are two to the check bits syndromes, each with a count for every weight.
///
/// ```
/// use qtaml_fault::ecc::{ErrorWeights, SecDed};
/// use qtaml_physics::FlipProbability;
///
/// let weights = ErrorWeights::of(&SecDed::new(64)?)?;
/// // All 72 single errors are corrected; all 2556 pairs are detected.
/// assert_eq!((weights.corrected(1), weights.detected(2)), (72.0, 2556.0));
///
/// let residual = weights.residual(FlipProbability::symmetric(1e-4)?)?;
/// assert!((residual.detected / (2556.0 * 1e-8) - 1.0).abs() < 0.01);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorWeights {
    data: usize,
    /// By weight, from 0 to the number of stored bits.
    fates: Vec<Fate>,
}

/// The patterns of one weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Fate {
    clean: f64,
    corrected: f64,
    detected: f64,
    miscorrected: f64,
    /// Data bits that they leave wrong, all together.
    wrong: f64,
}

impl ErrorWeights {
    /// Counts the patterns of a code.
    ///
    /// # Errors
    /// [`EccError::TooManyPatterns`] for more than 127 stored bits or more than 14 check bits.
    pub fn of(code: &dyn Code) -> Result<Self, EccError> {
        let (data, stored) = (code.data_bits(), code.stored_bits());
        let check = stored - data;
        if stored > MAX_STORED || check > MAX_CHECK {
            let (max_stored, max_check) = (MAX_STORED, MAX_CHECK);
            return Err(EccError::TooManyPatterns { stored, check, max_stored, max_check });
        }
        let columns = columns(code)?;
        let counts = counts(&columns, check);
        let mut fates = vec![Fate::default(); stored + 1];
        for syndrome in 0..counts.len() {
            let (flips, says) = correction(code, syndrome)?;
            let flipped = || (0..data).filter(|&i| flips[i]);
            // The one pattern of this syndrome that the decoder is right about.
            let check_errors = flipped().fold(syndrome, |sum, i| sum ^ columns[i]).count_ones();
            let right = flipped().count() + check_errors as usize;
            for (weight, (fate, &n)) in fates.iter_mut().zip(&counts[syndrome]).enumerate() {
                let hits = u128::from(weight == right);
                let (hit, miss) = match says {
                    Decoded::Detected => (&mut fate.detected, n),
                    Decoded::Clean => (&mut fate.clean, hits),
                    Decoded::Corrected(_) => (&mut fate.corrected, hits),
                };
                *hit += miss as f64;
                if says != Decoded::Detected {
                    fate.miscorrected += (n - hits) as f64;
                }
            }
            for i in 0..data {
                let with_error = with_error(&counts, syndrome, columns[i]);
                for ((fate, &n), e) in fates.iter_mut().zip(&counts[syndrome]).zip(with_error) {
                    fate.wrong += if flips[i] { n - e } else { e } as f64;
                }
            }
        }
        Ok(Self { data, fates })
    }

    /// How many patterns of `weight` errors are corrected, rightly.
    pub fn corrected(&self, weight: usize) -> f64 {
        self.fates.get(weight).map_or(0.0, |fate| fate.corrected)
    }

    /// How many patterns of `weight` errors are detected.
    pub fn detected(&self, weight: usize) -> f64 {
        self.fates.get(weight).map_or(0.0, |fate| fate.detected)
    }

    /// How many patterns of `weight` errors the decoder gets wrong without noticing.
    pub fn miscorrected(&self, weight: usize) -> f64 {
        self.fates.get(weight).map_or(0.0, |fate| fate.miscorrected)
    }

    /// What is left where each stored bit flips with probability `p`, whatever is stored.
    ///
    /// # Formula
    /// `Σ_w N_w p^w (1 - p)^(n - w)` with `N_w` the patterns of weight w that share a fate
    ///
    /// # Errors
    /// [`EccError::Asymmetric`] if the two stored values do not flip alike: what is left then
    /// depends on the data.
    pub fn residual(&self, flips: FlipProbability) -> Result<Residual, EccError> {
        let p = flips.symmetric_value().ok_or(EccError::Asymmetric { flips })?;
        let n = self.fates.len() as i32 - 1;
        let sum = |of: fn(&Fate) -> f64| -> f64 {
            let weights = (0..).zip(&self.fates);
            weights.map(|(w, fate)| of(fate) * p.powi(w) * (1.0 - p).powi(n - w)).sum()
        };
        Ok(Residual {
            clean: sum(|fate| fate.clean),
            corrected: sum(|fate| fate.corrected),
            detected: sum(|fate| fate.detected),
            miscorrected: sum(|fate| fate.miscorrected),
            bit_flips: sum(|fate| fate.wrong) / self.data as f64,
        })
    }
}

/// The syndrome of an error in each stored bit: the check bits that it belies.
fn columns(code: &dyn Code) -> Result<Vec<usize>, EccError> {
    let (k, n) = (code.data_bits(), code.stored_bits());
    let mut stored = vec![false; n];
    let mut of_data = |i| {
        let data: Vec<bool> = (0..k).map(|j| j == i).collect();
        code.encode(&data, &mut stored)?;
        Ok((k..n).filter(|&at| stored[at]).map(|at| 1 << (at - k)).sum())
    };
    let data: Result<Vec<usize>, EccError> = (0..k).map(&mut of_data).collect();
    Ok(data?.into_iter().chain((0..n - k).map(|j| 1 << j)).collect())
}

/// The number of error patterns, by syndrome and weight.
fn counts(columns: &[usize], check: usize) -> Vec<Vec<u128>> {
    let mut counts = vec![vec![0_u128; columns.len() + 1]; 1 << check];
    counts[0][0] = 1;
    for &column in columns {
        let before = counts.clone();
        for (syndrome, counts) in counts.iter_mut().enumerate() {
            let others = &before[syndrome ^ column];
            counts[1..].iter_mut().zip(others).for_each(|(n, other)| *n += other);
        }
    }
    counts
}

/// Of the patterns of a syndrome those with an error in the bit of the given column, by weight.
///
/// Without that error they have the syndrome less the column, one error less, and no error there:
/// `E(s, w) = N(s - h, w - 1) - E(s - h, w - 1)`.
fn with_error(
    counts: &[Vec<u128>],
    syndrome: usize,
    column: usize,
) -> impl Iterator<Item = u128> + '_ {
    let (all, others) = (&counts[syndrome], &counts[syndrome ^ column]);
    // With this syndrome, and with that of one error more or less in the bit.
    let (mut here, mut there) = (0, 0);
    all.iter().zip(others).map(move |(all, others)| {
        let count = here;
        (here, there) = (others - there, all - here);
        count
    })
}

/// Which data bits the decoder flips at a syndrome, and what it says.
fn correction(code: &dyn Code, syndrome: usize) -> Result<(Vec<bool>, Decoded), EccError> {
    let (k, n) = (code.data_bits(), code.stored_bits());
    let stored: Vec<bool> = (0..n).map(|at| at >= k && syndrome >> (at - k) & 1 == 1).collect();
    let mut data = vec![false; k];
    let says = code.decode(&stored, &mut data)?;
    Ok((data, says))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::super::{Bch, Interleaved, Parity, Repetition, SecDed, check};
    use super::*;

    fn symmetric(p: f64) -> FlipProbability {
        FlipProbability::symmetric(p).unwrap()
    }

    /// Every pattern is really added to a word, and the word really decoded.
    #[test]
    fn the_counts_are_those_of_trying_all_patterns() {
        let codes: [Box<dyn Code>; 7] = [
            Box::new(Parity::new(9).unwrap()),
            Box::new(Repetition::new(7).unwrap()),
            Box::new(SecDed::new(4).unwrap()),
            Box::new(SecDed::new(7).unwrap()),
            Box::new(Bch::new(4, 2).unwrap()),
            Box::new(Bch::new(5, 2).unwrap().shortened(4).unwrap()),
            Box::new(Interleaved::new(Box::new(Repetition::new(3).unwrap()), 4).unwrap()),
        ];
        for code in codes {
            let n = code.stored_bits();
            let data = check::some_data(&*code, 3);
            let mut fates = vec![Fate::default(); n + 1];
            for pattern in 0_u32..1 << n {
                let errors: Vec<usize> = (0..n).filter(|i| pattern >> i & 1 == 1).collect();
                let (read, says) = check::read(&*code, &data, &errors);
                let fate = &mut fates[errors.len()];
                fate.wrong += read.iter().zip(&data).filter(|(a, b)| a != b).count() as f64;
                *match (says, read == data) {
                    (Decoded::Detected, _) => &mut fate.detected,
                    (_, false) => &mut fate.miscorrected,
                    (Decoded::Clean, _) => &mut fate.clean,
                    (Decoded::Corrected(_), _) => &mut fate.corrected,
                } += 1.0;
            }
            assert_eq!(ErrorWeights::of(&*code).unwrap().fates, fates, "{code:?}");
        }
    }

    #[test]
    fn parity_misses_even_numbers_of_errors() {
        for (k, p) in [(1, 0.2), (8, 1e-9), (8, 0.1), (64, 0.01), (126, 0.5)] {
            let parity = ErrorWeights::of(&Parity::new(k).unwrap()).unwrap();
            let residual = parity.residual(symmetric(p)).unwrap();
            let odd = (1.0 - (1.0 - 2.0 * p).powi(k as i32 + 1)) / 2.0;
            assert_relative_eq!(residual.detected, odd, max_relative = 1e-6);
            assert_relative_eq!(residual.bit_flips, p, max_relative = 1e-12);
            assert_eq!(residual.corrected, 0.0);
        }
    }

    #[test]
    fn a_repetition_leaves_what_its_majority_does() {
        for (copies, p) in [(1, 0.1), (3, 1e-18), (5, 0.1), (9, 0.3), (15, 0.5)] {
            let code = Repetition::new(copies).unwrap();
            let left = ErrorWeights::of(&code).unwrap().residual(symmetric(p)).unwrap();
            let closed = code.after_majority(symmetric(p)).p01();
            assert_relative_eq!(left.bit_flips, closed, max_relative = 1e-12);
            assert_relative_eq!(left.miscorrected, closed, max_relative = 1e-12);
        }
    }

    /// The words of (72, 64) by their errors: none, one, two, and what three come to.
    #[test]
    fn the_code_of_server_memories() {
        let weights = ErrorWeights::of(&SecDed::new(64).unwrap()).unwrap();
        for p in [1e-18, 1e-6, 1e-3, 0.1, 0.5] {
            let residual = weights.residual(symmetric(p)).unwrap();
            let q = 1.0 - p;
            assert_relative_eq!(residual.clean, q.powi(72), max_relative = 1e-12);
            assert_relative_eq!(residual.corrected, 72.0 * p * q.powi(71), max_relative = 1e-12);
            let all = residual.clean + residual.corrected + residual.detected;
            assert_relative_eq!(all + residual.miscorrected, 1.0, max_relative = 1e-12);
        }
        // Three errors are taken for one, or detected: C(72, 3) patterns in all.
        assert_eq!(weights.miscorrected(3) + weights.detected(3), 59_640.0);
        assert_eq!((weights.miscorrected(2), weights.detected(2)), (0.0, 2_556.0));
        assert!(weights.miscorrected(3) > weights.detected(3));
    }

    #[test]
    fn too_large_codes_and_unequal_flips_are_refused() {
        let error = ErrorWeights::of(&Bch::new(5, 3).unwrap()).unwrap_err().to_string();
        assert!(error.contains("31 stored bits with 15 check bits"), "{error}");
        assert!(ErrorWeights::of(&Parity::new(127).unwrap()).is_err());
        let leaky = FlipProbability::asymmetric(0.0, 0.1).unwrap();
        let parity = ErrorWeights::of(&Parity::new(8).unwrap()).unwrap();
        assert_eq!(parity.residual(leaky), Err(EccError::Asymmetric { flips: leaky }));
    }
}
