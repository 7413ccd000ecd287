//! The tables of `docs/model-files.md` against the code that they describe.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use qtaml_files::{BufferKind as B, MetadataKind as M, WeightRole as R};
use qtaml_files::{CodeLayout, FileFormat, TensorKind};

/// The cells of all rows of tables, without backquotes around words.
fn rows() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/model-files.md");
    let text = std::fs::read_to_string(path).unwrap();
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    text.lines().filter(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn every_foreign_format_is_listed_with_its_advice() {
    let rows = rows();
    let read = [FileFormat::Safetensors, FileFormat::ShardIndex, FileFormat::Unknown];
    for format in FileFormat::ALL.into_iter().filter(|format| !read.contains(format)) {
        let row = vec![format.to_string(), format.advice().to_owned()];
        assert!(rows.contains(&row), "| {} | {} |", row[0], row[1]);
    }
}

#[test]
fn every_kind_and_layout_is_listed() {
    let rows = rows();
    let is_listed = |name: &str| {
        let name = format!("`{name}`");
        rows.iter().any(|row| row[0].split(", ").any(|cell| cell == name))
    };
    for layout in CodeLayout::ALL {
        assert!(is_listed(layout.name()), "{}", layout.name());
    }
    let of = |what| TensorKind::Metadata { of: String::new(), what };
    let kinds = [
        TensorKind::Weights(R::Linear),
        TensorKind::Weights(R::Convolution),
        TensorKind::Weights(R::TransposedConvolution),
        TensorKind::Weights(R::Embedding),
        TensorKind::Float8(R::Other),
        of(M::Scale),
        of(M::ZeroPoint),
        of(M::GroupIndex),
        of(M::State),
        TensorKind::Bias,
        TensorKind::Norm,
        TensorKind::Vector,
        TensorKind::Buffer(B::Mask),
        TensorKind::Buffer(B::Statistics),
        TensorKind::Buffer(B::Positions),
        TensorKind::Buffer(B::Indices),
        TensorKind::Constant,
        TensorKind::Empty,
        TensorKind::Unknown,
    ];
    for kind in kinds {
        assert!(is_listed(kind.name()), "{kind}");
    }
}
