//! The stored tensors of a file that each weight is made of.

use std::collections::HashSet;

use crate::OnnxError;
use crate::dequantize::Dequantization;
use crate::scope::Scopes;
use crate::weights::Weight;

/// A stored tensor of the file that is a weight, or the codes of one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredTensor {
    /// Its name, as [`OnnxFile`](qtaml_files::onnx::OnnxFile) has it as well.
    pub name: String,
    /// How its elements are read, if they are codes; else they are the weights themselves.
    pub codes: Option<StoredCodes>,
}

/// How codes are read: by a node `DequantizeLinear`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredCodes {
    /// The name of the tensor of scales.
    pub scale: String,
    /// The name of the tensor of zero points, if there is one.
    pub zero_point: Option<String>,
    pub(crate) dequantization: Dequantization,
}

/// The stored tensors that a weight is made of: several if it is tied.
///
/// # Errors
/// As [`Dequantization::of`].
pub(crate) fn cells(scopes: &Scopes<'_>, weight: &Weight) -> Result<Vec<StoredTensor>, OnnxError> {
    let (mut seen, mut cells) = (HashSet::new(), Vec::new());
    for site in weight.sites.iter().filter(|site| seen.insert(site.place)) {
        let codes = site.dequantize.map(|(scope, number)| {
            let node = scopes.node(scope, number);
            let name = |input: usize| {
                let name = node.input.get(input).filter(|name| !name.is_empty())?;
                scopes.resolve(scope, name).map(|place| scopes.name(place))
            };
            let stored = scopes.stored(site.place).ok_or(OnnxError::NoGraph)?;
            let dequantization = Dequantization::of(scopes, scope, node, stored)?;
            let (scale, zero_point) = (name(1).unwrap_or_default(), name(2));
            Ok::<_, OnnxError>(StoredCodes { scale, zero_point, dequantization })
        });
        cells.push(StoredTensor { name: scopes.name(site.place), codes: codes.transpose()? });
    }
    Ok(cells)
}
