//! Natural logarithms of sixteen numbers side by side, the same bits on every machine.
//!
//! The algorithm is that of `e_log.c` in FreeBSD's msun (Sun Microsystems, 1993), which the crate `libm`
//! has as well: additions, multiplications and one division, in the order written here and without fused
//! operations. Without branches the compiler makes vector instructions of it, which is faster than one
//! logarithm after the other from any library. The result is that of [`libm::log`], bit by bit.

use crate::philox::LANES;

const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// Of `s²`, `s⁴`, ... in the series of `ln((1 + s) / (1 - s))`.
const SERIES: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593),
    f64::from_bits(0x3fd9_9999_9997_fa04),
    f64::from_bits(0x3fd2_4924_9422_9359),
    f64::from_bits(0x3fcc_71c5_1d8e_78af),
    f64::from_bits(0x3fc7_4664_96cb_03de),
    f64::from_bits(0x3fc3_9a09_d078_c69f),
    f64::from_bits(0x3fc2_f112_df3e_5244),
];

/// The bits of `1` less those of `√2/2`, which is where the range of the reduced argument begins.
const HALF_ROOT: u64 = 0x3fe6_a09e << 32;
const SHIFT: u64 = (0x3ff0_0000 << 32) - HALF_ROOT;
const FRACTION: u64 = (1 << 52) - 1;
/// `2^52`: a number below it, as the fraction of this one, is added to it.
const TWO_52: u64 = 0x4330_0000_0000_0000;
const BIAS: f64 = 4_503_599_627_370_496.0 + 1023.0;

/// Replaces positive normal numbers by their logarithms. What becomes of others is not said.
#[inline]
pub(super) fn ln(numbers: &mut [f64; LANES]) {
    for x in numbers {
        // x = 2^k m with m in √2/2..√2.
        let bits = x.to_bits().wrapping_add(SHIFT);
        let k = f64::from_bits(TWO_52 | bits >> 52) - BIAS;
        let m = f64::from_bits((bits & FRACTION).wrapping_add(HALF_ROOT));
        let f = m - 1.0;
        let half_square = 0.5 * f * f;
        let s = f / (2.0 + f);
        let z = s * s;
        let w = z * z;
        let even = w * (SERIES[1] + w * (SERIES[3] + w * SERIES[5]));
        let odd = z * (SERIES[0] + w * (SERIES[2] + w * (SERIES[4] + w * SERIES[6])));
        *x = s * (half_square + (odd + even)) + k * LN2_LOW - half_square + f + k * LN2_HIGH;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(x: f64) -> u64 {
        let mut lanes = [x; LANES];
        ln(&mut lanes);
        assert!(lanes.iter().all(|lane| lane.to_bits() == lanes[0].to_bits()));
        lanes[0].to_bits()
    }

    #[test]
    fn corners_are_those_of_the_library() {
        let root = std::f64::consts::FRAC_1_SQRT_2;
        for x in [1.0, 0.5, 2.0, 1.0_f64.next_down(), 1.0_f64.next_up(), root, root.next_down()] {
            assert_eq!(bits(x), libm::log(x).to_bits(), "{x}");
        }
        for exponent in -128..=0 {
            let x = 2.0_f64.powi(exponent);
            assert_eq!(bits(x), libm::log(x).to_bits(), "{x}");
            assert_eq!(bits(x.next_down()), libm::log(x.next_down()).to_bits(), "{x}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn logarithms_are_those_of_the_library(
            x in prop_oneof![0.0..1.0_f64, prop::num::f64::POSITIVE],
        ) {
            prop_assume!(f64::is_normal(x));
            prop_assert_eq!(bits(x), libm::log(x).to_bits());
        }
    }
}
