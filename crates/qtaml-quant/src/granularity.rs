//! The granularity of scales: tensor, output channel or group.

use std::fmt;
use std::str::FromStr;

use crate::UnknownName;

/// How finely the weights of a model are told apart: which of them share a scale.
///
/// ```
/// use qtaml_quant::Granularity;
///
/// assert_eq!("group:32".parse(), Ok(Granularity::Group(32)));
/// assert_eq!(Granularity::Channel.to_string(), "channel");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Granularity {
    /// A whole tensor, usually a layer.
    #[default]
    Tensor,
    /// The weights of one output channel; a tensor without an output axis is one channel.
    Channel,
    /// So many weights in a row within an output channel; the last group of a channel may be smaller.
    Group(usize),
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Channel => f.write_str("channel"),
            Self::Group(weights) => write!(f, "group:{weights}"),
        }
    }
}

impl FromStr for Granularity {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let group = || name.strip_prefix("group:")?.parse().ok().filter(|&weights| weights > 0);
        let known = ["tensor", "channel", "group:N with N of at least 1"];
        match name {
            "tensor" => Ok(Self::Tensor),
            "channel" => Ok(Self::Channel),
            _ => {
                group().map(Self::Group).ok_or_else(|| UnknownName::new("granularity", name, known))
            }
        }
    }
}

crate::text_in_files!(Granularity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(9)] {
            assert_eq!(granularity.to_string().parse(), Ok(granularity));
            let json = serde_json::to_string(&granularity).unwrap();
            assert_eq!(serde_json::from_str::<Granularity>(&json).unwrap(), granularity);
        }
        for bad in ["group:0", "group:", "row", ""] {
            let error = bad.parse::<Granularity>().unwrap_err();
            assert_eq!((error.what, error.name.as_str()), ("granularity", bad));
        }
    }
}
