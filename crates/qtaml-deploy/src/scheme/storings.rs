//! The candidate storages of a scheme.

use std::ops::RangeInclusive;

use qtaml_compensation::storage::{BitChoice, CodeLibrary, QuantizedSpec, StorageSpec};
use qtaml_fault::{BitMask, Ecc, MemoryModel};
use qtaml_physics::FlipProfile;
use qtaml_quant::{BitWidth, Format};

use super::{CodeFamily, Scheme};
use crate::{DeployError, Runner, StoredModel, Storing};

/// Bits of a codebook's word. To design wider ones takes 1 s (9 bits), 3 s (10) and 20 s (12) for each
/// flip probability, and they gain little: at p = 0.1 a word of 12 bits has five times the error of a
/// block code of 8 bits a weight, and groups too short for a block take quantized weights with copied
/// bits.
const WIDTHS: RangeInclusive<u32> = 1..=8;
/// Bits of a weight in a block code.
const RATES: RangeInclusive<u32> = 1..=8;
/// The width at which the response of a tensor is measured.
const EXPOSED: u32 = 8;

impl Scheme {
    /// The model of a runner with every way to store a group that this scheme knows, in a memory of
    /// these flip probabilities. Codes are taken from a library: they follow from the memory alone, and
    /// take seconds to design.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn store(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        self.store_as(runner, &self.storings(flips), library)
    }

    /// The same in block codes alone.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn block_coded(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        Self { code: CodeFamily::BlockCoded, ..self.clone() }.store(runner, flips, library)
    }

    /// The model with two ways to store a group at least, exposed as this would first, without faults last:
    /// to see what faults in one group alone do.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn exposable(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        let mut storings = self.quantized(flips, self.bits, &[Ecc::Ideal]);
        if !self.code.is_quantized() {
            let codebook = StorageSpec::codebook([EXPOSED]);
            storings.insert(0, Storing::new(MemoryModel::new(flips.clone()), codebook));
        }
        self.store_as(runner, &storings, library)
    }

    /// The scheme whose tensors are exposed to see what each does: all that may take codebooks share
    /// theirs.
    #[must_use]
    pub fn exposed(&self) -> Self {
        let code = if self.code == CodeFamily::Mixed { CodeFamily::Codebook } else { self.code };
        Self { code, ..self.clone() }
    }

    /// The ways to store a group, in a memory of these flip probabilities.
    pub fn storings(&self, flips: &FlipProfile) -> Vec<Storing> {
        let quantized = |bits| self.quantized(flips, bits, &self.eccs);
        let any_width = || BitWidth::all().filter(|bits| *bits <= self.bits).flat_map(quantized);
        let code = |spec: StorageSpec| Storing::new(MemoryModel::new(flips.clone()), spec);
        let codebook = || code(StorageSpec::codebook(WIDTHS));
        let blocks = || code(StorageSpec::block_coded(RATES));
        match self.code {
            CodeFamily::Quantized => quantized(self.bits),
            CodeFamily::AnyWidth => any_width().collect(),
            CodeFamily::Codebook => vec![codebook()],
            CodeFamily::BlockCoded => vec![blocks()],
            CodeFamily::Mixed => [codebook(), blocks()].into_iter().chain(any_width()).collect(),
        }
    }

    fn store_as(
        &self,
        runner: &dyn Runner,
        storings: &[Storing],
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        StoredModel::store_with(runner, self.granularity, storings, library)
    }

    /// Quantized words, their protected bits kept by each of these codes.
    fn quantized(&self, flips: &FlipProfile, bits: BitWidth, eccs: &[Ecc]) -> Vec<Storing> {
        let spec = |protection| QuantizedSpec {
            format: Format::new(bits, self.encoding),
            scale: self.scale,
            range: self.range,
            decoder: self.decoder,
            protection,
            ..QuantizedSpec::default()
        };
        let storing = |(first, ecc): (usize, &Ecc)| {
            // Nothing protected is the same by any code.
            let some = || (1..=bits.get()).filter_map(|k| BitMask::top(k, bits).ok()).collect();
            let protection = if first == 0 { BitChoice::Top } else { BitChoice::Sets(some()) };
            Storing::new(MemoryModel::new(flips.clone()).with_ecc(*ecc), spec(protection))
        };
        eccs.iter().enumerate().map(storing).collect()
    }
}
