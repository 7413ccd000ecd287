//! The result as a person and a program keep it.

use std::collections::HashSet;

use qtaml_fault::{Keeper, Protection};
use qtaml_physics::FlipProfile;
use qtaml_quant::Format;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{CompensationError, Decoder};

/// Which bits of which layer are protected, how, and what that is predicted to leave.
///
/// It is made by a [`Planner`](crate::Planner), and kept as JSON:
///
/// ```
/// use qtaml_compensation::Plan;
///
/// let text = r#"{
///   "schema": 1,
///   "flips": { "p01": 0.1, "p10": 0.1 },
///   "format": { "bits": 8, "encoding": "twos-complement" },
///   "decoder": "raw",
///   "accounting": "protected-bits",
///   "layers": [
///     {
///       "name": "fc.weight",
///       "weights": 1000,
///       "protected": [7, 6],
///       "code": "ideal",
///       "cost_bits": 2000,
///       "predicted_mse": 132.0,
///       "predicted_output_noise": 0.25
///     }
///   ],
///   "overhead": 0.25,
///   "predicted_output_noise": 0.25
/// }"#;
/// let plan = Plan::from_json(text)?;
/// assert_eq!(plan.layers[0].protection(plan.format)?.mask(), 0b1100_0000);
/// assert_eq!(Plan::from_json(&plan.to_json())?, plan);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | Field | Meaning |
/// | --- | --- |
/// | `schema` | version of this format, 1 |
/// | `flips` | how often a stored 0 and a stored 1 flip, or a list of both per bit, bit 0 first |
/// | `format` | width and encoding of the stored words |
/// | `decoder` | how read words are decoded |
/// | `accounting` | what costs count: `protected-bits` (ideal) or `check-bits` (stored beside) |
/// | `layers` | the layers, each with a name of its own |
/// | `name`, `weights` | name and number of weights of the layer |
/// | `protected` | the protected bits of each weight, bit 0 being the least significant |
/// | `code` | what keeps them: `ideal`, or the name of a code as in [`Keeper`] |
/// | `cost_bits` | what that costs |
/// | `predicted_mse` | mean square error per weight, in squared units of the code |
/// | `predicted_output_noise` | that times the layer's score; of the plan: the sum over layers |
/// | `overhead` | all costs over all stored weight bits |
///
/// All fields are required, and there are no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Plan {
    /// The version of the format.
    pub schema: u64,
    /// The flip probabilities of unprotected bits.
    pub flips: FlipProfile,
    /// What stored words mean.
    pub format: Format,
    /// How read words are decoded.
    pub decoder: Decoder,
    /// What costs count.
    pub accounting: Accounting,
    /// What is done in each layer.
    pub layers: Vec<PlanLayer>,
    /// All costs over all stored weight bits.
    pub overhead: f64,
    /// The predicted squared change of the output.
    pub predicted_output_noise: f64,
}

/// What is done in one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanLayer {
    /// The layer's name.
    pub name: String,
    /// Its number of weights.
    pub weights: usize,
    /// The protected bits of each weight, most significant first.
    pub protected: Vec<u32>,
    /// What keeps them.
    pub code: Keeper,
    /// What that costs, in bits.
    pub cost_bits: u64,
    /// Mean square error per weight, in squared units of the code.
    pub predicted_mse: f64,
    /// What the layer adds to the squared change of the output.
    pub predicted_output_noise: f64,
}

/// What the cost of protection counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accounting {
    /// Protected bits, as if protection were free: the sources' *ideal* overhead.
    ProtectedBits,
    /// Bits that a real code stores beside the weights.
    CheckBits,
}

impl Plan {
    /// The version of the format that is written and read.
    pub const SCHEMA: u64 = 1;

    /// The plan in a JSON text.
    ///
    /// # Errors
    /// [`CompensationError::PlanSchema`] for another version,
    /// [`CompensationError::PlanText`] if the text is no JSON or fields are missing, unknown or of
    /// another kind, and as [`check`](Self::check).
    pub fn from_json(text: &str) -> Result<Self, CompensationError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u64,
        }
        let wrong = |error: serde_json::Error| CompensationError::PlanText(error.to_string());
        let Version { schema } = serde_json::from_str(text).map_err(wrong)?;
        if schema != Self::SCHEMA {
            return Err(CompensationError::PlanSchema(schema));
        }
        let mut source = serde_json::Deserializer::from_str(text);
        // The derived function, which checks nothing.
        let plan = Self::deserialize(&mut source).map_err(wrong)?;
        source.end().map_err(wrong)?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as JSON, for people to read as well.
    pub fn to_json(&self) -> String {
        // Maps with keys that are no strings are all that could fail here, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Refuses what no planner writes.
    ///
    /// # Errors
    /// [`CompensationError::PlanSchema`] for another version, [`CompensationError::Fault`] for flip
    /// probabilities of another width, [`CompensationError::EmptyLayer`],
    /// [`CompensationError::DuplicateLayer`], [`CompensationError::PlanBits`] for protected bits
    /// that a word lacks or that are listed twice, and [`CompensationError::PlanNumber`] for a
    /// number that is negative, NaN or infinite.
    pub fn check(&self) -> Result<(), CompensationError> {
        if self.schema != Self::SCHEMA {
            return Err(CompensationError::PlanSchema(self.schema));
        }
        qtaml_fault::CodeChannel::new(self.flips.clone(), self.format, Protection::NONE)?;
        number("overhead", self.overhead)?;
        number("predicted output noise", self.predicted_output_noise)?;
        let mut names = HashSet::new();
        for layer in &self.layers {
            if !names.insert(&layer.name) {
                return Err(CompensationError::DuplicateLayer(layer.name.clone()));
            }
            layer.check(self.format)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let plan = Self::deserialize(source)?;
        plan.check().map_err(serde::de::Error::custom)?;
        Ok(plan)
    }
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, target)
    }
}

impl PlanLayer {
    /// The protected bits as a set.
    ///
    /// # Errors
    /// [`CompensationError::PlanBits`] for bits that the words of this format lack, or that are
    /// listed twice.
    pub fn protection(&self, format: Format) -> Result<Protection, CompensationError> {
        let width = format.bits();
        let mask = self.protected.iter().try_fold(0_u8, |mask, &bit| {
            let bit = 1_u8.checked_shl(bit).filter(|bit| width.mask() & bit != 0)?;
            (mask & bit == 0).then_some(mask | bit)
        });
        match mask {
            Some(mask) => Ok(Protection::of_bits(mask, width)?),
            None => Err(CompensationError::PlanBits {
                layer: self.name.clone(),
                bits: self.protected.clone(),
                width: width.get(),
            }),
        }
    }

    fn check(&self, format: Format) -> Result<(), CompensationError> {
        if self.weights == 0 {
            return Err(CompensationError::EmptyLayer(self.name.clone()));
        }
        self.protection(format)?;
        let what = |what: &str| format!("{what} of layer {:?}", self.name);
        number(&what("predicted mean square error"), self.predicted_mse)?;
        number(&what("predicted output noise"), self.predicted_output_noise)
    }
}

fn number(what: &str, value: f64) -> Result<(), CompensationError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(CompensationError::PlanNumber { what: what.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::*;

    fn layer(name: &str, protected: &[u32]) -> PlanLayer {
        PlanLayer {
            name: name.into(),
            weights: 10,
            protected: protected.to_vec(),
            code: "secded:64".parse().unwrap(),
            cost_bits: 16,
            predicted_mse: 0.1,
            predicted_output_noise: 1e-300,
        }
    }

    fn plan(layers: Vec<PlanLayer>) -> Plan {
        Plan {
            schema: 1,
            flips: FlipProbability::asymmetric(1e-18, 0.1).unwrap().into(),
            format: Format::INT8,
            decoder: Decoder::Affine,
            accounting: Accounting::CheckBits,
            layers,
            overhead: 0.2,
            predicted_output_noise: 0.3,
        }
    }

    #[test]
    fn what_no_planner_writes_is_refused() {
        let read = |plan: &Plan| Plan::from_json(&plan.to_json());
        let one = plan(vec![layer("a", &[7])]);
        assert_eq!(read(&one).unwrap(), one);

        let twice = plan(vec![layer("a", &[]), layer("a", &[])]);
        assert_eq!(read(&twice), Err(CompensationError::DuplicateLayer("a".into())));
        for bits in [vec![8], vec![3, 3], vec![u32::MAX]] {
            let error = read(&plan(vec![layer("a", &bits)])).unwrap_err();
            assert!(matches!(error, CompensationError::PlanBits { .. }), "{bits:?}");
        }
        let empty = plan(vec![PlanLayer { weights: 0, ..layer("a", &[]) }]);
        assert_eq!(read(&empty), Err(CompensationError::EmptyLayer("a".into())));
        assert_eq!(read(&Plan { schema: 2, ..one.clone() }), Err(CompensationError::PlanSchema(2)));
        let negative = read(&Plan { overhead: -0.5, ..one.clone() }).unwrap_err().to_string();
        assert_eq!(negative, "the plan's overhead is -0.5: it must be finite and not negative");
        let narrow = FlipProfile::per_bit(vec![FlipProbability::NEVER; 4]).unwrap();
        let narrow = read(&Plan { flips: narrow, ..one.clone() });
        assert!(matches!(narrow, Err(CompensationError::Fault(_))));

        // JSON has no NaN; what has been built by hand may.
        let nan = Plan { overhead: f64::NAN, ..one };
        assert!(nan.check().is_err() && Plan::from_json(&nan.to_json()).is_err());
    }

    #[test]
    fn other_texts_are_refused() {
        let text = plan(vec![layer("a", &[7])]).to_json();
        let changed = |from, to| {
            assert!(text.contains(from), "{from}");
            Plan::from_json(&text.replace(from, to)).unwrap_err().to_string()
        };
        assert!(changed("\"overhead\"", "\"overheads\"").contains("unknown field `overheads`"));
        assert!(changed("\"secded:64\"", "\"magic:64\"").starts_with("not a plan"));
        assert!(changed("0.2", "1e999").starts_with("not a plan"));
        assert!(changed("0.2", "null").starts_with("not a plan"));
        assert!(changed("\"schema\": 1", "\"schema\": -1").starts_with("not a plan"));
        assert!(changed("\"schema\": 1", "\"schema\": 7, \"new\": 0").contains("schema 7, and 1"));
        assert!(Plan::from_json(&format!("{text} x")).is_err(), "more after the end");
        let deep = "[".repeat(100_000);
        assert!(Plan::from_json(&deep).is_err());
        assert!(serde_json::from_str::<Plan>(&text.replace("10", "0")).is_err(), "checked as well");
    }

    proptest! {
        #[test]
        fn plans_lead_back(
            masks in prop::collection::vec(any::<u8>(), 0..5), noise in 0.0_f64..1e300,
        ) {
            let bits = |mask: &u8| -> Vec<u32> {
                (0..8).rev().filter(|i| mask >> i & 1 == 1).collect()
            };
            let layers = masks.iter().enumerate();
            let layers = layers.map(|(i, mask)| PlanLayer {
                predicted_output_noise: noise / 3.0, ..layer(&format!("\"{i}\"\n"), &bits(mask))
            });
            let plan = Plan { predicted_output_noise: noise, ..plan(layers.collect()) };
            prop_assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan.clone());
            for (layer, mask) in plan.layers.iter().zip(masks) {
                prop_assert_eq!(layer.protection(plan.format).unwrap().mask(), mask);
            }
        }

        /// Truncated or with a byte replaced, a text is refused or is a valid plan, never a crash.
        #[test]
        fn damaged_texts_are_read_or_refused(
            at in any::<prop::sample::Index>(), byte in 0_u8..128,
        ) {
            let text = plan(vec![layer("a", &[7, 6]), layer("b", &[0])]).to_json();
            let at = at.index(text.len());
            prop_assert!(Plan::from_json(&text[..at]).is_err());
            let mut damaged = text.into_bytes();
            damaged[at] = byte;
            let damaged = String::from_utf8(damaged).unwrap();
            if let Ok(plan) = Plan::from_json(&damaged) {
                prop_assert_eq!(plan.check(), Ok(()));
            }
        }

        #[test]
        fn any_text_is_refused(text in ".*") {
            prop_assert!(Plan::from_json(&text).is_err());
        }
    }
}
