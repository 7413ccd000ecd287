//! The model that a plan was made for: a name for people, and the digest of its weights.

use qtaml_fault::{WordDigest, WordDigester};
use serde::{Deserialize, Serialize};

/// Which model a plan was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModel {
    /// What it is called, for people: nothing is compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// SHA-256 of its weights: see [`WeightsDigester`].
    pub sha256: WordDigest,
}

impl PlannedModel {
    /// A model of these weights that has no name.
    pub fn of(sha256: WordDigest) -> Self {
        Self { name: None, sha256 }
    }
}

impl std::fmt::Display for PlannedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name:?} with weights of SHA-256 {}", self.sha256),
            None => write!(f, "a model with weights of SHA-256 {}", self.sha256),
        }
    }
}

/// Takes the digest of a model's weights, tensor by tensor.
///
/// # Formula
/// The digest of a tensor is SHA-256 of: the length of its name in bytes, the name in UTF-8, the number of
/// its axes, their lengths, and its values in row-major order. Lengths and numbers are `u64`, values
/// `f32`, all little-endian. The digest of the model is SHA-256 of the digests of all stored tensors, 32
/// bytes each, in the order of the bytes of their names.
///
/// ```
/// use qtaml_compensation::WeightsDigester;
///
/// let mut model = WeightsDigester::default();
/// model.add("b", &[1, 2], &[0.5, -1.0]);
/// model.add("a", &[1], &[2.0]);
/// // Whatever order the tensors come in.
/// let mut same = WeightsDigester::default();
/// same.add("a", &[1], &[2.0]);
/// same.add("b", &[1, 2], &[0.5, -1.0]);
/// assert_eq!(model.finish(), same.finish());
/// ```
#[derive(Debug, Clone, Default)]
pub struct WeightsDigester(Vec<(String, WordDigest)>);

/// Weights that become bytes at a time.
const PIECE: usize = 1 << 12;

impl WeightsDigester {
    /// Takes the next tensor. Its values are as many as its shape says; nothing checks that here.
    pub fn add(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let mut digester = WordDigester::default();
        digester.update(&(name.len() as u64).to_le_bytes());
        digester.update(name.as_bytes());
        let numbers = std::iter::once(shape.len()).chain(shape.iter().copied());
        numbers.for_each(|number| digester.update(&(number as u64).to_le_bytes()));
        for piece in values.chunks(PIECE) {
            let bytes: Vec<u8> = piece.iter().flat_map(|value| value.to_le_bytes()).collect();
            digester.update(&bytes);
        }
        self.0.push((name.to_owned(), digester.finish()));
    }

    /// The digest of all of them.
    pub fn finish(mut self) -> WordDigest {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut digester = WordDigester::default();
        self.0.iter().for_each(|(_, digest)| digester.update(&digest.to_bytes()));
        digester.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hashlib and struct of Python:
    /// `t = lambda n, s, v: sha256(pack("<Q", len(n)) + n + pack(f"<{1 + len(s)}Q", len(s), *s) +
    /// pack(f"<{len(v)}f", *v)).digest()`, and
    /// `sha256(t(b"a", [1], [2.0]) + t(b"b", [1, 2], [0.5, -1.0])).hexdigest()`.
    #[test]
    fn the_digest_is_that_of_another_program() {
        let mut model = WeightsDigester::default();
        model.add("b", &[1, 2], &[0.5, -1.0]);
        model.add("a", &[1], &[2.0]);
        let expected = "31ddbab1e22547761b18092d88b36eeab2683384e02128e328d7f5234540ef3e";
        assert_eq!(model.finish().to_string(), expected);
    }

    /// Everything counts: names, shapes and each value.
    #[test]
    fn other_models_have_other_digests() {
        let of = |name: &str, shape: &[usize], values: &[f32]| {
            let mut model = WeightsDigester::default();
            model.add(name, shape, values);
            model.finish()
        };
        let values: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
        let mut other = values.clone();
        other[9_999] = -1.0;
        let one = of("w", &[100, 100], &values);
        let others = [
            of("v", &[100, 100], &values),
            of("w", &[10_000], &values),
            of("w", &[100, 100], &other),
            WeightsDigester::default().finish(),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
