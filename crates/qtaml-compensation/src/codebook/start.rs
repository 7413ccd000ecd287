//! The initial codebooks of a design.

use super::encoder::Encoder;
use super::{Sample, WordChannel};

/// First guesses: the weights in order, in cells of equal mass or of equal width, with the words
///
/// - of every repetition code,
/// - in natural order, the repetition code without repetitions,
/// - of the Gray code, where neighbours differ in one bit,
/// - of the thermometer code, which differ in as many bits as they are apart,
/// - in disorder, fewer or more, for switches to sort out.
pub(super) fn starts(sample: &Sample, channel: &WordChannel) -> Vec<Encoder> {
    let width = channel.width();
    let in_order = (0..1 << width).collect();
    let gray = (0..1 << width).map(|i: u16| i ^ (i >> 1)).collect();
    let thermometer = (0..=width).map(|ones| (1 << ones) - 1).collect();
    let both = |words: Vec<u16>| {
        let quantiles = sample.quantiles(words.len());
        let uniform = Encoder { thresholds: sample.grid(words.len()), words: words.clone() };
        [Encoder { thresholds: quantiles, words }, uniform]
    };
    let repeated = partitions(width, width).into_iter().filter(|copies| copies[0] > 1);
    let repeated = repeated.map(|copies| {
        let words = repetition(&copies);
        Encoder { thresholds: sample.quantiles(words.len()), words }
    });
    let counts = [3, 4, 5, 6, 8, 12, 16, 24, 32].into_iter().filter(|&n| n <= channel.words());
    let disordered = counts.map(|count| disorder(count, width));
    let others = [in_order, gray, thermometer].into_iter().chain(disordered).flat_map(both);
    repeated.chain(others).collect()
}

/// Different words without an order: multiples of an odd number near the golden section.
fn disorder(count: usize, width: u32) -> Vec<u16> {
    let (step, mask) = ((0x9e37 >> (16 - width)) | 1, (1 << width) - 1);
    (0..count as u16).map(|i| i.wrapping_mul(step) & mask).collect()
}

/// The words, in rising order, that hold each bit of a message so many times, the top bit first.
fn repetition(copies: &[u32]) -> Vec<u16> {
    let longer = |words: Vec<u16>, &copies: &u32| -> Vec<u16> {
        let ones = (1 << copies) - 1;
        words.iter().flat_map(|word| [0, ones].map(|low| word << copies | low)).collect()
    };
    copies.iter().fold(vec![0], longer)
}

/// The ways to write `n` as a sum of parts, the largest first and none above `largest`.
fn partitions(n: u32, largest: u32) -> Vec<Vec<u32>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let with = |first: u32| {
        let rest = partitions(n - first, first).into_iter();
        rest.map(move |rest| [vec![first], rest].concat())
    };
    (1..=n.min(largest)).rev().flat_map(with).collect()
}

#[cfg(test)]
mod tests {
    use qtaml_physics::FlipProbability;

    use super::*;

    /// The numbers of partitions: OEIS A000041.
    #[test]
    fn every_repetition_code_is_tried() {
        for (n, count) in [(1, 1), (4, 5), (8, 22), (12, 77)] {
            assert_eq!(partitions(n, n).len(), count);
            assert!(partitions(n, n).iter().all(|parts| parts.iter().sum::<u32>() == n));
        }
        assert_eq!(repetition(&[1, 1]), [0b00, 0b01, 0b10, 0b11]);
        assert_eq!(repetition(&[3, 1]), [0b0000, 0b0001, 0b1110, 0b1111]);
    }

    #[test]
    fn starts_fit_their_channel() {
        let channel = WordChannel::new(FlipProbability::NEVER, 5).unwrap();
        for Encoder { words, thresholds } in starts(&Sample::gaussian(), &channel) {
            assert_eq!(words.len(), thresholds.len() + 1);
            assert!(words.iter().all(|&word| usize::from(word) < channel.words()));
            assert!(thresholds.is_sorted());
        }
    }
}
