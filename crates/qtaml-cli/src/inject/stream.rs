//! The pass through a model, piece by piece: words out, faults in.

use anyhow::{Context, Result};
use qtaml::fault::{
    EccError, EccRead, EccTally, FaultError, FaultRecord, TensorRecorder, WordDigester,
};
use qtaml::files::{BackgroundWriter, Checkpoint, TensorInfo};
use qtaml::quant::QuantizationNoise;
use rayon::prelude::*;

use super::faults::{Piece, Source};
use super::plan::Planned;
use super::report::Row;
use super::scales::{self, Found};
use super::storage::Storage;
use super::stored::{SLICE, Stored, StoredSlice};
use crate::progress::Progress;

/// Words in a piece, of which some are read, some damaged and some written at a time; the faults do
/// not depend on it.
pub(super) const AT_ONCE: usize = scales::AT_ONCE;

/// A run over a model.
pub(super) struct Pass<'a> {
    pub(super) model: &'a Checkpoint,
    pub(super) planned: &'a Planned,
    pub(super) source: &'a Source,
    /// Words in a piece.
    pub(super) at_once: usize,
    pub(super) progress: &'a Progress,
}

impl Pass<'_> {
    /// Writes the faulty model to `out`, and what happened to `record` if there is one; returns one
    /// row for each tensor with faults.
    pub(super) fn write(
        &self,
        out: &BackgroundWriter,
        mut record: Option<&mut FaultRecord>,
    ) -> Result<Vec<Row>> {
        scales::ahead(self, |next_found| {
            let mut rows = Vec::new();
            let mut storages = self.planned.plan.iter();
            for (number, file) in self.model.shards().iter().enumerate() {
                out.write(file.header().to_vec())?;
                for (tensor, storage) in self.model.tensors_of(number).iter().zip(&mut storages) {
                    let Some(storage) = storage else {
                        self.copy(tensor, out)?;
                        continue;
                    };
                    let record = record.as_deref_mut();
                    let row = next_found()
                        .and_then(|found| self.tensor(tensor, storage, found, out, record))
                        .with_context(|| format!("cannot inject into tensor {:?}", tensor.name))?;
                    rows.push(row);
                }
            }
            Ok(rows)
        })
    }

    /// Writes a tensor with its faults, and these to `record` if there is one.
    fn tensor(
        &self,
        tensor: &TensorInfo,
        storage: &Storage,
        Found { stored, pieces }: Found,
        out: &BackgroundWriter,
        record: Option<&mut FaultRecord>,
    ) -> Result<Row> {
        let Some(record) = record else {
            return self.inject(tensor, storage, &stored, pieces, out, None);
        };
        let effect = self.source.effect();
        let recorder = TensorRecorder::new(storage.format(), effect);
        let mut recorder = recorder.with_scaling(storage.scaling());
        let row = self.inject(tensor, storage, &stored, pieces, out, Some(&mut recorder))?;
        record.insert(&tensor.name, recorder.finish())?;
        let read = stored.codes().and_then(|codes| codes.read.as_ref());
        for part in read.iter().flat_map(|read| &read.parts) {
            record.insert_beside(&tensor.name, part.what(), part.faults(effect)?)?;
        }
        Ok(row)
    }

    fn copy(&self, tensor: &TensorInfo, out: &BackgroundWriter) -> Result<()> {
        self.model.for_each_piece(tensor, self.at_once, |bytes| {
            self.progress.inc(bytes.len() as u64);
            out.write(bytes)?;
            Ok(())
        })
    }

    fn inject(
        &self,
        tensor: &TensorInfo,
        storage: &Storage,
        stored: &Stored,
        pieces: Option<Vec<Vec<u8>>>,
        out: &BackgroundWriter,
        mut record: Option<&mut TensorRecorder>,
    ) -> Result<Row> {
        let cells = &self.planned.cells;
        let mut faults = self.source.of(cells.of(&tensor.name), storage)?;
        let (mut first, mut flipped_bits, mut clamped) = (0, 0, 0);
        let (mut code_words, mut noise) = (EccTally::default(), QuantizationNoise::default());
        let slice = self.slice(storage)?;
        let mut digester = self.source.is_checked().then(WordDigester::default);
        let treat = |mut bytes: Vec<u8>| {
            self.progress.inc(bytes.len() as u64);
            let words = (bytes.len() / storage.bytes_per_word()) as u64;
            let faults = faults.until(first + words);
            let slices = bytes.par_chunks_mut(slice * storage.bytes_per_word()).enumerate();
            let slices = slices
                .map(|(i, bytes)| Slice::read(stored, &faults, bytes, first + (i * slice) as u64));
            for slice in slices.collect::<Result<Vec<_>, _>>()? {
                if let Some(digester) = &mut digester {
                    digester.update(&slice.stored);
                }
                if let Some(record) = &mut record {
                    record.append(&slice.stored, &slice.read.words)?;
                }
                flipped_bits += slice.flipped_bits;
                clamped += slice.clamped;
                noise = noise.and(slice.noise);
                code_words = code_words + slice.read.tally;
            }
            first += words;
            out.write(bytes)?;
            Ok::<_, anyhow::Error>(())
        };
        let piece = self.piece(storage)? * storage.bytes_per_word();
        match pieces {
            Some(pieces) => pieces.into_iter().try_for_each(treat)?,
            None => self.model.for_each_piece(tensor, piece, treat)?,
        }
        if let Some(digester) = digester {
            self.source.check_words(&tensor.name, digester)?;
        }
        let code_words = self.source.has_code().then_some(code_words);
        let mut row = Row::new(tensor, storage, flipped_bits, code_words);
        row.clamped = clamped;
        row.alias_of = cells.first(&tensor.name).map(str::to_owned);
        Ok(row.with_codes(stored.codes(), noise))
    }

    /// Words in a piece of a tensor: whole slices.
    pub(super) fn piece(&self, storage: &Storage) -> Result<usize, EccError> {
        let slice = self.slice(storage)?;
        Ok((self.at_once / slice).max(1) * slice)
    }

    /// Words that one thread treats at a time: no code word is cut, and no block of packed words.
    fn slice(&self, storage: &Storage) -> Result<usize, EccError> {
        let alignment = storage.step_behind(self.source.alignment()?);
        Ok((self.at_once.min(SLICE) / alignment).max(1) * alignment)
    }
}

/// Some words of a tensor.
struct Slice {
    stored: Vec<u8>,
    read: EccRead,
    flipped_bits: u64,
    clamped: u64,
    noise: QuantizationNoise,
}

impl Slice {
    /// Writes what is read over the elements in `bytes`, which begin with word `first`.
    fn read(
        storage: &Stored,
        faults: &Piece<'_>,
        bytes: &mut [u8],
        first: u64,
    ) -> Result<Self, FaultError> {
        let StoredSlice { words: stored, noise } = storage.words(first, bytes);
        let read = faults.read(&stored, first)?;
        let clamped = storage.load(first, &read.words, bytes);
        let flipped_bits = flips(&stored, &read.words);
        Ok(Self { stored, read, flipped_bits, clamped, noise })
    }
}

fn flips(stored: &[u8], read: &[u8]) -> u64 {
    let ((stored, end), (read, read_end)) = (stored.as_chunks::<8>(), read.as_chunks::<8>());
    // Eight words at a time: counting bits takes a dozen instructions, however many there are.
    let whole =
        stored.iter().zip(read).map(|(a, b)| u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b));
    let rest = end.iter().zip(read_end).map(|(a, b)| u64::from(a ^ b));
    whole.chain(rest).map(|flips| u64::from(flips.count_ones())).sum()
}

#[cfg(test)]
mod tests {
    use qtaml::compensation::Decoder;
    use qtaml::fault::{BitFlips, BitMask, FaultModel, FaultStream, Seed};
    use qtaml::files::{Float, write_in_background};
    use qtaml::physics::FlipProbability;
    use qtaml::quant::{
        BitWidth, Clip, CodeRange, Encoding, Format, Granularity, ScaledTensor, Scaling,
    };
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, SafeTensors};

    use super::*;
    use crate::format_flags::TensorScaling;
    use crate::inject::faults::{Draw, FaultSpec, WhenOther};
    use crate::inject::plan;
    use crate::inject::storage::HowStored;
    use crate::inject::stored::StoredCodes;
    use crate::selection::Selection;

    const FORMAT: Format = Format::new(BitWidth::INT4, Encoding::Gray);

    const SCALING: Scaling = Scaling {
        granularity: Granularity::Group(32),
        axis: Some(0),
        range: CodeRange::MinMax,
        clip: Clip::MinMse,
    };

    /// In groups that are no part of a slice.
    fn how(biases: bool) -> HowStored {
        let Scaling { granularity, range, clip, .. } = SCALING;
        let scaling = Some(TensorScaling { granularity, range, clip });
        HowStored { format: FORMAT, scaling, layout: None, biases, scales: false }
    }

    fn weights() -> Vec<f32> {
        (0..150_000).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    /// A matrix larger than a slice, integers, biases, and counts that no fault touches.
    fn model() -> (tempfile::NamedTempFile, Vec<u8>) {
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let data: [(&str, Dtype, Vec<usize>, Vec<u8>); 4] = [
            ("matrix", Dtype::F32, vec![300, 500], bytes(&weights())),
            ("integers", Dtype::I8, vec![10, 100], (0..1000).map(|i| i as u8).collect()),
            ("bias", Dtype::F32, vec![77], bytes(&weights()[..77])),
            ("count", Dtype::I64, vec![], vec![1; 8]),
        ];
        let views = data.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes)
    }

    fn draw() -> Source {
        drawn("ideal")
    }

    fn drawn(ecc: &str) -> Source {
        let flips = FlipProbability::asymmetric(0.1, 0.3).unwrap().into();
        let ecc = ecc.parse().unwrap();
        Source::Drawn(
            FaultSpec::Flips(flips),
            Draw { protect: 1, ecc, scales: false, decoder: Decoder::Raw, seed: Seed(1), trial: 2 },
        )
    }

    /// The faulty model and the rows, with so many words at a time.
    fn inject(
        model: &Checkpoint,
        planned: &Planned,
        source: &Source,
        at_once: usize,
    ) -> (Vec<u8>, Vec<Row>) {
        let pass = Pass { model, planned, source, at_once, progress: &Progress::of_bytes("", 0) };
        let mut out = Vec::new();
        let rows = write_in_background(&mut out, |out| pass.write(out, None)).unwrap();
        (out, rows)
    }

    #[test]
    fn a_faulty_model_is_what_the_libraries_say() {
        let (file, clean) = model();
        let model = Checkpoint::open(file.path()).unwrap();
        let plan = plan::of_weights(&model, how(true), &Selection::default()).unwrap();
        let (out, rows) = inject(&model, &plan, &draw(), AT_ONCE);

        let (faulty, clean) =
            (SafeTensors::deserialize(&out).unwrap(), SafeTensors::deserialize(&clean).unwrap());
        let data = |model: &SafeTensors, name| model.tensor(name).unwrap().data().to_vec();
        let read = |words: &[u8], name, format: Format, protection| {
            let flips = FlipProbability::asymmetric(0.1, 0.3).unwrap();
            let model = BitFlips::new(flips, format.bits()).unwrap();
            let protection: BitMask = protection;
            model.corrupted(words, &FaultStream::new(Seed(1), 2, name), protection.into()).unwrap()
        };
        let top = |width| BitMask::top(1, width).unwrap();

        let shape = [300, 500];
        let stored = ScaledTensor::quantize(&weights(), &shape, FORMAT, SCALING).unwrap();
        let words = read(stored.words(), "matrix", FORMAT, top(FORMAT.bits()));
        let flipped = flips(stored.words(), &words);
        let matrix = ScaledTensor::from_words(words, &shape, stored.scales().clone()).unwrap();
        let matrix: Vec<u8> = matrix.dequantize().into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(data(&faulty, "matrix"), matrix);
        let row = rows.iter().find(|row| row.tensor == "matrix").unwrap();
        let position = model.position("matrix").unwrap();
        let (tensor, storage) = (&model.tensors()[position], plan.plan[position].clone().unwrap());
        let codes = StoredCodes {
            float: Float::F32,
            scales: stored.scales().clone(),
            read: None,
            decoded: None,
        };
        let expected = Row::new(tensor, &storage, flipped, None);
        assert_eq!(*row, expected.with_codes(Some(&codes), stored.noise(&weights())));

        let stored = data(&clean, "integers");
        let words = read(&stored, "integers", Format::INT8, top(BitWidth::INT8));
        assert_eq!(data(&faulty, "integers"), words);
        let stored = data(&clean, "bias");
        assert_eq!(data(&faulty, "bias"), read(&stored, "bias", Format::INT8, BitMask::NONE));
        assert_eq!(data(&faulty, "count"), data(&clean, "count"));
    }

    #[test]
    fn pieces_and_threads_change_nothing() {
        let (file, _) = model();
        let model = Checkpoint::open(file.path()).unwrap();
        let plan = plan::of_weights(&model, how(true), &Selection::default()).unwrap();
        for ecc in ["ideal", "interleaved:3:secded:11"] {
            let source = drawn(ecc);
            let expected = inject(&model, &plan, &source, AT_ONCE);
            for (threads, at_once) in [(1, 777), (3, 100_003), (2, 1 << 17)] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let same = pool.install(|| inject(&model, &plan, &source, at_once) == expected);
                assert!(same, "{ecc}: {threads} threads, {at_once} words at once");
            }
        }
    }

    #[test]
    fn recorded_faults_are_replayed_whatever_the_pieces() {
        let (file, _) = model();
        let model = Checkpoint::open(file.path()).unwrap();
        let chosen = Selection::of_only(&["matrix", "bias"]);
        let plan = plan::of_weights(&model, how(true), &chosen).unwrap();
        let (source, progress) = (draw(), Progress::of_bytes("", 0));
        let pass = Pass {
            model: &model,
            planned: &plan,
            source: &source,
            at_once: 999,
            progress: &progress,
        };
        let mut record = FaultRecord::new(Seed(1), 2, "");
        let mut drawn = Vec::new();
        let rows =
            write_in_background(&mut drawn, |out| pass.write(out, Some(&mut record))).unwrap();
        assert_eq!(plan::of_record(&model, &record).unwrap().plan, plan.plan);
        let replayed = inject(&model, &plan, &Source::Replayed(record, WhenOther::Refuse), 12_345);
        assert!(replayed == (drawn, rows));
    }

    #[test]
    fn the_first_weight_that_is_no_number_is_named() {
        let mut values = weights();
        (values[70_001], values[140_000]) = (f32::NAN, f32::INFINITY);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![300, 500], &bytes).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), safetensors::serialize([("w", view)], None).unwrap()).unwrap();
        let model = Checkpoint::open(file.path()).unwrap();
        let plan = plan::of_weights(&model, how(false), &Selection::default()).unwrap();
        for at_once in [1000, AT_ONCE] {
            let (source, progress) = (draw(), Progress::of_bytes("", 0));
            let pass = Pass {
                model: &model,
                planned: &plan,
                source: &source,
                at_once,
                progress: &progress,
            };
            let error =
                write_in_background(&mut Vec::new(), |out| pass.write(out, None)).unwrap_err();
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            let named = "weight 70001 is NaN: weights must be finite";
            assert_eq!(causes, ["cannot inject into tensor \"w\"", named]);
        }
    }
}
