//! A selection: one candidate for each group.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The index of the candidate that is taken for each group, in the order of the groups.
///
/// ```
/// use qtaml_compensation::allocation::Selection;
///
/// let selection = Selection::from(vec![3, 0, 1]);
/// assert_eq!((selection.len(), selection[0]), (3, 3));
/// assert_eq!(selection, [3, 0, 1]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selection(Vec<u32>);

impl From<Vec<u32>> for Selection {
    fn from(candidates: Vec<u32>) -> Self {
        Self(candidates)
    }
}

impl FromIterator<u32> for Selection {
    fn from_iter<I: IntoIterator<Item = u32>>(candidates: I) -> Self {
        Self(candidates.into_iter().collect())
    }
}

impl Deref for Selection {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl<const N: usize> PartialEq<[u32; N]> for Selection {
    fn eq(&self, other: &[u32; N]) -> bool {
        self.0 == other
    }
}

impl<const N: usize> PartialEq<[u32; N]> for &Selection {
    fn eq(&self, other: &[u32; N]) -> bool {
        self.0 == other
    }
}

impl<'a> IntoIterator for &'a Selection {
    type Item = &'a u32;
    type IntoIter = std::slice::Iter<'a, u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
