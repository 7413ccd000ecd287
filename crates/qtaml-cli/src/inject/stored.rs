//! The way of a tensor's weights to stored words, and of the words that are read back to weights.

use qtaml::files::Float;
use qtaml::quant::{QuantizationNoise, Scales};

use super::metadata::ReadMetadata;

/// Words that one thread treats at a time, few enough to stay in its cache.
pub(super) const SLICE: usize = 1 << 16;

/// Weights that are quantized and read back at a time, so few that they stay near the processor.
const CHUNK: usize = 1 << 12;

/// How the elements of a tensor become words, and back.
pub(super) enum Stored {
    Codes(Box<StoredCodes>),
    AsItIs,
}

/// What is known of a tensor whose weights are stored as codes.
pub(super) struct StoredCodes {
    pub(super) float: Float,
    pub(super) scales: Scales,
    /// What they are read as, if they lie in the faulty memory.
    pub(super) read: Option<ReadMetadata>,
    /// Of words that are not taken as they are.
    pub(super) decoded: Option<DecodedWeights>,
}

/// The weight that each word is decoded to, group by group.
pub(super) struct DecodedWeights {
    pub(super) levels: usize,
    pub(super) weights: Vec<f32>,
}

/// Some elements of a tensor, as they are stored.
pub(super) struct StoredSlice {
    pub(super) words: Vec<u8>,
    pub(super) noise: QuantizationNoise,
}

impl Stored {
    /// The words that store the elements in `bytes`, which begin with word `first`.
    pub(super) fn words(&self, first: u64, bytes: &[u8]) -> StoredSlice {
        match self {
            Self::Codes(codes) => codes.words(first as usize, bytes),
            Self::AsItIs => {
                StoredSlice { words: bytes.to_vec(), noise: QuantizationNoise::default() }
            }
        }
    }

    /// Writes what `words` are read as over the elements in `bytes`; returns how many became the largest
    /// number of their type in place of a larger one.
    pub(super) fn load(&self, first: u64, words: &[u8], bytes: &mut [u8]) -> u64 {
        match self {
            Self::Codes(codes) => codes.load(first as usize, words, bytes),
            Self::AsItIs => {
                bytes.copy_from_slice(words);
                0
            }
        }
    }

    pub(super) fn codes(&self) -> Option<&StoredCodes> {
        match self {
            Self::Codes(codes) => Some(codes),
            Self::AsItIs => None,
        }
    }
}

impl StoredCodes {
    fn words(&self, first: usize, bytes: &[u8]) -> StoredSlice {
        let size = self.float.bytes();
        let mut words = vec![0; bytes.len() / size];
        let (mut stored, mut noise) = (vec![0.0; CHUNK], QuantizationNoise::default());
        let chunks = bytes.chunks(CHUNK * size).zip(words.chunks_mut(CHUNK));
        for (first, (bytes, words)) in (first..).step_by(CHUNK).zip(chunks) {
            let (weights, stored) = (self.float.decode(bytes), &mut stored[..words.len()]);
            self.scales.quantize(first, &weights, words);
            self.scales.dequantize(first, words, stored);
            noise.add(&weights, stored);
        }
        StoredSlice { words, noise }
    }

    /// What scales are read as.
    fn read(&self) -> &Scales {
        self.read.as_ref().map_or(&self.scales, |read| &read.scales)
    }

    fn load(&self, first: usize, words: &[u8], bytes: &mut [u8]) -> u64 {
        let (mut weights, mut clamped) = (vec![0.0; CHUNK], 0);
        let chunks = words.chunks(CHUNK).zip(bytes.chunks_mut(CHUNK * self.float.bytes()));
        for (first, (words, bytes)) in (first..).step_by(CHUNK).zip(chunks) {
            let weights = &mut weights[..words.len()];
            match &self.decoded {
                None => self.read().dequantize(first, words, weights),
                Some(decoded) => decoded.look_up(self.read(), first, words, weights),
            }
            clamped += self.clamp(first, weights);
            self.float.encode(weights, bytes);
        }
        clamped
    }

    /// Takes the largest number of the type in place of a larger one, and counts.
    ///
    /// The lowest code can stand for a weight just beyond the largest number of a narrow type: of F16 weights
    /// of 65504 it is -66020. Where the scale is read wrong, what becomes of the weights is a fault like
    /// others, infinities too.
    fn clamp(&self, first: usize, weights: &mut [f32]) -> u64 {
        let largest = self.float.largest();
        if weights.iter().all(|weight| weight.abs() <= largest) {
            return 0;
        }
        let mut clamped = 0;
        for run in self.scales.layout().runs(first..first + weights.len()) {
            if self.is_read_wrong(run.group) {
                continue;
            }
            for weight in &mut weights[run.within(first)] {
                if weight.abs() > largest {
                    *weight = weight.clamp(-largest, largest);
                    clamped += 1;
                }
            }
        }
        clamped
    }

    fn is_read_wrong(&self, group: usize) -> bool {
        let is_other = |read: &ReadMetadata| !same_bits(&read.scales, &self.scales, group);
        self.read.as_ref().is_some_and(is_other)
    }

    /// How many groups have a scale, or what is stored beside it, that is read wrong.
    pub(super) fn scales_read_wrong(&self) -> usize {
        let groups = self.scales.scales().len();
        if self.read.is_none() {
            return 0;
        }
        (0..groups).filter(|&group| self.is_read_wrong(group)).count()
    }
}

/// Whether two grids are the same to the last bit, NaN included.
fn same_bits(a: &Scales, b: &Scales, group: usize) -> bool {
    use qtaml::quant::Origin::Minimum;
    let (a, b) = (a.grid(group), b.grid(group));
    let origins = match (a.origin(), b.origin()) {
        (Minimum(a), Minimum(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    };
    origins && a.scale().to_bits() == b.scale().to_bits()
}

impl DecodedWeights {
    fn look_up(&self, scales: &Scales, first: usize, words: &[u8], weights: &mut [f32]) {
        let table = |group: usize| &self.weights[group * self.levels..][..self.levels];
        if let Some(stretches) = scales.layout().across(first..first + words.len()) {
            for across in stretches {
                let here = across.within(first);
                let pairs = weights[here.clone()].iter_mut().zip(&words[here]);
                for (group, (weight, &word)) in across.groups().zip(pairs) {
                    *weight = table(group)[usize::from(word)];
                }
            }
            return;
        }
        for run in scales.layout().runs(first..first + words.len()) {
            let here = run.within(first);
            let table = table(run.group);
            for (weight, &word) in weights[here.clone()].iter_mut().zip(&words[here]) {
                *weight = table[usize::from(word)];
            }
        }
    }
}
