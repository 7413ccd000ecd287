//! Tensors that are no weights: biases and norm parameters, in the same memory, and kept right.

use qtaml_compensation::Accounting;
use qtaml_fault::Ecc;
use qtaml_fault::ecc::EccCode;
use qtaml_physics::{FlipProbability, FlipProfile};
use serde::{Deserialize, Serialize};

/// Wrong bits in all of them, in the mean over devices, that a code may leave.
const MAY_BE_WRONG: f64 = 0.01;

/// Errors in 1023 stored bits that the BCH codes correct which are tried.
const BCH_ERRORS: [usize; 16] = [2, 3, 5, 8, 12, 16, 20, 25, 30, 39, 50, 63, 85, 103, 127, 170];

/// Float tensors that are no weights: they stay in the bits that they have, and as good as never are read
/// wrong, for which check bits are counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OtherTensors {
    /// Their own bits.
    pub bits: u64,
    /// What keeps them.
    pub kept_by: Ecc,
    /// Their own bits and check bits.
    pub stored_bits: u64,
    /// Bits among their own that are read wrong nevertheless, in the mean over devices.
    pub wrong_bits: f64,
}

impl OtherTensors {
    /// So many bits in a memory, kept by the code with the fewest check bits that leaves one wrong in a
    /// hundred devices, or by the strongest one. Where protected bits are what counts, protection is ideal.
    pub fn new(bits: u64, flips: &FlipProfile, count: Accounting) -> Self {
        if count == Accounting::ProtectedBits || bits == 0 {
            return Self { bits, kept_by: Ecc::Ideal, stored_bits: bits, wrong_bits: 0.0 };
        }
        let flips = likeliest(flips);
        let kept = |kept_by: Ecc| {
            let (check_bits, residual) =
                (kept_by.check_bits(bits).ok()?, kept_by.residual(flips).ok()?);
            let wrong_bits = bits as f64 * residual.p01().max(residual.p10());
            Some(Self { bits, kept_by, stored_bits: bits + check_bits, wrong_bits })
        };
        let mut all: Vec<Self> = codes().map(Ecc::Code).filter_map(kept).collect();
        all.sort_by_key(|kept| kept.stored_bits);
        let right = all.iter().find(|kept| kept.wrong_bits <= MAY_BE_WRONG);
        let fewest = || all.iter().min_by(|a, b| a.wrong_bits.total_cmp(&b.wrong_bits));
        let unkept = Self { bits, kept_by: Ecc::Ideal, stored_bits: bits, wrong_bits: 0.0 };
        right.or_else(fewest).copied().unwrap_or(unkept)
    }
}

/// Codes of any overhead. Those that a memory's flips do not suit are left out where they are tried.
fn codes() -> impl Iterator<Item = EccCode> {
    let bch = BCH_ERRORS.into_iter().map(|t| EccCode::Bch { m: 10, t, data: None });
    let copies = (3..=31).step_by(2).map(|copies| EccCode::Repetition { copies });
    std::iter::once(EccCode::SecDed { data: 64 }).chain(bch).chain(copies)
}

/// What flips a bit of a tensor at most: its bits are those of no code, so that each may be any.
fn likeliest(flips: &FlipProfile) -> FlipProbability {
    let bits = (0..flips.bits().unwrap_or(1)).map(|bit| flips.at(bit));
    let sum = |flips: &FlipProbability| flips.p01() + flips.p10();
    bits.max_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap_or(FlipProbability::NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bits: u64, p: f64) -> OtherTensors {
        let flips = FlipProbability::symmetric(p).unwrap();
        OtherTensors::new(bits, &flips.into(), Accounting::AllBits)
    }

    /// Majorities by the binomial distribution, summed here.
    #[test]
    fn what_is_left_is_what_the_code_leaves() {
        let flips = FlipProbability::asymmetric(0.001, 0.002).unwrap();
        let kept = OtherTensors::new(500, &flips.into(), Accounting::AllBits);
        let Ecc::Code(EccCode::Repetition { copies: 3 }) = kept.kept_by else { panic!("{kept:?}") };
        let p = 0.002_f64;
        let wrong = 3.0 * p * p * (1.0 - p) + p.powi(3);
        assert!((kept.wrong_bits - 500.0 * wrong).abs() < 1e-12, "{kept:?}");
        assert_eq!(kept.stored_bits, 1500);
    }

    #[test]
    fn rarer_flips_and_fewer_bits_need_fewer_check_bits() {
        let of = |p| kept(100_000, p);
        let overheads = [1e-6, 1e-4, 1e-3, 0.01, 0.1].map(of);
        for pair in overheads.windows(2) {
            assert!(pair[0].stored_bits < pair[1].stored_bits, "{pair:?}");
        }
        assert!(overheads.iter().all(|kept| kept.wrong_bits <= MAY_BE_WRONG), "{overheads:?}");
        let two_errors = EccCode::Bch { m: 10, t: 2, data: None };
        assert_eq!(overheads[0].kept_by, Ecc::Code(two_errors));
        let (few, many) = (kept(1000, 0.01), kept(10_000_000, 0.01));
        assert!(few.stored_bits * 10_000 < many.stored_bits, "{few:?} {many:?}");
    }

    #[test]
    fn what_no_code_keeps_is_told() {
        let half = kept(1000, 0.5);
        assert!(half.wrong_bits > 100.0, "{half:?}");
        assert_eq!(kept(0, 0.1).stored_bits, 0);
        let flips = FlipProbability::symmetric(0.1).unwrap();
        let ideal = OtherTensors::new(320, &flips.into(), Accounting::ProtectedBits);
        assert_eq!((ideal.kept_by, ideal.stored_bits, ideal.wrong_bits), (Ecc::Ideal, 320, 0.0));
    }
}
