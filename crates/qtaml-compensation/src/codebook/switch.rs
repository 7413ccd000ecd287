//! Binary switching: a better assignment of words to the same cells.

use qtaml_physics::{FlipProbability, FlipProfile};

use super::encoder::Encoder;
use super::{Sample, WordChannel};

/// Lets cells take other words, or each other's, as long as the error falls, and weighs at most
/// `tries` such switches, which it counts down; words that differ in the fewest bits come first. Whether any was made.
///
/// # Formula
/// With the best table the error is `E[w^2] - Σ_y S_y^2 / N_y` over mass `N` and first moment `S` of
/// what is read as `y`, and a switch moves both along two rows of the channel: `2^R` steps. It is
/// the binary switching algorithm of Zeger and Gersho (IEEE Transactions on Communications 38, 2147,
/// 1990), with a decoder that follows every switch and with words that belong to no cell.
pub(super) fn switch_words(
    encoder: &mut Encoder,
    sample: &Sample,
    channel: &WordChannel,
    tries: &mut usize,
) -> bool {
    let mut masks: Vec<u16> = (1..channel.words() as u16).collect();
    masks.sort_by_key(|mask| mask.count_ones());
    let cells = encoder.words.len();
    let moves = || masks.iter().flat_map(|&mask| (0..cells).map(move |cell| (cell, mask)));

    let mut search = Search::new(encoder, sample, channel);
    let mut in_vain = 0;
    let mut changed = false;
    for (cell, mask) in moves().cycle() {
        if *tries == 0 || in_vain == masks.len() * cells {
            break;
        }
        *tries -= 1;
        in_vain += 1;
        if search.switch(cell, mask) {
            (changed, in_vain) = (true, 0);
        }
    }
    changed
}

/// The cells and their words, and what is read of them.
struct Search<'a> {
    channel: WordChannel,
    words: &'a mut [u16],
    cells: Vec<[f64; 3]>,
    /// The cell that has a word.
    owner: Vec<Option<usize>>,
    mass: Vec<f64>,
    first: Vec<f64>,
    /// `Σ_y S_y^2 / N_y`.
    explained: f64,
    rows: [Vec<f64>; 2],
}

impl<'a> Search<'a> {
    fn new(encoder: &'a mut Encoder, sample: &Sample, channel: &WordChannel) -> Self {
        let [mass, first] = encoder.read(sample, channel);
        let cells = sample.cells(&encoder.thresholds).collect();
        let words = encoder.words.as_mut_slice();
        let mut owner = vec![None; channel.words()];
        for (cell, &word) in words.iter().enumerate() {
            owner[usize::from(word)] = Some(cell);
        }
        let explained = mass.iter().zip(&first).map(|(&n, &s)| share(n, s)).sum();
        let rows = [Vec::new(), Vec::new()];
        let channel = as_first_designed(channel);
        Self { channel, words, cells, owner, mass, first, explained, rows }
    }

    /// Gives a cell the word that differs in the bits of `mask`, and the cell that had it the
    /// other one, if that is better.
    fn switch(&mut self, cell: usize, mask: u16) -> bool {
        let (from, to) = (self.words[cell], self.words[cell] ^ mask);
        let other = self.owner[usize::from(to)];
        let [mass, first, _] = self.cells[cell];
        let [mass, first] = match other {
            Some(other) => [mass - self.cells[other][0], first - self.cells[other][1]],
            None => [mass, first],
        };
        self.channel.row_into(from, &mut self.rows[0]);
        self.channel.row_into(to, &mut self.rows[1]);
        let step = || self.rows[0].iter().zip(&self.rows[1]).map(|(from, to)| to - from);
        let read = self.mass.iter().zip(&self.first).zip(step());
        let explained = read.map(|((n, s), step)| share(n + mass * step, s + first * step)).sum();
        if explained <= self.explained * (1.0 + 1e-10) {
            return false;
        }
        for ((n, s), step) in self.mass.iter_mut().zip(&mut self.first).zip(step()) {
            *n += mass * step;
            *s += first * step;
        }
        self.explained = explained;
        self.words[cell] = to;
        self.owner[usize::from(to)] = Some(cell);
        self.owner[usize::from(from)] = other;
        if let Some(other) = other {
            self.words[other] = from;
        }
        true
    }
}

/// The same channel with each `p10` as `1 - (1 - p10)`, rounded twice. Standard codes are constants of
/// a format: the first ones were designed with such rows, and must come out the same to the last bit.
fn as_first_designed(channel: &WordChannel) -> WordChannel {
    let rounded = |flips: &FlipProbability| {
        FlipProbability::asymmetric(flips.p01(), 1.0 - (1.0 - flips.p10())).unwrap_or(*flips)
    };
    let flips = FlipProfile::per_bit(channel.flips().iter().map(rounded).collect()).ok();
    let rounded = flips.and_then(|flips| WordChannel::new(flips, channel.width()).ok());
    rounded.unwrap_or_else(|| channel.clone())
}

/// What of the mean square one word read explains; nothing where rounding alone left a mass.
fn share(mass: f64, first: f64) -> f64 {
    first * first / mass.max(1e-18)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::codebook::start::starts;

    /// The error by the rows that a switch moves, against that of the new encoder from scratch.
    #[test]
    fn switches_cost_what_the_search_thinks() {
        let sample = Sample::gaussian();
        let flips = FlipProbability::asymmetric(0.1, 0.2).unwrap();
        let channel = WordChannel::new(flips, 4).unwrap();
        for start in starts(&sample, &channel) {
            let mut encoder = start.clone();
            let mut tries = 1000;
            let changed = switch_words(&mut encoder, &sample, &channel, &mut tries);
            let explained = Search::new(&mut encoder.clone(), &sample, &channel).explained;
            let mse = encoder.mse(&encoder.best_table(&sample, &channel), &sample, &channel);
            assert_relative_eq!(mse, 1.0 - explained, epsilon = 1e-9);
            let before = start.mse(&start.best_table(&sample, &channel), &sample, &channel);
            assert!(if changed { mse < before } else { encoder == start });
            let mut words = encoder.words.clone();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), encoder.words.len(), "no two cells share a word");
        }
    }

    #[test]
    fn no_more_are_tried_than_allowed() {
        let sample = Sample::gaussian();
        let channel = WordChannel::new(FlipProbability::symmetric(0.01).unwrap(), 4).unwrap();
        let start = &starts(&sample, &channel)[0];
        let mut tries = 0;
        assert!(!switch_words(&mut start.clone(), &sample, &channel, &mut tries));
        let mut tries = usize::MAX;
        switch_words(&mut start.clone(), &sample, &channel, &mut tries);
        assert!(usize::MAX - tries < 10_000, "it ends on its own");
    }

    /// The probability of a 1 where a bit is read, and that of a 0 as what it leaves of 1.
    #[test]
    fn rows_are_those_of_the_first_codes_to_the_last_bit() {
        for (p01, p10) in [(0.1, 0.1), (0.02, 0.3), (1e-17, 0.7), (0.9, 1e-9), (1.0, 1e-18)] {
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            let channel = as_first_designed(&WordChannel::new(flips, 3).unwrap());
            for stored in 0..8_u16 {
                let bit = |read: u16, bit: u16| {
                    let one = if stored >> bit & 1 == 1 { 1.0 - p10 } else { p01 };
                    if read >> bit & 1 == 1 { one } else { 1.0 - one }
                };
                let row: Vec<f64> =
                    (0..8).map(|read| bit(read, 0) * bit(read, 1) * bit(read, 2)).collect();
                assert_eq!(channel.row(stored), row);
            }
        }
    }
}
