//! LEB128: whole numbers in as few bytes as they need.
//!
//! Unsigned LEB128 (DWARF Debugging Information Format, version 5, 2017, section 7.6): seven bits a
//! byte, least significant first, the top bit set in all bytes but the last.

/// Appends a number.
pub(crate) fn write_leb128(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a number off the front; `None` if it ends too early, is too large, or is written longer
/// than need be.
pub(crate) fn read_leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let digits = u64::from(byte & 0x7f);
        if digits << shift >> shift != digits {
            return None;
        }
        value |= digits << shift;
        if byte < 0x80 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of the standard.
    #[test]
    fn published_examples() {
        for (value, bytes) in [
            (2, &[2][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (129, &[0x81, 1]),
            (12857, &[57 + 0x80, 100]),
        ] {
            let mut written = Vec::new();
            write_leb128(&mut written, value);
            assert_eq!(written, bytes);
            assert_eq!(read_leb128(&mut &*written), Some(value));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let nines = [0xff; 9];
        for (bytes, why) in [
            (vec![], "nothing"),
            (vec![0x80], "no last byte"),
            (vec![0x80, 0], "longer than need be"),
            ([&nines[..], &[2]].concat(), "65 bits"),
            (vec![0x80; 20], "no end"),
        ] {
            assert_eq!(read_leb128(&mut bytes.as_slice()), None, "{why}");
        }
        assert_eq!(read_leb128(&mut [&nines[..], &[1]].concat().as_slice()), Some(u64::MAX));
    }

    proptest! {
        /// Any bytes are refused, or begin with the one way to write their number.
        #[test]
        fn there_is_one_way_to_write_a_number(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut rest = bytes.as_slice();
            if let Some(value) = read_leb128(&mut rest) {
                let mut written = Vec::new();
                write_leb128(&mut written, value);
                prop_assert_eq!([&written[..], rest].concat(), bytes);
            }
        }
    }
}
