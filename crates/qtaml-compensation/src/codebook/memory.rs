//! Words in a memory that flips their bits.

use qtaml_fault::{BitFlips, FaultModel, FaultStream, ProtectionMap, Seed};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::BitWidth;

use super::WordChannel;

/// What is read of `words`, a whole tensor, in one trial.
///
/// They lie in planes of at most eight bits, each word's low byte in one and the rest, if any, in
/// another: bits 0 to 7 at the stream of `tensor`, bits 8 and up at that of `tensor/high`. A plane of
/// one bit is held in words of two, of which the upper bit never flips and is not stored.
pub(super) fn read(
    words: &[u16],
    channel: &WordChannel,
    seed: Seed,
    trial: u32,
    tensor: &str,
) -> Vec<u16> {
    let mut planes = channel.laws().chunks(8).zip([0, 8]).map(|(laws, shift)| {
        let name = if shift == 0 { tensor } else { &format!("{tensor}/high") };
        let stored: Vec<u8> = words.iter().map(|word| (word >> shift) as u8).collect();
        model(laws).corrupted(&stored, &FaultStream::new(seed, trial, name), ProtectionMap::NOTHING)
    });
    let low = planes.next().unwrap_or_default();
    match planes.next() {
        None => low.into_iter().map(u16::from).collect(),
        Some(high) => low.iter().zip(&high).map(|(&l, &h)| u16::from_le_bytes([l, h])).collect(),
    }
}

/// The faults of a plane: one to eight bits.
fn model(laws: &[FlipProbability]) -> BitFlips {
    let mut laws = laws.to_vec();
    laws.resize(laws.len().max(2), FlipProbability::NEVER);
    let bits = BitWidth::new(laws.len() as u32).expect("two to eight bits");
    let flips = FlipProfile::per_bit(laws).expect("no more than eight laws");
    BitFlips::new(flips, bits).expect("as many laws as bits")
}

#[cfg(test)]
mod tests {
    use qtaml_fault::BitMask;

    use super::*;

    fn law(p: f64) -> FlipProbability {
        FlipProbability::symmetric(p).unwrap()
    }

    #[test]
    fn bytes_meet_the_faults_of_any_other_tensor() {
        let stored: Vec<u8> = (0..5000).map(|i| (i * 97 % 251) as u8).collect();
        let words: Vec<u16> = stored.iter().map(|&word| u16::from(word)).collect();
        for p in [0.1, 1e-3] {
            let model = BitFlips::new(law(p), BitWidth::INT8).unwrap();
            let stream = FaultStream::new(Seed(42), 3, "fc.weight");
            let expected = model.corrupted(&stored, &stream, BitMask::NONE.into());
            let channel = WordChannel::new(law(p), 8).unwrap();
            let read = read(&words, &channel, Seed(42), 3, "fc.weight");
            assert!(read.into_iter().eq(expected.into_iter().map(u16::from)));
        }
    }

    /// Each bit flips as often as its own law says, to 5.5 standard deviations in 72 counts: a false
    /// alarm rate of 3e-6 over all seeds, and this one is fixed.
    #[test]
    fn every_bit_of_every_width_flips_by_its_own_law() {
        let n = 20_000;
        for width in [1, 2, 8, 9, 10, 12] {
            let laws = (1..=width).map(|bit| law(0.03 * f64::from(bit))).collect();
            let channel = WordChannel::new(FlipProfile::per_bit(laws).unwrap(), width).unwrap();
            let read = read(&vec![0; n], &channel, Seed(7), 0, "weight");
            assert!(read.iter().all(|&word| usize::from(word) < channel.words()));
            for (bit, law) in channel.laws().iter().enumerate() {
                let flips = read.iter().filter(|&&word| word >> bit & 1 == 1).count() as f64;
                let (mean, sd) =
                    (n as f64 * law.p01(), (n as f64 * law.p01() * (1.0 - law.p01())).sqrt());
                assert!((flips - mean).abs() < 5.5 * sd, "bit {bit} of {width}: {flips} flips");
            }
        }
    }
}
