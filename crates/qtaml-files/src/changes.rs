//! Random changes of texts and bytes, for tests of what reads those of others.

/// How many cases a test tries: `QTAML_FUZZ_CASES` in the environment raises it for a long run.
pub(crate) fn cases(usual: usize) -> usize {
    let wanted = std::env::var("QTAML_FUZZ_CASES").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// A stream of changes that follow from a seed.
pub(crate) struct Changes(u64);

/// What numbers are replaced by.
const NUMBERS: [&str; 8] =
    ["0", "1", "-1", "4294967296", "9223372036854775807", "18446744073709551615", "1e9", "0.5"];

impl Changes {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound`, by `SplitMix64` (G. Steele et al., OOPSLA 2014).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    /// The bytes with none to three changes: a bit, a byte, a piece that is gone or doubled, a number.
    pub(crate) fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(12)).min(bytes.len());
            match self.below(6) {
                _ if bytes.is_empty() => {}
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                4 => bytes.truncate(at),
                _ => self.change_number(&mut bytes, at),
            }
        }
        bytes
    }

    /// Another number in place of the next one.
    fn change_number(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let is_digit = |i: &usize| bytes[*i].is_ascii_digit();
        let Some(begin) = (from..bytes.len()).find(is_digit) else { return };
        let end = (begin..bytes.len()).find(|i| !is_digit(i)).unwrap_or(bytes.len());
        let number = NUMBERS[self.below(NUMBERS.len())];
        bytes.splice(begin..end, number.bytes());
    }
}
