//! Scales, and what is stored beside them, as words of the faulty memory and back.

use anyhow::Result;
use qtaml::fault::{FaultEffect, RecordError, TensorFaults, TensorRecorder};
use qtaml::quant::{Code, CodeRange, Format, Grid, GroupLayout, Origin, QuantError, Scales, Word};

use super::storage::Coded;

/// Bytes of a float, each a word.
const FLOAT: u64 = 4;

/// Words of one kind that are stored beside a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The substream of their faults (docs/theory.md, section 5.5).
    pub(super) what: &'static str,
    pub(super) format: Format,
    /// Words of each group.
    per_group: u64,
}

/// What is stored beside a tensor, and what is read of it.
#[derive(Debug, Clone)]
pub(super) struct ReadMetadata {
    pub(super) scales: Scales,
    pub(super) parts: Vec<ReadPart>,
}

/// The words of one part.
#[derive(Debug, Clone)]
pub(super) struct ReadPart {
    part: Part,
    stored: Vec<u8>,
    read: Vec<u8>,
}

impl Part {
    pub(super) const SCALE: Self = Self { what: "scale", format: Format::INT8, per_group: FLOAT };
    const MINIMUM: Self = Self { what: "minimum", ..Self::SCALE };

    /// The parts of a tensor that is stored in this way: minima are floats, and zero points words of the
    /// weights' format.
    pub(super) fn of(coded: Coded) -> Vec<Self> {
        let zero_point = Self { what: "zero point", format: coded.format, per_group: 1 };
        match coded.scaling.range {
            CodeRange::MinMax => vec![Self::SCALE, Self::MINIMUM],
            CodeRange::ZeroPoint => vec![Self::SCALE, zero_point],
            _ => vec![Self::SCALE],
        }
    }

    /// The words of so many groups.
    pub(super) const fn words(self, groups: usize) -> u64 {
        self.per_group * groups as u64
    }

    /// The words of the grids of a tensor.
    fn words_of(self, scales: &Scales) -> Vec<u8> {
        let floats =
            |of: fn(Grid) -> f32| scales.grids().map(of).flat_map(f32::to_le_bytes).collect();
        match self.what {
            "scale" => floats(Grid::scale),
            "minimum" => floats(|grid| match grid.origin() {
                Origin::Minimum(minimum) => minimum,
                _ => 0.0,
            }),
            _ => scales.grids().map(|grid| word_of_zero(self.format, grid)).collect(),
        }
    }
}

fn word_of_zero(format: Format, grid: Grid) -> u8 {
    match grid.origin() {
        Origin::ZeroPoint(code) => format.word_of(code).0,
        _ => 0,
    }
}

impl ReadMetadata {
    /// Hands the words of each part to `read`, which makes of them what is read.
    pub(super) fn new(
        coded: Coded,
        scales: &Scales,
        mut read: impl FnMut(Part, &mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        let part = |part: Part| -> Result<ReadPart> {
            let stored = part.words_of(scales);
            let mut words = stored.clone();
            read(part, &mut words)?;
            Ok(ReadPart { part, stored, read: words })
        };
        let parts = Part::of(coded).into_iter().map(part).collect::<Result<Vec<_>>>()?;
        let scales = scales_of(coded.format, scales.layout(), &parts)?;
        Ok(Self { scales, parts })
    }

    /// Bits that are stored.
    pub(super) fn bits(&self) -> u64 {
        let bits =
            |part: &ReadPart| part.stored.len() as u64 * u64::from(part.part.format.bits().get());
        self.parts.iter().map(bits).sum()
    }

    /// Bits that are read wrong.
    pub(super) fn flipped_bits(&self) -> u64 {
        let words = self.parts.iter().flat_map(|part| part.stored.iter().zip(&part.read));
        words.map(|(stored, read)| u64::from((stored ^ read).count_ones())).sum()
    }
}

impl ReadPart {
    /// The substream of its faults.
    pub(super) const fn what(&self) -> &'static str {
        self.part.what
    }

    /// Its faults, as they are recorded.
    pub(super) fn faults(&self, effect: FaultEffect) -> Result<TensorFaults, RecordError> {
        let mut recorder = TensorRecorder::new(self.part.format, effect);
        recorder.append(&self.stored, &self.read)?;
        Ok(recorder.finish())
    }
}

/// The grids whose words were read.
fn scales_of(
    format: Format,
    layout: GroupLayout,
    parts: &[ReadPart],
) -> Result<Scales, QuantError> {
    let origins = |part: &ReadPart| -> Vec<Origin> {
        if part.part == Part::MINIMUM {
            return floats(&part.read).map(Origin::Minimum).collect();
        }
        let code = |&word| Origin::ZeroPoint(Code(format.code_of(Word(word)).0));
        part.read.iter().map(code).collect()
    };
    let origins = parts.get(1).map(origins);
    let scales = parts.first().map_or(&[][..], |part| &part.read);
    let origin = |group: usize| {
        let origin = origins.as_ref().and_then(|origins| origins.get(group));
        origin.copied().unwrap_or(Origin::Zero)
    };
    let grid = |(group, scale)| Grid::as_read(format, scale, origin(group));
    Scales::new(layout, &floats(scales).enumerate().map(grid).collect::<Vec<_>>())
}

fn floats(words: &[u8]) -> impl Iterator<Item = f32> {
    words.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use qtaml::files::Float;
    use qtaml::quant::{BitWidth, Clip, Encoding, Granularity, Scaling};

    use super::*;

    /// Words that are read as they are stored lead back, and one flip moves one grid.
    #[test]
    fn words_lead_back_to_the_grids() {
        let format = Format::new(BitWidth::INT4, Encoding::SignMagnitude);
        for range in CodeRange::ALL {
            let granularity = Granularity::Channel;
            let scaling = Scaling { granularity, axis: Some(0), range, clip: Clip::Max };
            let coded = Coded { float: Float::F32, format, scaling };
            let layout = GroupLayout::of(&[3, 2], Some(0), granularity).unwrap();
            let grid = |limit: f32| Grid::spanning(format, range, -0.5 * limit, limit).unwrap();
            let scales = Scales::new(layout, &[grid(1.0), grid(2.0), grid(0.0)]).unwrap();
            let same = ReadMetadata::new(coded, &scales, |_, _| Ok(())).unwrap();
            assert_eq!((&same.scales, same.flipped_bits()), (&scales, 0), "{range}");
            let words: Vec<u64> = Part::of(coded).iter().map(|part| part.words(3)).collect();
            let stored: Vec<u64> = same.parts.iter().map(|part| part.stored.len() as u64).collect();
            assert_eq!(words, stored);
            for (number, part) in Part::of(coded).into_iter().enumerate() {
                let last = |read: Part, words: &mut [u8]| {
                    if read == part {
                        words[words.len() / 3] ^= 1;
                    }
                    Ok(())
                };
                let read = ReadMetadata::new(coded, &scales, last).unwrap();
                assert_eq!(read.flipped_bits(), 1);
                let is_same: Vec<_> =
                    scales.grids().zip(read.scales.grids()).map(|(a, b)| a == b).collect();
                assert_eq!(is_same, [true, false, true], "{range}, part {number}");
            }
        }
    }
}
