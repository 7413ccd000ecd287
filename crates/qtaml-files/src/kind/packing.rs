//! The packing of codes into the elements of their tensor: out of the bytes and back into them.

use super::{BitOrder, CodeLayout, Codes, StoredWords};

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
/// assert_eq!((packing.block_bytes(), packing.block_codes(), packing.codes()), (4, 10, 10));
/// let mut bytes = 0xc000_0011_u32.to_le_bytes();
/// let mut codes = packing.unpack(0, &bytes);
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
    block_codes: usize,
    places: Places,
    /// Codes in the tensor.
    codes: u64,
}

/// Where the codes of a block begin; their other bits follow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Places {
    /// One after the other.
    Dense,
    /// At these bits of an element, which is a block.
    Element(Vec<u32>),
    /// Row by row of a matrix, packed down its columns into elements of so many bits.
    Columns { element_bits: usize, columns: usize },
}

impl StoredWords {
    /// How the words lie in their tensor: eight of them are a block.
    ///
    /// ```
    /// # use qtaml_files::StoredWords;
    /// let packing = StoredWords { bits: 3, weights: 3 }.packing();
    /// assert_eq!(packing.unpack(0, &[0b1101_0001, 0b0000_0000]), [1, 2, 3]);
    /// ```
    pub fn packing(self) -> Packing {
        let bits = self.bits as usize;
        let (block_bytes, codes) = (bits, self.weights);
        Packing { bits, block_bytes, block_codes: 8, places: Places::Dense, codes }
    }
}

impl Codes {
    /// How the codes lie in a tensor of this shape, those that fill up elements among them; `None` if
    /// nobody knows.
    pub fn packing(&self, shape: &[usize]) -> Option<Packing> {
        let (bits, element_bits) = (self.bits as usize, self.element_bits as usize);
        if bits == 0 || bits > 16 || element_bits == 0 || !element_bits.is_multiple_of(8) {
            return None;
        }
        if self.layout == CodeLayout::Qtaml {
            return Some(StoredWords { bits: self.bits, weights: self.count }.packing());
        }
        let elements = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size))?;
        let bytes = elements.checked_mul(element_bits / 8)?;
        let packing = match self.order {
            BitOrder::Stream => self.across_elements(shape)?,
            _ => self.within_elements()?,
        };
        let blocks = (bytes / packing.block_bytes) as u64;
        Some(Packing { codes: blocks * packing.block_codes as u64, ..packing })
    }

    /// That of codes each of which lies in one element.
    fn within_elements(&self) -> Option<Packing> {
        let (bits, block_bytes) = (self.bits as usize, self.element_bits as usize / 8);
        let shifts = self.shifts();
        let block_codes = shifts.len();
        let places = Places::Element(shifts);
        let packing = Packing { bits, block_bytes, block_codes, places, codes: 0 };
        (block_codes > 0).then_some(packing)
    }

    /// That of codes that go on in the next element, in a matrix that holds whole blocks of them.
    fn across_elements(&self, shape: &[usize]) -> Option<Packing> {
        let (bits, element_bits) = (self.bits as usize, self.element_bits as usize);
        let &[rows, columns] = shape else { return None };
        let row = columns.checked_mul(element_bits)?;
        if self.packed_axis == 1 && rows > 0 {
            let (in_row, block_bytes) = (usize::try_from(self.count).ok()? / rows, row / 8);
            let fits = in_row > 0 && in_row.checked_mul(bits)? <= row;
            let (block_codes, places) = (in_row, Places::Dense);
            return fits.then_some(Packing { bits, block_bytes, block_codes, places, codes: 0 });
        }
        // Down the columns of a matrix: of each, as many elements as a code has bits hold whole codes.
        if self.packed_axis != 0 || columns == 0 || !rows.is_multiple_of(bits) {
            return None;
        }
        let (block_bytes, block_codes) = (row.checked_mul(bits)? / 8, element_bits * columns);
        let places = Places::Columns { element_bits, columns };
        Some(Packing { bits, block_bytes, block_codes, places, codes: 0 })
    }
}

impl Packing {
    /// The bits of a code.
    pub fn bits(&self) -> u32 {
        self.bits as u32
    }

    /// Bytes of a block. The last one may be cut behind its last code.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Codes in a block.
    pub fn block_codes(&self) -> usize {
        self.block_codes
    }

    /// Codes in the tensor.
    pub fn codes(&self) -> u64 {
        self.codes
    }

    /// The codes in some blocks, the first of which begins with code `first` of the tensor.
    pub fn unpack(&self, first: u64, bytes: &[u8]) -> Vec<u16> {
        let left = usize::try_from(self.codes.saturating_sub(first)).unwrap_or(usize::MAX);
        let blocks = bytes.chunks(self.block_bytes);
        let codes = blocks
            .flat_map(|block| (0..self.codes_within(block)).map(|code| self.code(block, code)));
        codes.take(left).collect()
    }

    /// Puts codes back into the blocks that they were taken from, and leaves all other bits as they are.
    /// Bits of a code above the width do not count.
    pub fn pack(&self, codes: &[u16], bytes: &mut [u8]) {
        let blocks = bytes.chunks_mut(self.block_bytes).zip(codes.chunks(self.block_codes));
        for (block, codes) in blocks {
            let within = self.codes_within(block);
            for (code, &value) in codes.iter().take(within).enumerate() {
                self.set_code(block, code, value);
            }
        }
    }

    /// Codes of a block, or of what there is of it.
    fn codes_within(&self, block: &[u8]) -> usize {
        match block.len() {
            all if all == self.block_bytes => self.block_codes,
            some => (8 * some / self.bits).min(self.block_codes),
        }
    }

    fn code(&self, block: &[u8], code: usize) -> u16 {
        match &self.places {
            Places::Dense => field(block, code * self.bits, self.bits),
            Places::Element(shifts) => field(block, shifts[code] as usize, self.bits),
            &Places::Columns { element_bits, columns } => {
                let Parts { at, bits, next } = self.parts(code, element_bits, columns);
                field(block, at, bits) | field(block, next, self.bits - bits) << bits
            }
        }
    }

    fn set_code(&self, block: &mut [u8], code: usize, value: u16) {
        match &self.places {
            Places::Dense => set_field(block, code * self.bits, self.bits, value),
            Places::Element(shifts) => set_field(block, shifts[code] as usize, self.bits, value),
            &Places::Columns { element_bits, columns } => {
                let Parts { at, bits, next } = self.parts(code, element_bits, columns);
                set_field(block, at, bits, value);
                set_field(block, next, self.bits - bits, value >> bits);
            }
        }
    }

    /// Where a code of a column lies.
    fn parts(&self, code: usize, element_bits: usize, columns: usize) -> Parts {
        let (bit, column) = (code / columns * self.bits, code % columns);
        let place = |element: usize| (element * columns + column) * element_bits;
        let (element, within) = (bit / element_bits, bit % element_bits);
        let bits = (element_bits - within).min(self.bits);
        Parts { at: place(element) + within, bits, next: place(element + 1) }
    }
}

/// The two parts of a code: so many bits from `at` on, the others from `next` on.
struct Parts {
    at: usize,
    bits: usize,
    next: usize,
}

/// Up to sixteen bits from bit `at` on, which lie in three bytes at most.
fn field(block: &[u8], at: usize, bits: usize) -> u16 {
    let bytes = block.iter().skip(at / 8).take(3).rev();
    let all = bytes.fold(0, |all: u32, &byte| all << 8 | u32::from(byte));
    (all >> (at % 8) & ((1 << bits) - 1)) as u16
}

fn set_field(block: &mut [u8], at: usize, bits: usize, value: u16) {
    let mask = ((1_u32 << bits) - 1) << (at % 8);
    let value = u32::from(value) << (at % 8);
    let masked = mask.to_le_bytes().into_iter().zip(value.to_le_bytes());
    for (byte, (mask, value)) in block.iter_mut().skip(at / 8).zip(masked) {
        *byte = *byte & !mask | value & mask;
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
            prop_assert_eq!(packing.unpack(0, &stored), flat.clone());
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
            prop_assert_eq!(packing.unpack(0, &bytes_of(&words)), expected.clone());
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
            prop_assert_eq!(packing.unpack(0, &bytes), expected);
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
        assert_eq!(packing.unpack(0, &bytes), [0, 1, 2, 3, 4, 5, 6, 7]);
        let nf4 = Codes::of_order(CodeLayout::BitsAndBytes4, 4, 8, BitOrder::HighFirst);
        assert_eq!(nf4.packing(&[9, 1]).unwrap().unpack(0, &[0x12, 0xf0]), [1, 2, 15, 0]);
    }

    #[test]
    fn what_fits_no_block_has_no_packing() {
        assert_eq!(gptq(3).packing(&[4, 5]), None, "four rows are no three");
        assert_eq!(gptq(3).packing(&[3, 0]), None);
        assert_eq!(gptq(3).packing(&[3, 5, 1]), None);
        let none = Codes::of_order(CodeLayout::Scaled, 0, 8, BitOrder::Alone);
        assert_eq!(none.packing(&[1]), None);
        let rows = Codes::of_order(CodeLayout::CompressedTensors, 3, 32, BitOrder::Stream);
        let rows = |count| Codes { packed_axis: 1, count, ..rows.clone() };
        assert_eq!(rows(22).packing(&[2, 1]), None, "eleven codes of three bits in 32");
        assert_eq!(rows(1).packing(&[2, 1]), None);
        assert!(rows(20).packing(&[2, 1]).is_some());
    }
}
