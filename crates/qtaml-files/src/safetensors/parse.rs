//! The header of a safetensors file, as it is read: every tensor named once, side by side.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::TensorInfo;
use crate::HeaderError;

/// The tensors of a file, and what else its header says.
pub(super) type Content = (Vec<TensorInfo>, BTreeMap<String, String>);

/// The content by its header, if its tensors fill a file of `bytes` bytes.
pub(super) fn content(header: &[u8], bytes: u64) -> Result<Content, HeaderError> {
    let Members { metadata, tensors } =
        serde_json::from_slice(&header[8..]).map_err(HeaderError::Json)?;
    let begin = header.len() as u64;
    let tensors = tensors.into_iter().map(|(name, entry)| entry.into_info(name, begin));
    let mut tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    named_once(&tensors)?;
    // Empty tensors share their place with the next one, and come first.
    let key = |tensor: &TensorInfo| (tensor.begin, tensor.bytes, tensor.name.clone());
    tensors.sort_by_cached_key(key);
    side_by_side(&tensors, begin, bytes)?;
    let metadata = metadata.unwrap_or_default();
    Ok((tensors, metadata))
}

/// The members of the JSON object, with names that occur more than once.
struct Members {
    metadata: Option<BTreeMap<String, String>>,
    tensors: Vec<(String, Entry)>,
}

/// What the header says of a tensor.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members { metadata: None, tensors: Vec::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name != "__metadata__" {
                        members.tensors.push((name, map.next_value()?));
                    } else if members.metadata.is_some() {
                        return Err(serde::de::Error::duplicate_field("__metadata__"));
                    } else {
                        members.metadata = map.next_value()?;
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Entry {
    /// The tensor, if its shape is as long as its place in a file whose data begin at `data`.
    fn into_info(self, tensor: String, data: u64) -> Result<TensorInfo, HeaderError> {
        let Self { dtype, shape, data_offsets: [from, to] } = self;
        let text: StrDeserializer<'_, ValueError> = dtype.as_str().into_deserializer();
        let Ok(known) = Dtype::deserialize(text) else {
            return Err(HeaderError::Dtype { tensor, dtype });
        };
        if to < from {
            return Err(HeaderError::Reversed { tensor, from, to });
        }
        let elements = shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d));
        let bits = elements.and_then(|elements| elements.checked_mul(known.bitsize() as u64));
        let lengths = shape.iter().map(|&length| usize::try_from(length).ok());
        let (Some(bits), Some(lengths)) = (bits, lengths.collect::<Option<Vec<_>>>()) else {
            return Err(HeaderError::Shape { tensor, shape });
        };
        let bytes = to - from;
        if bits % 8 != 0 || bits / 8 != bytes {
            return Err(HeaderError::Size { tensor, dtype: known, shape, bits, bytes });
        }
        let begin = data.checked_add(from).ok_or(HeaderError::Overflow)?;
        // The end is what may not fit.
        data.checked_add(to).ok_or(HeaderError::Overflow)?;
        Ok(TensorInfo { name: tensor, dtype: known, shape: lengths, bytes, begin, shard: 0 })
    }
}

fn named_once(tensors: &[TensorInfo]) -> Result<(), HeaderError> {
    let mut names = HashSet::with_capacity(tensors.len());
    match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        Some(tensor) => Err(HeaderError::Duplicate { tensor: tensor.name.clone() }),
        None => Ok(()),
    }
}

/// Whether the tensors, in the order of their places, fill a file without a hole.
fn side_by_side(tensors: &[TensorInfo], data: u64, bytes: u64) -> Result<(), HeaderError> {
    let mut end = data;
    let mut before = None;
    for tensor in tensors {
        let name = || tensor.name.clone();
        if tensor.begin > end {
            return Err(HeaderError::Hole { tensor: name(), bytes: tensor.begin - end });
        }
        if tensor.begin < end {
            let other = before.map_or_else(String::new, |other: &TensorInfo| other.name.clone());
            return Err(HeaderError::Overlap { tensor: name(), other });
        }
        (end, before) = (tensor.begin + tensor.bytes, Some(tensor));
    }
    match bytes {
        _ if bytes < end => Err(HeaderError::CutOff { bytes, expected: end }),
        _ if bytes > end => Err(HeaderError::Trailing { bytes: bytes - end }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;

    /// The content of a file with this header and so many bytes of data, or the error in words.
    fn parse(json: &str, data: u64) -> Result<Content, String> {
        let header = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
        let bytes = header.len() as u64 + data;
        content(&header, bytes).map_err(|error| match &error {
            HeaderError::Json(cause) => format!("{error}: {cause}"),
            _ => error.to_string(),
        })
    }

    fn one(dtype: &str, shape: &str, offsets: &str) -> String {
        format!(r#""w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    }

    #[test]
    fn contradictions_are_named_with_the_tensor() {
        let w = one("U8", "[4]", "[0,4]");
        let v = |from: u64, to: u64| {
            format!(r#""v":{{"dtype":"U8","shape":[{}],"data_offsets":[{from},{to}]}}"#, to - from)
        };
        for (members, data, named) in [
            (format!("{w},{w}"), 4, r#"it names tensor "w" twice"#),
            (format!("{w},{}", v(5, 6)), 6, r#"1 bytes before tensor "v" belong to no tensor"#),
            (v(2, 4), 4, r#"2 bytes before tensor "v" belong to no tensor"#),
            (format!("{w},{}", v(3, 6)), 6, r#"tensors "v" and "w" lie over each other"#),
            (format!("{w},{}", v(2, 2)), 4, r#"tensors "v" and "w" lie over each other"#),
            (w.clone(), 3, "it ends after"),
            (w.clone(), 6, "2 bytes follow its last tensor"),
            (one("F32", "[2]", "[0,4]"), 4, "of F32 and shape [2] has 64 bits, and a place of 4"),
            (one("F4", "[3]", "[0,2]"), 2, "has 12 bits, and a place of 2 bytes"),
            (one("U8", "[4]", "[4,0]"), 4, r#"tensor "w" ends at 0, before it begins at 4"#),
            (one("I128", "[4]", "[0,4]"), 4, r#"tensor "w" is of type "I128""#),
            (one("U8", "[4294967296,4294967296]", "[0,0]"), 0, "has more elements than"),
            (one("F32", "[4611686018427387904,8]", "[0,0]"), 0, "has more elements than"),
            (one("U8", "[-1]", "[0,4]"), 4, "invalid value"),
            (one("U8", "[1.5]", "[0,4]"), 4, "invalid type"),
            (one("U8", "[4]", "[0,4,8]"), 4, "trailing characters"),
            (one("U8", "[4]", "[0]"), 4, "invalid length 1"),
            (one("U8", "4", "[0,4]"), 4, "invalid type"),
            (r#""w":{"dtype":"U8","shape":[4]}"#.into(), 4, "missing field `data_offsets`"),
            (r#""w":7"#.into(), 4, "invalid type"),
            (format!(r#"{w},"__metadata__":{{"a":1}}"#), 4, "invalid type"),
            (format!(r#"{w},"__metadata__":{{}},"__metadata__":{{}}"#), 4, "duplicate field"),
        ] {
            let error = parse(&format!("{{{members}}}"), data).unwrap_err();
            assert!(error.contains(named), "{named}: {error}");
        }
        let far = u64::MAX - 3;
        let far = one("U8", "[1]", &format!("[{far},{}]", far + 1));
        assert!(parse(&format!("{{{far}}}"), 0).unwrap_err().contains("more than 2^64 bytes"));
        assert!(parse("[]", 0).unwrap_err().contains("an object of tensors"));
    }

    #[test]
    fn empty_tensors_and_files_are_fine() {
        let empty = |name: &str, at: u64| {
            format!(r#""{name}":{{"dtype":"F32","shape":[0,3],"data_offsets":[{at},{at}]}}"#)
        };
        let members =
            [one("U8", "[]", "[0,1]"), empty("z", 1), empty("a", 0), empty("b", 0)].join(",");
        let (tensors, metadata) = parse(&format!("{{{members}}}"), 1).unwrap();
        let names: Vec<_> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "w", "z"]);
        assert!(metadata.is_empty());
        assert_eq!(parse("{}", 0).unwrap().0, []);
        assert!(parse(r#"{"__metadata__":null}"#, 0).unwrap().1.is_empty());
    }

    /// Thousands of headers that were changed at random: no panic, and no other verdict than that of the
    /// reference implementation, which lets names occur twice.
    #[test]
    fn changed_headers_are_judged_as_the_reference_does() {
        let mut random = Changes::new(1);
        let two = format!("{{{},{}}}", one("F32", "[2,1]", "[0,8]"), one("U8", "[0]", "[8,8]"))
            .replacen("\"w\"", "\"v\"", 1);
        let with_metadata = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[3],
            "data_offsets":[0,6]},"b":{"dtype":"F4","shape":[4],"data_offsets":[6,8]}}"#;
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..10_000 {
            for json in [two.as_str(), with_metadata] {
                let json = random.change(json.as_bytes());
                let header = [&(json.len() as u64).to_le_bytes(), json.as_slice()].concat();
                let reference: Result<safetensors::tensor::Metadata, _> =
                    serde_json::from_slice(&json);
                let data = reference.as_ref().map_or(8, |metadata| metadata.data_len() as u64);
                let Some(bytes) = (header.len() as u64).checked_add(data) else { continue };
                match (content(&header, bytes), reference) {
                    (Ok((tensors, _)), Ok(reference)) => {
                        accepted += 1;
                        assert_eq!(tensors.iter().map(|t| t.bytes).sum::<u64>(), data);
                        assert_eq!(tensors.len(), reference.tensors().len());
                    }
                    (Err(_), Err(_)) => refused += 1,
                    (Err(HeaderError::Duplicate { .. } | HeaderError::Json(_)), Ok(_)) => {}
                    (ours, reference) => panic!("{}: {ours:?} {reference:?}", json.escape_ascii()),
                }
            }
        }
        assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
    }
}
