//! The report on a model, as JSON and as a table of 80 columns.

use std::fmt;

use qtaml::deploy::Granularity;
use qtaml::files::{BufferKind, MetadataKind, TensorDescription, TensorKind, WeightRole};
use serde::Serialize;

use super::measure::{Measured, Storing};
use super::model::{Model, Tensor};
use crate::number::{grouped, rounded};
use crate::printable::printable;

/// Below so many dB of signal to quantization noise a tensor is warned of.
const FEW_DB: f64 = 10.0;

/// Columns that a line may have.
const WIDTH: usize = 80;

/// Bits of a scale.
const SCALE_BITS: u64 = 32;

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    model: String,
    files: Vec<String>,
    bytes: u64,
    bits: u32,
    encoding: &'static str,
    scale: String,
    tensors: Vec<Row>,
    totals: Vec<Total>,
    /// What would be stored, without scales.
    stored_bits: u64,
    /// Tensors of the model that were not chosen.
    others: usize,
}

/// What is known of one tensor.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    tensor: String,
    kind: &'static str,
    /// Whose layout codes have.
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    /// The codes that scales and the like belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    /// The name under which it is counted, if it has two.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    file: usize,
    dtype: String,
    shape: Vec<usize>,
    output_axis: Option<usize>,
    output_axis_by: &'static str,
    min: Option<f32>,
    max: Option<f32>,
    rms: Option<f64>,
    max_over_rms: Option<f64>,
    kurtosis: Option<f64>,
    /// None without noise.
    sqnr_db: Option<f64>,
    /// Share of the codes that are zero.
    zeros: Option<f64>,
    /// Share of the weights other than zero that are rounded to it.
    lost: Option<f64>,
    not_finite: u64,
    stored_bits: u64,
    /// The scales beside the codes that would be stored.
    scale_bits: u64,
    warnings: Vec<String>,
    #[serde(skip)]
    class: Class,
    #[serde(skip)]
    short: String,
    #[serde(skip)]
    elements: u64,
    #[serde(skip)]
    is_axis_needed: bool,
}

/// Tensors that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Class {
    Weights,
    Codes,
    Metadata,
    Parameters,
    Buffers,
    Unknown,
}

/// The tensors of one class.
#[derive(Debug, Serialize)]
struct Total {
    class: Class,
    tensors: usize,
    elements: u64,
    stored_bits: u64,
}

impl Class {
    const ALL: [Self; 6] = [
        Self::Weights,
        Self::Codes,
        Self::Metadata,
        Self::Parameters,
        Self::Buffers,
        Self::Unknown,
    ];

    fn of(kind: &TensorKind) -> Self {
        match kind {
            TensorKind::Weights(_) | TensorKind::Float8(_) => Self::Weights,
            TensorKind::Codes(_) => Self::Codes,
            TensorKind::Metadata { .. } => Self::Metadata,
            TensorKind::Bias | TensorKind::Norm | TensorKind::Vector => Self::Parameters,
            TensorKind::Buffer(_) | TensorKind::Constant | TensorKind::Empty => Self::Buffers,
            _ => Self::Unknown,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Weights => "float weights",
            Self::Codes => "codes of a quantized checkpoint",
            Self::Metadata => "scales, zero points and the like of codes",
            Self::Parameters => "biases, norms and vectors",
            Self::Buffers => "masks, statistics, constants, empty ones",
            Self::Unknown => "not understood",
        }
    }
}

/// A kind in eight characters.
fn short(kind: &TensorKind) -> String {
    match kind {
        TensorKind::Weights(role) | TensorKind::Float8(role) => match role {
            WeightRole::Convolution => "conv",
            WeightRole::TransposedConvolution => "conv-T",
            WeightRole::Embedding => "embed",
            WeightRole::Other => "other",
            role => role.name(),
        },
        TensorKind::Codes(codes) => return format!("{}-bit", codes.bits),
        TensorKind::Metadata { what, .. } => match what {
            MetadataKind::ZeroPoint => "zero-pt",
            MetadataKind::GroupIndex => "groups",
            what => what.name(),
        },
        TensorKind::Buffer(buffer) => match buffer {
            BufferKind::Statistics => "stats",
            BufferKind::Positions => "position",
            buffer => buffer.name(),
        },
        kind => kind.name(),
    }
    .to_owned()
}

impl Row {
    pub(super) fn new(
        tensor: &Tensor,
        described: &TensorDescription,
        storing: Storing,
        measured: Measured,
    ) -> Self {
        let mut row = Self::without_numbers(tensor, described);
        let Measured { moments, rounding } = measured;
        if let Some(moments) = moments.filter(|moments| moments.count > 0) {
            let rms = moments.rms();
            row.min = Some(moments.min);
            row.max = Some(moments.max);
            row.rms = Some(rms);
            row.max_over_rms = Some(moments.largest() / rms).filter(|ratio| ratio.is_finite());
            row.kurtosis = moments.kurtosis();
        }
        row.stored_bits = match &described.kind {
            TensorKind::Weights(_) => tensor.elements * u64::from(storing.format.bits().get()),
            TensorKind::Codes(codes) => codes.count * u64::from(codes.bits),
            TensorKind::Float8(_) => 8 * tensor.bytes,
            _ => 0,
        };
        if let Some(moments) = moments.filter(|moments| moments.not_finite > 0) {
            row.not_finite = moments.not_finite;
            row.warnings.push(not_finite(moments.not_finite, moments.first_not_finite));
        }
        if let Some(rounding) = rounding {
            let rounded = rounding.rounded;
            row.sqnr_db = rounded.sqnr();
            row.zeros = Some(rounded.zero_share());
            row.lost = Some(rounded.lost_share());
            row.scale_bits = SCALE_BITS * rounding.scales as u64;
            if rounded.lost_share() > 0.5 {
                let percent = percent(rounded.lost_share());
                row.warnings.push(format!("{percent} of its weights are rounded to zero"));
            }
            if rounding.emptying > 0 && rounding.scales > 1 {
                let (emptying, scales) = (rounding.emptying, rounding.scales);
                row.warnings.push(format!(
                    "{emptying} of {scales} scales round more than half of their weights to zero"
                ));
            }
            if let Some(few) = rounded.sqnr().filter(|&db| db < FEW_DB) {
                row.warnings.push(format!("rounding leaves {few:.1} dB"));
            }
            if rounding.beyond > 0 {
                let lowest = storing.format.min_code();
                let (beyond, scales) = (rounding.beyond, rounding.scales);
                row.warnings.push(format!(
                    "code {lowest}, which a fault can make, is beyond {} with {beyond} of {scales} \
                     scales: it is read as the lowest number of the type",
                    tensor.dtype
                ));
            }
            row.is_axis_needed =
                storing.granularity != Granularity::Tensor && row.output_axis.is_none();
        }
        if row.class == Class::Unknown {
            let text = format!("{} of shape {:?} is not understood", tensor.dtype, tensor.shape);
            row.warnings.push(text);
        }
        row
    }

    /// A second name of what is counted under the first one.
    pub(super) fn of_alias(tensor: &Tensor, described: &TensorDescription, first: &str) -> Self {
        let alias_of = Some(first.to_owned());
        Self { alias_of, ..Self::without_numbers(tensor, described) }
    }

    fn without_numbers(tensor: &Tensor, described: &TensorDescription) -> Self {
        let TensorDescription { kind, axis, .. } = described;
        let layout =
            if let TensorKind::Codes(codes) = kind { Some(codes.layout.name()) } else { None };
        let of = if let TensorKind::Metadata { of, .. } = kind { Some(of.clone()) } else { None };
        let elements =
            if let TensorKind::Codes(codes) = kind { codes.count } else { tensor.elements };
        Self {
            tensor: tensor.name.clone(),
            kind: kind.name(),
            layout,
            of,
            alias_of: None,
            file: tensor.file,
            dtype: tensor.dtype.clone(),
            shape: tensor.shape.clone(),
            output_axis: axis.axis,
            output_axis_by: axis.source.name(),
            min: None,
            max: None,
            rms: None,
            max_over_rms: None,
            kurtosis: None,
            sqnr_db: None,
            zeros: None,
            lost: None,
            not_finite: 0,
            stored_bits: 0,
            scale_bits: 0,
            warnings: Vec::new(),
            class: Class::of(kind),
            short: short(kind),
            elements,
            is_axis_needed: false,
        }
    }

    /// The line below its name.
    fn line(&self) -> String {
        let Self { short, dtype, .. } = self;
        let shape = fitting(&self.shape_text(), 17);
        if let Some(first) = &self.alias_of {
            let begin = format!("  {short:<8} {dtype:<7} {shape:<17} = ");
            let first = fitting(&printable(first), WIDTH - begin.chars().count());
            return begin + &first;
        }
        let range = self.min.zip(self.max).map_or_else(String::new, |(min, max)| range(min, max));
        let number = |value: Option<f64>| value.map_or_else(String::new, three_digits);
        let (ratio, kurtosis) = (number(self.max_over_rms), number(self.kurtosis));
        let db = match (self.sqnr_db, self.zeros) {
            (Some(db), _) => format!("{db:.1}"),
            (None, Some(_)) => "exact".into(),
            (None, None) => String::new(),
        };
        let zeros = self.zeros.map_or_else(String::new, percent);
        let line = format!(
            "  {short:<8} {dtype:<7} {shape:<17} {range:>14} {ratio:>7} {kurtosis:>7} {db:>5} {zeros:>6}"
        );
        line.trim_end().to_owned()
    }

    /// The shape, with a star at the axis of output channels.
    fn shape_text(&self) -> String {
        let length = |(axis, length): (usize, &usize)| match self.output_axis {
            Some(output) if output == axis => format!("{length}*"),
            _ => length.to_string(),
        };
        if self.shape.is_empty() {
            return "scalar".into();
        }
        self.shape.iter().enumerate().map(length).collect::<Vec<_>>().join("x")
    }
}

impl Report {
    pub(super) fn new(model: &Model, storing: Storing, tensors: Vec<Row>) -> Self {
        let counted = || tensors.iter().filter(|row| row.alias_of.is_none());
        let total = |class: Class| {
            let of_class = || counted().filter(move |row| row.class == class);
            let sum = |count: fn(&Row) -> u64| of_class().map(count).sum();
            Total {
                class,
                tensors: of_class().count(),
                elements: sum(|row| row.elements),
                stored_bits: sum(|row| row.stored_bits),
            }
        };
        let totals = Class::ALL.into_iter().map(total).filter(|total| total.tensors > 0).collect();
        Self {
            model: model.path().display().to_string(),
            files: model.files(),
            bytes: model.length(),
            bits: storing.format.bits().get(),
            encoding: storing.format.encoding().name(),
            scale: scope(storing.granularity),
            totals,
            stored_bits: counted().map(|row| row.stored_bits).sum(),
            others: model.tensors().len() - tensors.len(),
            tensors,
        }
    }

    fn warnings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warned: Vec<&Row> =
            self.tensors.iter().filter(|row| !row.warnings.is_empty()).collect();
        if !warned.is_empty() {
            writeln!(f, "\nWarnings")?;
        }
        for row in warned {
            let name = printable(&row.tensor);
            writeln!(f, "  {}", fitting(&name, WIDTH - 2))?;
            for warning in &row.warnings {
                wrapped(f, "    ", warning)?;
            }
        }
        let unknown = self.tensors.iter().filter(|row| row.is_axis_needed).count();
        if unknown > 0 {
            let text = format!(
                "The axis of output channels is not known of {} ({} without a star): the first one was \
                 taken. --layout says which it is.",
                plural(unknown, "tensor"),
                if unknown == 1 { "the one" } else { "those" },
            );
            writeln!(f)?;
            wrapped(f, "", &text)?;
        }
        Ok(())
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<42} {:>8} {:>13} {:>14}", "", "tensors", "elements", "stored bits")?;
        for total in &self.totals {
            let Total { class, tensors, elements, stored_bits } = total;
            let bits = if *stored_bits == 0 { "-".into() } else { grouped(*stored_bits) };
            let (title, elements) = (class.title(), grouped(*elements));
            writeln!(f, "{title:<42} {tensors:>8} {elements:>13} {bits:>14}")?;
        }
        let scales: u64 = self.tensors.iter().map(|row| row.scale_bits).sum();
        if scales > 0 {
            let count = grouped(scales / SCALE_BITS);
            let text = format!("{count} scales in F32, beside the weights");
            writeln!(f, "{text:<65} {:>14}", grouped(scales))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, files, bytes, bits, encoding, scale, tensors, others, .. } = self;
        let files = match files.len() {
            1 => String::new(),
            n => format!(" in {n} files"),
        };
        let others = match others {
            0 => String::new(),
            n => format!(" of {}", tensors.len() + n),
        };
        let count = if others.is_empty() {
            plural(tensors.len(), "tensor")
        } else {
            tensors.len().to_string()
        };
        let of = if others.is_empty() { String::new() } else { format!("{others} tensors") };
        wrapped(
            f,
            "",
            &format!("{}: {count}{of}, {} bytes{files}", printable(model), grouped(*bytes)),
        )?;
        wrapped(f, "", &format!("float weights as INT{bits} {encoding}, {scale}"))?;
        writeln!(f, "\ntensor")?;
        writeln!(
            f,
            "  {:<8} {:<7} {:<17} {:>14} {:>7} {:>7} {:>5} {:>6}",
            "kind", "type", "shape, output*", "range", "max/rms", "kurt", "dB", "zeros"
        )?;
        writeln!(f, "{}", "\u{2500}".repeat(WIDTH))?;
        for row in tensors {
            writeln!(f, "{}", fitting(&printable(&row.tensor), WIDTH))?;
            writeln!(f, "{}", row.line())?;
        }
        self.totals(f)?;
        self.warnings(f)
    }
}

fn scope(granularity: Granularity) -> String {
    match granularity {
        Granularity::Tensor => "one scale per tensor".into(),
        Granularity::Channel => "one scale per output channel".into(),
        Granularity::Group(weights) => format!("one scale per group of {weights} weights"),
        other => format!("one scale per {other}"),
    }
}

fn not_finite(count: u64, first: Option<u64>) -> String {
    let at = first.unwrap_or_default();
    match count {
        1 => format!("weight {at} is NaN, infinite or beyond F32, and cannot be rounded"),
        _ => format!(
            "{} weights are NaN, infinite or beyond F32, weight {at} first, and cannot be rounded",
            grouped(count)
        ),
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count as u64)) }
}

/// A share in percent, at most six characters long.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        0.0 => "0%".into(),
        p if p < 0.01 => "<0.01%".into(),
        p if p < 10.0 => format!("{p:.2}%"),
        p => format!("{p:.1}%"),
    }
}

/// Three digits, in at most seven characters.
fn three_digits(value: f64) -> String {
    let magnitude = value.abs();
    match magnitude {
        _ if !value.is_finite() => "inf".into(),
        0.0 => "0".into(),
        _ if !(1e-3..1e4).contains(&magnitude) => format!("{value:.1e}"),
        _ if magnitude < 1.0 => format!("{value:.3}"),
        _ if magnitude < 10.0 => format!("{value:.2}"),
        _ if magnitude < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A range in fourteen characters: with fewer digits where there is no room.
fn range(min: f32, max: f32) -> String {
    let text = |digits: usize| format!("{}..{}", digits_of(min, digits), digits_of(max, digits));
    let fits = |text: &String| text.chars().count() <= 14;
    [3, 2, 1].map(text).into_iter().find(fits).unwrap_or_else(|| text(1))
}

fn digits_of(value: f32, digits: usize) -> String {
    let rounded = rounded(value.into(), digits);
    let magnitude = rounded.abs();
    if magnitude == 0.0 || (1e-3..1e5).contains(&magnitude) {
        format!("{}", rounded + 0.0)
    } else {
        format!("{rounded:e}")
    }
}

/// The text, or its beginning and its end around an ellipsis.
fn fitting(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let (begin, end) = ((width - 1) / 2, width - 1 - (width - 1) / 2);
    let begin: String = text.chars().take(begin).collect();
    let end: String = text.chars().skip(length - end).collect();
    format!("{begin}\u{2026}{end}")
}

/// Lines of words, each behind an indentation; a word that is longer than a line has one of its own.
fn wrapped(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    let mut line = indent.to_owned();
    for word in text.split(' ') {
        let is_empty = line.len() == indent.len();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            indent.clone_into(&mut line);
        } else if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_room_of_their_column() {
        for (value, text) in [
            (0.0, "0"),
            (0.123_45, "0.123"),
            (3.0, "3.00"),
            (175.4, "175"),
            (8123.4, "8123"),
            (81234.5, "8.1e4"),
            (1e-9, "1.0e-9"),
            (1e300, "1.0e300"),
        ] {
            assert_eq!(three_digits(value), text);
            assert!(three_digits(value).len() <= 7);
        }
        for (share, text) in
            [(0.0, "0%"), (1e-9, "<0.01%"), (0.012_34, "1.23%"), (0.5, "50.0%"), (1.0, "100.0%")]
        {
            assert_eq!(percent(share), text);
        }
        for (min, max, text) in [
            (-0.823_45, 0.911_1, "-0.823..0.911"),
            (-1.234e-5, 9.9e-6, "-1e-5..1e-5"),
            (-29.34, 12.1, "-29.3..12.1"),
            (0.0, 0.0, "0..0"),
            (-65504.0, 65504.0, "-65500..65500"),
            (-f32::MAX, f32::MAX, "-3e38..3e38"),
        ] {
            assert_eq!(range(min, max), text);
            assert!(text.len() <= 14);
        }
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(fitting("short", 5), "short");
        assert_eq!(fitting("encoder.layers.0.weight", 11), "encod\u{2026}eight");
        assert_eq!(fitting("\u{e9}\u{e9}\u{e9}\u{e9}", 3), "\u{e9}\u{2026}\u{e9}");
    }
}
