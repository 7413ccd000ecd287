//! The scales of the tensors, each found in a pass of its own while the tensor before is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use anyhow::{Result, ensure};
use qtaml::files::{Float, ModelFile, TensorInfo};
use qtaml::quant::{QuantError, QuantizedTensor};

use super::storage::Storage;
use super::stream::Pass;

/// Does some work that asks for the scale of each tensor with faults in turn, 0 for what is stored
/// without. The next one is found meanwhile.
pub(super) fn ahead<T>(
    pass: &Pass<'_>,
    work: impl FnOnce(&mut dyn FnMut() -> Result<f32>) -> Result<T>,
) -> Result<T> {
    // A handle of its own: the system reads ahead of either reader.
    let finder = &Finder { pass, model: pass.model.again()?, is_over: AtomicBool::new(false) };
    thread::scope(|scope| {
        let (sender, scales) = mpsc::sync_channel(0);
        scope.spawn(move || finder.find(&sender));
        let done = work(&mut || scales.recv()?);
        finder.is_over.store(true, Ordering::Relaxed);
        done
    })
}

struct Finder<'a> {
    pass: &'a Pass<'a>,
    model: ModelFile,
    /// Whether nobody wants a scale any more: the tensor that is being read may be a large one.
    is_over: AtomicBool,
}

impl Finder<'_> {
    fn find(&self, sender: &SyncSender<Result<f32>>) {
        for (tensor, storage) in self.model.tensors().iter().zip(self.pass.plan) {
            let Some(storage) = *storage else { continue };
            // After an error nobody wants the rest.
            if sender.send(self.scale(tensor, storage)).is_err() {
                return;
            }
        }
    }

    fn scale(&self, tensor: &TensorInfo, storage: Storage) -> Result<f32> {
        let Storage::Codes(float, format) = storage else { return Ok(0.0) };
        let (mut first, mut all) = (0, 0.0_f32);
        self.model.for_each_piece(tensor, self.pass.at_once * float.bytes(), |bytes| {
            ensure!(!self.is_over.load(Ordering::Relaxed), "nobody wants this scale any more");
            self.pass.progress.inc(bytes.len() as u64);
            let of_piece = largest(float, &bytes, first);
            all = all.max(of_piece.map_err(|error| not_finite(error, float, &bytes, first))?);
            first += (bytes.len() / float.bytes()) as u64;
            Ok::<_, anyhow::Error>(())
        })?;
        let alone = QuantizedTensor::quantize(&[all], &[1], format)?;
        Ok(alone.scale())
    }
}

/// The largest magnitude among the weights in `bytes`, the first of which is number `first`.
fn largest(float: Float, bytes: &[u8], first: u64) -> Result<f32, QuantError> {
    // The bits of magnitudes are in their order; infinity is above all numbers, NaN above infinity.
    let largest = f32::from_bits(float.max(bytes, |value| value.abs().to_bits()));
    if largest.is_finite() {
        return Ok(largest);
    }
    // Of several that are not finite the first is named.
    let mut weights = (first as usize..).zip(float.decode(bytes));
    let not_finite = weights.find(|(_, value)| !value.is_finite());
    not_finite.map_or(Ok(largest), |(index, value)| Err(QuantError::NotFinite { index, value }))
}

/// Names a weight that only F64 can hold as it lies in `bytes`, and not as the infinity that it is
/// read as.
fn not_finite(error: QuantError, float: Float, bytes: &[u8], first: u64) -> anyhow::Error {
    let beyond = match &error {
        QuantError::NotFinite { index, .. } => float.beyond_f32(bytes, *index, first),
        _ => None,
    };
    beyond.map_or_else(|| error.into(), Into::into)
}
