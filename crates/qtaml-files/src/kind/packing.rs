//! The packing of codes into the elements of their tensor: out of the bytes and back into them.

use super::{BitOrder, CodeLayout, Codes};

/// How the codes of a tensor lie in its bytes, block by block: a block is the fewest bytes in a row that
/// hold whole codes alone.
///
/// Codes are numbered block by block. Within an element they have the order of [`Codes::shifts`]. Where
/// they go on in the next element of a row, a block is a row. Where they go on in the next row, as those of
/// three bits of GPTQ do, a block is as many rows as a code has bits, and its codes are numbered row by row
/// of the matrix that they were packed from.
///
/// Bits that belong to no code, such as the last two of an element of ten codes of three bits, are never
/// touched: codes can be taken out, changed by faults, and put back.
///
/// ```
/// # use qtaml_files::{BitOrder, CodeLayout, Codes};
/// # let codes = Codes::of_order(CodeLayout::CompressedTensors, 3, 32, BitOrder::LowFirst);
/// let packing = codes.packing(&[1, 1]).ok_or("codes of three bits can be taken out")?;
/// assert_eq!((packing.block_bytes(), packing.block_codes()), (4, 10));
/// let mut bytes = 0xc000_0011_u32.to_le_bytes();
/// let mut codes = packing.unpack(&bytes);
/// assert_eq!(codes, [1, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
/// codes[1] = 7;
/// packing.pack(&codes, &mut bytes);
/// assert_eq!(u32::from_le_bytes(bytes), 0xc000_0039);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    bits: usize,
    block_bytes: usize,
    /// The first bit in its block of each code; the others follow it.
    starts: Vec<usize>,
    /// Bits from the end of an element to the beginning of the next one in which a code goes on.
    gap: usize,
    element_bits: usize,
}

impl Codes {
    /// How the codes lie in a tensor of this shape; `None` if nobody knows, as of words of
    /// `qtaml codec` ([`StoredWords`](crate::StoredWords) says that).
    pub fn packing(&self, shape: &[usize]) -> Option<Packing> {
        let (bits, element_bits) = (self.bits as usize, self.element_bits as usize);
        if bits == 0 || bits > 16 || element_bits == 0 || !element_bits.is_multiple_of(8) {
            return None;
        }
        if self.order != BitOrder::Stream {
            let starts: Vec<usize> =
                self.shifts().into_iter().map(|shift| shift as usize).collect();
            let block_bytes = element_bits / 8;
            return (!starts.is_empty()).then_some(Packing {
                bits,
                block_bytes,
                starts,
                gap: 0,
                element_bits,
            });
        }
        let &[rows, columns] = shape else { return None };
        let row = columns.checked_mul(element_bits)?;
        if self.packed_axis == 1 && self.layout != CodeLayout::Qtaml && rows > 0 {
            let in_row = usize::try_from(self.count).ok()? / rows;
            let fits = in_row > 0 && in_row.checked_mul(bits)? <= row;
            let starts = (0..if fits { in_row } else { 0 }).map(|code| code * bits).collect();
            let block_bytes = row / 8;
            return fits.then_some(Packing { bits, block_bytes, starts, gap: 0, element_bits });
        }
        // Down the columns of a matrix: of each, as many elements as a code has bits hold whole codes.
        if self.packed_axis != 0 || columns == 0 || !rows.is_multiple_of(bits) {
            return None;
        }
        let block_bits = row.checked_mul(bits)?;
        let start = |code: usize| {
            let (input, column) = (code / columns, code % columns);
            let bit = input * bits;
            bit / element_bits * row + column * element_bits + bit % element_bits
        };
        let starts = (0..element_bits * columns).map(start).collect();
        Some(Packing {
            bits,
            block_bytes: block_bits / 8,
            starts,
            gap: row - element_bits,
            element_bits,
        })
    }
}

impl Packing {
    /// The bits of a code.
    pub fn bits(&self) -> u32 {
        self.bits as u32
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Codes in a block.
    pub fn block_codes(&self) -> usize {
        self.starts.len()
    }

    /// The codes in some whole blocks; what is left behind them is not looked at.
    pub fn unpack(&self, bytes: &[u8]) -> Vec<u16> {
        let blocks = bytes.chunks_exact(self.block_bytes);
        blocks.flat_map(|block| self.starts.iter().map(|&start| self.code(block, start))).collect()
    }

    /// Puts codes back into the blocks that they were taken from. Bits above the width do not count.
    ///
    /// # Panics
    /// Unless there are as many codes as the blocks hold.
    pub fn pack(&self, codes: &[u16], bytes: &mut [u8]) {
        let blocks = bytes.chunks_exact_mut(self.block_bytes);
        assert_eq!(codes.len(), blocks.len() * self.block_codes(), "one code for each place");
        for (block, codes) in blocks.zip(codes.chunks_exact(self.block_codes())) {
            for (&start, &code) in self.starts.iter().zip(codes) {
                for (bit, at) in self.places(start).enumerate() {
                    let mask = 1 << (at % 8);
                    let is_set = code >> bit & 1 == 1;
                    block[at / 8] = block[at / 8] & !mask | if is_set { mask } else { 0 };
                }
            }
        }
    }

    fn code(&self, block: &[u8], start: usize) -> u16 {
        let bits = self.places(start).enumerate();
        bits.fold(0, |code, (bit, at)| code | u16::from(block[at / 8] >> (at % 8) & 1) << bit)
    }

    /// The place of each bit of a code that begins at `start`.
    fn places(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let (element, gap) = (self.element_bits, self.gap);
        let left = element - start % element;
        (0..self.bits).map(move |bit| start + bit + if bit < left { 0 } else { gap })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gptq(bits: u32) -> Codes {
        let order = if bits == 3 { BitOrder::Stream } else { BitOrder::LowFirst };
        Codes { packed_axis: 0, ..Codes::of_order(CodeLayout::Gptq, bits, 32, order) }
    }

    /// The loop of `QuantLinear.pack` of `AutoGPTQ` for three bits, word by word: ten codes, one that is cut
    /// after two bits, ten, one that is cut after one bit, ten.
    fn pack_three(codes: &[Vec<u32>], columns: usize) -> Vec<u32> {
        let mut words = vec![0_u32; codes.len() * 3 / 32 * columns];
        for column in 0..columns {
            let (mut i, mut row) = (0, 0);
            while row < codes.len() * 3 / 32 {
                let code = |i: usize| codes[i][column];
                let mut word = |row: usize, bits: u32| words[row * columns + column] |= bits;
                for j in i..i + 10 {
                    word(row, code(j) << (3 * (j - i)));
                }
                i += 10;
                word(row, code(i) << 30);
                row += 1;
                word(row, code(i) >> 2 & 1);
                i += 1;
                for j in i..i + 10 {
                    word(row, code(j) << (3 * (j - i) + 1));
                }
                i += 10;
                word(row, code(i) << 31);
                row += 1;
                word(row, code(i) >> 1 & 3);
                i += 1;
                for j in i..i + 10 {
                    word(row, code(j) << (3 * (j - i) + 2));
                }
                i += 10;
                row += 1;
            }
        }
        words
    }

    fn bytes_of(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    proptest! {
        #[test]
        fn three_bits_of_gptq_are_those_of_its_own_loop(
            seed in any::<u32>(),
            blocks in 1_usize..4,
            columns in 1_usize..6,
        ) {
            let random = |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761) >> 29;
            let inputs = 32 * blocks;
            let codes: Vec<Vec<u32>> =
                (0..inputs).map(|i| (0..columns).map(|j| random(i * columns + j)).collect()).collect();
            let stored = bytes_of(&pack_three(&codes, columns));
            let packing = gptq(3).packing(&[3 * blocks, columns]).unwrap();
            prop_assert_eq!(packing.block_bytes(), 12 * columns);
            // Row by row of the matrix, block after block.
            let flat: Vec<u16> = codes.iter().flatten().map(|&code| code as u16).collect();
            prop_assert_eq!(packing.unpack(&stored), flat.clone());
            let mut again = vec![0; stored.len()];
            packing.pack(&flat, &mut again);
            prop_assert_eq!(&again, &stored);
            // Codes changed in their own bits change nothing else.
            let other: Vec<u16> = flat.iter().map(|code| code ^ 5).collect();
            packing.pack(&other, &mut again);
            let expected: Vec<Vec<u32>> =
                codes.iter().map(|row| row.iter().map(|code| code ^ 5).collect()).collect();
            prop_assert_eq!(again, bytes_of(&pack_three(&expected, columns)));
        }

        /// `pack_to_int32` of compressed-tensors from 0.18 on, which cuts codes at the ends of elements: the two
        /// sums that it scatters, for one row after the other.
        #[test]
        fn rows_of_codes_without_a_gap_are_those_of_their_own_loop(
            bits in prop::sample::select(vec![3_u32, 5, 6, 7]),
            rows in 1_usize..4,
            inputs in 1_usize..100,
            seed in any::<u32>(),
        ) {
            let random = |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761) >> (32 - bits);
            let columns = (inputs * bits as usize).div_ceil(32);
            let mut words = vec![0_u32; rows * columns];
            for (i, row) in words.chunks_mut(columns).enumerate() {
                for j in 0..inputs {
                    let (code, start) = (random(i * inputs + j), j as u32 * bits);
                    let (word, offset) = ((start / 32) as usize, start % 32);
                    row[word] |= code << offset;
                    if offset + bits > 32 {
                        row[word + 1] |= code >> (32 - offset);
                    }
                }
            }
            let layout = CodeLayout::CompressedTensors;
            let codes = Codes {
                packed_axis: 1,
                count: (rows * inputs) as u64,
                ..Codes::of_order(layout, bits, 32, BitOrder::Stream)
            };
            let packing = codes.packing(&[rows, columns]).unwrap();
            let expected: Vec<u16> = (0..rows * inputs).map(|i| random(i) as u16).collect();
            prop_assert_eq!(packing.unpack(&bytes_of(&words)), expected.clone());
            let mut again = vec![0; 4 * words.len()];
            packing.pack(&expected, &mut again);
            prop_assert_eq!(again, bytes_of(&words));
        }

        /// `pack_to_int32` of compressed-tensors up to 0.17: `value << (bits * i)` for the `32 / bits` values of an
        /// element, from the lowest bits.
        #[test]
        fn bits_between_codes_stay(
            bits in prop::sample::select(vec![2_u32, 3, 4, 5, 6, 8]),
            words in prop::collection::vec(any::<u32>(), 1..20),
        ) {
            let codes = Codes::of_order(CodeLayout::CompressedTensors, bits, 32, BitOrder::LowFirst);
            let packing = codes.packing(&[1, words.len()]).unwrap();
            let each = (32 / bits) as usize;
            let expected: Vec<u16> = words
                .iter()
                .flat_map(|word| (0..each).map(move |i| (word / (1_u32 << bits).pow(i as u32) % (1 << bits)) as u16))
                .collect();
            let mut bytes = bytes_of(&words);
            prop_assert_eq!(packing.unpack(&bytes), expected.clone());
            prop_assert_eq!(codes.unpack(&bytes), expected);
            packing.pack(&vec![0; each * words.len()], &mut bytes);
            let left: Vec<u32> = words
                .iter()
                .map(|word| if bits * each as u32 == 32 { 0 } else { word >> (bits * each as u32) << (bits * each as u32) })
                .collect();
            prop_assert_eq!(bytes, bytes_of(&left));
        }
    }

    #[test]
    fn orders_within_an_element_are_kept() {
        let awq = Codes::of_order(CodeLayout::Awq, 4, 32, BitOrder::EvenFirst);
        let packing = awq.packing(&[1, 1]).unwrap();
        let mut bytes = [0; 4];
        packing.pack(&[0, 1, 2, 3, 4, 5, 6, 7], &mut bytes);
        assert_eq!(u32::from_le_bytes(bytes), 0x7531_6420);
        assert_eq!(packing.unpack(&bytes), [0, 1, 2, 3, 4, 5, 6, 7]);
        let nf4 = Codes::of_order(CodeLayout::BitsAndBytes4, 4, 8, BitOrder::HighFirst);
        assert_eq!(nf4.packing(&[9, 1]).unwrap().unpack(&[0x12, 0xf0]), [1, 2, 15, 0]);
    }

    #[test]
    fn what_fits_no_block_has_no_packing() {
        assert_eq!(gptq(3).packing(&[4, 5]), None, "four rows are no three");
        assert_eq!(gptq(3).packing(&[3, 0]), None);
        assert_eq!(gptq(3).packing(&[3, 5, 1]), None);
        let words = Codes::of_order(CodeLayout::Qtaml, 3, 8, BitOrder::Stream);
        assert_eq!(Codes { packed_axis: 1, ..words }.packing(&[1, 4]), None);
        let none = Codes::of_order(CodeLayout::Scaled, 0, 8, BitOrder::Alone);
        assert_eq!(none.packing(&[1]), None);
        let rows = Codes::of_order(CodeLayout::CompressedTensors, 3, 32, BitOrder::Stream);
        let rows = |count| Codes { packed_axis: 1, count, ..rows.clone() };
        assert_eq!(rows(22).packing(&[2, 1]), None, "eleven codes of three bits in 32");
        assert_eq!(rows(1).packing(&[2, 1]), None);
        assert!(rows(20).packing(&[2, 1]).is_some());
    }
}
