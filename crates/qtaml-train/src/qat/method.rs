//! The methods of QAT as data.

use qtaml_deploy::Role;
use qtaml_quant::Format;
use serde::{Deserialize, Serialize};

use super::{BitErrors, FakeQuant, Gaussian, Lsq, T0, WkbNoise};
use crate::TrainError;

/// What each forward pass of training sees instead of the weights.
///
/// Weights are what [`ModuleWeights`](crate::ModuleWeights) says; T0 disturbs biases as well, as its
/// source does.
/// Where a method both quantizes and disturbs, it quantizes first.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum QatMethod {
    /// The weights themselves.
    #[default]
    None,
    /// Noise scaled by ξ.
    T0(T0),
    /// Normal noise relative to the range.
    Gaussian(Gaussian),
    /// Quantized weights.
    FakeQuant(FakeQuant),
    /// Quantized weights with a learned scale.
    Lsq(Lsq),
    /// Quantized weights with bit faults.
    BitErrors(BitErrors),
    /// Quantized weights with noise of the moments of bit faults.
    WkbNoise(WkbNoise),
}

impl QatMethod {
    /// What the trained weights are stored as, if the method quantizes.
    pub const fn format(&self) -> Option<Format> {
        match self {
            Self::None | Self::T0(_) | Self::Gaussian(_) => None,
            Self::FakeQuant(FakeQuant { format, .. })
            | Self::Lsq(Lsq { format })
            | Self::BitErrors(BitErrors { format, .. })
            | Self::WkbNoise(WkbNoise { format, .. }) => Some(*format),
        }
    }

    /// Whether tensors of this role get the method.
    pub(super) fn applies_to(&self, role: Role) -> bool {
        match self {
            Self::None => false,
            Self::T0(_) => role.is_weight() || role == Role::Bias,
            _ => role.is_weight(),
        }
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let (what, value) = match *self {
            Self::T0(T0 { scaling, .. }) => ("the scaling of T0", scaling),
            Self::Gaussian(Gaussian { sigma_relative }) => ("the noise", sigma_relative),
            Self::FakeQuant(FakeQuant { clip: Some(clip), .. })
            | Self::BitErrors(BitErrors { clip: Some(clip), .. }) => {
                let (what, value) = ("the clipped range", f64::from(clip));
                let allowed = "it must be above 0 and at most 1";
                let fine = value > 0.0 && value <= 1.0;
                return if fine { Ok(()) } else { Err(TrainError::Range { what, value, allowed }) };
            }
            _ => return Ok(()),
        };
        if value.is_finite() && value >= 0.0 {
            return Ok(());
        }
        Err(TrainError::Range { what, value, allowed: "it must be finite and not negative" })
    }
}

impl std::fmt::Display for QatMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clipped =
            |clip: Option<f32>| clip.map(|c| format!(", clipped to {c}")).unwrap_or_default();
        match *self {
            Self::None => f.write_str("none"),
            Self::T0(T0 { scaling, relative }) => {
                write!(f, "T0 s = {scaling}{}", if relative { ", relative" } else { "" })
            }
            Self::Gaussian(Gaussian { sigma_relative }) => write!(f, "Gaussian {sigma_relative}"),
            Self::FakeQuant(FakeQuant { format, per_channel, clip }) => {
                let channels = if per_channel { ", per channel" } else { "" };
                write!(f, "fake-quant {}{channels}{}", format.bits(), clipped(clip))
            }
            Self::Lsq(Lsq { format }) => write!(f, "LSQ {}", format.bits()),
            Self::BitErrors(BitErrors { format, flips, clip, .. }) => {
                write!(f, "bit errors {} p = {}{}", format.bits(), flips.larger(), clipped(clip))
            }
            Self::WkbNoise(WkbNoise { format, flips }) => {
                write!(f, "WKB noise {} p = {}", format.bits(), flips.larger())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;

    #[test]
    fn methods_survive_json_and_say_who_they_are() {
        let flips = FlipProbability::asymmetric(0.01, 0.1).unwrap();
        let clipped =
            FakeQuant { per_channel: true, clip: Some(0.5), ..FakeQuant::new(BitWidth::INT4) };
        let methods = [
            (QatMethod::None, "none"),
            (QatMethod::T0(T0::SOURCE), "T0 s = 80000"),
            (QatMethod::Gaussian(Gaussian { sigma_relative: 0.1 }), "Gaussian 0.1"),
            (QatMethod::FakeQuant(clipped), "fake-quant INT4, per channel, clipped to 0.5"),
            (QatMethod::Lsq(Lsq::new(BitWidth::INT4)), "LSQ INT4"),
            (
                QatMethod::BitErrors(BitErrors::new(BitWidth::INT8, flips)),
                "bit errors INT8 p = 0.1",
            ),
            (QatMethod::WkbNoise(WkbNoise::new(BitWidth::INT8, flips)), "WKB noise INT8 p = 0.1"),
        ];
        for (method, name) in methods {
            assert_eq!(method.to_string(), name);
            let json = serde_json::to_string(&method).unwrap();
            assert_eq!(serde_json::from_str::<QatMethod>(&json).unwrap(), method);
            method.check().unwrap();
        }
        assert!(
            serde_json::from_str::<QatMethod>(r#"{"t0":{"scaling":1,"relativ":true}}"#).is_err()
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let message = |method: QatMethod| method.check().unwrap_err().to_string();
        let clipped = |clip| FakeQuant { clip: Some(clip), ..FakeQuant::new(BitWidth::INT4) };
        assert_eq!(
            message(QatMethod::FakeQuant(clipped(1.5))),
            "the clipped range is 1.5: it must be above 0 and at most 1"
        );
        assert!(message(QatMethod::FakeQuant(clipped(f32::NAN))).contains("NaN"));
        assert_eq!(
            message(QatMethod::Gaussian(Gaussian { sigma_relative: -1.0 })),
            "the noise is -1: it must be finite and not negative"
        );
    }

    #[test]
    fn only_the_source_of_t0_disturbs_biases() {
        let quantizing = QatMethod::Lsq(Lsq::new(BitWidth::INT8));
        let t0 = QatMethod::T0(T0::SOURCE);
        for role in Role::ALL {
            assert_eq!(quantizing.applies_to(role), role.is_weight(), "{role}");
            assert_eq!(t0.applies_to(role), role.is_weight() || role == Role::Bias, "{role}");
            assert!(!QatMethod::None.applies_to(role));
        }
    }
}
