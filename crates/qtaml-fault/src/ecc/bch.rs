//! BCH codes, for as many errors as wanted.

use qtaml_physics::FlipProbability;

use super::field::{DEGREES, Field};
use super::repetition::more_than;
use super::{Code, Decoded, check_lengths, check_range};
use crate::EccError;

/// A binary, narrow-sense, primitive BCH code (Hocquenghem, Chiffres 2, 147, 1959; Bose and
/// Ray-Chaudhuri, Information and Control 3, 68, 1960), possibly shortened.
///
/// A word is a polynomial with the first stored bit as its leading coefficient; code words are the
/// multiples of the generator, the least polynomial over GF(2) with α, α², ... α^(2t) among its
/// roots. The decoder finds any t errors: syndromes, Berlekamp-Massey (Massey, IEEE Transactions on
/// Information Theory 15, 122, 1969), Chien search (R. T. Chien, same journal 10, 357, 1964).
/// Beyond t errors it mostly detects them.
///
/// ```
/// use qtaml_fault::ecc::{Bch, Code, Decoded};
///
/// let code = Bch::new(4, 2)?;
/// assert_eq!((code.stored_bits(), code.data_bits(), code.errors()), (15, 7, 2));
///
/// let (mut stored, mut data) = ([false; 15], [false; 7]);
/// code.encode(&[true; 7], &mut stored)?;
/// (stored[3], stored[14]) = (!stored[3], !stored[14]);
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Corrected(2));
/// assert_eq!(data, [true; 7]);
/// # Ok::<(), qtaml_fault::EccError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bch {
    field: Field,
    errors: usize,
    data: usize,
    /// The generator below its leading coefficient, highest power first.
    generator: Vec<bool>,
}

impl Bch {
    /// The code of full length 2^m - 1 that corrects `t` errors.
    ///
    /// # Errors
    /// [`EccError::CodeParameter`] unless `m` is in `3..=10` and `t` in `1..=2^(m-1) - 1`.
    pub fn new(m: u32, t: usize) -> Result<Self, EccError> {
        let field = Field::new(m).ok_or(EccError::CodeParameter {
            code: "BCH",
            what: "m",
            value: m as usize,
            min: *DEGREES.start() as usize,
            max: *DEGREES.end() as usize,
        })?;
        let mut errors = check_range("BCH", "t", t, field.order() / 2)?;
        let mut roots = vec![false; field.order()];
        (1..2 * errors).step_by(2).for_each(|i| add_conjugates(i, &mut roots));
        // Where the next roots are there already, the code corrects more than was asked for.
        while roots.get(2 * errors + 1) == Some(&true) {
            errors += 1;
        }
        let generator = generator(&field, &roots);
        Ok(Self { errors, data: field.order() - generator.len(), field, generator })
    }

    /// The same code for fewer data bits: leading bits that are always 0 need not be stored.
    ///
    /// # Errors
    /// [`EccError::CodeParameter`] unless `data` is in `1..=k`, the data bits it has now.
    pub fn shortened(self, data: usize) -> Result<Self, EccError> {
        let data = check_range("BCH", "data bits", data, self.data)?;
        Ok(Self { data, ..self })
    }

    /// The number of errors that it always corrects: at least the t that was asked for.
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// The share of stored bits that are wrong after decoding, for equal flip probabilities, if every word
    /// with more than t errors is detected and handed on as read (ours).
    ///
    /// Long codes with large t nearly always do so. At worst the true share is between 2/3 of this
    /// and twice this: a word that is decoded wrongly differs from the right one in at least 2t + 1
    /// and in at most e + t, at least e - t places, if e > t bits had flipped. A code of full
    /// length treats all its bits alike, so this holds for its data bits as well.
    ///
    /// # Formula
    /// `Σ_(e > t) e/n C(n, e) p^e (1 - p)^(n - e) = p Σ_(e >= t) C(n-1, e) p^e (1 - p)^(n-1-e)`
    ///
    /// # Errors
    /// [`EccError::Asymmetric`] if the two stored values do not flip alike.
    pub fn flips_left(&self, flips: FlipProbability) -> Result<f64, EccError> {
        let p = symmetric(flips)?;
        Ok(p * more_than(self.errors - 1, self.stored_bits() - 1, p))
    }

    /// The values of the word at α, α², ... α^(2t): zero for code words, so they depend on the
    /// errors alone.
    fn syndromes(&self, stored: &[bool]) -> Vec<u16> {
        let order = self.field.order();
        let mut syndromes = vec![0; 2 * self.errors];
        for at in (0..stored.len()).filter(|&at| stored[at]) {
            let exponent = stored.len() - 1 - at;
            let mut power = exponent;
            for odd in syndromes.iter_mut().step_by(2) {
                *odd ^= self.field.power(power);
                power = (power + 2 * exponent) % order;
            }
        }
        // Squaring commutes with addition: S_2j = S_j².
        for j in 1..=self.errors {
            syndromes[2 * j - 1] = self.field.multiply(syndromes[j - 1], syndromes[j - 1]);
        }
        syndromes
    }

    /// The shortest linear recurrence that the syndromes obey: the polynomial whose roots are the
    /// inverses of α^e at the errors, if there are at most t (Berlekamp-Massey).
    fn error_locator(&self, syndromes: &[u16]) -> Vec<u16> {
        let field = &self.field;
        let (mut locator, mut length) = (vec![1_u16], 0);
        // The locator before the length last grew, its discrepancy then, and how long ago.
        let (mut before, mut old_discrepancy, mut shift) = (vec![1_u16], 1, 1);
        for r in 0..syndromes.len() {
            let terms = locator.iter().enumerate().take(r + 1);
            let discrepancy =
                terms.fold(0, |sum, (i, &c)| sum ^ field.multiply(c, syndromes[r - i]));
            if discrepancy != 0 {
                let last = locator.clone();
                let factor = field.divide(discrepancy, old_discrepancy);
                locator.resize(locator.len().max(before.len() + shift), 0);
                for (c, &b) in locator[shift..].iter_mut().zip(&before) {
                    *c ^= field.multiply(factor, b);
                }
                if 2 * length <= r {
                    length = r + 1 - length;
                    (before, old_discrepancy, shift) = (last, discrepancy, 0);
                }
            }
            shift += 1;
        }
        locator.truncate(length + 1);
        locator
    }

    /// The stored bits at which the locator has its roots (Chien search).
    fn roots(&self, locator: &[u16]) -> Vec<usize> {
        let (order, stored) = (self.field.order(), self.stored_bits());
        // Logarithms of the terms at α^-e, from the first stored bit, e = n - 1, downwards.
        let mut terms: Vec<(usize, usize)> = (locator.iter().enumerate())
            .filter(|(_, c)| **c != 0)
            .map(|(i, &c)| (i, (self.field.logarithm(c) + i * (order + 1 - stored)) % order))
            .collect();
        let is_root = |_: &usize| {
            let mut value = 0;
            for (i, term) in &mut terms {
                value ^= self.field.power(*term);
                *term = (*term + *i) % order;
            }
            value == 0
        };
        (0..stored).filter(is_root).collect()
    }
}

impl Code for Bch {
    fn data_bits(&self) -> usize {
        self.data
    }

    fn stored_bits(&self) -> usize {
        self.data + self.generator.len()
    }

    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), EccError> {
        check_lengths(self, data, stored)?;
        stored[..data.len()].copy_from_slice(data);
        stored[data.len()..].fill(false);
        // Long division: what is left behind the data is the remainder.
        for i in 0..data.len() {
            if stored[i] {
                let window = stored[i + 1..].iter_mut();
                window.zip(&self.generator).for_each(|(bit, g)| *bit ^= g);
            }
        }
        stored[..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, EccError> {
        check_lengths(self, data, stored)?;
        data.copy_from_slice(&stored[..self.data]);
        let syndromes = self.syndromes(stored);
        if syndromes.iter().all(|s| *s == 0) {
            return Ok(Decoded::Clean);
        }
        let locator = self.error_locator(&syndromes);
        let count = locator.len() - 1;
        let roots = if count > self.errors { vec![] } else { self.roots(&locator) };
        if roots.len() != count {
            return Ok(Decoded::Detected);
        }
        for at in roots.into_iter().filter(|&at| at < self.data) {
            data[at] = !data[at];
        }
        Ok(Decoded::Corrected(count))
    }
}

/// Marks α^i and its conjugates α^2i, α^4i, ...: the roots of one irreducible polynomial.
fn add_conjugates(i: usize, roots: &mut [bool]) {
    let mut at = i;
    while !roots[at] {
        roots[at] = true;
        at = 2 * at % roots.len();
    }
}

/// The product of all `(x - α^i)`, without its leading 1, highest power first. The conjugates among
/// the roots make its coefficients 0 and 1.
fn generator(field: &Field, roots: &[bool]) -> Vec<bool> {
    let mut product = vec![1_u16];
    for i in (0..roots.len()).filter(|&i| roots[i]) {
        let root = field.power(i);
        product.push(0);
        for at in (1..product.len()).rev() {
            product[at] ^= field.multiply(root, product[at - 1]);
        }
    }
    product[1..].iter().map(|c| *c == 1).collect()
}

/// The one probability of a symmetric memory.
pub(super) fn symmetric(flips: FlipProbability) -> Result<f64, EccError> {
    flips.symmetric_value().ok_or(EccError::Asymmetric { flips })
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::super::{ErrorWeights, check};
    use super::*;

    /// Lin and Costello, "Error Control Coding", 2nd edition, 2004, table 6.1.
    #[test]
    fn dimensions_are_those_of_the_textbook() {
        // m, the dimensions, and the errors that they correct.
        let table: [(u32, &[usize], &[usize]); 6] = [
            (3, &[4], &[1]),
            (4, &[11, 7, 5], &[1, 2, 3]),
            (5, &[26, 21, 16, 11, 6], &[1, 2, 3, 5, 7]),
            (
                6,
                &[57, 51, 45, 39, 36, 30, 24, 18, 16, 10, 7],
                &[1, 2, 3, 4, 5, 6, 7, 10, 11, 13, 15],
            ),
            (
                7,
                &[120, 113, 106, 99, 92, 85, 78, 71, 64, 57, 50, 43, 36, 29, 22, 15, 8],
                &[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14, 15, 21, 23, 27, 31],
            ),
            (
                8,
                &[
                    247, 239, 231, 223, 215, 207, 199, 191, 187, 179, 171, 163, 155, 147, 139, 131,
                    123, 115, 107, 99, 91, 87, 79, 71, 63, 55, 47, 45, 37, 29, 21, 13, 9,
                ],
                &[
                    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 21, 22, 23, 25, 26,
                    27, 29, 30, 31, 42, 43, 45, 47, 55, 59, 63,
                ],
            ),
        ];
        for (m, dimensions, errors) in table {
            for (&k, &t) in dimensions.iter().zip(errors) {
                let code = Bch::new(m, t).unwrap();
                assert_eq!((code.data_bits(), code.errors()), (k, t), "m = {m}, t = {t}");
            }
        }
        // Between the lines of the table the next better code serves.
        assert_eq!(Bch::new(8, 32).unwrap(), Bch::new(8, 42).unwrap());
        // The most errors of all: every other bit but one, by repetition.
        assert_eq!(Bch::new(10, 511).unwrap().data_bits(), 1);
    }

    /// (15, 7): x^8 + x^7 + x^6 + x^4 + 1; (15, 5): x^10 + x^8 + x^5 + x^4 + x^2 + x + 1 (Lin and
    /// Costello, section 6.1).
    #[test]
    fn generators_are_those_of_the_textbook() {
        let powers = |t| -> Vec<usize> {
            let g = Bch::new(4, t).unwrap().generator;
            (0..g.len()).filter(|i| g[*i]).map(|i| g.len() - 1 - i).collect()
        };
        assert_eq!(powers(2), [7, 6, 4, 0]);
        assert_eq!(powers(3), [8, 5, 4, 2, 1, 0]);
    }

    #[test]
    fn all_patterns_up_to_t_are_corrected() {
        for (m, t, data) in [(3, 1, 4), (4, 2, 7), (4, 2, 3), (4, 3, 5), (5, 2, 6)] {
            let code = Bch::new(m, t).unwrap().shortened(data).unwrap();
            let sent = check::some_data(&code, 7);
            for pattern in 0_u64..1 << code.stored_bits() {
                let weight = pattern.count_ones() as usize;
                if weight > code.errors() {
                    continue;
                }
                let at: Vec<usize> = (0..64).filter(|i| pattern >> i & 1 == 1).collect();
                let expected =
                    if weight == 0 { Decoded::Clean } else { Decoded::Corrected(weight) };
                assert_eq!(check::read(&code, &sent, &at), (sent.clone(), expected), "{at:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn up_to_t_errors_are_corrected_in_any_code(
            m in DEGREES,
            t in any::<prop::sample::Index>(),
            data in any::<prop::sample::Index>(),
            errors in any::<prop::sample::Index>(),
            order in any::<u64>(),
        ) {
            let t = 1 + t.index((1 << (m - 1)) - 1);
            let code = Bch::new(m, t).unwrap();
            let data = 1 + data.index(code.data_bits());
            let code = code.shortened(data).unwrap();
            let sent = check::some_data(&code, order);
            // A shuffle by sorting random keys; its first places are the errors.
            let mut rng = crate::Seed(order).rng("errors", 0);
            let mut at: Vec<usize> = (0..code.stored_bits()).collect();
            at.sort_by_cached_key(|_| rand::RngExt::random::<u64>(&mut rng));
            at.truncate(errors.index(code.errors() + 1));
            let expected = match at.len() {
                0 => Decoded::Clean,
                errors => Decoded::Corrected(errors),
            };
            prop_assert_eq!(check::read(&code, &sent, &at), (sent, expected));
        }

        /// Whatever is read: a word that counts as corrected lies that near to a code word.
        #[test]
        fn a_corrected_word_is_a_code_word_within_reach(
            m in 3_u32..=7,
            t in any::<prop::sample::Index>(),
            salt in any::<u64>(),
        ) {
            let code = Bch::new(m, 1 + t.index((1 << (m - 1)) - 1)).unwrap();
            let mut rng = crate::Seed(salt).rng("noise", 0);
            let read: Vec<bool> =
                (0..code.stored_bits()).map(|_| rand::RngExt::random(&mut rng)).collect();
            let (data, says) = check::decoded(&code, &read);
            let distance = |data: &[bool]| {
                check::encoded(&code, data).iter().zip(&read).filter(|(a, b)| a != b).count()
            };
            match says {
                Decoded::Clean => prop_assert_eq!(distance(&data), 0),
                Decoded::Corrected(errors) => {
                    prop_assert_eq!(distance(&data), errors);
                    prop_assert!((1..=code.errors()).contains(&errors));
                }
                Decoded::Detected => prop_assert_eq!(&data[..], &read[..code.data_bits()]),
            }
        }
    }

    /// The (15, 7) code at p = 0.1, by hand: p times the probability of two flips at least in the
    /// other 14 bits, 1 - 0.9^14 - 14 0.1 0.9^13.
    #[test]
    fn flips_are_left_in_words_with_more_than_t_errors() {
        let p = FlipProbability::symmetric(0.1).unwrap();
        let code = Bch::new(4, 2).unwrap();
        let by_hand = 0.1 * (1.0 - 0.9_f64.powi(13) * (0.9 + 1.4));
        assert_relative_eq!(code.flips_left(p).unwrap(), by_hand, max_relative = 1e-12);
        let leaky = FlipProbability::asymmetric(0.0, 0.1).unwrap();
        let error = code.flips_left(leaky).unwrap_err().to_string();
        assert_eq!(error, "p01 = 0.0, p10 = 0.1: this closed form needs p01 = p10");
    }

    /// Against all error patterns, counted.
    #[test]
    fn the_flips_left_are_within_their_bounds() {
        for (m, t) in [(3, 1), (4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (6, 1), (6, 2)] {
            let code = Bch::new(m, t).unwrap();
            let weights = ErrorWeights::of(&code).unwrap();
            for rate in [1e-9, 1e-4, 0.01, 0.1, 0.3, 0.5] {
                let p = FlipProbability::symmetric(rate).unwrap();
                let left = weights.residual(p).unwrap();
                let ratio = left.bit_flips / code.flips_left(p).unwrap();
                assert!((2.0 / 3.0..2.0).contains(&ratio), "({m}, {t}) {p}: {ratio}");
                let failed = left.miscorrected + left.detected;
                let theory = more_than(code.errors(), code.stored_bits(), rate);
                assert_relative_eq!(failed, theory, max_relative = 1e-10);
            }
        }
    }

    #[test]
    fn parameters_and_lengths_are_checked() {
        check::lengths_are_checked(&Bch::new(4, 2).unwrap().shortened(3).unwrap());
        let message = |code: Result<Bch, EccError>| code.unwrap_err().to_string();
        assert_eq!(message(Bch::new(11, 2)), "no BCH code with m = 11: 3..=10 are allowed");
        assert_eq!(message(Bch::new(4, 8)), "no BCH code with t = 8: 1..=7 are allowed");
        assert!(Bch::new(4, 0).is_err() && Bch::new(u32::MAX, usize::MAX).is_err());
        let short = Bch::new(4, 2).unwrap().shortened(8);
        assert_eq!(message(short), "no BCH code with data bits = 8: 1..=7 are allowed");
    }
}
