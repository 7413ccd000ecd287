//! Scores: the effect of a weight error on the outputs, in weight units.

use std::fmt;
use std::str::FromStr;

use qtaml_fault::Seed;
use qtaml_quant::UnknownName;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::ScoreError;

/// Decades over which random scores spread.
const DECADES: f64 = 6.0;

/// A rule that says how much an error in a group matters: what multiplies the mean square error of
/// its weights (docs/theory.md, section 4).
///
/// The sources speak of errors in steps of a code. Here errors are in weight units, and a step is
/// proportional to the largest weight, so a score that leaves the step out divides by its square.
///
/// [`Wkb`](Self::Wkb) and [`Empirical`](Self::Measured) predict output noise; the others only rank
/// layers. The source names "magnitude" as a baseline without a formula: both definitions here are
/// ours, as are the random and the Jacobian-only ones.
///
/// ```
/// use qtaml_compensation::{GroupStatistics, Score};
///
/// let group = GroupStatistics {
///     name: "fc1".into(),
///     weights: 120,
///     largest: 1.27,
///     mean_magnitude: 0.2,
///     jacobian_squared: Some(50.0),
///     response: None,
/// };
/// let wkb: Score = "wkb".parse()?;
/// assert_eq!(wkb.of(&group)?, 50.0);
/// let error = Score::Measured.of(&group).unwrap_err().to_string();
/// assert!(error.ends_with("group \"fc1\" needs its response, which was not given"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Score {
    /// `||J||_F^2`: what the linear model predicts. Per squared step of a code it is `||J||_F^2 Δ^2`,
    /// with `Δ` proportional to `||W||_inf`.
    Wkb,
    /// `||J||_F^2 / ||W||_inf^2`: per squared step of a code `||J||_F^2`, the step left out.
    Jacobian,
    /// `n`: per squared step of a code `n ||W||_inf^2`, the Jacobian left out.
    MagnitudeMax,
    /// `n (mean |W|)^2 / ||W||_inf^2`: per squared step of a code `n (mean |W|)^2`.
    MagnitudeMean,
    /// Drawn from the group's name: per squared step of a code log-uniform from 1e-3 to 1e3.
    Random(Seed),
    /// The measured response of the network, which also holds where noise is large.
    Measured,
}

/// What a score may be made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupStatistics {
    /// The layer's name.
    pub name: String,
    /// Its number of weights `n`.
    pub weights: usize,
    /// The largest magnitude of its weights, `||W||_inf`.
    pub largest: f64,
    /// The mean magnitude of its weights.
    pub mean_magnitude: f64,
    /// `||J||_F^2` of the output by its weights, in the mean over calibration samples.
    pub jacobian_squared: Option<f64>,
    /// Measured squared change of the output, per unit of mean square error of the weights.
    pub response: Option<f64>,
}

impl Score {
    /// Those that are a name and nothing else.
    const PLAIN: [Self; 5] =
        [Self::Wkb, Self::Jacobian, Self::MagnitudeMax, Self::MagnitudeMean, Self::Measured];

    /// The score of a layer: output noise, or a stand-in for it, per unit of mean square error of
    /// the weights.
    ///
    /// # Errors
    /// [`ScoreError::MissingStatistic`] if the layer lacks what this score is made of, and
    /// [`ScoreError::BadStatistic`] if the score is negative, NaN or infinite.
    pub fn of(self, layer: &GroupStatistics) -> Result<f64, ScoreError> {
        let given = |value: Option<f64>, statistic| {
            value.ok_or_else(|| ScoreError::MissingStatistic {
                group: layer.name.clone(),
                score: self.kind(),
                statistic,
            })
        };
        let jacobian = || given(layer.jacobian_squared, "squared Jacobian norm");
        let n = layer.weights as f64;
        // A group of zeros is stored without error: any score will do.
        let per_step =
            |score: f64| if layer.largest > 0.0 { score / layer.largest.powi(2) } else { 0.0 };
        let value = match self {
            Self::Wkb => jacobian()?,
            Self::Jacobian => per_step(jacobian()?),
            Self::MagnitudeMax => n,
            Self::MagnitudeMean => per_step(n * layer.mean_magnitude.powi(2)),
            Self::Random(seed) => {
                let share: f64 = seed.rng(&format!("score {}", layer.name), 0).random();
                per_step(10_f64.powf(DECADES * (share - 0.5)))
            }
            Self::Measured => given(layer.response, "response")?,
        };
        if value >= 0.0 && value.is_finite() {
            Ok(value)
        } else {
            let (group, score) = (layer.name.clone(), self.kind());
            Err(ScoreError::BadStatistic { group, score, value })
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Wkb => "wkb",
            Self::Jacobian => "jacobian",
            Self::MagnitudeMax => "magnitude-max",
            Self::MagnitudeMean => "magnitude-mean",
            Self::Random(_) => "random",
            Self::Measured => "measured",
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if let Self::Random(Seed(seed)) = self { write!(f, ":{seed}") } else { Ok(()) }
    }
}

impl FromStr for Score {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let seed = || Some(Self::Random(Seed(name.strip_prefix("random:")?.parse().ok()?)));
        let plain = Self::PLAIN.into_iter().find(|score| score.kind() == name);
        let known = || Self::PLAIN.iter().map(|score| score.kind()).chain(["random:SEED"]);
        plain
            .or_else(seed)
            .ok_or_else(|| UnknownName::new("score", name, known().collect::<Vec<_>>()))
    }
}

qtaml_quant::text_in_files!(Score);

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> GroupStatistics {
        GroupStatistics {
            name: "conv".into(),
            weights: 10,
            largest: 2.0,
            mean_magnitude: 0.2,
            jacobian_squared: Some(8.0),
            response: Some(7.0),
        }
    }

    #[test]
    fn scores_are_what_they_say() {
        let score = |name: &str| name.parse::<Score>().unwrap().of(&layer()).unwrap();
        assert_eq!((score("wkb"), score("jacobian"), score("measured")), (8.0, 2.0, 7.0));
        assert_eq!(score("magnitude-max"), 10.0);
        assert!((score("magnitude-mean") - 0.1).abs() < 1e-15);
    }

    #[test]
    fn random_scores_follow_from_seed_and_name_and_spread_evenly() {
        let log = |seed, name: String| {
            Score::Random(Seed(seed))
                .of(&GroupStatistics { name, largest: 1.0, ..layer() })
                .unwrap()
                .log10()
        };
        let logs: Vec<f64> = (0..1000).map(|i| log(7, format!("layer {i}"))).collect();
        assert!(logs.iter().all(|log| (-3.0..3.0).contains(log)));
        // The mean of 1000 uniform numbers has a standard error of 6 / sqrt(12000) = 0.055.
        assert!((logs.iter().sum::<f64>() / 1000.0).abs() < 5.0 * 0.055);
        assert_eq!(logs[3], log(7, "layer 3".into()));
        assert_ne!(logs[3], log(8, "layer 3".into()));
    }

    #[test]
    fn missing_and_bad_statistics_are_named() {
        let bare = GroupStatistics { jacobian_squared: None, ..layer() };
        for score in [Score::Wkb, Score::Jacobian] {
            let error = score.of(&bare).unwrap_err().to_string();
            assert!(error.contains("group \"conv\" needs its squared Jacobian norm"), "{error}");
        }
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let error = Score::Wkb.of(&GroupStatistics { jacobian_squared: Some(bad), ..layer() });
            assert!(matches!(error, Err(ScoreError::BadStatistic { .. })), "{bad}");
        }
    }

    #[test]
    fn names_lead_back() {
        let names = ["wkb", "jacobian", "magnitude-max", "magnitude-mean", "random:42", "measured"];
        for name in names {
            let score: Score = name.parse().unwrap();
            assert_eq!(score.to_string(), name);
            let json = serde_json::to_string(&score).unwrap();
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Score>(&json).unwrap(), score);
        }
        for bad in ["", "WKB", "random", "random:", "random:-1"] {
            let error = bad.parse::<Score>().unwrap_err();
            assert_eq!((error.what, error.name.as_str()), ("score", bad));
            let known = "wkb, jacobian, magnitude-max, magnitude-mean, measured and random:SEED";
            assert!(error.to_string().ends_with(&format!("{known} are there")), "{error}");
        }
    }
}
