//! Evaluation of a faulty model on fixed inputs: golden outputs, labels and a metric.

use std::fmt;
use std::sync::Arc;

use crate::highest::{agree, margin};
use crate::metric::{Judge, Judged, UNLABELLED};
use crate::{EvaluationError, Output};

/// What faulty outputs are judged by: the outputs of the golden model on the same inputs, a metric, and
/// labels where it needs them. It knows no model, so that outputs can be repaired before they are
/// judged.
///
/// ```
/// use qtaml_deploy::{Evaluation, Metric, Output};
///
/// let logits = |values: &[f32]| Output::new("logits", [2, 2], values.to_vec());
/// let golden = vec![logits(&[0.0, 1.0, 3.0, 2.0])?];
/// let accuracy = Evaluation::labelled(golden, Metric::Accuracy, vec![1, 1])?;
/// let faulty = [logits(&[0.5, 1.0, 3.0, 9.0])?];
/// assert_eq!((accuracy.clean(), accuracy.score(&faulty)?), (0.5, 1.0));
/// assert_eq!(accuracy.disagreement(&faulty)?, Some(0.5));
/// assert_eq!(accuracy.margins(), [1.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Evaluation {
    golden: Vec<Output>,
    /// The output that is judged.
    index: usize,
    judge: Arc<dyn Judge>,
    labels: Option<Vec<usize>>,
}

impl fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluation")
            .field("metric", &self.judge.name())
            .field("output", &self.judged().name)
            .field("shape", &self.judged().shape)
            .field("labelled", &self.labels.is_some())
            .finish_non_exhaustive()
    }
}

impl Evaluation {
    /// Judges the first output, without labels.
    ///
    /// # Errors
    /// [`EvaluationError::NeedsLabels`] for a metric that compares with labels,
    /// [`EvaluationError::NoOutputs`] and [`EvaluationError::EmptyOutput`] if there is nothing to judge,
    /// [`EvaluationError::OutputAxes`] if the metric needs classes and the output has none.
    pub fn new(golden: Vec<Output>, judge: impl Judge + 'static) -> Result<Self, EvaluationError> {
        Self::build(golden, Arc::new(judge), None, None)
    }

    /// Judges the first output with one label for each of its rows: each sample, or each token of each
    /// sample. A row labelled [`UNLABELLED`] is not judged. A metric that does not compare with labels
    /// reads no more of them than that.
    ///
    /// # Errors
    /// As [`new`](Self::new), [`EvaluationError::LabelCount`] and [`EvaluationError::LabelRange`].
    pub fn labelled(
        golden: Vec<Output>,
        judge: impl Judge + 'static,
        labels: Vec<usize>,
    ) -> Result<Self, EvaluationError> {
        Self::build(golden, Arc::new(judge), Some(labels), None)
    }

    /// Judges the output of this name, with labels or without.
    ///
    /// # Errors
    /// As [`labelled`](Self::labelled), and [`EvaluationError::UnknownOutput`].
    pub fn of_output(
        golden: Vec<Output>,
        name: &str,
        judge: impl Judge + 'static,
        labels: Option<Vec<usize>>,
    ) -> Result<Self, EvaluationError> {
        Self::build(golden, Arc::new(judge), labels, Some(name))
    }

    fn build(
        golden: Vec<Output>,
        judge: Arc<dyn Judge>,
        labels: Option<Vec<usize>>,
        name: Option<&str>,
    ) -> Result<Self, EvaluationError> {
        let index = position(&golden, name)?;
        let evaluation = Self { golden, index, judge, labels };
        evaluation.check()?;
        Ok(evaluation)
    }

    fn check(&self) -> Result<(), EvaluationError> {
        let (output, judge) = (self.judged(), &self.judge);
        let (name, shape) = (output.name.clone(), output.shape.clone());
        let axes = |needed| EvaluationError::OutputAxes {
            output: name.clone(),
            shape: shape.clone(),
            what: format!("metric {}", judge.name()),
            needed,
        };
        if output.values.is_empty() {
            return Err(EvaluationError::EmptyOutput { output: name, shape });
        }
        if judge.needs_classes() && (shape.len() < 2 || output.classes() < 2) {
            return Err(axes(
                "samples along the first axis and two classes at least along the last",
            ));
        }
        let Some(labels) = &self.labels else {
            let metric = judge.name().to_owned();
            return if judge.needs_labels() {
                Err(EvaluationError::NeedsLabels { metric })
            } else {
                Ok(())
            };
        };
        let (rows, classes) = (output.rows().len(), output.classes());
        if labels.len() != rows {
            return Err(EvaluationError::LabelCount { output: name, rows, labels: labels.len() });
        }
        if judge.needs_labels() && judge.needs_classes() {
            let foreign = |label: usize| label != UNLABELLED && label >= classes;
            if let Some(row) = labels.iter().position(|&label| foreign(label)) {
                let label = labels[row];
                return Err(EvaluationError::LabelRange { output: name, row, label, classes });
            }
        }
        if labels.iter().all(|&label| label == UNLABELLED) {
            return Err(EvaluationError::EmptyOutput { output: name, shape });
        }
        Ok(())
    }

    fn judged(&self) -> &Output {
        &self.golden[self.index]
    }

    /// The name of the metric.
    pub fn metric(&self) -> &str {
        self.judge.name()
    }

    /// The name of the output that is judged.
    pub fn output(&self) -> &str {
        &self.judged().name
    }

    /// Whether a larger score is a better one.
    pub fn higher_is_better(&self) -> bool {
        self.judge.higher_is_better()
    }

    /// How far a score of this size lies from the one over endlessly many inputs like these: the standard
    /// error of a share of so many rows, `sqrt(s (1 - s) / n)`. 0 for metrics that are no shares.
    pub fn standard_error(&self, score: f64) -> f64 {
        let rows = self.pair(self.judged(), &self.golden).rows().count() as f64;
        if self.judge.is_share() {
            (score * (1.0 - score)).max(0.0).sqrt() / rows.sqrt()
        } else {
            0.0
        }
    }

    /// The outputs of the golden model.
    pub fn golden(&self) -> &[Output] {
        &self.golden
    }

    /// The score of the golden model.
    pub fn clean(&self) -> f64 {
        self.judge.judge(&self.pair(self.judged(), &self.golden))
    }

    /// The score of a faulty model.
    ///
    /// # Errors
    /// [`EvaluationError::UnknownOutput`] if the output that is judged is missing, and
    /// [`EvaluationError::OutputShape`] if it has another shape than the golden one.
    pub fn score(&self, faulty: &[Output]) -> Result<f64, EvaluationError> {
        Ok(self.judge.judge(&self.pair(self.find(faulty)?, faulty)))
    }

    /// The share of the judged rows whose highest value is elsewhere than in the golden model, whatever
    /// the metric; none if the output has a single class. A row without numbers agrees with nothing.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn disagreement(&self, faulty: &[Output]) -> Result<Option<f64>, EvaluationError> {
        let judged = self.pair(self.find(faulty)?, faulty);
        let differs = judged.share(|row| !agree(row.golden, row.faulty));
        Ok((self.judged().classes() > 1).then_some(differs))
    }

    /// By how much the highest value of each row leads the second in the golden model: how sure it is,
    /// right or wrong. Rows that are not judged are left out.
    pub fn margins(&self) -> Vec<f64> {
        let judged = self.pair(self.judged(), &self.golden);
        judged.rows().map(|row| margin(row.golden)).collect()
    }

    fn find<'a>(&self, faulty: &'a [Output]) -> Result<&'a Output, EvaluationError> {
        let golden = self.judged();
        let found = &faulty[position(faulty, Some(&golden.name))?];
        same_shape(golden, found)?;
        Ok(found)
    }

    fn pair<'a>(&'a self, faulty: &'a Output, all_faulty: &'a [Output]) -> Judged<'a> {
        Judged {
            golden: self.judged(),
            faulty,
            labels: self.labels.as_deref(),
            all_golden: &self.golden,
            all_faulty,
        }
    }
}

/// The position of the output of this name, or of the first.
fn position(outputs: &[Output], name: Option<&str>) -> Result<usize, EvaluationError> {
    if outputs.is_empty() {
        return Err(EvaluationError::NoOutputs);
    }
    let Some(name) = name else { return Ok(0) };
    outputs.iter().position(|output| output.name == name).ok_or_else(|| {
        let known = outputs.iter().map(|output| output.name.clone()).collect();
        EvaluationError::UnknownOutput { name: name.to_owned(), known }
    })
}

/// Refuses an output that cannot be compared with `golden`, value by value.
pub(crate) fn same_shape(golden: &Output, found: &Output) -> Result<(), EvaluationError> {
    if golden.shape == found.shape && golden.values.len() == found.values.len() {
        return Ok(());
    }
    Err(EvaluationError::OutputShape {
        output: golden.name.clone(),
        found: found.shape.clone(),
        expected: golden.shape.clone(),
    })
}

/// Outputs in the order of `golden`, all of the shapes that it has.
pub(crate) fn matched<'a>(
    golden: &[Output],
    found: &'a [Output],
) -> Result<Vec<&'a Output>, EvaluationError> {
    let matching = golden.iter().map(|golden| {
        let found = &found[position(found, Some(&golden.name))?];
        same_shape(golden, found)?;
        Ok(found)
    });
    matching.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metric, OwnMetric};

    fn output(name: &str, shape: &[usize], values: &[f32]) -> Output {
        Output::new(name, shape, values.to_vec()).unwrap()
    }

    fn two() -> Vec<Output> {
        vec![
            output("boxes", &[2, 1], &[1.0, 2.0]),
            output("classes", &[2, 2], &[0.0, 1.0, 3.0, 2.0]),
        ]
    }

    fn error(result: Result<Evaluation, EvaluationError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn an_output_is_judged_by_its_name_wherever_it_stands() {
        let evaluation = Evaluation::of_output(two(), "classes", Metric::Agreement, None).unwrap();
        let mut faulty = two();
        faulty.reverse();
        assert_eq!(evaluation.score(&faulty).unwrap(), 1.0);
        faulty[0].values[0] = 5.0;
        assert_eq!(evaluation.score(&faulty).unwrap(), 0.5);
        assert_eq!(evaluation.disagreement(&faulty).unwrap(), Some(0.5));
        let first = Evaluation::new(two(), Metric::RelativeError).unwrap();
        assert_eq!((first.clean(), first.disagreement(&two()).unwrap()), (0.0, None));
        let gone = evaluation.score(&faulty[1..]).unwrap_err().to_string();
        assert_eq!(gone, "the model has no output \"classes\": its outputs are boxes");
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let classes = || vec![two().remove(1)];
        let labelled =
            |labels: &[usize]| Evaluation::labelled(classes(), Metric::Accuracy, labels.to_vec());
        assert!(labelled(&[1, UNLABELLED]).is_ok());
        assert_eq!(
            error(labelled(&[1])),
            "1 labels for 2 rows of output \"classes\": one label for each row is needed"
        );
        assert_eq!(
            error(labelled(&[1, 2])),
            "label 2 of row 1 is none of the 2 classes of output \"classes\""
        );
        assert!(matches!(labelled(&[UNLABELLED; 2]), Err(EvaluationError::EmptyOutput { .. })));
        assert_eq!(
            error(Evaluation::new(classes(), Metric::Perplexity)),
            "metric perplexity needs labels, and none were given"
        );
        let single = error(Evaluation::new(two(), Metric::Agreement));
        assert!(single.starts_with("output \"boxes\" has shape [2, 1]: metric agreement needs"));
        assert!(matches!(Evaluation::new(vec![], Metric::Cosine), Err(EvaluationError::NoOutputs)));
        assert!(matches!(
            Evaluation::new(vec![output("y", &[0, 3], &[])], Metric::Cosine),
            Err(EvaluationError::EmptyOutput { .. })
        ));
        let unknown = error(Evaluation::of_output(two(), "box", Metric::Cosine, None));
        assert_eq!(unknown, "the model has no output \"box\": its outputs are boxes, classes");
        let evaluation = Evaluation::new(classes(), Metric::Cosine).unwrap();
        let other = evaluation.score(&[output("classes", &[1, 4], &[0.0; 4])]).unwrap_err();
        assert_eq!(other.to_string(), "output \"classes\" has shape [1, 4]: [2, 2] is needed");
    }

    #[test]
    fn a_metric_of_ones_own_sees_all_outputs_and_labels() {
        let own = OwnMetric::higher("own", |judged| {
            let labels: usize = judged.labels.unwrap().iter().sum();
            judged.all_faulty.len() as f64 + labels as f64
        });
        // Labels of one's own metric may be anything.
        let judged =
            |labels| Evaluation::of_output(two(), "classes", own.clone().with_labels(), labels);
        let evaluation = judged(Some(vec![7, 30])).unwrap();
        assert_eq!((evaluation.clean(), evaluation.metric()), (39.0, "own"));
        assert!(evaluation.higher_is_better());
        assert!(matches!(judged(None), Err(EvaluationError::NeedsLabels { .. })));
    }

    #[test]
    fn margins_are_those_of_judged_rows() {
        let golden = vec![output("y", &[2, 3], &[1.0, 4.0, 2.5, 0.0, 0.0, 0.0])];
        let evaluation = Evaluation::new(golden.clone(), Metric::Agreement).unwrap();
        assert_eq!(evaluation.margins(), [1.5, 0.0]);
        let padded = Evaluation::labelled(golden, Metric::Agreement, vec![0, UNLABELLED]).unwrap();
        assert_eq!(padded.margins(), [1.5]);
    }
}
