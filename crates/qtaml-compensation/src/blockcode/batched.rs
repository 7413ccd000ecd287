//! Decoding of block-coded groups for many trials at a time.

use std::sync::Arc;

use qtaml_fault::FaultStream;

use super::BlockCodedStorage;
use crate::memo::Memo;
use crate::storage::{StoredAs, StoredBytes, WeightStorage};
use crate::{BlockCodeError, PlannedStorage, StorageError};

/// A block-coded group that is decoded once for each fault pattern, however many selections share it,
/// and for as many trials at a time as the decoder takes.
///
/// What was decoded is kept for as long as the storage lives, unless it is what was stored. To count
/// lost blocks takes a tenth of a second for each length, so the error is that of
/// [`BlockCodedStorage::forecast`].
#[derive(Debug)]
pub struct BatchedBlocks {
    storage: BlockCodedStorage,
    /// By the first trial of a batch and the position of the group.
    known: Memo<(FaultStream, u64), Batch>,
}

/// What is read in each trial of a batch, unless it is what was stored.
type Batch = Vec<Option<Vec<f32>>>;

impl BatchedBlocks {
    /// The same group, decoded in batches.
    pub fn new(storage: BlockCodedStorage) -> Self {
        Self { storage, known: Memo::default() }
    }

    /// On this thread alone: another one may wait for it.
    fn decode(&self, first: &FaultStream, start: u64) -> Result<Batch, BlockCodeError> {
        let trials = (0..BlockCodedStorage::TRIALS as u32).map(|i| first.trial().saturating_add(i));
        let streams: Vec<FaultStream> = trials.map(|trial| first.in_trial(trial)).collect();
        let stored = self.golden();
        let read = self.storage.read_each(&streams, start)?.into_iter();
        Ok(read.map(|read| (read != stored).then_some(read)).collect())
    }
}

impl WeightStorage for BatchedBlocks {
    fn weights(&self) -> usize {
        self.storage.weights()
    }

    fn stored_bits(&self) -> u64 {
        self.storage.stored_bits()
    }

    fn protected_bits(&self) -> u64 {
        self.storage.protected_bits()
    }

    fn metadata_bits(&self) -> u64 {
        self.storage.metadata_bits()
    }

    fn mean_square_error(&self) -> f64 {
        self.storage.forecast()
    }

    fn golden(&self) -> Vec<f32> {
        self.storage.golden()
    }

    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        let place = stream.trial() % BlockCodedStorage::TRIALS as u32;
        let first = stream.in_trial(stream.trial() - place);
        let batch: Arc<Batch> =
            self.known.get_or_try((first.clone(), start), || self.decode(&first, start))?;
        Ok(batch[place as usize].clone().unwrap_or_else(|| self.golden()))
    }

    fn drawn(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        Ok(self.storage.drawn(stream, start))
    }

    fn stored_as(&self) -> StoredAs {
        self.storage.stored_as()
    }

    fn planned(&self) -> PlannedStorage {
        self.storage.planned()
    }

    fn stored(&self) -> Result<StoredBytes, StorageError> {
        self.storage.stored()
    }
}

#[cfg(test)]
mod tests {
    use qtaml_fault::Seed;
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::blockcode::BlockCodes;

    /// Patterns of which some lose the block, asked for in any order, as the storage itself reads
    /// them.
    #[test]
    fn what_is_remembered_is_what_is_read() {
        let made_for = BlockCodes::new(FlipProbability::symmetric(0.05).unwrap()).unwrap();
        let worse = FlipProbability::symmetric(0.11).unwrap();
        let codes = Arc::new(made_for.in_memory(worse).unwrap());
        let weights: Vec<f32> = (0..48).map(|i| ((i * 37 % 48) as f32 - 23.5) / 9.0).collect();
        let storage = BlockCodedStorage::new(&weights, &codes, 8).unwrap();
        let batched = BatchedBlocks::new(storage.clone());
        let mut lost = 0;
        for trial in [1, 0, 17, 1, u32::MAX, 20, 21, 22, 23, 24, 25] {
            for (tensor, start) in [("a", 0), ("b", 0), ("a", 5)] {
                let stream = FaultStream::new(Seed(1), trial, tensor);
                let read = batched.read(&stream, start).unwrap();
                assert_eq!(read, storage.read(&stream, start).unwrap(), "{tensor} {trial} {start}");
                lost += usize::from(read != storage.golden());
            }
        }
        assert!((1..33).contains(&lost), "{lost}");
    }
}
