//! The schemes that compete where the user names none.

use qtaml_compensation::storage::ScalePolicy;
use qtaml_compensation::{Accounting, Decoder, Score};
use qtaml_fault::Ecc;
use qtaml_fault::ecc::EccCode;

use crate::Granularity;
use crate::scheme::{Allocator, CodeFamily, Scheme};

/// The schemes that compete for the smallest budget, the one that is searched first in front, and the
/// baselines that they are compared with: the same for all weights. The first baseline is that of the
/// literature, so many top bits of every weight, read as they are. The second has all that the schemes
/// have but the choice among weights.
///
/// Where protected bits count, protection is ideal, and the choice is of decoder, scale and granularity,
/// down to single weights.
/// Where all bits count, nothing is ideal: words of any width with real codes, codebooks and block codes.
pub fn contenders(count: Accounting) -> (Vec<Scheme>, Vec<Scheme>) {
    let literature = Scheme {
        granularity: Granularity::Channel,
        scale: ScalePolicy::PerGroup,
        eccs: if is_ideal(count) { vec![Ecc::Ideal] } else { codes() },
        ..Scheme::uniform()
    };
    let tac = Scheme { allocator: Allocator::Tac(Score::Wkb), ..literature.clone() };
    let clipped = |scheme: &Scheme| Scheme { scale: ScalePolicy::MinMse, ..scheme.clone() };
    let bayes = Scheme { decoder: Decoder::BayesGain, ..tac.clone() };
    let alike = |scheme: &Scheme| Scheme { allocator: Allocator::Uniform, ..scheme.clone() };
    if is_ideal(count) {
        let grouped = Scheme { granularity: Granularity::Group(64), ..bayes.clone() };
        let best = clipped(&bayes);
        let baselines = vec![literature, alike(&best)];
        let by_weight = [bayes.clone().by_weight(), tac.clone().by_weight()];
        let all = [bayes, best, tac.clone(), clipped(&tac), grouped];
        return ([by_weight.as_slice(), &all].concat(), baselines);
    }
    let of = |code, granularity| Scheme { granularity, code, ..clipped(&bayes) };
    let mixed = of(CodeFamily::Mixed, Granularity::Channel);
    let baselines = vec![literature, alike(&of(CodeFamily::Mixed, Granularity::Tensor))];
    let schemes = vec![
        mixed,
        of(CodeFamily::Mixed, Granularity::Tensor),
        of(CodeFamily::Codebook, Granularity::Channel),
        of(CodeFamily::Codebook, Granularity::Tensor),
        of(CodeFamily::AnyWidth, Granularity::Channel),
    ];
    (schemes, baselines)
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
        let (ideal, baselines) = contenders(Accounting::ProtectedBits);
        assert!(ideal.iter().chain(&baselines).all(|scheme| scheme.eccs == [Ecc::Ideal]));
        let (real, others) = contenders(Accounting::AllBits);
        assert!(real.iter().chain(&others).all(|scheme| !scheme.eccs.contains(&Ecc::Ideal)));
        assert!(baselines.iter().chain(&others).all(|b| b.allocator == Allocator::Uniform));
        let all = || real.iter().chain(&ideal).chain(&baselines).chain(&others);
        let names: std::collections::BTreeSet<String> = all().map(ToString::to_string).collect();
        assert_eq!(names.len(), all().count());
    }
}
