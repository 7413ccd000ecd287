//! The lineage of values: which nodes lie behind a weight, and what they read of what lies before it.

use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::GraphProto;

use crate::scope::{op, read_by};

/// The nodes of a graph and the values between them, by number.
#[derive(Debug)]
pub(crate) struct Lineage {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
    steps: Vec<Step>,
    /// The node that makes a value, if one does.
    maker: Vec<Option<usize>>,
    /// Whether a value depends on any input of the graph. The runtime computes all others in advance.
    varies: Vec<bool>,
    /// Whether an output depends on a node.
    needed: Vec<bool>,
    outputs: Vec<usize>,
}

#[derive(Debug)]
struct Step {
    reads: Vec<usize>,
    makes: Vec<usize>,
}

/// What has to run anew when some values change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suffix {
    /// Values to be passed that lie before what changed.
    pub(crate) passed: Vec<usize>,
    /// How many nodes run.
    pub(crate) nodes: usize,
    /// Which outputs change, by their number.
    pub(crate) outputs: Vec<usize>,
}

impl Lineage {
    /// None for a graph whose nodes read values that are made later.
    pub(crate) fn of(graph: &GraphProto) -> Option<Self> {
        let mut lineage = Self {
            names: Vec::new(),
            numbers: HashMap::new(),
            steps: Vec::new(),
            maker: Vec::new(),
            varies: Vec::new(),
            needed: Vec::new(),
            outputs: Vec::new(),
        };
        for tensor in &graph.initializer {
            lineage.number(tensor.name.as_deref().unwrap_or_default());
        }
        let stored = lineage.names.len();
        for input in &graph.input {
            let number = lineage.number(input.name.as_deref().unwrap_or_default());
            lineage.varies[number] = number >= stored;
        }
        for node in &graph.node {
            let known = lineage.names.len();
            let reads: Vec<usize> =
                read_by(node).into_iter().map(|name| lineage.number(name)).collect();
            if reads.iter().any(|&read| read >= known) {
                return None;
            }
            let step = lineage.steps.len();
            let varies = reads.iter().any(|&read| lineage.varies[read]);
            let is_random = op(node).starts_with("Random");
            let makes = node.output.iter().filter(|name| !name.is_empty());
            let makes: Vec<usize> = makes.map(|name| lineage.number(name)).collect();
            for &made in &makes {
                lineage.maker[made] = Some(step);
                lineage.varies[made] = varies || is_random;
            }
            lineage.steps.push(Step { reads, makes });
        }
        let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
        let outputs: Option<Vec<usize>> =
            outputs.map(|name| lineage.numbers.get(name).copied()).collect();
        lineage.outputs = outputs?;
        lineage.mark_needed();
        Some(lineage)
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        self.maker.push(None);
        self.varies.push(false);
        number
    }

    fn mark_needed(&mut self) {
        let mut needed = vec![false; self.steps.len()];
        let mut open: Vec<usize> = self.outputs.clone();
        while let Some(value) = open.pop() {
            if let Some(step) = self.maker[value].filter(|&step| !needed[step]) {
                needed[step] = self.steps[step].makes.iter().any(|&made| self.varies[made]);
                open.extend(self.steps[step].reads.iter().filter(|_| needed[step]));
            }
        }
        self.needed = needed;
    }

    pub(crate) fn name(&self, value: usize) -> &str {
        &self.names[value]
    }

    pub(crate) fn value(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// The nodes of a whole pass.
    pub(crate) fn nodes(&self) -> usize {
        self.needed.iter().filter(|needed| **needed).count()
    }

    /// What runs anew when these values change, where those of `gone` cannot be passed: what makes them
    /// runs again.
    pub(crate) fn suffix(&self, changed: &[usize], gone: &HashSet<usize>) -> Suffix {
        let mut behind: HashSet<usize> = changed.iter().copied().collect();
        let mut runs = vec![false; self.steps.len()];
        for (number, step) in self.steps.iter().enumerate() {
            if self.needed[number] && step.reads.iter().any(|read| behind.contains(read)) {
                runs[number] = true;
                behind.extend(&step.makes);
            }
        }
        let (mut passed, mut seen) = (Vec::new(), HashSet::new());
        let mut open: Vec<usize> = (0..runs.len()).filter(|&step| runs[step]).collect();
        while let Some(step) = open.pop() {
            for &read in &self.steps[step].reads {
                let Some(maker) = self.maker[read] else { continue };
                if behind.contains(&read) || !self.varies[read] || !seen.insert(read) {
                    continue;
                }
                if !gone.contains(&read) {
                    passed.push(read);
                } else if !runs[maker] {
                    runs[maker] = true;
                    open.push(maker);
                }
            }
        }
        let outputs = (0..self.outputs.len()).filter(|&at| behind.contains(&self.outputs[at]));
        passed.sort_unstable();
        Suffix {
            passed,
            nodes: runs.iter().filter(|runs| **runs).count(),
            outputs: outputs.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::{NodeProto, TensorProto, ValueInfoProto};

    use super::*;

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
    }

    fn node(reads: &str, makes: &str) -> NodeProto {
        let names = |names: &str| names.split_whitespace().map(str::to_owned).collect();
        NodeProto { input: names(reads), output: names(makes), ..NodeProto::default() }
    }

    /// A chain of three layers with a constant, a branch that rejoins, and a node without use.
    fn graph() -> GraphProto {
        GraphProto {
            node: vec![
                node("c", "k"),
                node("x w1", "a"),
                node("a k", "b"),
                node("b w2", "d"),
                node("d a", "e"),
                node("e w3", "y"),
                node("a", "unused"),
            ],
            initializer: vec![TensorProto { name: Some("c".to_owned()), ..TensorProto::default() }],
            input: ["x", "w1", "w2", "w3"].map(value).to_vec(),
            output: vec![value("y"), value("a")],
            value_info: Vec::new(),
        }
    }

    fn suffix(of: &[&str], gone: &[&str]) -> (Vec<String>, usize, Vec<usize>) {
        let lineage = Lineage::of(&graph()).unwrap();
        let number = |name: &&str| lineage.value(name).unwrap();
        let changed: Vec<usize> = of.iter().map(number).collect();
        let Suffix { passed, nodes, outputs } =
            lineage.suffix(&changed, &gone.iter().map(number).collect());
        (passed.iter().map(|&value| lineage.name(value).to_owned()).collect(), nodes, outputs)
    }

    #[test]
    fn only_what_lies_behind_runs() {
        assert_eq!(Lineage::of(&graph()).unwrap().nodes(), 5);
        assert_eq!(suffix(&["w1"], &[]), (vec![], 5, vec![0, 1]));
        assert_eq!(suffix(&["w2"], &[]), (vec!["a".to_owned(), "b".to_owned()], 3, vec![0]));
        assert_eq!(suffix(&["w3"], &[]), (vec!["e".to_owned()], 1, vec![0]));
        assert_eq!(suffix(&["w2", "w3"], &[]).1, 3);
    }

    #[test]
    fn what_cannot_be_passed_runs_again() {
        assert_eq!(suffix(&["w3"], &["e"]), (vec!["a".to_owned(), "d".to_owned()], 2, vec![0]));
        assert_eq!(suffix(&["w3"], &["e", "d", "b", "a"]), (vec![], 5, vec![0]));
    }

    #[test]
    fn values_must_be_made_before_they_are_read() {
        let mut graph = graph();
        graph.node.swap(3, 5);
        assert!(Lineage::of(&graph).is_none());
    }
}
