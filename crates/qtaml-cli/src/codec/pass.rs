//! The pass through a file: weights to words, or back.

use anyhow::{Context, Result};
use qtaml::compensation::WeightsError;
use qtaml::compensation::codebook::TensorCode;
use qtaml::files::{BackgroundWriter, Checkpoint, Float, TensorInfo};
use qtaml::quant::QuantError;
use rayon::prelude::*;

use super::plan::{Part, Plan, Work};
use super::report::Row;
use crate::progress::Progress;

/// Weights in memory at a time.
pub(super) const AT_ONCE: usize = 1 << 19;
/// Weights that one thread treats at a time. Eight words of any width fill whole bytes.
const SLICE: usize = 1 << 16;

/// A run through a file.
pub(super) struct Pass<'a> {
    pub(super) model: &'a Checkpoint,
    pub(super) plan: &'a Plan<'a>,
    /// Weights in memory at a time, a multiple of eight.
    pub(super) at_once: usize,
    pub(super) progress: &'a Progress,
}

impl Pass<'_> {
    /// Writes the new file; returns one row for each tensor that was encoded or decoded.
    pub(super) fn write(&self, out: &BackgroundWriter) -> Result<Vec<Row>> {
        let row = |part: &Part| match part.work {
            Work::Copy => self.copy(part.tensor, out).map(|()| None),
            Work::Encode(float, code) => self
                .encode(part.tensor, float, code, out)
                .with_context(|| format!("cannot encode tensor {:?}", part.tensor.name))
                .map(Some),
            Work::Decode(code) => self.decode(part.tensor, code, out).map(Some),
        };
        let mut rows = Vec::new();
        for file in &self.plan.files {
            out.write(file.header()?)?;
            for part in &file.parts {
                rows.extend(row(part)?);
            }
        }
        Ok(rows)
    }

    fn copy(&self, tensor: &TensorInfo, out: &BackgroundWriter) -> Result<()> {
        self.model.for_each_piece(tensor, self.at_once, |bytes| {
            self.progress.inc(bytes.len() as u64);
            out.write(bytes)?;
            Ok(())
        })
    }

    /// Writes words; the error is that of these very weights, which need not be those that the code
    /// was made for.
    fn encode(
        &self,
        tensor: &TensorInfo,
        float: Float,
        code: &TensorCode,
        out: &BackgroundWriter,
    ) -> Result<Row> {
        let (mut first, mut error, mut square) = (0, 0.0, 0.0);
        self.model.for_each_piece(tensor, self.at_once * float.bytes(), |bytes| {
            self.progress.inc(bytes.len() as u64);
            let start = first as usize;
            let slices = bytes.par_chunks(SLICE * float.bytes()).enumerate();
            let slices = slices.map(|(i, bytes)| Slice::of(bytes, float, code, start + i * SLICE));
            // One after the other: neither the sums nor the first error depend on the threads.
            for (i, slice) in slices.collect::<Vec<_>>().into_iter().enumerate() {
                let index_of = |index| start + i * SLICE + index;
                let slice = slice.map_err(|e| not_a_weight(e, index_of, float, &bytes, first))?;
                error += slice.error;
                square += slice.square;
                out.write(slice.words)?;
            }
            first += (bytes.len() / float.bytes()) as u64;
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(Row::new(&tensor.name, code, error / first as f64, square / first as f64))
    }

    fn decode(
        &self,
        tensor: &TensorInfo,
        code: &TensorCode,
        out: &BackgroundWriter,
    ) -> Result<Row> {
        let bytes_of = |words: usize| words / 8 * code.code().width() as usize;
        let mut left = code.weights();
        self.model.for_each_piece(tensor, bytes_of(self.at_once), |bytes| {
            self.progress.inc(bytes.len() as u64);
            let first = (code.weights() - left) as usize;
            let words = left.min(self.at_once as u64) as usize;
            left -= words as u64;
            let slice = |(i, bytes): (usize, &[u8])| {
                let (start, count) = (first + i * SLICE, (words - i * SLICE).min(SLICE));
                let values = code.decode(start, bytes, count)?;
                let mut read = vec![0; values.len() * Float::F32.bytes()];
                Float::F32.encode(&values, &mut read);
                Ok::<_, QuantError>(read)
            };
            let slices = bytes.par_chunks(bytes_of(SLICE)).enumerate().map(slice);
            let read = slices.collect::<Result<Vec<_>, _>>()?;
            out.write(read.concat())?;
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(Row::of_codec(&tensor.name, code))
    }
}

/// Some weights as words, with the sums of their expected square errors and of their squares.
struct Slice {
    words: Vec<u8>,
    error: f64,
    square: f64,
}

impl Slice {
    /// Of a tensor's weights those that begin with weight `first`.
    fn of(
        bytes: &[u8],
        float: Float,
        code: &TensorCode,
        first: usize,
    ) -> Result<Self, WeightsError> {
        let weights = float.decode(bytes);
        let words = code.encode(first, &weights)?;
        let error = code.square_error(first, &weights)?;
        let square = weights.iter().map(|&weight| f64::from(weight).powi(2)).sum();
        Ok(Self { words, error, square })
    }
}

/// Names a weight that is no number by its place in the tensor, of which `bytes` begin with weight
/// `first`; and one that only F64 can hold as what it is.
pub(super) fn not_a_weight(
    error: WeightsError,
    index_of: impl Fn(usize) -> usize,
    float: Float,
    bytes: &[u8],
    first: u64,
) -> anyhow::Error {
    let WeightsError::NotFinite { index, value } = error else { return error.into() };
    let index = index_of(index);
    let beyond = float.beyond_f32(bytes, index, first);
    beyond.map_or_else(|| WeightsError::NotFinite { index, value }.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use qtaml::compensation::codebook::{
        Codec, DesignConfig, GroupSquares, Sample, SampleCounts, WordChannel,
    };
    use qtaml::files::write_in_background;
    use qtaml::physics::FlipProbability;
    use qtaml::quant::Granularity;
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, SafeTensors};

    use super::*;

    /// Rows that are no whole number of words of any width.
    const SHAPE: [usize; 2] = [3, 50_001];

    fn weights() -> Vec<f32> {
        (0..SHAPE[0] * SHAPE[1]).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    fn code(width: u32, granularity: Granularity) -> TensorCode {
        let flips = FlipProbability::symmetric(0.01).unwrap();
        let channel = WordChannel::new(flips, width).unwrap();
        let quick = DesignConfig { switches: 0, iterations: 3, ..DesignConfig::default() };
        let axis = Some(usize::from(granularity != Granularity::Channel));
        let mut squares = GroupSquares::new(&SHAPE, axis, granularity).unwrap();
        squares.add(&weights()).unwrap();
        let Some(scales) = squares.into_scales() else {
            let sample = Sample::of(&weights()).unwrap();
            return TensorCode::design(&SHAPE, &sample, &channel, &quick).unwrap();
        };
        let mut counts = SampleCounts::new();
        counts.add_scaled(&weights(), &scales).unwrap();
        let mut bins = counts.into_bins();
        bins.add_scaled(&weights(), &scales).unwrap();
        let sample = bins.sample().unwrap();
        TensorCode::design_scaled(&SHAPE, scales, &sample, &channel, &quick).unwrap()
    }

    fn model(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> (tempfile::NamedTempFile, Checkpoint) {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), safetensors::serialize([("w", view)], None).unwrap()).unwrap();
        let model = Checkpoint::open(file.path()).unwrap();
        (file, model)
    }

    /// Encodes and decodes, so many weights at a time.
    fn there_and_back(
        model: &Checkpoint,
        codec: &Codec,
        at_once: usize,
    ) -> (Vec<u8>, Vec<u8>, Vec<Row>) {
        let progress = Progress::of_bytes("", 0);
        let run = |model: &Checkpoint, plan: &Plan| {
            let mut out = Vec::new();
            let pass = Pass { model, plan, at_once, progress: &progress };
            let rows = write_in_background(&mut out, |out| pass.write(out)).unwrap();
            (out, rows)
        };
        let (stored, rows) = run(model, &Plan::encode(model, codec, "sum").unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &stored).unwrap();
        let between = Checkpoint::open(file.path()).unwrap();
        let (read, _) = run(&between, &Plan::decode(&between, codec, "sum").unwrap());
        (stored, read, rows)
    }

    #[test]
    fn pieces_and_threads_change_nothing() {
        let bytes: Vec<u8> = weights().iter().flat_map(|w| w.to_le_bytes()).collect();
        let (_file, model) = model(Dtype::F32, &SHAPE, &bytes);
        for (width, granularity) in [
            (3, Granularity::Channel),
            (8, Granularity::Tensor),
            (8, Granularity::Group(2)),
            (11, Granularity::Tensor),
        ] {
            let code = code(width, granularity);
            let mut codec = Codec::new();
            codec.insert("w", code.clone());

            let (stored, read, rows) = there_and_back(&model, &codec, AT_ONCE);
            let words = code.encode(0, &weights()).unwrap();
            let values = code.decode(0, &words, weights().len()).unwrap();
            let values: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            let data = |file: &[u8]| {
                SafeTensors::deserialize(file).unwrap().tensor("w").unwrap().data().to_vec()
            };
            assert!(data(&stored) == words && data(&read) == values, "{width} bits");

            for (threads, at_once) in [(1, 777 * 8), (3, 100_000), (2, 1 << 17)] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (s, r, _) = pool.install(|| there_and_back(&model, &codec, at_once));
                assert!((s, r) == (stored.clone(), read.clone()), "{threads} {at_once}");
            }
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(one.install(|| there_and_back(&model, &codec, AT_ONCE)).2, rows);
        }
    }
}
