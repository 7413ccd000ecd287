//! Seeded mutations of valid files, for tests of whatever reads the bytes of others.

/// How many cases a test tries: `QTAML_FUZZ_CASES` in the environment raises it for a long run.
pub(crate) fn cases(usual: usize) -> usize {
    let wanted = std::env::var("QTAML_FUZZ_CASES").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Numbers that readers are known to stumble over.
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "-1",
    "1",
    "7",
    "8",
    "64",
    "255",
    "256",
    "65536",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "1e999",
    "0.30000000000000004",
    "null",
];

const LENGTHS: [u64; 8] = [0, 1, 1 << 31, 1 << 32, 1 << 48, 1 << 63, u64::MAX - 32, u64::MAX];

/// Mutations that follow from a seed alone.
pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `count`, 0 if there is none.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// The file with one to three changes, some of which are spliced from the other one.
    pub(crate) fn mutated(&mut self, file: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = file.to_vec();
        for _ in 0..=self.below(3) {
            self.mutate(&mut bytes, other);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let (at, end) = self.range(bytes.len());
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => {
                let (from, to) = self.range(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            4 => self.replace_length(bytes),
            5 | 6 => self.replace_number(bytes),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }

    /// A place, and one behind it that is seldom far.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let at = self.below(length);
        let most = *self.pick(&[4, 40, 4000]);
        (at, at + self.below(most).min(length - at))
    }

    /// Eight bytes become a length that nothing has.
    fn replace_length(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        let length = self.pick(&LENGTHS).to_le_bytes();
        for (byte, new) in bytes[at..].iter_mut().zip(length) {
            *byte = new;
        }
    }

    /// A number in a text becomes another one.
    fn replace_number(&mut self, bytes: &mut Vec<u8>) {
        let is_digit = |byte: &u8| byte.is_ascii_digit() || b".-".contains(byte);
        let from = self.below(bytes.len());
        let Some(at) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
        let at = from + at;
        let length = bytes[at..].iter().take_while(|byte| is_digit(byte)).count();
        let number = self.pick(&NUMBERS).bytes();
        bytes.splice(at..at + length, number);
    }
}

/// The most memory that this process has ever had, in KiB, as Linux counts it; 0 elsewhere.
pub(crate) fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
