//! The wire format of a file, checked before a parser reads it that trusts it.

use crate::OnnxError;

/// The deepest nesting that is read: a graph in a graph takes three levels.
pub(crate) const MOST: usize = 400;

/// A field that is none, or that ends beyond its message.
#[derive(Debug, thiserror::Error)]
#[error("a field at level {0} of the messages is cut off, or none")]
struct BrokenField(usize);

/// The messages of `onnx.proto` that are read, told apart as far as their fields are followed.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Sequence,
    Shape,
    /// One without messages in it.
    Leaf,
}

impl Kind {
    /// The message in a field, by the numbers of `onnx.proto`.
    fn child(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph | Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Graph, 11..=13) => Some(Self::Value),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Value, 2) | (Self::Sequence, 1) => Some(Self::Type),
            (Self::Type, 1) => Some(Self::TensorType),
            (Self::Type, 4) => Some(Self::Sequence),
            (Self::TensorType, 2) => Some(Self::Shape),
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Shape, 1) => Some(Self::Leaf),
            _ => None,
        }
    }
}

/// Refuses files in which the parser of the runtime would not end, with a number of more than ten bytes;
/// files whose fields reach beyond the message that they are in, for which a parser would make
/// room, and files whose graphs and types lie too deep in each other.
pub(crate) fn check(bytes: &[u8]) -> Result<(), OnnxError> {
    let mut open = vec![(Kind::Model, bytes)];
    while let Some((kind, rest)) = open.last_mut() {
        if rest.is_empty() {
            open.pop();
            continue;
        }
        let kind = *kind;
        let field = key(rest).and_then(|(number, wire)| Some((number, wire, skip(rest, wire)?)));
        let Some((number, wire, content)) = field else {
            return Err(OnnxError::Parse(BrokenField(open.len()).into()));
        };
        if is_packed(kind, number) && wire == 2 && !are_numbers(content) {
            return Err(OnnxError::Parse(BrokenField(open.len()).into()));
        }
        if let (Some(child), 2) = (kind.child(number), wire) {
            open.push((child, content));
            if open.len() > MOST {
                return Err(OnnxError::TooDeep { depth: open.len(), most: MOST });
            }
        }
    }
    Ok(())
}

/// Whether a field has numbers of several lengths back to back: `int32_data` and `int64_data`.
fn is_packed(kind: Kind, field: u64) -> bool {
    matches!((kind, field), (Kind::Tensor, 5 | 7))
}

fn are_numbers(mut content: &[u8]) -> bool {
    while !content.is_empty() {
        if varint(&mut content).is_none() {
            return false;
        }
    }
    true
}

/// The number and the wire type of the next field.
fn key(bytes: &mut &[u8]) -> Option<(u64, u64)> {
    varint(bytes).map(|key| (key >> 3, key & 7))
}

/// The content of a field, behind which `bytes` go on.
fn skip<'a>(bytes: &mut &'a [u8], wire: u64) -> Option<&'a [u8]> {
    let length = match wire {
        0 => {
            varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(content)
}

/// A number of at most 64 bits, in at most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 127) << shift;
        if first & 128 == 0 {
            return (shift < 63 || first <= 1).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(field: u8, content: &[u8]) -> Vec<u8> {
        let mut message = vec![field << 3 | 2];
        let mut length = content.len();
        while length > 127 {
            message.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend(content);
        message
    }

    /// A graph of a node of an attribute of a graph and so on.
    fn nested(levels: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..levels {
            bytes = within(1, &within(5, &within(6, &bytes)));
        }
        within(7, &bytes)
    }

    #[test]
    fn graphs_lie_in_graphs_only_so_deep() {
        assert!(check(&nested(100)).is_ok());
        let error = check(&nested(200)).unwrap_err().to_string();
        assert_eq!(error, "messages lie in messages 401 deep: at most 400 are read");
        assert!(check(&[]).is_ok());
    }

    /// Wherever a file is cut off, and whatever length stands in it.
    #[test]
    fn fields_end_within_their_message() {
        let model = nested(3);
        for length in 1..model.len() {
            assert!(matches!(check(&model[..length]), Err(OnnxError::Parse(_))), "{length}");
        }
        // The raw data of a tensor that claims four of its two bytes.
        let tensor = within(5, &[9 << 3 | 2, 4, 0, 0]);
        let error = check(&within(7, &tensor)).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "a field at level 3 of the messages is cut off, or none");
        assert!(check(&[0xff; 40]).is_err());
        // Eleven bytes of one number.
        let numbers = within(5, &[vec![7 << 3 | 2, 11], vec![0x81; 10], vec![1]].concat());
        assert!(matches!(check(&within(7, &numbers)), Err(OnnxError::Parse(_))));
    }

    #[test]
    fn sequences_of_sequences_count_as_well() {
        let mut bytes = Vec::new();
        for _ in 0..300 {
            bytes = within(4, &within(1, &bytes));
        }
        let model = within(7, &within(11, &within(2, &bytes)));
        assert!(matches!(check(&model), Err(OnnxError::TooDeep { .. })));
    }
}
