//! The entropy coder of quantized weights.

/// Frequencies sum to 2^16.
const SCALE: u32 = 16;
/// The state of the coder lies in `2^20..2^28`, between bytes.
const LOWEST: u32 = 1 << 20;
/// And is written down in so many bytes.
const STATE: usize = 4;

/// How often each symbol is expected, and the code that follows from it.
///
/// Source: asymmetric numeral systems, in the variant for ranges (J. Duda, arXiv:1311.2540, 2013).
#[derive(Debug, Clone)]
pub(super) struct EntropyCode {
    /// The frequencies of all symbols below each, and their total.
    below: Vec<u32>,
}

impl EntropyCode {
    /// The most symbols: half of one percent of their frequencies is rounding.
    pub(super) const MOST_SYMBOLS: usize = 1023;

    /// For symbols of these masses, of which no more than a total of 1 count. None is impossible.
    pub(super) fn new(masses: &[f64]) -> Self {
        let free = f64::from((1 << SCALE) - masses.len() as u32);
        let mut frequencies: Vec<u32> =
            masses.iter().map(|mass| 1 + (mass * free) as u32).collect();
        let given: u32 = frequencies.iter().sum();
        if let Some(largest) = frequencies.iter_mut().max() {
            *largest += (1 << SCALE) - given;
        }
        let mut total = 0;
        let sums = frequencies.iter().map(|frequency| {
            total += frequency;
            total
        });
        Self { below: [0].into_iter().chain(sums).collect() }
    }

    /// Bytes that [`encode`](Self::encode) makes of symbols that occur so often each: to one or two.
    pub(super) fn about(&self, counts: &[u32]) -> usize {
        if self.below.len() == 2 {
            return 0;
        }
        let bits = |(symbol, &count): (usize, &u32)| {
            if count == 0 {
                return 0.0;
            }
            let (_, frequency) = self.range(symbol);
            f64::from(count) * (f64::from(SCALE) - f64::from(frequency).log2())
        };
        let bits: f64 = counts.iter().enumerate().map(bits).sum();
        // The state is there in any case, and holds some of the bits.
        ((bits + f64::from(LOWEST).log2()) / 8.0).ceil() as usize
    }

    /// The symbols as bytes. If there is but one symbol, nothing need be said.
    pub(super) fn encode(&self, symbols: &[u16]) -> Vec<u8> {
        if self.below.len() == 2 {
            return Vec::new();
        }
        let (mut bytes, mut state) = (Vec::new(), LOWEST);
        for &symbol in symbols.iter().rev() {
            let (below, frequency) = self.range(usize::from(symbol));
            while state >= (LOWEST >> SCALE << 8) * frequency {
                bytes.push(state as u8);
                state >>= 8;
            }
            state = ((state / frequency) << SCALE) + below + state % frequency;
        }
        bytes.extend(state.to_le_bytes());
        bytes.reverse();
        bytes
    }

    /// The first symbols of what was encoded, whatever follows it. Other bytes give other symbols.
    pub(super) fn decode(&self, bytes: &[u8], symbols: usize) -> Vec<u16> {
        let state = bytes.iter().take(STATE).fold(0, |state, &byte| state << 8 | u32::from(byte));
        let (mut state, mut rest) = (state % (LOWEST << 8), bytes.iter().skip(STATE));
        let mut next = || {
            let place = state % (1 << SCALE);
            let symbol = self.below.partition_point(|&below| below <= place) - 1;
            let (below, frequency) = self.range(symbol);
            state = frequency * (state >> SCALE) + place - below;
            while state < LOWEST {
                let Some(&byte) = rest.next() else { break };
                state = state << 8 | u32::from(byte);
            }
            symbol as u16
        };
        (0..symbols).map(|_| next()).collect()
    }

    fn range(&self, symbol: usize) -> (u32, u32) {
        (self.below[symbol], self.below[symbol + 1] - self.below[symbol])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn its_length_is_known_beforehand() {
        let masses = [0.6, 0.2, 0.1, 0.07, 0.029, 0.001];
        let code = EntropyCode::new(&masses);
        for n in [1, 10, 100, 10_000] {
            let symbols: Vec<u16> =
                (0..n).map(|i| [0, 1, 0, 2, 0, 5, 3, 0, 4, 0][i % 10]).collect();
            let mut counts = [0; 6];
            for &symbol in &symbols {
                counts[usize::from(symbol)] += 1;
            }
            let (about, found) = (code.about(&counts), code.encode(&symbols).len());
            assert!(about.abs_diff(found) <= 2, "{n}: {about} {found}");
        }
        assert_eq!(EntropyCode::new(&[1.0]).about(&[9]), 0);
    }

    /// A stream of symbols with shares 1/2, 1/4, 1/8 and 1/8 has an entropy of 7/4 bits.
    #[test]
    fn it_takes_the_entropy() {
        let code = EntropyCode::new(&[0.5, 0.25, 0.125, 0.125]);
        let symbols: Vec<u16> = (0..80_000).map(|i| [0, 1, 0, 2, 0, 1, 0, 3][i % 8]).collect();
        let bits = 8 * code.encode(&symbols).len() as u32;
        assert!((140_000..140_100).contains(&bits), "{bits}");
    }

    #[test]
    fn a_single_symbol_takes_nothing() {
        let code = EntropyCode::new(&[1.0]);
        assert!(code.encode(&[0; 9]).is_empty());
        assert_eq!(code.decode(&[7, 7], 3), [0; 3]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            masses in prop::collection::vec(0.0..1.0_f64, 1..EntropyCode::MOST_SYMBOLS),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
            tail in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let total: f64 = masses.iter().sum::<f64>() + 1e-9;
            let code = EntropyCode::new(&masses.iter().map(|m| m / total).collect::<Vec<_>>());
            let symbols: Vec<u16> =
                picks.iter().map(|pick| pick.index(masses.len()) as u16).collect();
            let bytes = [code.encode(&symbols), tail].concat();
            prop_assert_eq!(code.decode(&bytes, symbols.len()), symbols);
        }

        #[test]
        fn any_bytes_are_symbols(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let code = EntropyCode::new(&[0.999, 0.0, 0.001]);
            prop_assert!(code.decode(&bytes, 200).iter().all(|&symbol| symbol < 3));
        }
    }
}
