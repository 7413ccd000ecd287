//! Storage specs: how a group of weights may be stored, as data.

use qtaml_fault::{BitMask, FaultError};
use qtaml_quant::{CodeRange, Format};
use serde::{Deserialize, Serialize};

use crate::{Decoder, Prior, StorageError};

/// The ways in which a weight group may be stored and decoded. Each gives candidates that an
/// allocation chooses from.
///
/// ```
/// use qtaml_compensation::{Decoder, storage::{QuantizedSpec, StorageSpec}};
///
/// let spec = StorageSpec::from(QuantizedSpec { decoder: Decoder::Bayes, ..QuantizedSpec::default() });
/// let json = serde_json::to_string(&spec)?;
/// assert_eq!(serde_json::from_str::<StorageSpec>(&json)?, spec);
/// let words: StorageSpec = serde_json::from_str(r#"{"codebook":{"widths":[3,4,5]}}"#)?;
/// assert_eq!(words, StorageSpec::codebook([3, 4, 5]));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StorageSpec {
    /// Quantized words, some of whose bits are protected: a candidate for each set of bits.
    Quantized(QuantizedSpec),
    /// Quantized words of whole tensors, each with as many top bits protected as its score asks for: a
    /// candidate for each price of a protected bit
    /// ([`PerWeightStorage`](super::PerWeightStorage)). Scales are those of output channels where the
    /// policy speaks of groups. Range and protection must be [symmetric](CodeRange::Symmetric) and
    /// [top](BitChoice::Top) bits, kept [ideally](qtaml_fault::Ecc::Ideal).
    PerWeight(QuantizedSpec),
    /// Words of a channel-optimised codebook, nothing protected: a candidate for each width.
    #[serde(rename_all = "kebab-case")]
    Codebook {
        /// The widths of words, in 1..=12 bits.
        widths: Vec<u32>,
    },
    /// Blocks of weights, error corrected as a whole: a candidate for each rate.
    #[serde(rename_all = "kebab-case")]
    BlockCoded {
        /// Stored bits a weight, in 1..=8.
        rates: Vec<u32>,
    },
}

impl StorageSpec {
    /// Codebooks of these widths.
    pub fn codebook(widths: impl IntoIterator<Item = u32>) -> Self {
        Self::Codebook { widths: widths.into_iter().collect() }
    }

    /// Block codes of these rates.
    pub fn block_coded(rates: impl IntoIterator<Item = u32>) -> Self {
        Self::BlockCoded { rates: rates.into_iter().collect() }
    }
}

impl From<QuantizedSpec> for StorageSpec {
    fn from(spec: QuantizedSpec) -> Self {
        Self::Quantized(spec)
    }
}

/// How quantized words are written and decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuantizedSpec {
    /// Width and encoding of a word.
    pub format: Format,
    /// Where the scale comes from.
    pub scale: ScalePolicy,
    /// What the codes are spread over; it is not written down where it is symmetric.
    #[serde(skip_serializing_if = "CodeRange::is_symmetric")]
    pub range: CodeRange,
    /// What to believe of a word that is read.
    pub decoder: Decoder,
    /// What the decoder knows of the weights.
    pub prior: Prior,
    /// The sets of bits that may be protected.
    pub protection: BitChoice,
}

impl Default for QuantizedSpec {
    /// INT8 in two's complement, scaled to the largest weight of the group, read as it is, any number
    /// of top bits protected.
    fn default() -> Self {
        Self {
            format: Format::INT8,
            scale: ScalePolicy::default(),
            range: CodeRange::default(),
            decoder: Decoder::Raw,
            prior: Prior::default(),
            protection: BitChoice::default(),
        }
    }
}

/// Where the scale of quantized weights comes from: what the outermost codes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ScalePolicy {
    /// The outermost weights of the tensor, so that all its groups share one scale.
    PerTensor,
    /// The outermost weights of the group.
    #[default]
    PerGroup,
    /// What makes mean square error least, rounding, clipping and faults together: as many times the
    /// root mean square of the group as is best for its tensor; in a range that is not symmetric as many
    /// times the standard deviation, on either side of the mean.
    MinMse,
    /// Three root mean squares of the tensor, or its outermost weights if these are nearer; in a range that
    /// is not symmetric three standard deviations, on either side of the mean. All groups share one scale.
    ThreeSigma,
    /// The same with four.
    FourSigma,
    /// What makes rounding and clipping least in the tensor, whatever the memory does
    /// ([`ClipSearch`](qtaml_quant::ClipSearch)). All groups share one scale.
    MinRounding,
}

qtaml_quant::names!(ScalePolicy, "scale policy", {
    PerTensor: "per-tensor",
    PerGroup: "per-group",
    MinMse: "min-mse",
    ThreeSigma: "three-sigma",
    FourSigma: "four-sigma",
    MinRounding: "min-rounding",
});

/// Which sets of bits may be protected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BitChoice {
    /// The `k` top bits, from none to all.
    #[default]
    Top,
    /// Of each number of bits, from none to all, the set that leaves the least error in the tensor
    /// (ours).
    Best,
    /// These sets, by rising cost.
    Sets(Vec<BitMask>),
}

impl BitChoice {
    /// The sets of bits of a word of this format; `None` for [`Best`](Self::Best), which depend on
    /// what is stored.
    ///
    /// # Errors
    /// [`StorageError::Fault`] for bits that the format lacks, [`StorageError::NoBitSets`]
    /// without a set.
    pub fn masks(&self, format: Format) -> Result<Option<Vec<BitMask>>, StorageError> {
        let width = format.bits();
        let fitting = |set: &BitMask| BitMask::of_bits(set.mask(), width);
        let masks: Result<_, FaultError> = match self {
            Self::Best => return Ok(None),
            Self::Sets(sets) if sets.is_empty() => return Err(StorageError::NoBitSets),
            Self::Sets(sets) => sets.iter().map(fitting).collect(),
            Self::Top => (0..=width.get()).map(|k| BitMask::top(k, width)).collect(),
        };
        Ok(Some(masks?))
    }
}

#[cfg(test)]
mod tests {
    use qtaml_quant::{BitWidth, Encoding};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let format = Format::new(BitWidth::INT4, Encoding::Gray);
        let sets = vec![BitMask::NONE, BitMask::of_bits(0b1010, BitWidth::INT4).unwrap()];
        let spec = QuantizedSpec {
            format,
            scale: ScalePolicy::MinMse,
            range: CodeRange::MinMax,
            decoder: Decoder::BayesGain,
            prior: Prior::Histogram,
            protection: BitChoice::Sets(sets.clone()),
        };
        let by_weight = StorageSpec::PerWeight(spec.clone());
        let all = [
            spec.clone().into(),
            by_weight,
            StorageSpec::codebook(1..=8),
            StorageSpec::block_coded([2]),
        ];
        for spec in all {
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<StorageSpec>(&json).unwrap(), spec, "{json}");
        }
        assert_eq!(spec.protection.masks(format).unwrap(), Some(sets));
        let plain: QuantizedSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(plain, QuantizedSpec::default());
        // What knows no other range is written as ever.
        assert!(!serde_json::to_string(&plain).unwrap().contains("range"));
        assert!(serde_json::from_str::<QuantizedSpec>(r#"{"decodr":"raw"}"#).is_err());
    }

    #[test]
    fn names_lead_back() {
        for policy in ScalePolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
        }
        let error = "largest".parse::<ScalePolicy>().unwrap_err().to_string();
        assert!(error.contains("\"largest\"") && error.contains("min-mse"), "{error}");
    }

    #[test]
    fn sets_must_be_there_and_fit() {
        let masks = |choice: BitChoice| choice.masks(Format::new(BitWidth::INT4, Encoding::Gray));
        assert_eq!(masks(BitChoice::Top).unwrap().unwrap().len(), 5);
        assert_eq!(masks(BitChoice::Sets(vec![])), Err(StorageError::NoBitSets));
        let high = BitMask::of_bits(0b1_0000, BitWidth::INT8).unwrap();
        assert!(matches!(masks(BitChoice::Sets(vec![high])), Err(StorageError::Fault(_))));
    }
}
