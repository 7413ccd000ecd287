//! Patterns of tensor names, in which a star stands for anything.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A pattern of names: `*` stands for any characters, dots and slashes too, or for none; everything
/// else for itself.
///
/// ```
/// use qtaml_files::NamePattern;
///
/// let pattern = NamePattern::new("*.layers.*.weight");
/// assert!(pattern.matches("model.layers.0.self_attn.q_proj.weight"));
/// assert!(!pattern.matches("model.layers.0.self_attn.q_proj.bias"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern(String);

impl NamePattern {
    /// Any text is a pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for this name, whole.
    pub fn matches(&self, name: &str) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else { return name == self.0 };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(name) = name.strip_prefix(begin) else { return false };
        let Some(name) = name.strip_suffix(end) else { return false };
        // The first place of each part leaves most to those behind it.
        let mut parts = middle.split('*').filter(|part| !part.is_empty());
        parts.try_fold(name, |name, part| Some(name.split_once(part)?.1)).is_some()
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamePattern {
    type Err = Infallible;

    fn from_str(pattern: &str) -> Result<Self, Infallible> {
        Ok(Self::new(pattern))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By its definition: a star takes nothing, or one character more.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) if by_definition(rest, name) => true,
            (['*', ..], [_, rest @ ..]) => by_definition(pattern, rest),
            ([a, pattern @ ..], [b, name @ ..]) if a == b => by_definition(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(pattern in "[ab.*]{0,7}", name in "[ab.]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = by_definition(&chars(&pattern), &chars(&name));
            prop_assert_eq!(NamePattern::new(pattern.as_str()).matches(&name), expected);
        }
    }

    #[test]
    fn only_the_star_is_special_and_dots_and_slashes_are_not() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "a/b.c", true),
            ("*.weight", "a/b.c.weight", true),
            ("a?b", "a?b", true),
            ("a?b", "axb", false),
            ("[ab]", "[ab]", true),
            ("a*a", "a", false),
            ("\u{e9}*", "\u{e9}\u{fc}", true),
        ] {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
