//! GGUF files against the package `gguf` of ggml, and files that are damaged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{Float, NumpyValues, read_numpy};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/gguf").join(name)
}

/// A file of these bytes, which is there as long as the folder.
fn saved(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// What is wrong with a file of these bytes.
fn wrong(bytes: &[u8]) -> String {
    let (_folder, path) = saved(bytes);
    match GgufFile::open(&path) {
        Err(FileError::Gguf { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A text as the format has it.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Name, shape with the innermost dimension first, type and place.
fn tensor(name: &str, shape: &[u64], kind: u32, begin: u64) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|length| length.to_le_bytes()).collect();
    let dimensions = (shape.len() as u32 / 8).to_le_bytes();
    [
        text(name),
        dimensions.to_vec(),
        shape,
        kind.to_le_bytes().to_vec(),
        begin.to_le_bytes().to_vec(),
    ]
    .concat()
}

/// A file with these metadata and tensors, filled up to where tensors begin, and so many bytes of them.
fn file(metadata: &[Vec<u8>], tensors: &[Vec<u8>], bytes: usize) -> Vec<u8> {
    let counts = [tensors.len() as u64, metadata.len() as u64].map(u64::to_le_bytes).concat();
    let mut all =
        [b"GGUF\x03\0\0\0".to_vec(), counts, metadata.concat(), tensors.concat()].concat();
    all.resize(all.len().next_multiple_of(32) + bytes, 1);
    all
}

/// A key with a value of a type of this number.
fn entry(key: &str, number: u32, value: &[u8]) -> Vec<u8> {
    [text(key), number.to_le_bytes().to_vec(), value.to_vec()].concat()
}

#[test]
fn numbers_are_those_of_the_reference_implementation() {
    let model = GgufFile::open(&fixture("types.gguf")).unwrap();
    let expected: BTreeMap<_, _> = read_numpy(&fixture("types.npz")).unwrap().into_iter().collect();
    assert_eq!(expected.len(), model.tensors().len());
    for (name, array) in expected {
        let tensor = model.tensor(&name).unwrap();
        assert_eq!((tensor.kind.to_string().to_lowercase(), &tensor.shape), (name, &array.shape));
        let NumpyValues::Float(expected) = array.values else { panic!("no floats") };
        // Not by bits: `y = d q + m` may be rounded once or twice.
        for (found, expected) in model.values(tensor).unwrap().iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{tensor:?}");
        }
        assert_eq!(model.values(tensor).unwrap().len(), expected.len());
    }
    assert!(model.tensor("q4_O").unwrap_err().to_string().contains("\"q4_0\""));
}

#[test]
fn metadata_have_types() {
    let model = GgufFile::open(&fixture("types.gguf")).unwrap();
    let metadata = model.metadata();
    assert_eq!(metadata.text("general.architecture").unwrap(), "llama");
    assert_eq!(metadata.count("llama.block_count").unwrap(), 2);
    assert_eq!(metadata.number("llama.rope.freq_base").unwrap(), 1e5);
    assert_eq!(metadata.texts("tokenizer.ggml.tokens").unwrap(), ["<s>", "a", "Ġb", "ü"]);
    assert_eq!(metadata.numbers("tokenizer.ggml.token_type").unwrap(), [3.0, 1.0, 1.0, 1.0]);
    assert_eq!(metadata.get("tokenizer.ggml.add_bos_token"), Some(&GgufValue::Bool(true)));
    assert_eq!(metadata.iter().count(), 7);
    for (error, expected) in [
        (metadata.count("test.negative"), "the integer -5, and a count is needed"),
        (metadata.count("llama.heads"), "\"llama.heads\" are missing, and a count"),
        (metadata.count("general.architecture"), "are a text, and a count"),
    ] {
        assert!(error.unwrap_err().to_string().contains(expected), "{expected}");
    }
    assert!(metadata.texts("llama.block_count").is_err() && metadata.number("x").is_err());
    assert!(metadata.text("test.negative").is_err() && metadata.numbers("x").is_err());
}

#[test]
fn a_file_by_hand_is_read() {
    let alignment = entry("general.alignment", 4, &64_u32.to_le_bytes());
    let tensors =
        [tensor("w", &[2, 1], 0, 0), tensor("none", &[0], 0, 64), tensor("one", &[], 0, 64)];
    let mut bytes = file(&[alignment], &tensors, 0);
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    bytes.extend([1.5_f32, -2.0].map(f32::to_le_bytes).concat());
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    bytes.extend(3_f32.to_le_bytes());
    let (_folder, path) = saved(&bytes);
    let model = GgufFile::open(&path).unwrap();
    let of = |name: &str| model.values(model.tensor(name).unwrap()).unwrap();
    assert_eq!((of("w"), of("none"), of("one")), (vec![1.5, -2.0], vec![], vec![3.0]));
    let w = model.tensor("w").unwrap();
    assert_eq!((&w.shape[..], w.kind, w.bytes), (&[1, 2][..], GgufType::Float(Float::F32), 8));
    assert_eq!((model.path(), model.tensors().len()), (&*path, 3));
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = model.values(model.tensor("one").unwrap()).unwrap_err();
    assert!(matches!(error, FileError::Tensor { .. }), "{error}");
}

#[test]
fn what_cannot_be_is_told() {
    let list =
        |of: u32, count: u64| [of.to_le_bytes().to_vec(), count.to_le_bytes().to_vec()].concat();
    let huge = [&b"GGUF\x03\0\0\0"[..], &[0xff; 16]].concat();
    let cases: [(Vec<u8>, &str); 20] = [
        (b"{}".to_vec(), "a JSON text"),
        (b"GGUF".to_vec(), "it ends after 4 bytes, within the version"),
        (b"tjgg\x03\0\0\0".to_vec(), "an older format of llama.cpp"),
        (b"GGUF\0\0\0\x03".to_vec(), "version 50331648: 2 and 3 are read"),
        (huge, "18446744073709551615 tensors"),
        (file(&[], &[tensor("w", &[3], 99, 0)], 64), "tensor \"w\" is of type 99: F32"),
        (file(&[], &[tensor("w", &[1, 1, 1, 1, 1], 0, 0)], 64), "more than four dimensions"),
        (file(&[], &[tensor("w", &[33], 8, 0)], 64), "no multiple of the values of a block"),
        (file(&[], &[tensor("w", &[u64::MAX, 2], 0, 0)], 64), "more elements than can be counted"),
        (file(&[], &[tensor("w", &[u64::MAX / 2], 0, 0)], 64), "more bytes than can be counted"),
        (file(&[], &[tensor("w", &[3], 0, 7)], 64), "no multiple of the alignment"),
        (file(&[], &[tensor("w", &[17], 0, 0)], 64), "the file ends before that"),
        (file(&[], &[tensor("w", &[1], 0, u64::MAX - 31)], 64), "the file ends before that"),
        (
            file(&[], &[tensor("v", &[9], 0, 0), tensor("w", &[1], 0, 32)], 64),
            "tensor \"w\" lies at 32 with 4 bytes: another tensor",
        ),
        (
            file(&[], &[tensor("w", &[1], 0, 0), tensor("w", &[1], 0, 32)], 64),
            "two tensors named \"w\"",
        ),
        (file(&[entry("a", 0, &[1]), entry("a", 0, &[1])], &[], 0), "two metadata named \"a\""),
        (file(&[entry("a", 13, &[1])], &[], 0), "\"a\" are of the unknown type 13"),
        (file(&[entry("a", 9, &list(9, 1))], &[], 0), "\"a\" are of the unknown type 9"),
        (file(&[entry("a", 9, &list(8, 1 << 40))], &[], 0), "1099511627776 texts"),
        (
            file(&[entry("general.alignment", 4, &24_u32.to_le_bytes())], &[], 0),
            "multiples of 24, which is no power of two",
        ),
    ];
    for (bytes, expected) in cases {
        let found = wrong(&bytes);
        assert!(found.contains(expected), "{found}: {expected}");
    }
    let mut no_text = file(&[entry("abc", 0, &[1])], &[], 0);
    no_text[32] = 0xff;
    assert!(wrong(&no_text).contains("a key of the metadata is no UTF-8"));
    let (folder, _) = saved(b"");
    assert!(matches!(GgufFile::open(folder.path()), Err(FileError::NotRegular { .. })));
}

/// Cut off anywhere, or with any bytes changed, a file is read or refused.
#[test]
fn damaged_files_are_read_or_refused() {
    let whole = std::fs::read(fixture("types.gguf")).unwrap();
    let (_folder, path) = saved(&whole);
    // What follows the last tensor fills the file up.
    let model = GgufFile::open(&path).unwrap();
    let end = model.tensors().iter().map(|tensor| tensor.begin + tensor.bytes).max().unwrap();
    assert!(end as usize + 32 > whole.len());
    for length in 0..end as usize {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(GgufFile::open(&path).is_err(), "{length}");
    }
    proptest!(|(changes in prop::collection::vec((0..1000_usize, any::<u8>()), 1..4))| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(model) = GgufFile::open(&path) {
            for tensor in model.tensors() {
                model.values(tensor).unwrap();
            }
        }
    });
}
