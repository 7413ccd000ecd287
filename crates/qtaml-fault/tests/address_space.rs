//! The address space of faults against `docs/fault_stream.py`, which knows nothing but docs/theory.md.
//!
//! Every expected number is what that script prints.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use qtaml_fault::{
    BitFlips, Bursts, Ecc, FaultModel, FaultStream, FlipCount, ProtectionMap, Seed, WordFlips,
};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::BitWidth;
use rand::Rng;

fn stream() -> FaultStream {
    FaultStream::new(Seed(42), 0, "weight")
}

/// Position and value of every word count.
fn checksum<T: Into<u64>>(words: impl IntoIterator<Item = T>) -> u64 {
    (1..).zip(words).map(|(i, word): (u64, T)| i * word.into()).sum::<u64>() & 0xffff_ffff
}

fn read(model: &dyn FaultModel, word: u8, stream: &FaultStream) -> u64 {
    checksum(model.corrupted(&[word; 4096], stream, ProtectionMap::NOTHING).unwrap())
}

#[test]
fn sequences() {
    let mut rng = Seed(42).rng("shuffle", 3);
    let expected = [3_284_217_796, 2_131_520_739, 2_255_193_054, 4_029_633_618, 3_512_769_443];
    assert_eq!(expected.map(|_| rng.next_u32()), expected);
}

#[test]
fn flips_of_every_width_and_both_samplers() {
    for (p01, p10, expected) in [
        (0.1, 0.1, [819_949_458, 166_773_391, 9_236_698]),
        (0.02, 0.3, [552_164_953, 125_470_474, 6_121_536]),
        (0.003, 0.003, [757_769_363, 176_033_932, 8_441_033]),
        (0.001, 0.0035, [755_385_559, 175_757_116, 8_367_002]),
    ] {
        let found = [(8, 0x5a), (5, 0x15), (2, 1)].map(|(width, word)| {
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            read(&BitFlips::new(flips, BitWidth::new(width).unwrap()).unwrap(), word, &stream())
        });
        assert_eq!(found, expected, "{p01} {p10}");
    }
}

#[test]
fn words_of_one_bit_and_of_more_than_a_byte() {
    for (p, expected) in [
        (0.1, [7_544_294, 32_985_663, 221_858_534, 443_743_462, 3_478_400_486]),
        (0.002, [8_376_463, 9_017_542, 12_347_731, 17_743_443, 56_848_211]),
    ] {
        let found = [1, 5, 8, 9, 12].map(|width| {
            let model = WordFlips::new(FlipProbability::symmetric(p).unwrap(), width).unwrap();
            checksum(model.corrupted(&[1; 4096], &stream()).unwrap())
        });
        assert_eq!(found, expected, "{p}");
    }
}

/// Through the code that keeps the bits: with two copies, which it hands on as they are read, a check
/// bit that is wrong is a word that it says is wrong.
#[test]
fn substreams() {
    let model = |p| BitFlips::new(FlipProbability::symmetric(p).unwrap(), BitWidth::INT8).unwrap();
    for (p, expected) in [(0.1, 211_503_036), (0.002, 5_871_502)] {
        let found = read(&model(p), 0, &stream().substream("check bits 7"));
        assert_eq!(found, expected);
        let mut check = vec![0; 4096];
        model(p).inject_check_bits(&mut check, 0, 7, &stream()).unwrap();
        assert_eq!(checksum(check), expected);
    }
    // A code of one data and one check bit reads wrong what flips in either, and sees it if one does.
    let parity: Ecc = "parity:1".parse().unwrap();
    let top = qtaml_fault::BitMask::top(1, BitWidth::INT8).unwrap();
    let words = [0; 4096];
    let tally = parity.read(&words, &model(0.1), &stream(), top).unwrap().tally;
    let data = model(0.1).corrupted(&words, &stream(), ProtectionMap::NOTHING).unwrap();
    let check = stream().substream("check bits 7");
    let check = model(0.1).corrupted(&words, &check, ProtectionMap::NOTHING).unwrap();
    let seen = data.iter().zip(&check).filter(|(data, check)| (**data ^ **check) >> 7 == 1).count();
    assert_eq!(tally.detected, seen as u64);
}

/// The first block of some substreams, through the table of a fair coin: it shows the digits.
#[test]
fn keys_of_substreams() {
    for (what, words) in [
        ("scale", [0x75d8_c47d, 0x27bd_24b4, 0xb076_4d09, 0x821c_0b48]),
        ("bits 8 and up", [0xe0ab_5ec9, 0x3f26_65a4, 0x1f57_8bfa, 0x2b2b_b56e]),
        ("check bits 7", [0x5d37_e32b, 0xc026_cb46, 0xb813_eff3, 0x9556_2b3f]),
        ("[3]", [0x2057_48d9, 0xe8c3_3426, 0x49d8_f86d, 0xf199_6845_u32]),
    ] {
        // At one half the mask of a word is the upper byte of its sixteen digits.
        let fair = FlipProbability::symmetric(0.5).unwrap();
        let model = BitFlips::new(FlipProfile::from(fair), BitWidth::INT8).unwrap();
        let read =
            model.corrupted(&[0; 128], &stream().substream(what), ProtectionMap::NOTHING).unwrap();
        for (word, digits) in words.into_iter().enumerate() {
            let halves = [digits & 0xffff, digits >> 16].map(|half| (half >> 8) as u8);
            assert_eq!(read[32 * word..32 * word + 2], halves, "{what}");
        }
    }
}

#[test]
fn stuck_cells() {
    for (at_zero, at_one, expected) in [
        (0.1, 0.1, 819_290_320),
        (0.3, 0.02, 551_116_793),
        (0.001, 0.001, 756_134_687),
        (0.0005, 0.003, 759_783_232),
    ] {
        let model = BitFlips::stuck(at_zero, at_one, BitWidth::INT8).unwrap();
        assert_eq!(read(&model, 0x5a, &stream()), expected, "{at_zero} {at_one}");
    }
}

#[test]
fn bursts_and_exact_counts() {
    for (p, length, expected) in [(0.003, 3, 18_872_417), (0.05, 20, 1_322_294_558)] {
        let model = Bursts::new(p, length, BitWidth::INT8).unwrap();
        assert_eq!(read(&model, 0, &stream()), expected, "{p} {length}");
    }
    for (flips, expected) in [(5, 73_186), (900, 14_808_834)] {
        let model = FlipCount::new(flips, 4096, BitWidth::INT8).unwrap();
        let read = model.corrupted(&[0; 4096], &stream(), ProtectionMap::NOTHING).unwrap();
        let places = (0..8 * 4096_u64).filter(|bit| read[*bit as usize / 8] >> (bit % 8) & 1 == 1);
        assert_eq!(places.sum::<u64>(), expected, "{flips}");
    }
    let model = FaultStream::new(Seed(42), 0, "");
    assert_eq!(FlipCount::shares(1000, &[8000, 64, 16_000], &model).unwrap(), [348, 6, 646]);
}

/// Scale `i` is float `i` of the substream `scale`: its byte `j` is the word at position `4 i + j`. Minima
/// likewise, and zero point `i` is the word at position `i`, of the width of the weights.
#[test]
fn what_is_stored_beside_the_words_of_a_tensor() {
    let floats: Vec<u8> = [0.5_f32; 300].into_iter().flat_map(f32::to_le_bytes).collect();
    for (p, expected) in
        [(0.1, [25_895_011, 27_052_287, 193_359]), (0.002, [11_663_129, 11_745_996, 135_340])]
    {
        let p = FlipProbability::symmetric(p).unwrap();
        let read = |words: &[u8], width, what| {
            let (model, stream) = (BitFlips::new(p, width).unwrap(), stream().substream(what));
            checksum(model.corrupted(words, &stream, ProtectionMap::NOTHING).unwrap())
        };
        let found = [
            read(&floats, BitWidth::INT8, "scale"),
            read(&floats, BitWidth::INT8, "minimum"),
            read(&[3; 300], BitWidth::INT4, "zero point"),
        ];
        assert_eq!(found, expected);
    }
}
