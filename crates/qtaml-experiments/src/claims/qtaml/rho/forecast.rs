//! Candidates for ρ*, and how well each forecasts.

use std::collections::{BTreeMap, BTreeSet};

use qtaml::compensation::allocation::WaterFilling;
use qtaml::compensation::{bits_saved, rho_star};
use serde::{Deserialize, Serialize};

use crate::stats::spearman;

/// A formula that forecasts the gain from what is known before any simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Candidate {
    /// Budgets of reverse water-filling over continuous bits.
    ClosedForm,
    /// Budgets of the exact curves of every number of protected bits.
    ExactCurves,
    /// `N k_U / Σ n_l k_l` over the layers that do not saturate: that have some bits, and not all.
    Unsaturated,
    /// `N / Σ n_l` over the layers that have any bits.
    Protected,
    /// The coding gain, which holds at large budgets.
    CodingGain,
}

impl Candidate {
    pub(super) const ALL: [Self; 5] =
        [Self::ClosedForm, Self::ExactCurves, Self::Unsaturated, Self::Protected, Self::CodingGain];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::ClosedForm => "water-filling",
            Self::ExactCurves => "exact curves",
            Self::Unsaturated => "N k_U / Σ n k, unsaturated layers",
            Self::Protected => "N / Σ n, protected layers",
            Self::CodingGain => "coding gain",
        }
    }
}

/// What each of [`Candidate::ALL`] forecasts where noise may be so large, if it has an answer. Exact curves are
/// no matter of water-filling.
pub(super) fn forecasts(
    water: &WaterFilling,
    sizes: &[f64],
    noise: f64,
    exact: f64,
) -> Vec<Option<f64>> {
    // A forecast below 1 is one of nothing.
    let valid = |ratio: f64| (ratio.is_finite() && ratio >= 1.0).then_some(ratio);
    let uniform = water.uniform_cost(noise).ok();
    let filling = water.for_noise(noise).ok();
    let cap =
        filling.as_ref().map_or(0.0, |filling| filling.bits.iter().copied().fold(0.0, f64::max));
    let of_layers = |of: fn(f64, f64, f64) -> f64| {
        let filling = filling.as_ref()?;
        Some(sizes.iter().zip(&filling.bits).map(|(&n, &k)| of(n, k, cap)).sum::<f64>())
    };
    Candidate::ALL
        .into_iter()
        .map(|candidate| match candidate {
            Candidate::ClosedForm => rho_star(water, noise).ok(),
            Candidate::ExactCurves => valid(exact),
            // Where all layers have as many bits, none of them saturates before the others.
            Candidate::Unsaturated => {
                let bits = of_layers(|n, k, cap| if k < cap - 1e-9 { n * k } else { 0.0 })?;
                valid(uniform? / if bits > 0.0 { bits } else { filling.as_ref()?.cost })
            }
            Candidate::Protected => {
                valid(water.weights() / of_layers(|n, k, _| if k > 0.0 { n } else { 0.0 })?)
            }
            Candidate::CodingGain => valid(uniform? / (uniform? - bits_saved(water))),
        })
        .collect()
}

/// One network at one width, flip probability and kind of leakage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) net: String,
    pub(super) bits: u32,
    pub(super) p: f64,
    pub(super) leakage: String,
    /// In the order of [`Candidate::ALL`].
    pub(super) forecasts: Vec<Option<f64>>,
    pub(super) measured: f64,
}

/// Bits, flip probability and leakage.
type Setting<'a> = (u32, u64, &'a str);

impl Case {
    pub(super) fn forecast(&self, candidate: Candidate) -> Option<f64> {
        self.forecasts[candidate as usize]
    }

    /// What it has in common with others, but for the network.
    fn setting(&self) -> Setting<'_> {
        (self.bits, self.p.to_bits(), &self.leakage)
    }
}

/// Forecasts and measured gains of some cases.
pub(super) struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// The factor by which a forecast is typically off: of the mean distance of logarithms.
    pub(super) fn error(&self) -> f64 {
        self.log_error().exp()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn log_error(&self) -> f64 {
        let logs = self.0.iter().map(|(forecast, measured)| (forecast / measured).ln().abs());
        logs.sum::<f64>() / self.0.len().max(1) as f64
    }

    /// How much smaller the error is than that of others on the same cases: 1 if it is as large, 0 if there
    /// is none.
    pub(super) fn over(&self, other: &Self) -> f64 {
        let (own, other) = (self.log_error(), other.log_error());
        if other > 0.0 { own / other } else { 1.0 }
    }
}

/// What a candidate forecasts, where it has an answer.
pub(super) fn of_candidate(cases: &[&Case], candidate: Candidate) -> Pairs {
    Pairs(
        cases.iter().filter_map(|case| Some((case.forecast(candidate)?, case.measured))).collect(),
    )
}

/// A constant, where a candidate has an answer: the geometric mean of what was measured on all other networks.
/// Who knows no network better than that has forecast nothing.
pub(super) fn of_constant(cases: &[&Case], candidate: Candidate) -> Pairs {
    constants(cases, cases.iter().filter(|case| case.forecast(candidate).is_some()).copied())
}

/// The forecasts of the candidate that did best on all other networks: what somebody who had measured those
/// would have said.
pub(super) fn of_best_elsewhere(cases: &[&Case]) -> Pairs {
    let chosen = chosen(cases).into_iter();
    Pairs(chosen.filter_map(|(case, best)| Some((case.forecast(best)?, case.measured))).collect())
}

/// The constant on the cases that those have an answer for.
pub(super) fn of_constant_beside(cases: &[&Case]) -> Pairs {
    let answered = chosen(cases).into_iter().filter(|(case, best)| case.forecast(*best).is_some());
    constants(cases, answered.map(|(case, _)| case))
}

fn constants<'a>(cases: &[&Case], of: impl Iterator<Item = &'a Case>) -> Pairs {
    let constant = |net: &str| {
        let others = cases.iter().filter(|case| case.net != net);
        let logs: Vec<f64> = others.map(|case| case.measured.ln()).collect();
        (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp()
    };
    Pairs(of.map(|case| (constant(&case.net), case.measured)).collect())
}

/// Each case with the candidate that did best on all other networks.
fn chosen<'a>(cases: &[&'a Case]) -> Vec<(&'a Case, Candidate)> {
    let nets: BTreeSet<&str> = cases.iter().map(|case| case.net.as_str()).collect();
    let best: BTreeMap<&str, Candidate> = nets
        .into_iter()
        .filter_map(|net| {
            let others: Vec<&Case> = cases.iter().filter(|case| case.net != net).copied().collect();
            Some((net, best(&others)?))
        })
        .collect();
    cases.iter().filter_map(|case| Some((*case, *best.get(case.net.as_str())?))).collect()
}

/// The candidate with the least error over that of a constant. One without an answer to most is none.
pub(super) fn best(cases: &[&Case]) -> Option<Candidate> {
    let errors = Candidate::ALL.into_iter().filter_map(|candidate| {
        let (of, null) = (of_candidate(cases, candidate), of_constant(cases, candidate));
        (2 * of.count() > cases.len()).then(|| (candidate, of.over(&null)))
    });
    Some(errors.min_by(|a, b| a.1.total_cmp(&b.1))?.0)
}

/// The rank correlation of a candidate within cases of one width, flip probability and leakage, in the mean
/// over these weighted by their networks: what it knows of networks.
pub(super) fn correlation_within(cases: &[&Case], candidate: Candidate) -> Option<f64> {
    let mut settings: BTreeMap<Setting<'_>, Vec<(f64, f64)>> = BTreeMap::new();
    for case in cases {
        if let Some(forecast) = case.forecast(candidate) {
            settings.entry(case.setting()).or_default().push((forecast, case.measured));
        }
    }
    let mut sum = [0.0; 2];
    for pairs in settings.values() {
        let (forecasts, measured): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        if let Ok(correlation) = spearman(&forecasts, &measured) {
            sum[0] += correlation * pairs.len() as f64;
            sum[1] += pairs.len() as f64;
        }
    }
    (sum[1] > 0.0).then(|| sum[0] / sum[1])
}

/// All cases of these networks, as often as they are named. One that is named twice knows nothing of itself:
/// it is left out as often.
pub(super) fn drawn<'a>(cases: &'a [Case], nets: &[&str]) -> Vec<&'a Case> {
    nets.iter().flat_map(|&net| cases.iter().filter(move |case| case.net == net)).collect()
}

#[cfg(test)]
mod tests {
    use qtaml::compensation::allocation::Source;

    use super::*;

    fn case(net: &str, p: f64, forecast: f64, measured: f64) -> Case {
        let forecasts = vec![Some(forecast), None, Some(2.0), Some(4.0 / forecast), None];
        Case { net: net.into(), bits: 8, p, leakage: "both ways".into(), forecasts, measured }
    }

    fn cases() -> Vec<Case> {
        vec![
            case("a", 0.1, 1.0, 2.0),
            case("b", 0.1, 2.0, 4.0),
            case("c", 0.1, 4.0, 8.0),
            case("a", 0.2, 2.0, 2.0),
            case("b", 0.2, 3.0, 3.0),
            case("c", 0.2, 4.0, 1.0),
        ]
    }

    #[test]
    fn errors_are_factors_and_a_constant_knows_the_other_networks_alone() {
        let all = cases();
        let first: Vec<&Case> = all[..3].iter().collect();
        assert!((of_candidate(&first, Candidate::ClosedForm).error() - 2.0).abs() < 1e-12);
        assert_eq!(of_candidate(&first, Candidate::ExactCurves).count(), 0);
        // Of 4 and 8, of 2 and 8, of 2 and 4: off by 2^1.5, by 1 and by 2^1.5.
        let constant = of_constant(&first, Candidate::ClosedForm);
        assert!((constant.error() - 2.0).abs() < 1e-12, "{}", constant.error());
        let over = of_candidate(&first, Candidate::ClosedForm).over(&constant);
        assert!((over - 1.0).abs() < 1e-12);
    }

    #[test]
    fn correlations_are_within_a_setting() {
        let all = cases();
        let all: Vec<&Case> = all.iter().collect();
        // 1 in the first setting, -1/2 in the other.
        let within = correlation_within(&all, Candidate::ClosedForm).unwrap();
        assert!((within - 0.25).abs() < 1e-12, "{within}");
        assert_eq!(
            correlation_within(&all, Candidate::Unsaturated),
            None,
            "a constant has no order"
        );
    }

    #[test]
    fn a_candidate_is_chosen_without_the_network_that_it_forecasts() {
        let all = [
            case("a", 0.1, 2.0, 2.0),
            case("b", 0.1, 8.0, 8.0),
            case("c", 0.1, 0.5, 0.5),
            case("d", 0.1, 1.0, 4.0),
        ];
        let all: Vec<&Case> = all.iter().collect();
        assert_eq!(best(&all[..3]), Some(Candidate::ClosedForm));
        // It is off by 4 on the one that did not choose, and exact on the others.
        let pairs = of_best_elsewhere(&all);
        assert_eq!(pairs.count(), of_constant_beside(&all).count());
        assert!((pairs.error() - 4.0_f64.powf(0.25)).abs() < 1e-9, "{}", pairs.error());
    }

    #[test]
    fn unsaturated_layers_have_some_bits_and_not_all() {
        let sources = [
            Source { score: 4.0_f64.powi(9), weights: 1 },
            Source { score: 4.0 * 16.0, weights: 16 },
            Source { score: 1e-9, weights: 100 },
        ];
        let water = WaterFilling::new(&sources, 8.0).unwrap();
        // The first is at the cap, the second has some bits, the third has none.
        let filling = water.for_noise(8.0).unwrap();
        assert!(filling.bits[0] >= 8.0 - 1e-9 && filling.bits[1] > 0.0 && filling.bits[2] == 0.0);
        let found = forecasts(&water, &[1.0, 16.0, 100.0], 8.0, 3.0);
        let uniform = water.uniform_cost(8.0).unwrap();
        let expected = uniform / (16.0 * filling.bits[1]);
        assert!((found[Candidate::Unsaturated as usize].unwrap() / expected - 1.0).abs() < 1e-9);
        assert!((found[Candidate::Protected as usize].unwrap() - 117.0 / 17.0).abs() < 1e-9);
        assert_eq!(found[Candidate::ExactCurves as usize], Some(3.0));
    }
}
