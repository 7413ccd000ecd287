//! Tests of ONNX files: those of `tests/onnx`, others made by hand, and thousands of changed ones.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::index::{Index, index, index_within};
use super::wire::{Wire, tag, varint};
use super::*;
use crate::changes::{Changes, cases};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/onnx")
}

/// What numpy reads of each tensor of each model: name, type, shape, place and CRC-32.
fn expected() -> BTreeMap<String, Vec<Json>> {
    serde_json::from_slice(&fs::read(folder().join("tensors.json")).unwrap()).unwrap()
}

fn models() -> Vec<PathBuf> {
    expected().keys().map(|name| folder().join(format!("{name}.onnx"))).collect()
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

fn words(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The names of types as `onnx.proto` has them, of those in the files.
fn dtype_of(name: &str) -> ElementType {
    match name {
        "FLOAT" => ElementType::Float,
        "FLOAT16" => ElementType::Float16,
        "INT8" => ElementType::Int8,
        "UINT8" => ElementType::Uint8,
        "INT64" => ElementType::Int64,
        "BOOL" => ElementType::Bool,
        _ => panic!("{name}"),
    }
}

#[test]
fn every_tensor_is_found_with_the_values_that_numpy_reads() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let mut places = BTreeMap::new();
    for (name, tensors) in expected() {
        let model = OnnxFile::open(&folder().join(format!("{name}.onnx"))).unwrap();
        assert_eq!(model.tensors().len(), tensors.len(), "{name}");
        for (found, expected) in model.tensors().iter().zip(&tensors) {
            let name = expected["name"].as_str().unwrap();
            assert_eq!(found.name, name);
            assert_eq!(found.dtype, dtype_of(expected["dtype"].as_str().unwrap()), "{name}");
            assert_eq!(serde_json::to_value(&found.shape).unwrap(), expected["dims"], "{name}");
            let place = match &found.place {
                Place::Here { .. } => "here",
                Place::Listed(listed) => listed.field(),
                Place::Elsewhere { .. } => "external",
                Place::Nowhere => "nowhere",
            };
            let same = match expected["place"].as_str().unwrap() {
                // Packed floats are as long as raw ones.
                "raw_data" | "float_data" => "here",
                other => other,
            };
            assert_eq!(place, same, "{name}");
            *places.entry(place).or_insert(0) += 1;
            let bytes = model.bytes_of(found).unwrap();
            assert_eq!(u64::from(crc32(&bytes)), expected["crc32"].as_u64().unwrap(), "{name}");
            let mut pieces = Vec::new();
            let visit = |piece: Vec<u8>| {
                assert!(!piece.is_empty() && piece.len() <= 8);
                pieces.extend(piece);
                Ok::<_, FileError>(())
            };
            model.for_each_piece(found, 7, visit).unwrap();
            assert_eq!(pieces, bytes, "{name}");
        }
    }
    let kinds: Vec<_> = places.keys().copied().collect();
    assert_eq!(kinds, ["external", "here", "int32_data"]);
}

#[test]
fn names_tell_scope_and_holder_and_the_file_its_producer() {
    let model = OnnxFile::open(&folder().join("if.onnx")).unwrap();
    let producer = model.producer();
    assert_eq!((producer.name.as_str(), producer.ir_version), ("qtaml-fixtures", 8));
    assert_eq!(producer.opsets, [(String::new(), 17)].into());
    let holder = |name: &str| model.tensor(name).unwrap().holder;
    assert_eq!(holder("outer"), Holder::Initializer);
    assert_eq!(holder("y0.then_branch/own"), Holder::Initializer);
    assert_eq!(holder("y1.else_branch/y1.else.c"), Holder::Constant);
    let error = model.tensor("y1.then_branch/ovn").unwrap_err();
    assert_eq!(error.nearest[0], "y1.then_branch/own");
    let file = fs::metadata(model.path()).unwrap();
    assert_eq!((model.length(), model.other_files().count()), (file.len(), 0));
}

/// The elements in reverse order: other values, of which each is one of the old ones.
fn reversed(model: &OnnxFile, tensor: &OnnxTensor) -> Vec<u8> {
    let bytes = model.bytes_of(tensor).unwrap();
    let elements = bytes.chunks_exact((tensor.dtype.bits() / 8) as usize);
    elements.rev().flatten().copied().collect()
}

fn write_in_pieces(values: &mut NewValues<'_>, bytes: &[u8]) -> Result<(), FileError> {
    bytes.chunks(10).try_for_each(|piece| values.write(piece))
}

/// `tests/onnx/check.py` looks at these copies once more, with onnx and onnxruntime.
#[test]
fn copies_differ_in_the_chosen_values_alone() {
    let kept = std::env::var_os("QTAML_ONNX_COPIES").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let out = kept.unwrap_or_else(|| temporary.path().to_owned());
    for path in models() {
        let model = OnnxFile::open(&path).unwrap();
        let target = out.join(path.file_name().unwrap());
        let copy = |is_chosen: fn(&OnnxTensor) -> bool, is_reversed: bool| {
            let replace = |tensor: &OnnxTensor, values: &mut NewValues<'_>| {
                assert!(is_chosen(tensor));
                let bytes =
                    if is_reversed { reversed(&model, tensor) } else { model.bytes_of(tensor)? };
                write_in_pieces(values, &bytes)
            };
            model.copy_with(&target, is_chosen, replace).unwrap().finish().unwrap();
        };
        let files = || -> Vec<Vec<u8>> {
            let paths = model.paths_at(&target);
            paths.iter().map(|path| fs::read(path).unwrap()).collect()
        };
        let sources: Vec<_> =
            model.paths_at(&path).iter().map(|path| fs::read(path).unwrap()).collect();
        let is_listed = |tensor: &OnnxTensor| matches!(tensor.place, Place::Listed(_));
        let has_lists = model.tensors().iter().any(is_listed);

        copy(|_| false, false);
        assert_eq!(files(), sources, "{path:?}");
        copy(|_| true, false);
        assert!(files() == sources || has_lists, "{path:?}");
        copy(|tensor| tensor.shape.len() >= 2, true);
        let copied = OnnxFile::open(&target).unwrap();
        for (old, new) in model.tensors().iter().zip(copied.tensors()) {
            assert_eq!((&new.name, new.dtype, &new.shape), (&old.name, old.dtype, &old.shape));
            let (was, is) = (model.bytes_of(old).unwrap(), copied.bytes_of(new).unwrap());
            let is_chosen = old.shape.len() >= 2;
            assert_eq!(is, if is_chosen { reversed(&model, old) } else { was }, "{}", old.name);
            if is_chosen && is_listed(old) {
                assert!(matches!(new.place, Place::Here { .. }), "{}", old.name);
            } else if !has_lists {
                assert_eq!(new.place, old.place, "{}", old.name);
            }
        }
        if !has_lists {
            only_these_differ(&model, &sources, &files());
        }
    }
}

/// Whether all bytes outside of matrices are the same.
fn only_these_differ(model: &OnnxFile, old: &[Vec<u8>], new: &[Vec<u8>]) {
    let locations: Vec<&str> = model.other_files().map(|(location, _)| location).collect();
    for (i, (old, new)) in old.iter().zip(new).enumerate() {
        assert_eq!(old.len(), new.len());
        let here = locations.get(i);
        let places = model.tensors().iter().filter_map(|tensor| {
            let begin = match &tensor.place {
                Place::Here { begin } if here.is_none() => *begin,
                Place::Elsewhere { location, begin } if here == Some(&location.as_str()) => *begin,
                _ => return None,
            };
            (tensor.shape.len() >= 2).then_some(begin..begin + tensor.bytes)
        });
        let places: Vec<_> = places.collect();
        let differ = (0..old.len()).filter(|&at| old[at] != new[at]);
        for at in differ {
            assert!(places.iter().any(|place| place.contains(&(at as u64))), "{at}");
        }
    }
}

// --- files made by hand --------------------------------------------------------------------------

fn bytes(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(tag(number)), varint(content.len() as u64), content.to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A tensor: its name, type, shape and other fields.
fn tensor(name: &str, dtype: u64, dims: &[u64], rest: &[Vec<u8>]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&length| number(1, length)).collect();
    [dims, number(2, dtype), bytes(8, name.as_bytes()), rest.concat()].concat()
}

/// A model of these fields of a graph.
fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), bytes(2, b"hand"), bytes(7, &graph.concat()), bytes(99, b"tail")].concat()
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    bytes(13, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat())
}

fn external(name: &str, dims: &[u64], entries: &[(&str, &str)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| entry(key, value)).collect();
    bytes(5, &tensor(name, 2, dims, &[entries, number(14, 1)]))
}

/// A folder with `model.onnx` and other files.
fn saved(model: &[u8], others: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in others {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join("model.onnx");
    fs::write(&path, model).unwrap();
    (folder, path)
}

fn error_of(bytes: &[u8]) -> String {
    words(&index(Cursor::new(bytes)).map(drop).unwrap_err())
}

/// Single floats, pieces of a packed list, numbers of eight bytes, an empty `raw_data` behind a list, and
/// all of it deep within graphs whose lengths need more bytes, or fewer, for the new values.
#[test]
fn lists_become_raw_bytes_and_lengths_follow() {
    let float = |value: f32| [varint(4 << 3 | 5), value.to_le_bytes().to_vec()].concat();
    let packed = |values: &[f32]| {
        bytes(4, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    };
    let single =
        tensor("single", 1, &[3], &[float(1.0), bytes(12, b"between"), float(2.0), float(3.0)]);
    let pieces = tensor("pieces", 1, &[3], &[packed(&[1.0, 2.0]), float(3.0), bytes(9, &[])]);
    let long: Vec<u8> = (0..30).flat_map(varint).collect();
    let long = tensor("long", 7, &[30], &[bytes(7, &long)]);
    let halves: Vec<u8> = (0..60).flat_map(|value| varint(0x3c00 + value)).collect();
    let halves = tensor("", 10, &[60], &[bytes(5, &halves)]);
    // A Constant in the branch of an If, its attribute before its output and its operator.
    let value = bytes(5, &[bytes(1, b"value"), bytes(5, &halves)].concat());
    let constant = [value, bytes(2, b"halves"), bytes(4, b"Constant")].concat();
    let branch = [bytes(1, &constant), bytes(5, &single), bytes(5, &long)].concat();
    let branch = bytes(5, &[bytes(6, &branch), bytes(1, b"then_branch")].concat());
    let node = bytes(1, &[branch, bytes(2, b"y"), bytes(4, b"If")].concat());
    let file = model(&[node, bytes(5, &pieces)]);
    let (folder, path) = saved(&file, &[]);
    let source = OnnxFile::open(&path).unwrap();
    let names: Vec<_> = source.tensors().iter().map(|t| (t.name.as_str(), t.bytes)).collect();
    let [halves, single, long] =
        ["halves", "single", "long"].map(|name| format!("y.then_branch/{name}"));
    let sizes = [(halves.as_str(), 120), (&single, 12), (&long, 240), ("pieces", 12)];
    assert_eq!(names, sizes);
    let floats: Vec<u8> = [1.0_f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    for name in [&single, "pieces"] {
        assert_eq!(source.bytes_of(source.tensor(name).unwrap()).unwrap(), floats);
    }
    // Each alone, then all.
    let out = folder.path().join("out.onnx");
    for chosen in [halves.as_str(), &single, &long, "pieces", ""] {
        let is_chosen = |tensor: &OnnxTensor| chosen.is_empty() || tensor.name == chosen;
        let replace = |tensor: &OnnxTensor, values: &mut NewValues<'_>| {
            write_in_pieces(values, &reversed(&source, tensor))
        };
        source.copy_with(&out, is_chosen, replace).unwrap().finish().unwrap();
        let copy = OnnxFile::open(&out).unwrap();
        assert_eq!(copy.tensors().len(), 4);
        for (old, new) in source.tensors().iter().zip(copy.tensors()) {
            let (was, is) = (source.bytes_of(old).unwrap(), copy.bytes_of(new).unwrap());
            assert_eq!(is, if is_chosen(old) { reversed(&source, old) } else { was });
            assert_eq!(matches!(new.place, Place::Listed(_)), !is_chosen(old));
        }
        let copied = fs::read(&out).unwrap();
        assert!(copied.ends_with(&bytes(99, b"tail")));
        let has_doc = copied.windows(7).any(|window| window == b"between");
        assert!(has_doc && copied.starts_with(&file[..8]));
    }
    // Byte for byte what a writer of protocol buffers makes of one with raw bytes.
    let raw: Vec<u8> = floats.chunks(4).rev().flatten().copied().collect();
    let (_other, path) = saved(
        &model(&[bytes(5, &tensor("w", 1, &[3], &[float(1.0), float(2.0), float(3.0)]))]),
        &[],
    );
    let one = OnnxFile::open(&path).unwrap();
    let replace = |_: &OnnxTensor, values: &mut NewValues<'_>| values.write(&raw);
    one.copy_with(&out, |_| true, replace).unwrap().finish().unwrap();
    let same = model(&[bytes(5, &tensor("w", 1, &[3], &[bytes(9, &raw)]))]);
    assert_eq!(fs::read(&out).unwrap(), same);
}

#[test]
fn functions_and_lists_of_graphs_have_scopes_of_their_own() {
    let constant = |output: &str| {
        let value = bytes(
            5,
            &[bytes(1, b"value"), bytes(5, &tensor("x", 2, &[1], &[bytes(9, b"a")]))].concat(),
        );
        [bytes(2, output.as_bytes()), bytes(4, b"Constant"), value].concat()
    };
    let function = [bytes(7, &constant("c")), bytes(1, b"Norm"), bytes(10, b"my.ops")].concat();
    let graph = |output: &str| bytes(11, &bytes(1, &constant(output)));
    let bodies = bytes(5, &[bytes(1, b"bodies"), graph("a"), graph("a")].concat());
    // Without an output, and a tensor of another attribute, which is no weight.
    let shape =
        bytes(5, &[bytes(1, b"value"), bytes(5, &tensor("", 2, &[1], &[bytes(9, b"a")]))].concat());
    let nodes = [bytes(1, &bodies), bytes(1, &[bytes(4, b"ConstantOfShape"), shape].concat())];
    let file = [model(&nodes), bytes(25, &function)].concat();
    let index = index(Cursor::new(file)).unwrap();
    let names: Vec<_> = index.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["#0.bodies.0/a", "#0.bodies.1/a", "my.ops.Norm()/c"]);
}

#[test]
fn contradictions_are_named_with_the_tensor() {
    let of =
        |dtype, dims: &[u64], rest: &[Vec<u8>]| model(&[bytes(5, &tensor("w", dtype, dims, rest))]);
    let raw = || bytes(9, &[0; 8]);
    let two = bytes(5, &tensor("w", 1, &[2], &[raw()]));
    let huge = || vec![1 << 32, 1 << 32];
    for (file, named) in [
        (
            of(1, &[3], &[raw()]),
            r#"tensor "w" of F32 and shape [3] has 12 bytes, and a place of 8"#,
        ),
        (of(1, &huge(), &[raw()]), "has no number of elements that can be counted"),
        (of(1, &[1 << 60, 32], &[raw()]), "has no number of elements that can be counted"),
        (of(1, &[u64::MAX], &[raw()]), "of shape [-1] has no number of elements"),
        (of(1, &[1 << 40], &[bytes(4, &[0; 8])]), "has 4398046511104 bytes, and a place of 8"),
        (of(6, &[9], &[bytes(5, &[0; 8])]), "has another number of values in int32_data"),
        (of(6, &[1], &[bytes(5, &[0; 11])]), "has another number of values in int32_data"),
        (of(1, &[2], &[raw(), bytes(4, &[0; 8])]), "has its values in float_data and in raw_data"),
        (of(1, &[2], &[raw(), raw()]), "has its values in raw_data and in raw_data"),
        (
            of(1, &[2], &[bytes(5, &[0; 2])]),
            "of F32 has its values in int32_data, which is not for",
        ),
        (of(1, &[2], &[]), r#"tensor "w" of shape [2] has no values"#),
        (of(0, &[2], &[raw()]), r#"tensor "w" is of type 0"#),
        (of(29, &[2], &[raw()]), r#"tensor "w" is of type 29"#),
        (of(1, &[1; 65], &[raw()]), "a tensor of more than 64 dimensions"),
        (model(&[two.clone(), two]), r#"it has tensor "w" twice"#),
        (
            model(&[external("w", &[2], &[("location", "../a")])]),
            r#"is in "../a", which is no file in"#,
        ),
        (
            model(&[external("w", &[2], &[("location", "/a")])]),
            r#"is in "/a", which is no file in"#,
        ),
        (model(&[external("w", &[2], &[("location", "b/../../a")])]), "which is no file in"),
        (model(&[external("w", &[2], &[("location", "..\\a")])]), "which is no file in"),
        (model(&[external("w", &[2], &[("location", ".")])]), "which is no file in"),
        (model(&[external("w", &[2], &[])]), r#"is in "", which is no file in"#),
        (
            model(&[external("w", &[2], &[("location", "a"), ("offset", "-1")])]),
            r#"has offset "-1" in another file, which is no number"#,
        ),
        (
            model(&[external("w", &[2], &[("location", "a"), ("length", "1")])]),
            "has 2 bytes, and a place of 1",
        ),
        (number(1, 8), "there is no graph in it"),
        (Vec::new(), "there is no graph in it"),
    ] {
        let error = error_of(&file);
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn graphs_without_end_and_names_without_measure_are_refused() {
    let within = |graph: Vec<u8>, name: &[u8]| {
        bytes(1, &bytes(5, &[bytes(6, &graph), bytes(1, name)].concat()))
    };
    let nested =
        |depth, name: &[u8]| model(&[(0..depth).fold(Vec::new(), |graph, _| within(graph, name))]);
    assert!(index(Cursor::new(nested(31, b"g"))).is_ok());
    assert!(error_of(&nested(32, b"g")).contains("graphs in graphs, more than 32 deep"));
    let long = vec![b'g'; 9000];
    assert!(error_of(&nested(3, &long)).contains("more than 16384"));
    // Many tensors whose names are long by their scope.
    let many: Vec<u8> =
        (0..100).flat_map(|i| bytes(5, &tensor(&i.to_string(), 1, &[0], &[]))).collect();
    let many = model(&[within(many, &[b'g'; 16_000])]);
    assert!(index(Cursor::new(&many)).is_ok());
    let error = words(&index_within(Cursor::new(&many), 1 << 20).map(drop).unwrap_err());
    assert!(error.contains("more than 1048576 bytes to list"), "{error}");
}

#[test]
fn other_files_are_found_below_the_folder_and_checked() {
    let file = model(&[
        external("a", &[4], &[("location", "./sub/x.data"), ("offset", "1")]),
        external("b", &[2], &[("location", "sub/x.data"), ("length", "2")]),
        external("none", &[0], &[("location", "sub/x.data"), ("offset", "5")]),
    ]);
    let (folder, path) = saved(&file, &[("sub/x.data", b"01234")]);
    let model = OnnxFile::open(&path).unwrap();
    let values = |name| model.bytes_of(model.tensor(name).unwrap()).unwrap();
    assert_eq!([values("a"), values("b"), values("none")], [&b"1234"[..], b"01", b""]);
    assert_eq!(
        model.other_files().map(|(location, _)| location).collect::<Vec<_>>(),
        ["sub/x.data"]
    );
    let other = folder.path().join("sub/x.data");
    fs::write(&other, b"0123").unwrap();
    let error = words(&model.bytes_of(model.tensor("a").unwrap()).unwrap_err());
    assert!(error.ends_with("x.data has changed while it was read"), "{error}");
    let error = words(&OnnxFile::open(&path).unwrap_err());
    assert!(error.ends_with(r#"tensor "a" ends at byte 5 of sub/x.data, which has 4"#), "{error}");
    fs::remove_file(&other).unwrap();
    let error = words(&OnnxFile::open(&path).unwrap_err());
    assert!(error.contains(r#"tensor "a" is in sub/x.data, which cannot be read: "#), "{error}");
}

#[test]
fn another_format_is_named() {
    let (_folder, path) = saved(b"GGUF\x03\0\0\0", &[]);
    let error = words(&OnnxFile::open(&path).unwrap_err());
    assert!(error.ends_with("can be read or copied: it is a GGUF model of llama.cpp"), "{error}");
}

/// Values `a` and `b` at these places of one other file, and a copy with chosen ones.
fn copy_of_two(a: (&str, u64), b: (&str, u64), chosen: &str) -> Result<Vec<u8>, String> {
    let of = |name, (offset, length)| {
        external(name, &[length], &[("location", "x.data"), ("offset", offset)])
    };
    let (_folder, path) = saved(&model(&[of("a", a), of("b", b)]), &[("x.data", b"0123456789")]);
    let model = OnnxFile::open(&path).unwrap();
    let out = tempfile::tempdir().unwrap();
    let replace = |tensor: &OnnxTensor, values: &mut NewValues<'_>| {
        values.write(&vec![b'-'; tensor.bytes as usize])
    };
    let copy = model.copy_with::<FileError>(
        &out.path().join("out.onnx"),
        |tensor| chosen.contains(&tensor.name),
        replace,
    );
    copy.and_then(OnnxCopy::finish).map_err(|error| words(&error))?;
    Ok(fs::read(out.path().join("x.data")).unwrap())
}

#[test]
fn tensors_of_one_place_are_the_same_cells_and_others_stay_apart() {
    let of = copy_of_two;
    assert_eq!(of(("2", 3), ("5", 2), "ab").unwrap(), b"01-----789");
    assert_eq!(of(("5", 2), ("2", 3), "a").unwrap(), b"01234--789");
    assert_eq!(of(("2", 3), ("2", 3), "b").unwrap(), b"01---56789");
    assert_eq!(of(("2", 3), ("3", 3), "").unwrap(), b"0123456789");
    for (a, b, chosen) in [
        (("2", 3), ("2", 3), "ab"),
        (("2", 3), ("4", 3), "a"),
        (("2", 3), ("4", 3), "b"),
        (("2", 6), ("3", 2), "b"),
        (("2", 6), ("2", 2), "a"),
    ] {
        let error = of(a, b, chosen).unwrap_err();
        assert!(error.contains("lie over each other: only one of them"), "{error}");
    }
}

#[test]
fn a_copy_never_writes_over_its_model_unless_it_takes_its_place() {
    let file = model(&[external("a", &[4], &[("location", "x.data")])]);
    let (folder, path) = saved(&file, &[("x.data", b"0123")]);
    let model = OnnxFile::open(&path).unwrap();
    let copy = |out: &Path, bytes: &[u8]| -> Result<OnnxCopy, FileError> {
        model.copy_with(out, |_| true, |_, values| values.write(bytes))
    };
    let at = |name: &str| folder.path().join(name);
    for out in ["out.onnx", "x.data"] {
        let error = words(&copy(&at(out), b"----").unwrap_err());
        assert!(error.contains("would be written twice, or is a file of the model"), "{error}");
    }
    for values in [&b"---"[..], b"-----"] {
        let error = words(&copy(&at("new/out.onnx"), values).unwrap_err());
        let named = format!(r#"tensor "a" has 4 bytes, and {} were written"#, values.len());
        assert!(error.ends_with(&named), "{error}");
    }
    drop(copy(&at("new/out.onnx"), b"----").unwrap());
    assert_eq!(fs::read_dir(at("new")).unwrap().count(), 0);
    assert_eq!(fs::read(at("x.data")).unwrap(), b"0123");

    let mut notes = crate::WholeFile::create(&at("new/notes")).unwrap();
    std::io::Write::write_all(&mut notes, b"more").unwrap();
    copy(&at("new/out.onnx"), b"----").unwrap().finish_with(notes).unwrap();
    assert_eq!(fs::read_dir(at("new")).unwrap().count(), 3);
    copy(&path, b"----").unwrap().finish().unwrap();
    assert_eq!(
        [fs::read(at("x.data")).unwrap(), fs::read(&path).unwrap()],
        [b"----".to_vec(), file]
    );
    // It is another file by now.
    let error = copy(&at("new/out.onnx"), b"----").unwrap_err();
    assert!(matches!(error, FileError::Changed { .. }), "{error}");
}

// --- changed files -------------------------------------------------------------------------------

/// Every place that an index tells lies in its file, and lists end.
fn places_are_in(index: &Index, file: &[u8]) {
    for tensor in &index.tensors {
        match &tensor.place {
            Place::Here { begin } => assert!(begin + tensor.bytes <= file.len() as u64),
            Place::Listed(listed) => {
                let mut wire = Wire::new(Cursor::new(file)).unwrap();
                let mut values = 0;
                let count = |piece: Vec<u8>| {
                    values += piece.len();
                    true
                };
                if listed.read(&mut wire, 100, count).is_ok() {
                    assert!(values <= 8 * file.len());
                }
                assert!(tensor.bytes <= 8 * file.len() as u64);
            }
            Place::Elsewhere { location, .. } => {
                let parts = Path::new(location).components();
                assert!(parts.into_iter().all(|part| part.as_os_str() != ".."), "{location}");
                assert!(Path::new(location).is_relative());
            }
            Place::Nowhere => assert_eq!(tensor.bytes, 0),
        }
    }
}

#[test]
fn changed_files_are_refused_in_words_or_read() {
    let files: Vec<Vec<u8>> = models().iter().map(|path| fs::read(path).unwrap()).collect();
    let mut random = Changes::new(9);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..cases(20_000) {
        let which = random.below(files.len());
        let file = random.change(&files[which]);
        match index(Cursor::new(&file)) {
            Ok(index) => {
                places_are_in(&index, &file);
                accepted += 1;
            }
            Err(error) => {
                let text = words(&error);
                assert!(!text.is_empty() && text.len() < 1 << 18, "{text}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}

/// A file that is read at all is copied to one that is read, with the values that were written.
#[test]
fn changed_files_are_copied_whatever_they_hold() {
    let files: Vec<Vec<u8>> = models().iter().map(|path| fs::read(path).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let [path, out] = ["in.onnx", "out.onnx"].map(|name| folder.path().join(name));
    let mut random = Changes::new(10);
    let mut copied = 0;
    for _ in 0..cases(20_000) / 20 {
        let which = random.below(files.len());
        fs::write(&path, random.change(&files[which])).unwrap();
        let Ok(model) = OnnxFile::open(&path) else { continue };
        let replace = |tensor: &OnnxTensor, values: &mut NewValues<'_>| {
            values.write(&vec![7; tensor.bytes as usize])
        };
        model.copy_with(&out, |_| true, replace).unwrap().finish().unwrap();
        let copy = OnnxFile::open(&out).unwrap();
        assert_eq!(copy.producer(), model.producer());
        assert_eq!(copy.tensors().len(), model.tensors().len());
        for (old, new) in model.tensors().iter().zip(copy.tensors()) {
            assert_eq!((&new.name, new.dtype, &new.shape), (&old.name, old.dtype, &old.shape));
            assert!(copy.bytes_of(new).unwrap().iter().all(|&byte| byte == 7));
        }
        copied += 1;
    }
    assert!(copied > cases(20_000) / 200, "{copied}");
}
