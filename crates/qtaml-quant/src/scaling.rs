//! The scaling of a tensor: which weights share a scale, and where scales come from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Clip, CodeRange, Granularity};

/// How the scales of a tensor follow from its weights: with a [`Format`](crate::Format), all that it
/// takes to quantize alike.
///
/// ```
/// use qtaml_quant::{Granularity, Scaling};
///
/// let scaling = Scaling { granularity: Granularity::Channel, axis: Some(0), ..Scaling::default() };
/// assert_eq!(scaling.to_string(), "per channel of axis 0");
/// let json = r#"{"granularity":"channel","axis":0,"range":"symmetric","clip":"max"}"#;
/// assert_eq!(serde_json::to_string(&scaling)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Which weights share a scale.
    pub granularity: Granularity,
    /// The axis along which output channels run; without one the tensor is one channel.
    pub axis: Option<usize>,
    /// What the codes are spread over.
    pub range: CodeRange,
    /// Where their ends come from.
    pub clip: Clip,
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.granularity {
            Granularity::Tensor => f.write_str("per tensor")?,
            Granularity::Channel => f.write_str("per channel")?,
            Granularity::Group(weights) => write!(f, "per group of {weights}")?,
        }
        if let Some(axis) = self.axis.filter(|_| self.granularity != Granularity::Tensor) {
            write!(f, " of axis {axis}")?;
        }
        if !self.range.is_symmetric() {
            write!(f, ", {}", self.range)?;
        }
        if self.clip == Clip::Max { Ok(()) } else { write!(f, ", {}", self.clip) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_said() {
        for (granularity, axis, text) in [
            (Granularity::Tensor, Some(1), "per tensor"),
            (Granularity::Channel, Some(1), "per channel of axis 1"),
            (Granularity::Group(32), None, "per group of 32"),
        ] {
            for range in CodeRange::ALL {
                for clip in Clip::ALL {
                    let scaling = Scaling { granularity, axis, range, clip };
                    let json = serde_json::to_string(&scaling).unwrap();
                    assert_eq!(serde_json::from_str::<Scaling>(&json).unwrap(), scaling);
                    let said = scaling.to_string();
                    assert!(said.starts_with(text), "{said}");
                    assert_eq!(said.contains(range.name()), !range.is_symmetric(), "{said}");
                    assert_eq!(said.contains("min-mse"), clip != Clip::Max, "{said}");
                }
            }
        }
        assert!(serde_json::from_str::<Scaling>("{\"granularity\":\"row\"}").is_err());
    }
}
