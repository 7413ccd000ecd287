//! The sampler of rare flips: gaps from one flip to the next.

use super::logarithm;
use crate::FaultStream;
use crate::philox::LANES;

/// Lanes from here on belong to places, so that they share no block with other samplers.
const PLACES: u32 = 1 << 31;
/// Lanes of what else is drawn for a place.
const MORE: u32 = 1 << 30;

/// Which model the places are for: those of different ones have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    Flips = 0,
    Bursts = 1 << 29,
}
/// Candidates that a span is expected to hold: enough to make its start cheap, few enough to make
/// it cheap to begin in its middle.
const PER_SPAN: f64 = 32.0;

/// Where fewer places are expected, their logarithms are taken one by one, as they are needed.
const FEW: f64 = 2.0;

/// Places among a long row of bits, each chosen independently with the same small probability.
///
/// The row is cut into spans that are drawn on their own, from one place to the next: the gap
/// between them is geometric, `floor(E / λ)` with an exponential `E` and `λ = -ln(1 - p)`. The cost
/// is that of the places, not of the row. `E` is drawn from 128 digits and keeps full relative
/// precision at both ends. The statistical price of skipping is its rounding: the probability of a
/// gap of up to `g` bits is off by about 1e-15 of it, that of just `g` bits by about `g` times 1e-16
/// of it. And there are no more than 128 digits: every bit is off by up to 2^-128, which is more
/// than 1e-15 of a `p` below about 1e-24; below 3e-39, which is 2^-128, the first bit of a span is
/// chosen with 2^-128 instead of `p`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Places {
    rate: f64,
    span: u64,
    purpose: Purpose,
}

impl Places {
    /// Places chosen with probability `p`, which is taken to be in `0..1`.
    pub(crate) fn new(p: f64, purpose: Purpose) -> Self {
        Self { rate: -libm::log1p(-p), span: span(PER_SPAN / p), purpose }
    }

    /// Bits that are drawn in one go.
    pub(crate) fn span(&self) -> u64 {
        self.span
    }

    /// Hands the places in `from..to` to `found`, in rising order, each with what tells its random
    /// stream apart from all others: the span and the lane.
    pub(crate) fn visit(
        &self,
        from: u64,
        to: u64,
        stream: &FaultStream,
        mut found: impl FnMut(u64, Draw),
    ) {
        if self.rate == 0.0 || from >= to {
            return;
        }
        let mut places = Vec::new();
        for span in from / self.span..=(to - 1) / self.span {
            self.draw(span, from, to, stream, &mut places);
            // Drawn first and handed over then: what is done with them waits for memory, and the
            // shorter its loop is, the more of them wait at the same time.
            for (place, draw) in places.drain(..) {
                found(place, draw);
            }
        }
    }

    /// The places of one span.
    fn draw(
        &self,
        span: u64,
        from: u64,
        to: u64,
        stream: &FaultStream,
        places: &mut Vec<(u64, Draw)>,
    ) {
        let start = span * self.span;
        let end = to.min(start.saturating_add(self.span));
        let mut place = start;
        let are_few = (end - start) as f64 * self.rate < FEW;
        // So many at once, because their digits are drawn side by side.
        for batch in (0..).step_by(LANES) {
            let first = PLACES | self.purpose as u32 | batch;
            let digits = stream.digits_of_lanes(span, first);
            let side_by_side = if are_few { None } else { Some(exponentials(&digits)) };
            for (i, lane) in (first..).take(LANES).enumerate() {
                let one = || exponential(digits[i]);
                let exponential = side_by_side.as_ref().map_or_else(one, |all| all[i]);
                let gap = exponential / self.rate;
                // Beyond 2^64 the cast saturates, which is beyond every span as well.
                place = place.saturating_add(gap as u64);
                if place >= end {
                    return;
                }
                if place >= from {
                    places.push((place, Draw { span, lane }));
                }
                place += 1;
            }
        }
    }
}

/// The least power of two that is not below `bits`, but at least 2^7, and at most 2^62: no cut of a
/// tensor is that long.
fn span(bits: f64) -> u64 {
    (7..62).map(|exponent| 1 << exponent).find(|&span| span as f64 >= bits).unwrap_or(1 << 62)
}

/// One of the places, as the address of more randomness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    span: u64,
    lane: u32,
}

impl Draw {
    /// A uniform number in `0..1`, independent of where the place is.
    pub(crate) fn uniform(self, stream: &FaultStream) -> f64 {
        fraction(stream.digits(self.span, self.lane | MORE))
    }
}

/// Exponential variates of mean 1, each from 128 uniform digits.
///
/// `-ln(1 - v)` of a uniform `v`, written so that nothing cancels: from the digits themselves
/// where they are small, else from their complement, whose logarithm is the faster one. Both are those
/// of FreeBSD's msun, in the arithmetic of IEEE 754 alone: the same bits on every machine.
fn exponentials(digits: &[u128; LANES]) -> [f64; LANES] {
    let mut logarithms = digits.map(|digits| fraction(digits.wrapping_neg()));
    logarithm::ln(&mut logarithms);
    std::array::from_fn(|lane| small(digits[lane]).unwrap_or(-logarithms[lane]))
}

/// One of them, the same bit by bit.
fn exponential(digits: u128) -> f64 {
    small(digits).unwrap_or_else(|| -libm::log(fraction(digits.wrapping_neg())))
}

/// The variate of small digits.
fn small(digits: u128) -> Option<f64> {
    (digits < 1 << 125).then(|| -libm::log1p(-fraction(digits)))
}

/// So many units of 2^-128; in two halves, because a processor converts 64 bits at a time.
fn fraction(digits: u128) -> f64 {
    const HALF: f64 = 1.0 / (1_u128 << 64) as f64;
    ((digits >> 64) as u64 as f64 + digits as u64 as f64 * HALF) * HALF
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Seed;

    fn stream() -> FaultStream {
        FaultStream::new(Seed(7), 0, "places")
    }

    fn exponential(digits: u128) -> f64 {
        let one = super::exponential(digits);
        assert_eq!(exponentials(&[digits; LANES]), [one; LANES]);
        one
    }

    fn places(p: f64, from: u64, to: u64) -> Vec<u64> {
        let mut found = Vec::new();
        Places::new(p, Purpose::Flips).visit(from, to, &stream(), |place, _| found.push(place));
        found
    }

    #[test]
    fn the_exponential_keeps_its_digits_at_both_ends() {
        let two = |n: i32| 2.0_f64.powi(n);
        assert_eq!(exponential(0), 0.0);
        assert_eq!(exponential(1), two(-128));
        assert_eq!(exponential(3 << 60), 3.0 * two(-68));
        assert!((exponential(u128::MAX) - 128.0 * std::f64::consts::LN_2).abs() < 1e-13);
        assert!((exponential(1 << 127) - std::f64::consts::LN_2).abs() < 1e-16);
    }

    #[test]
    fn spans_are_powers_of_two() {
        for (bits, expected) in [
            (0.0, 1 << 7),
            (128.0, 1 << 7),
            (128.0_f64.next_up(), 1 << 8),
            (2_f64.powi(40).next_up(), 1 << 41),
            (2_f64.powi(61), 1 << 61),
            (1e300, 1 << 62),
            (f64::INFINITY, 1 << 62),
        ] {
            assert_eq!(span(bits), expected, "{bits}");
        }
    }

    /// The bits of two logarithms and of a rate, computed with 60 digits and rounded.
    #[test]
    fn logarithms_are_the_same_on_every_machine() {
        for (digits, bits) in [
            (1_u128 << 124, 0x3fb0_8598_b59e_3a07),
            (0xdead_beef_dead_beef_dead_beef_dead_beef, 0x4000_4fd4_fbf1_ed67),
        ] {
            assert_eq!(exponential(digits).to_bits(), bits);
        }
        assert_eq!(Places::new(0.003, Purpose::Flips).rate.to_bits(), 0x3f68_9ce9_7f72_713c);
    }

    /// Counts in 2^24 bits, and the gaps between them, against the geometric distribution. The six
    /// bounds together are passed by chance less than once in a million seeds.
    #[test]
    fn places_come_with_their_probability_and_geometric_gaps() {
        for p in [1e-4, 1e-3, 7e-3] {
            let n = 1 << 24;
            let found = places(p, 0, n);
            let (mean, sd) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
            assert!((found.len() as f64 - mean).abs() < 5.5 * sd, "{p}: {}", found.len());

            // Ten gaps of equal probability: chi-square with 9 degrees of freedom beyond 52.
            let mut counts = [0.0; 10];
            for pair in found.windows(2) {
                let below = 1.0 - (1.0 - p).powf((pair[1] - pair[0] - 1) as f64);
                let next = 1.0 - (1.0 - p).powf((pair[1] - pair[0]) as f64);
                // Gaps are whole: spread each over the classes that it covers.
                let (low, high) = (below * 10.0, next * 10.0);
                for (class, count) in (0..).zip(&mut counts) {
                    let part = high.min(f64::from(class) + 1.0) - low.max(f64::from(class));
                    *count += part.max(0.0) / (high - low);
                }
            }
            let each = (found.len() - 1) as f64 / 10.0;
            let chi_square: f64 = counts.iter().map(|c| (c - each).powi(2) / each).sum();
            assert!(chi_square < 52.0, "{p}: {chi_square}");
        }
    }

    #[test]
    fn the_rarest_places_cost_nothing_and_never_loop() {
        assert!(places(1e-18, 0, 1 << 50).len() < 3);
        assert!(places(5e-324, 0, 1 << 62).is_empty());
        assert!(places(0.0, 0, u64::MAX).is_empty());
        assert!(places(0.001, 5, 5).is_empty());
    }

    proptest! {
        #[test]
        fn any_cut_has_the_same_places(
            from in 0_u64..50_000, cut in 0_u64..50_000, to in 0_u64..50_000,
        ) {
            let mut edges = [from, cut, to];
            edges.sort_unstable();
            let [from, cut, to] = edges;
            let mut parts = places(0.003, from, cut);
            parts.extend(places(0.003, cut, to));
            prop_assert_eq!(parts, places(0.003, from, to));
        }
    }
}
