//! The pass through a model: words out, faults in, piece by piece.

use std::io::Write;

use miette::{IntoDiagnostic, Result, WrapErr};
use qtaml::fault::{FaultRecord, TensorFaults};
use qtaml::quant::QuantizedTensor;

use super::faults::Source;
use super::model::{Model, Tensor};
use super::plan::Plan;
use super::progress::Progress;
use super::report::Row;
use super::storage::{Storage, largest};

/// Words in memory at a time; the faults do not depend on it.
pub(super) const AT_ONCE: usize = 1 << 20;

/// A run over a model.
pub(super) struct Pass<'a> {
    pub(super) model: &'a Model,
    pub(super) plan: &'a Plan,
    pub(super) source: &'a Source,
    /// Words in memory at a time.
    pub(super) at_once: usize,
    pub(super) progress: &'a Progress,
}

impl Pass<'_> {
    /// Writes the faulty model to `out`, and what happened to `record` if there is one; returns one
    /// row for each tensor with faults.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        mut record: Option<&mut FaultRecord>,
    ) -> Result<Vec<Row>> {
        out.write_all(self.model.header()).into_diagnostic()?;
        let mut rows = Vec::new();
        for (tensor, storage) in self.model.tensors().iter().zip(self.plan) {
            let Some(storage) = *storage else {
                self.copy(tensor, out)?;
                continue;
            };
            let mut recorded = record.is_some().then(|| TensorFaults::new(storage.format()));
            let row = self
                .inject(tensor, storage, out, recorded.as_mut())
                .wrap_err_with(|| format!("cannot inject into tensor {:?}", tensor.name))?;
            rows.push(row);
            if let (Some(record), Some(faults)) = (&mut record, recorded) {
                record.insert(&tensor.name, faults).into_diagnostic()?;
            }
        }
        Ok(rows)
    }

    fn copy(&self, tensor: &Tensor, out: &mut impl Write) -> Result<()> {
        self.model.for_each_piece(tensor, self.at_once, |bytes| {
            self.progress.inc(bytes.len());
            out.write_all(bytes).into_diagnostic()
        })
    }

    fn inject(
        &self,
        tensor: &Tensor,
        storage: Storage,
        out: &mut impl Write,
        mut record: Option<&mut TensorFaults>,
    ) -> Result<Row> {
        let (largest, scale) = self.scale(tensor, storage)?;
        let mut faults = self.source.of(&tensor.name, storage).into_diagnostic()?;
        let (mut first, mut flipped_bits) = (0, 0);
        self.model.for_each_piece(tensor, self.piece(storage), |bytes| {
            self.progress.inc(bytes.len());
            let stored = storage.store(bytes, largest).into_diagnostic()?;
            let mut read = stored.clone();
            faults.inject(&mut read, first);
            storage.load(&read, scale, bytes).into_diagnostic()?;
            if let Some(record) = &mut record {
                record.append(&stored, &read).into_diagnostic()?;
            }
            first += stored.len() as u64;
            flipped_bits += flips(&stored, &read);
            out.write_all(bytes).into_diagnostic()
        })?;
        Ok(Row::new(tensor, storage, scale, flipped_bits))
    }

    /// The largest magnitude of the weights and the scale of their codes, by a pass of its own;
    /// 0 for what is stored without a scale.
    fn scale(&self, tensor: &Tensor, storage: Storage) -> Result<(f32, f32)> {
        let Storage::Codes(float, format) = storage else { return Ok((0.0, 0.0)) };
        let (mut first, mut all) = (0, 0.0_f32);
        self.model.for_each_piece(tensor, self.piece(storage), |bytes| {
            self.progress.inc(bytes.len());
            all = all.max(largest(float, bytes, first).into_diagnostic()?);
            first += (bytes.len() / float.bytes()) as u64;
            Ok(())
        })?;
        let alone = QuantizedTensor::quantize(&[all], &[1], format).into_diagnostic()?;
        Ok((all, alone.scale()))
    }

    /// Bytes of the file that are in memory at a time, whole elements.
    fn piece(&self, storage: Storage) -> usize {
        self.at_once * storage.bytes_per_word()
    }
}

fn flips(stored: &[u8], read: &[u8]) -> u64 {
    stored.iter().zip(read).map(|(stored, read)| u64::from((stored ^ read).count_ones())).sum()
}
