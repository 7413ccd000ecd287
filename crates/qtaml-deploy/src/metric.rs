//! Metrics: the quality of the outputs of a faulty model, in one number.

use std::fmt;
use std::sync::Arc;

use crate::Output;
use crate::highest::{agree, highest};

/// The label of a row that is not judged, such as a padded token. It works with every metric.
pub const UNLABELLED: usize = usize::MAX;

/// How good the outputs of a faulty model are, in one number.
///
/// Only accuracy and perplexity need labels. All others compare with the model without faults.
///
/// ```
/// use qtaml_deploy::Metric;
///
/// assert_eq!("exact-sequence".parse(), Ok(Metric::ExactSequence));
/// assert!(Metric::Accuracy.higher_is_better() && !Metric::Perplexity.higher_is_better());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Metric {
    /// The share of rows whose highest value is that of their label.
    Accuracy,
    /// The share of rows whose highest value is where the golden model has it.
    Agreement,
    /// The Kullback-Leibler divergence of the softmax of the faulty row from that of the golden row,
    /// `Σ p ln(p / q)`, in nats, in the mean over rows.
    Kl,
    /// The exponential of the mean cross entropy of the labels, which are the next tokens.
    Perplexity,
    /// The cosine of the angle between golden and faulty row, in the mean over rows.
    Cosine,
    /// The share of rows whose nearest other row, by the cosine of the angle, is the same one as in the
    /// golden model: what a search by embeddings returns.
    NearestNeighbour,
    /// The norm of the change of all values over the norm of the golden values.
    RelativeError,
    /// The share of samples of which every row has its highest value where the golden model has it.
    ExactSequence,
}

qtaml_quant::names!(Metric, "metric", {
    Accuracy: "accuracy",
    Agreement: "agreement",
    Kl: "kl",
    Perplexity: "perplexity",
    Cosine: "cosine",
    NearestNeighbour: "nearest-neighbour",
    RelativeError: "relative-error",
    ExactSequence: "exact-sequence",
});

impl Metric {
    /// Whether a larger value is a better one.
    pub const fn higher_is_better(self) -> bool {
        !matches!(self, Self::Kl | Self::Perplexity | Self::RelativeError)
    }

    /// Whether it compares with labels.
    pub const fn needs_labels(self) -> bool {
        matches!(self, Self::Accuracy | Self::Perplexity)
    }

    /// Whether a value is the share of rows, or of samples, of which something holds.
    pub const fn is_share(self) -> bool {
        matches!(
            self,
            Self::Accuracy | Self::Agreement | Self::ExactSequence | Self::NearestNeighbour
        )
    }

    /// Whether a value is a mean over samples, so that parts of the samples tell what all of them do.
    pub const fn is_mean(self) -> bool {
        !matches!(self, Self::NearestNeighbour | Self::Perplexity | Self::RelativeError)
    }

    /// Whether the last axis are classes, two at least, one of which is chosen.
    pub const fn needs_classes(self) -> bool {
        !matches!(self, Self::Cosine | Self::NearestNeighbour | Self::RelativeError)
    }
}

/// What judges the outputs of a model: a [`Metric`], or a user's own ([`OwnMetric`]).
pub trait Judge: Send + Sync {
    /// Its name, for errors and reports.
    fn name(&self) -> &str;

    /// Whether a larger value is a better one.
    fn higher_is_better(&self) -> bool;

    /// Whether it compares with labels.
    fn needs_labels(&self) -> bool;

    /// Whether the last axis are classes, two at least.
    fn needs_classes(&self) -> bool;

    /// Whether a value is the share of rows of which something holds.
    fn is_share(&self) -> bool {
        false
    }

    /// The value for one model. Outputs that are no numbers must give the worst value that there is,
    /// or NaN, which reaches no target.
    fn judge(&self, judged: &Judged<'_>) -> f64;
}

/// What a judge sees: outputs of the golden and of a faulty model, and labels.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Judged<'a> {
    /// The output that is judged, of the golden model: the stored model without faults.
    pub golden: &'a Output,
    /// The same output of the faulty model, of the same shape.
    pub faulty: &'a Output,
    /// One label for each row, if there are labels.
    pub labels: Option<&'a [usize]>,
    /// All outputs of the golden model.
    pub all_golden: &'a [Output],
    /// All outputs of the faulty model.
    pub all_faulty: &'a [Output],
}

/// One row of what is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct JudgedRow<'a> {
    /// Its values in the golden model.
    pub golden: &'a [f32],
    /// Its values in the faulty model.
    pub faulty: &'a [f32],
    /// Its label, if there is one.
    pub label: Option<usize>,
}

impl<'a> Judged<'a> {
    /// The rows that are judged: all but those labelled [`UNLABELLED`].
    pub fn rows(self) -> impl Iterator<Item = JudgedRow<'a>> {
        self.all_rows().flatten()
    }

    /// All rows, where those that are not judged are none.
    fn all_rows(self) -> impl Iterator<Item = Option<JudgedRow<'a>>> {
        let pairs = self.golden.rows().zip(self.faulty.rows()).enumerate();
        pairs.map(move |(row, (golden, faulty))| {
            let label = self.labels.map(|labels| labels[row]);
            (label != Some(UNLABELLED)).then_some(JudgedRow { golden, faulty, label })
        })
    }

    /// The mean over the rows that are judged.
    pub fn mean(self, of_row: impl Fn(JudgedRow<'a>) -> f64) -> f64 {
        let (sum, rows) =
            self.rows().fold((0.0, 0_usize), |(sum, rows), row| (sum + of_row(row), rows + 1));
        sum / rows as f64
    }

    /// The share of the judged rows of which something holds.
    pub fn share(self, holds: impl Fn(JudgedRow<'a>) -> bool) -> f64 {
        // Counts are exact, and so the share is the nearest number to it.
        self.mean(|row| f64::from(u8::from(holds(row))))
    }

    /// The share of samples of whose judged rows something holds. Samples of which no row is judged do
    /// not count.
    fn share_of_samples(self, holds: impl Fn(JudgedRow<'a>) -> bool) -> f64 {
        let rows: Vec<Option<bool>> = self.all_rows().map(|row| row.map(&holds)).collect();
        let of_sample = (rows.len() / self.golden.samples().max(1)).max(1);
        let judged = rows.chunks(of_sample).filter(|rows| rows.iter().any(Option::is_some));
        let all: Vec<bool> = judged.map(|rows| rows.iter().flatten().all(|&holds| holds)).collect();
        all.iter().filter(|&&holds| holds).count() as f64 / all.len() as f64
    }
}

impl Judge for Metric {
    fn name(&self) -> &str {
        (*self).name()
    }

    fn higher_is_better(&self) -> bool {
        (*self).higher_is_better()
    }

    fn needs_labels(&self) -> bool {
        (*self).needs_labels()
    }

    fn needs_classes(&self) -> bool {
        (*self).needs_classes()
    }

    fn is_share(&self) -> bool {
        (*self).is_share()
    }

    fn judge(&self, judged: &Judged<'_>) -> f64 {
        let agrees = |row: JudgedRow<'_>| agree(row.golden, row.faulty);
        match self {
            Self::Accuracy => {
                judged.share(|row| row.label.is_some() && highest(row.faulty) == row.label)
            }
            Self::Agreement => judged.share(agrees),
            Self::Kl => judged.mean(|row| divergence(row.golden, row.faulty)),
            Self::Perplexity => judged.mean(|row| surprise(row.faulty, row.label)).exp(),
            Self::Cosine => judged.mean(|row| cosine(row.golden, row.faulty)),
            Self::NearestNeighbour => {
                let [golden, faulty] = [false, true].map(|faulty| nearest_rows(judged, faulty));
                let same =
                    golden.iter().zip(&faulty).filter(|(a, b)| a.is_some() && a == b).count();
                same as f64 / golden.len() as f64
            }
            Self::RelativeError => relative_error(judged),
            Self::ExactSequence => judged.share_of_samples(agrees),
        }
    }
}

/// The logarithms of the softmax of a row; none if a value is NaN or all are infinite.
fn log_softmax(row: &[f32]) -> Option<impl Iterator<Item = f64>> {
    // `f32::max` leaves out NaN, the sum does not.
    let largest = f64::from(row.iter().copied().reduce(f32::max)?);
    let sum: f64 = row.iter().map(|value| (f64::from(*value) - largest).exp()).sum();
    let log = sum.ln();
    log.is_finite().then(|| row.iter().map(move |value| f64::from(*value) - largest - log))
}

/// `Σ p ln(p / q)` for the softmax `p` of the golden row and `q` of the faulty one. What is no
/// distribution is infinitely far from one.
fn divergence(golden: &[f32], faulty: &[f32]) -> f64 {
    let (Some(p), Some(q)) = (log_softmax(golden), log_softmax(faulty)) else {
        return f64::INFINITY;
    };
    // What never happens costs nothing, however surely the other says that it does.
    let term = |(p, q): (f64, f64)| if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) };
    // Rounding alone could make it negative.
    p.zip(q).map(term).sum::<f64>().max(0.0)
}

/// `-ln q` of the label; infinite where the row is no distribution.
fn surprise(row: &[f32], label: Option<usize>) -> f64 {
    let q = log_softmax(row).and_then(|mut q| q.nth(label?));
    q.map_or(f64::INFINITY, |q| -q)
}

/// The cosine of the angle between two rows; -1, the worst, for a row that is not finite. Two rows of
/// zeros are equal, and nothing else has a direction like theirs.
fn cosine(golden: &[f32], faulty: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let (a, b) = (product(golden, golden), product(faulty, faulty));
    if !(a.is_finite() && b.is_finite()) {
        return -1.0;
    }
    match (a > 0.0, b > 0.0) {
        (true, true) => (product(golden, faulty) / (a.sqrt() * b.sqrt())).clamp(-1.0, 1.0),
        (false, false) => 1.0,
        _ => 0.0,
    }
}

/// The number of the nearest other row of each judged row; none for a row that is not finite, or alone.
fn nearest_rows(judged: &Judged<'_>, faulty: bool) -> Vec<Option<usize>> {
    let rows: Vec<&[f32]> =
        judged.rows().map(|row| if faulty { row.faulty } else { row.golden }).collect();
    let nearest = |at: usize| {
        let others = (0..rows.len()).filter(|&other| other != at);
        let near = others.map(|other| (cosine(rows[at], rows[other]), other));
        // The first of equals: a strict comparison keeps it.
        let best = near.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let is_finite = rows[at].iter().all(|value| value.is_finite());
        best.filter(|_| is_finite).map(|(_, other)| other)
    };
    (0..rows.len()).map(nearest).collect()
}

/// `||y - y0|| / ||y0||` over all judged rows; infinite where a value is not finite, or zeros changed.
fn relative_error(judged: &Judged<'_>) -> f64 {
    let (mut change, mut size) = (0.0, 0.0);
    for row in judged.rows() {
        for (golden, faulty) in row.golden.iter().zip(row.faulty) {
            let (golden, faulty) = (f64::from(*golden), f64::from(*faulty));
            change += (faulty - golden).powi(2);
            size += golden.powi(2);
        }
    }
    let error = if change == 0.0 { 0.0 } else { (change / size).sqrt() };
    if error.is_nan() { f64::INFINITY } else { error }
}

/// A user's own metric: any function of the outputs of both models and the labels.
///
/// ```
/// use qtaml_deploy::{Evaluation, Output, OwnMetric};
///
/// // The largest change of any value.
/// let largest = OwnMetric::lower("largest change", |judged| {
///     let pairs = judged.golden.values.iter().zip(&judged.faulty.values);
///     pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
/// });
/// let evaluation = Evaluation::new(vec![Output::new("y", [2, 1], vec![1.0, 2.0])?], largest)?;
/// assert_eq!(evaluation.score(&[Output::new("y", [2, 1], vec![1.5, 4.0])?])?, 2.0);
/// # Ok::<(), qtaml_deploy::DeployError>(())
/// ```
#[derive(Clone)]
pub struct OwnMetric {
    name: String,
    higher_is_better: bool,
    needs_labels: bool,
    function: Arc<dyn Fn(&Judged<'_>) -> f64 + Send + Sync>,
}

impl OwnMetric {
    /// One of which a larger value is better.
    pub fn higher(
        name: impl Into<String>,
        function: impl Fn(&Judged<'_>) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let function = Arc::new(function);
        Self { name: name.into(), higher_is_better: true, needs_labels: false, function }
    }

    /// One of which a smaller value is better.
    pub fn lower(
        name: impl Into<String>,
        function: impl Fn(&Judged<'_>) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self { higher_is_better: false, ..Self::higher(name, function) }
    }

    /// The same, refused where there are no labels.
    #[must_use]
    pub fn with_labels(self) -> Self {
        Self { needs_labels: true, ..self }
    }
}

impl fmt::Debug for OwnMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnMetric")
            .field("name", &self.name)
            .field("higher_is_better", &self.higher_is_better)
            .field("needs_labels", &self.needs_labels)
            .finish_non_exhaustive()
    }
}

impl Judge for OwnMetric {
    fn name(&self) -> &str {
        &self.name
    }

    fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    fn needs_labels(&self) -> bool {
        self.needs_labels
    }

    fn needs_classes(&self) -> bool {
        false
    }

    fn judge(&self, judged: &Judged<'_>) -> f64 {
        (self.function)(judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evaluation;

    fn judged(metric: Metric, rows: [&[f32]; 2], shape: &[usize], labels: Option<&[usize]>) -> f64 {
        let [golden, faulty] = rows.map(|v| Output::new("y", shape, v.to_vec()).unwrap());
        metric.judge(&Judged {
            golden: &golden,
            faulty: &faulty,
            labels,
            all_golden: &[],
            all_faulty: &[],
        })
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found} {expected}");
    }

    const GOLDEN: [f32; 6] = [1.0, 2.0, 3.0, 0.0, 4.0, -1.0];
    const FAULTY: [f32; 6] = [1.5, 2.0, 2.5, 5.0, 4.0, 0.0];

    /// The softmax of a row, as it is defined.
    fn softmax(row: &[f32]) -> Vec<f64> {
        let powers: Vec<f64> = row.iter().map(|v| f64::from(*v).exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    }

    #[test]
    fn shares_count_rows() {
        let (rows, shape) = ([&GOLDEN[..], &FAULTY[..]], [2, 3]);
        assert_eq!(judged(Metric::Accuracy, rows, &shape, Some(&[2, 1])), 0.5);
        assert_eq!(judged(Metric::Accuracy, rows, &shape, Some(&[2, 0])), 1.0);
        assert_eq!(judged(Metric::Agreement, rows, &shape, None), 0.5);
        assert_eq!(judged(Metric::Agreement, rows, &shape, Some(&[UNLABELLED, 0])), 0.0);
        assert_eq!(judged(Metric::Accuracy, rows, &shape, Some(&[2, UNLABELLED])), 1.0);
    }

    /// Against the definitions, row by row.
    #[test]
    fn divergence_and_perplexity_are_as_defined() {
        let (rows, shape) = ([&GOLDEN[..], &FAULTY[..]], [2, 3]);
        let [p, q] = [GOLDEN, FAULTY].map(|v| [softmax(&v[..3]), softmax(&v[3..])]);
        let kl =
            |p: &[f64], q: &[f64]| -> f64 { p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum() };
        let expected = f64::midpoint(kl(&p[0], &q[0]), kl(&p[1], &q[1]));
        close(judged(Metric::Kl, rows, &shape, None), expected);
        close(judged(Metric::Kl, [&GOLDEN, &GOLDEN], &shape, None), 0.0);
        let perplexity = (1.0 / (q[0][2] * q[1][1])).sqrt();
        close(judged(Metric::Perplexity, rows, &shape, Some(&[2, 1])), perplexity);
        let alone = judged(Metric::Perplexity, rows, &shape, Some(&[2, UNLABELLED]));
        close(alone, 1.0 / q[0][2]);
        // Equal values of so many classes.
        close(judged(Metric::Perplexity, [&[7.0; 8]; 2], &[2, 4], Some(&[0, 3])), 4.0);
        // Sizes at which a power would overflow.
        close(judged(Metric::Perplexity, [&[900.0, 900.0]; 2], &[1, 2], Some(&[0])), 2.0);
    }

    #[test]
    fn angles_and_lengths_are_as_in_geometry() {
        let shape = [2, 2];
        let (golden, faulty) = ([1.0, 0.0, 3.0, 4.0], [1.0, 1.0, -3.0, -4.0]);
        let cosine = judged(Metric::Cosine, [&golden, &faulty], &shape, None);
        close(cosine, f64::midpoint(0.5_f64.sqrt(), -1.0));
        let error = judged(Metric::RelativeError, [&golden, &faulty], &shape, None);
        close(error, (101.0_f64 / 26.0).sqrt());
        assert_eq!(judged(Metric::RelativeError, [&golden, &golden], &shape, None), 0.0);
        let (zeros, ones) = ([0.0; 4], [1.0; 4]);
        assert_eq!(judged(Metric::Cosine, [&zeros, &zeros], &shape, None), 1.0);
        assert_eq!(judged(Metric::Cosine, [&zeros, &ones], &shape, None), 0.0);
        assert_eq!(judged(Metric::RelativeError, [&zeros, &zeros], &shape, None), 0.0);
        assert_eq!(judged(Metric::RelativeError, [&zeros, &ones], &shape, None), f64::INFINITY);
    }

    #[test]
    fn a_sequence_is_exact_if_all_its_tokens_are() {
        let golden = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let mut faulty = golden;
        let of = |faulty: &[f32], labels| {
            judged(Metric::ExactSequence, [&golden, faulty], &[2, 2, 2], labels)
        };
        assert_eq!(of(&faulty, None), 1.0);
        faulty[7] = 2.0;
        assert_eq!(of(&faulty, None), 0.5);
        assert_eq!(of(&faulty, Some(&[0, 0, 0, UNLABELLED])), 1.0);
        assert_eq!(of(&faulty, Some(&[UNLABELLED, UNLABELLED, 0, 0])), 0.0);
        faulty[0] = f32::NAN;
        faulty[1] = f32::NAN;
        assert_eq!(of(&faulty, None), 0.0);
    }

    /// The worst value that there is, whatever the metric.
    #[test]
    fn outputs_that_are_no_numbers_never_win() {
        let nan = [f32::NAN; 3];
        let worst = |metric| match metric {
            Metric::Kl | Metric::Perplexity | Metric::RelativeError => f64::INFINITY,
            Metric::Cosine => -1.0,
            _ => 0.0,
        };
        for metric in Metric::ALL {
            let found = judged(metric, [&GOLDEN[..3], &nan], &[1, 3], Some(&[0]));
            assert_eq!(found, worst(metric), "{metric}");
        }
        // One class is infinitely likely, and another never.
        let infinite = [f32::INFINITY, 0.0, 0.0];
        assert_eq!(judged(Metric::Kl, [&GOLDEN[..3], &infinite], &[1, 3], None), f64::INFINITY);
        let never = [1.0, 2.0, f32::NEG_INFINITY];
        assert_eq!(judged(Metric::Kl, [&GOLDEN[..3], &never], &[1, 3], None), f64::INFINITY);
        assert!(judged(Metric::Kl, [&never, &GOLDEN[..3]], &[1, 3], None).is_finite());
    }

    #[test]
    fn names_lead_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("{:?}", metric.name()));
        }
        let error = "precision".parse::<Metric>().unwrap_err().to_string();
        assert!(
            error.starts_with("metric \"precision\" is unknown: accuracy, agreement"),
            "{error}"
        );
    }

    #[test]
    fn neighbours_are_those_of_the_golden_model_or_not() {
        let output = |values: &[f32]| vec![Output::new("e", [3, 2], values.to_vec()).unwrap()];
        // The first two point nearly the same way.
        let golden = output(&[1.0, 0.0, 1.0, 0.1, -1.0, 1.0]);
        let evaluation = Evaluation::new(golden, Metric::NearestNeighbour).unwrap();
        assert_eq!(evaluation.clean(), 1.0);
        // A length changes nothing; the third row, turned to the first, is the neighbour of it.
        assert_eq!(evaluation.score(&output(&[9.0, 0.0, 1.0, 0.1, -1.0, 1.0])).unwrap(), 1.0);
        let turned = evaluation.score(&output(&[1.0, 0.0, 1.0, 0.1, 1.0, 0.01])).unwrap();
        assert_eq!(turned, 0.0);
        let broken = evaluation.score(&output(&[f32::NAN, 0.0, 1.0, 0.1, -1.0, 1.0])).unwrap();
        assert!(broken < 0.5);
    }
}
