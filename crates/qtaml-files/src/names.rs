//! Names of tensors: found fast, and the nearest ones told where there is none.

use std::fmt;

use crate::TensorInfo;
use crate::gguf::GgufTensor;
use crate::onnx::OnnxTensor;

/// Names that are listed at most.
const NEAREST: usize = 10;

/// The error of a name that nothing has. It lists ten names that exist at most, the nearest first,
/// and counts the others: a model may have hundreds of thousands.
///
/// ```
/// use qtaml_files::UnknownName;
///
/// let error = UnknownName::new("tensor", "fc.wieght", ["conv.weight", "fc.bias", "fc.weight"]);
/// assert_eq!(
///     error.to_string(),
///     r#"there is no tensor "fc.wieght": there are "fc.weight", "fc.bias", "conv.weight""#
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownName {
    /// What bears such names: a tensor, a layer.
    pub kind: &'static str,
    /// The name that was given.
    pub name: String,
    /// Names that exist, the nearest first.
    pub nearest: Vec<String>,
    /// How many more exist.
    pub more: usize,
}

impl UnknownName {
    /// The error of `name` where only `known` names exist.
    pub fn new<'a>(
        kind: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let distance = |known: &'a str| (strsim::levenshtein(name, known), known);
        let mut known: Vec<_> = known.into_iter().map(distance).collect();
        known.sort_unstable();
        let more = known.len().saturating_sub(NEAREST);
        let nearest = known.into_iter().take(NEAREST).map(|(_, known)| known.to_owned());
        Self { kind, name: name.to_owned(), nearest: nearest.collect(), more }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, nearest, more } = self;
        write!(f, "there is no {kind} {name:?}")?;
        if nearest.is_empty() {
            return write!(f, ", nor any other");
        }
        let names: Vec<String> = nearest.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(", ");
        match more {
            0 => write!(f, ": there are {names}"),
            _ => write!(f, ": the nearest are {names}, and {more} more"),
        }
    }
}

impl std::error::Error for UnknownName {}

/// What has a name in a model.
pub(crate) trait Named {
    fn name(&self) -> &str;
}

impl Named for TensorInfo {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for GgufTensor {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for OnnxTensor {
    fn name(&self) -> &str {
        &self.name
    }
}

/// The tensors of a model in the order of their names.
#[derive(Debug)]
pub(crate) struct NameIndex(Vec<usize>);

impl NameIndex {
    pub(crate) fn new(tensors: &[impl Named]) -> Self {
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by(|&a, &b| tensors[a].name().cmp(tensors[b].name()));
        Self(order)
    }

    /// The numbers of the tensors, the least name first.
    pub(crate) fn order(&self) -> &[usize] {
        &self.0
    }

    /// The number of the tensor of this name.
    pub(crate) fn position(&self, tensors: &[impl Named], name: &str) -> Option<usize> {
        let found = self.0.binary_search_by(|&i| tensors[i].name().cmp(name));
        found.ok().map(|place| self.0[place])
    }

    /// The tensor of this name, or the nearest names.
    pub(crate) fn find<'a, T: Named>(
        &self,
        tensors: &'a [T],
        name: &str,
    ) -> Result<&'a T, UnknownName> {
        let names = || tensors.iter().map(Named::name);
        let found = self.position(tensors, name).map(|i| &tensors[i]);
        found.ok_or_else(|| UnknownName::new("tensor", name, names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_names_are_listed_and_the_others_counted() {
        let names: Vec<String> = (0..100_000).map(|i| format!("layer{i}.weight")).collect();
        let error = UnknownName::new("tensor", "layer7.wieght", names.iter().map(String::as_str));
        assert_eq!((error.nearest.len(), error.more), (10, 99_990));
        assert_eq!(error.nearest[0], "layer7.weight");
        let text = error.to_string();
        assert!(text.len() < 400 && text.ends_with(", and 99990 more"), "{text}");
        let none = UnknownName::new("tensor", "\u{1b}w", []);
        assert_eq!(none.to_string(), "there is no tensor \"\\u{1b}w\", nor any other");
    }
}
