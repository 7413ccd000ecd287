//! The choice of tensors by their names: the same flags in every command.

use clap::Args;
use qtaml::files::{NamePattern, UnknownName};

/// Heading of the flags that choose tensors.
const TENSORS: &str = "Tensors";

/// Which tensors, by patterns of their names.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Selection {
    /// Only tensors of such names; * stands for anything, dots and slashes too; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = TENSORS)]
    only: Vec<NamePattern>,

    /// No tensors of such names; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = TENSORS)]
    skip: Vec<NamePattern>,
}

impl Selection {
    /// Whether each of the names is chosen: by `--only` if there is one, and by no `--skip`.
    ///
    /// # Errors
    /// [`UnknownName`] for a pattern that stands for none of them.
    pub(crate) fn choose<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<bool>, UnknownName> {
        for pattern in self.only.iter().chain(&self.skip) {
            if !names.clone().any(|name| pattern.matches(name)) {
                return Err(UnknownName::new("tensor", pattern.as_str(), names));
            }
        }
        Ok(names.map(|name| self.is_chosen(name)).collect())
    }

    /// Whether `--only` says this very name, without a star.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.only.iter().any(|pattern| pattern.as_str() == name)
    }

    /// That of `--only` with each of some patterns.
    #[cfg(test)]
    pub(crate) fn of_only(patterns: &[&str]) -> Self {
        let only = patterns.iter().map(|&pattern| NamePattern::new(pattern)).collect();
        Self { only, skip: Vec::new() }
    }

    fn is_chosen(&self, name: &str) -> bool {
        let matches = |patterns: &[NamePattern]| patterns.iter().any(|p| p.matches(name));
        (self.only.is_empty() || matches(&self.only)) && !matches(&self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["a/fc.weight", "a/fc.bias", "b.norm.weight", "head"];

    fn choose(only: &[&str], skip: &[&str]) -> Result<Vec<bool>, String> {
        let patterns = |texts: &[&str]| texts.iter().map(|&text| NamePattern::new(text)).collect();
        let selection = Selection { only: patterns(only), skip: patterns(skip) };
        selection.choose(NAMES.into_iter()).map_err(|error| error.to_string())
    }

    #[test]
    fn tensors_are_chosen_by_what_they_are_called() {
        for (only, skip, chosen) in [
            (&[][..], &[][..], [true, true, true, true]),
            (&["*.weight"], &[], [true, false, true, false]),
            (&["*.weight"], &["*norm*"], [true, false, false, false]),
            (&["a/*", "head"], &[], [true, true, false, true]),
            (&[], &["*"], [false; 4]),
        ] {
            assert_eq!(choose(only, skip), Ok(chosen.to_vec()), "{only:?} {skip:?}");
        }
    }

    #[test]
    fn a_pattern_that_stands_for_nothing_is_an_error() {
        for (only, skip) in [(&["*.wieght"][..], &[][..]), (&[], &["*.wieght"])] {
            let error = choose(only, skip).unwrap_err();
            assert!(error.starts_with("there is no tensor \"*.wieght\": there are"), "{error}");
        }
    }
}
