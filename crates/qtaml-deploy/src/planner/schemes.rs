//! The schemes that compete where the user names none.

use qtaml_compensation::storage::ScalePolicy;
use qtaml_compensation::{Accounting, Decoder, Score};
use qtaml_fault::Ecc;
use qtaml_fault::ecc::EccCode;
use qtaml_quant::BitWidth;

use crate::Granularity;
use crate::scheme::{Allocator, CodeFamily, Scheme};

/// The schemes that compete for the smallest budget, the one that is searched first in front, and the
/// baseline that they are compared with: the same number of top bits of every weight, read as they are.
///
/// Where protected bits count, protection is ideal, and the choice is of decoder, scale and granularity,
/// down to single weights.
/// Where all bits count, nothing is ideal: words of any width with real codes, codebooks and block codes.
pub fn contenders(count: Accounting) -> (Vec<Scheme>, Scheme) {
    let baseline = Scheme {
        granularity: Granularity::Channel,
        scale: ScalePolicy::PerGroup,
        eccs: if is_ideal(count) { vec![Ecc::Ideal] } else { codes() },
        ..Scheme::uniform()
    };
    let tac = Scheme { allocator: Allocator::Tac(Score::Wkb), ..baseline.clone() };
    let bayes = Scheme { decoder: Decoder::BayesGain, ..tac.clone() };
    let clipped = |scheme: &Scheme| Scheme { scale: ScalePolicy::MinMse, ..scheme.clone() };
    let grouped =
        |scheme: &Scheme| Scheme { granularity: Granularity::Group(64), ..scheme.clone() };
    if is_ideal(count) {
        let by_weight = [bayes.clone().by_weight(), tac.clone().by_weight()];
        let all = [bayes.clone(), clipped(&bayes), tac.clone(), clipped(&tac), grouped(&bayes)];
        return ([by_weight.as_slice(), &all].concat(), baseline);
    }
    let of = |code, granularity| Scheme { granularity, code, ..clipped(&bayes) };
    let schemes = vec![
        of(CodeFamily::Mixed, Granularity::Channel),
        of(CodeFamily::Mixed, Granularity::Tensor),
        of(CodeFamily::Codebook, Granularity::Channel),
        of(CodeFamily::Codebook, Granularity::Tensor),
        of(CodeFamily::AnyWidth, Granularity::Channel),
    ];
    (schemes, Scheme { bits: BitWidth::INT8, ..baseline })
}

const fn is_ideal(count: Accounting) -> bool {
    matches!(count, Accounting::ProtectedBits)
}

/// The codes that keep protected bits where their check bits count: for rare faults, and for many.
fn codes() -> Vec<Ecc> {
    let secded = EccCode::SecDed { data: 64 };
    let copies = [3, 5, 7].map(|copies| EccCode::Repetition { copies });
    [secded].into_iter().chain(copies).map(Ecc::Code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_decides_what_competes() {
        let (ideal, baseline) = contenders(Accounting::ProtectedBits);
        assert!(ideal.iter().chain([&baseline]).all(|scheme| scheme.eccs == [Ecc::Ideal]));
        let (real, baseline) = contenders(Accounting::AllBits);
        assert!(real.iter().chain([&baseline]).all(|scheme| !scheme.eccs.contains(&Ecc::Ideal)));
        assert_eq!(baseline.allocator, Allocator::Uniform);
        let names: std::collections::BTreeSet<String> =
            real.iter().chain(&ideal).map(ToString::to_string).collect();
        assert_eq!(names.len(), real.len() + ideal.len());
    }
}
