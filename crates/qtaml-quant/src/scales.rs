//! The scales of a tensor, and the way from its weights to words and back.

use crate::rounding::{Steps, WordTable, even_codes_across};
use crate::{Across, Code, CodeRange, Format, Grid, GroupLayout, Origin, QuantError, Word};

/// The grids of all groups of a tensor.
///
/// Weights become words and words weights at any row-major position, so that a tensor need never be in
/// memory as a whole; its scales are.
///
/// ```
/// use qtaml_quant::{BitWidth, CodeRange, Granularity, Grid, GroupLayout, Scales};
///
/// // Two output channels along axis 0, the second a hundred times as large.
/// let layout = GroupLayout::of(&[2, 3], Some(0), Granularity::Channel)?;
/// let grid = |limit: f32| Grid::spanning(BitWidth::INT4, CodeRange::Symmetric, -limit, limit);
/// let scales = Scales::new(layout, &[grid(0.7)?, grid(70.0)?])?;
/// let weights = [0.1, -0.7, 0.2, 10.0, -70.0, 20.0];
/// let mut words = [0; 6];
/// scales.quantize(0, &weights, &mut words);
/// let mut read = [0.0; 2];
/// scales.dequantize(2, &words[2..4], &mut read);
/// assert_eq!(read, [0.2, 10.0]);
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    format: Format,
    layout: GroupLayout,
    steps: Vec<f32>,
    origins: Origins,
    tables: Box<Tables>,
}

/// Without those that every group has.
#[derive(Debug, Clone, PartialEq)]
enum Origins {
    Zero,
    Minimum(Vec<f32>),
    ZeroPoint(Vec<i8>),
}

#[derive(Debug, Clone, PartialEq)]
struct Tables {
    words: WordTable,
    /// The code of each word.
    codes: [f32; 256],
}

impl Tables {
    fn of(format: Format) -> Self {
        let code = |word| format.code_of(Word(word as u8)).0 as f32;
        Self { words: WordTable::of(format), codes: std::array::from_fn(code) }
    }
}

impl Scales {
    /// The grids of the groups, in their order.
    ///
    /// # Errors
    /// [`QuantError::Groups`] unless there is one for each group, all of one format and range.
    pub fn new(layout: GroupLayout, grids: &[Grid]) -> Result<Self, QuantError> {
        let error = QuantError::Groups { groups: layout.groups(), given: grids.len() };
        let Some(first) = grids.first().filter(|_| grids.len() == layout.groups()) else {
            return Err(error);
        };
        let mut scales = Self::empty(layout, first.format(), first.origin().range());
        for &grid in grids {
            if !scales.push(grid) {
                return Err(error);
            }
        }
        Ok(scales)
    }

    fn empty(layout: GroupLayout, format: Format, range: CodeRange) -> Self {
        let origins = match range {
            CodeRange::Symmetric => Origins::Zero,
            CodeRange::MinMax => Origins::Minimum(Vec::new()),
            CodeRange::ZeroPoint => Origins::ZeroPoint(Vec::new()),
        };
        let (steps, tables) = (Vec::new(), Box::new(Tables::of(format)));
        Self { format, layout, steps, origins, tables }
    }

    /// Whether the grid is like those before.
    fn push(&mut self, grid: Grid) -> bool {
        match (&mut self.origins, grid.origin()) {
            (Origins::Zero, Origin::Zero) => {}
            (Origins::Minimum(all), Origin::Minimum(minimum)) => all.push(minimum),
            (Origins::ZeroPoint(all), Origin::ZeroPoint(Code(code))) => all.push(code as i8),
            _ => return false,
        }
        self.steps.push(grid.scale());
        grid.format() == self.format
    }

    /// What the words mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Which weights share a scale.
    pub fn layout(&self) -> GroupLayout {
        self.layout
    }

    /// What the codes are spread over.
    pub fn range(&self) -> CodeRange {
        self.grid(0).origin().range()
    }

    /// The scales, in the order of the groups.
    pub fn scales(&self) -> &[f32] {
        &self.steps
    }

    /// The grid of a group.
    ///
    /// # Panics
    /// If there is no such group.
    #[inline]
    pub fn grid(&self, group: usize) -> Grid {
        let origin = match &self.origins {
            Origins::Zero => Origin::Zero,
            Origins::Minimum(minima) => Origin::Minimum(minima[group]),
            Origins::ZeroPoint(codes) => Origin::ZeroPoint(Code(codes[group].into())),
        };
        Grid::as_read(self.format, self.steps[group], origin)
    }

    /// All grids, in the order of the groups.
    pub fn grids(&self) -> impl ExactSizeIterator<Item = Grid> {
        (0..self.steps.len()).map(|group| self.grid(group))
    }

    /// Bits that are stored for the scales and their origins.
    pub fn metadata_bits(&self) -> u64 {
        self.grid(0).metadata_bits() * self.steps.len() as u64
    }

    /// Writes the words of the weights that begin at a row-major position.
    ///
    /// # Panics
    /// If the tensor does not have so many, or there are not as many words.
    pub fn quantize(&self, first: usize, weights: &[f32], words: &mut [u8]) {
        assert_eq!(weights.len(), words.len(), "one word for each weight");
        let positions = first..first + weights.len();
        if let Some(stretches) = self.layout.across(positions.clone()) {
            for across in stretches {
                let here = across.within(first);
                self.codes_across(&across, &weights[here.clone()], &mut words[here]);
            }
        } else {
            for run in self.layout.runs(positions) {
                let here = run.within(first);
                let steps = Steps::of(self.grid(run.group));
                steps.codes(&weights[here.clone()], &mut words[here]);
            }
        }
        self.tables.words.translate(words);
    }

    /// The lowest bytes of the codes of weights, each on a grid of its own.
    fn codes_across(&self, across: &Across, weights: &[f32], codes: &mut [u8]) {
        if matches!(self.origins, Origins::Zero) {
            even_codes_across(&across.gather(&self.steps), self.format, weights, codes);
            return;
        }
        for (group, (code, &weight)) in across.groups().zip(codes.iter_mut().zip(weights)) {
            *code = Steps::of(self.grid(group)).code(weight);
        }
    }

    /// Writes the weights of the words that begin at a row-major position.
    ///
    /// # Panics
    /// If the tensor does not have so many, or there are not as many weights.
    pub fn dequantize(&self, first: usize, words: &[u8], weights: &mut [f32]) {
        assert_eq!(weights.len(), words.len(), "one weight for each word");
        let positions = first..first + words.len();
        if let Some(stretches) = self.layout.across(positions.clone()) {
            for across in stretches {
                let here = across.within(first);
                self.weights_across(&across, &words[here.clone()], &mut weights[here]);
            }
            return;
        }
        let codes = &self.tables.codes;
        for run in self.layout.runs(positions) {
            let here = run.within(first);
            let (words, weights) = (&words[here.clone()], &mut weights[here]);
            let grid = self.grid(run.group);
            match self.origins {
                Origins::Zero => {
                    let scale = grid.scale();
                    for (weight, &word) in weights.iter_mut().zip(words) {
                        *weight = scale * codes[usize::from(word)];
                    }
                }
                Origins::Minimum(_) | Origins::ZeroPoint(_) => {
                    for (weight, &word) in weights.iter_mut().zip(words) {
                        *weight = grid.weight_of(codes[usize::from(word)].into()) as f32;
                    }
                }
            }
        }
    }

    /// The weights of words, each on a grid of its own.
    fn weights_across(&self, across: &Across, words: &[u8], weights: &mut [f32]) {
        let codes = &self.tables.codes;
        let pairs = weights.iter_mut().zip(words);
        if matches!(self.origins, Origins::Zero) {
            let scales = across.gather(&self.steps);
            for (&scale, (weight, &word)) in scales.iter().zip(pairs) {
                *weight = scale * codes[usize::from(word)];
            }
            return;
        }
        for (group, (weight, &word)) in across.groups().zip(pairs) {
            *weight = self.grid(group).weight_of(codes[usize::from(word)].into()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitWidth, Encoding, Granularity};

    proptest! {
        /// Weights that lie across their channels, against each of them on its grid.
        #[test]
        fn weights_across_channels_are_those_of_their_own_grids(
            weights in prop::collection::vec(-2.0_f32..2.0, 60),
            limits in prop::collection::vec((-2.0_f32..0.1, -0.1_f32..2.0), 60),
            shape in prop::sample::select(vec![[12, 5], [1, 60], [4, 15]]),
            granularity in prop::sample::select(vec![Granularity::Channel, Granularity::Group(3)]),
            range in prop::sample::select(CodeRange::ALL.to_vec()),
            from in 0_usize..60,
        ) {
            let format = Format::new(BitWidth::INT4, Encoding::Gray);
            let layout = GroupLayout::of(&shape, Some(1), granularity).unwrap();
            let spanning = |&(low, high): &(f32, f32)| {
                Grid::spanning(format, range, low.min(high), high.max(low)).unwrap()
            };
            let mut grids: Vec<Grid> = limits[..layout.groups()].iter().map(spanning).collect();
            // A channel of zeros has no step.
            grids[0] = Grid::spanning(format, range, 0.0, 0.0).unwrap();
            let scales = Scales::new(layout, &grids).unwrap();
            let (mut words, mut read) = (vec![0; 60 - from], vec![0.0; 60 - from]);
            scales.quantize(from, &weights[from..], &mut words);
            scales.dequantize(from, &words, &mut read);
            for (position, (&word, &read)) in (from..).zip(words.iter().zip(&read)) {
                let grid = grids[layout.group_of(position)];
                prop_assert_eq!(Word(word), crate::Rounding::on(grid).word(weights[position]));
                let code = f64::from(format.code_of(Word(word)).0);
                prop_assert!((grid.weight_of(code) as f32 - read).abs() <= 1e-6 * read.abs());
            }
        }
    }
}
