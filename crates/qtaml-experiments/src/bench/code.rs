//! The candidate storages of a scheme.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use anyhow::Result;
use qtaml::compensation::storage::{BitChoice, CodeLibrary, QuantizedSpec, StorageSpec, StoredAs};
use qtaml::deploy::{Runner, StoredModel, Storing};
use qtaml::fault::{BitMask, Ecc, MemoryModel};
use qtaml::physics::FlipProbability;
use qtaml::quant::{BitWidth, Format};
use serde::Serialize;

use super::scheme::Scheme;

/// Bits of a codebook's word. To design wider ones takes 1 s (9 bits), 3 s (10) and 20 s (12) for each
/// flip probability, and they gain little: at p = 0.1 a word of 12 bits has five times the error of a
/// block code of 8 bits a weight, and groups too short for a block take quantized weights with copied
/// bits.
const WIDTHS: RangeInclusive<u32> = 1..=8;
/// Bits of a weight in a block code.
const RATES: RangeInclusive<u32> = 1..=8;
/// The width at which the response of a layer is measured: the budget that the claims are about.
const EXPOSED: u32 = 8;

/// Codes follow from the memory alone and take seconds to design, so all networks share them.
static LIBRARY: LazyLock<CodeLibrary> = LazyLock::new(CodeLibrary::default);

/// What lies in the memory for a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Code {
    /// A quantized word, some of whose top bits are protected.
    Quantized,
    /// The same with 2 bits or more: short words leave room for check bits.
    AnyWidth,
    /// A word of a channel-optimised codebook.
    Codebook,
    /// Whatever suits a group: a codebook, a block code, or quantized words.
    Mixed,
}

impl Code {
    /// Whether protection is of bits.
    pub const fn is_quantized(self) -> bool {
        matches!(self, Self::Quantized | Self::AnyWidth)
    }
}

/// What kind of storage it is, in words.
pub const fn kind(stored: StoredAs) -> &'static str {
    match stored {
        StoredAs::Quantized { .. } => "quantized",
        StoredAs::Codebook { .. } => "codebook",
        _ => "block coded",
    }
}

impl Scheme {
    /// The model with every way to store a group that this knows.
    pub fn store(&self, runner: &dyn Runner, flips: FlipProbability) -> Result<StoredModel> {
        self.store_as(runner, &self.storings(flips))
    }

    fn store_as(&self, runner: &dyn Runner, storings: &[Storing]) -> Result<StoredModel> {
        Ok(StoredModel::store_with(runner, self.granularity, storings, &LIBRARY)?)
    }

    fn storings(&self, flips: FlipProbability) -> Vec<Storing> {
        let quantized = |bits| self.quantized(flips, bits, &self.eccs);
        let any_width = || BitWidth::all().filter(|bits| *bits <= self.bits).flat_map(quantized);
        let code = |spec: StorageSpec| Storing::new(MemoryModel::new(flips), spec);
        let codebook = || code(StorageSpec::codebook(WIDTHS));
        match self.code {
            Code::Quantized => quantized(self.bits),
            Code::AnyWidth => any_width().collect(),
            Code::Codebook => vec![codebook()],
            Code::Mixed => {
                let codes = [codebook(), code(StorageSpec::block_coded(RATES))];
                codes.into_iter().chain(any_width()).collect()
            }
        }
    }

    /// Quantized words, their protected bits kept by each of these codes.
    fn quantized(&self, flips: FlipProbability, bits: BitWidth, eccs: &[Ecc]) -> Vec<Storing> {
        let spec = |protection| QuantizedSpec {
            format: Format::new(bits, self.encoding),
            scale: self.scale,
            decoder: self.decoder,
            protection,
            ..QuantizedSpec::default()
        };
        let storing = |(first, ecc): (usize, &Ecc)| {
            // Nothing protected is the same by any code.
            let some = || (1..=bits.get()).filter_map(|k| BitMask::top(k, bits).ok()).collect();
            let protection = if first == 0 { BitChoice::Top } else { BitChoice::Sets(some()) };
            Storing::new(MemoryModel::new(flips).with_ecc(*ecc), spec(protection))
        };
        eccs.iter().enumerate().map(storing).collect()
    }

    /// The model in block codes alone.
    pub fn block_coded(&self, runner: &dyn Runner, flips: FlipProbability) -> Result<StoredModel> {
        let blocks = StorageSpec::block_coded(RATES);
        self.store_as(runner, &[Storing::new(MemoryModel::new(flips), blocks)])
    }

    /// The scheme whose layers are exposed to see what each does: all that may take codebooks share
    /// theirs.
    #[must_use]
    pub fn exposed(&self) -> Self {
        let code = if self.code == Code::Mixed { Code::Codebook } else { self.code };
        Self { code, ..self.clone() }
    }

    /// The model with two ways to store a group, exposed as this would first, without faults last: to
    /// see what faults in one group alone do.
    pub fn exposable(&self, runner: &dyn Runner, flips: FlipProbability) -> Result<StoredModel> {
        let mut storings = self.quantized(flips, self.bits, &[Ecc::Ideal]);
        if !self.code.is_quantized() {
            let codebook = StorageSpec::codebook([EXPOSED]);
            storings.insert(0, Storing::new(MemoryModel::new(flips), codebook));
        }
        self.store_as(runner, &storings)
    }
}
