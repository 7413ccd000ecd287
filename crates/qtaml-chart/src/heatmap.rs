//! A heat map as data, with its description in words and its SVG.

use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::error::ChartError;
use crate::tiles::Tiles;

/// A value for every pair of two kinds of things, from light for low to dark for high.
///
/// ```
/// use qtaml_chart::{Axis, Heatmap};
///
/// let heatmap = Heatmap {
///     rows: Axis::named("layer", ["conv1", "fc1"]),
///     columns: Axis::named("bit", ["7 (sign)", "6", "5"]),
///     value: Axis::linear("accuracy", "%"),
///     cells: vec![vec![Some(11.0), Some(52.5), Some(84.0)], vec![Some(35.0), Some(71.0), None]],
/// };
/// let svg = heatmap.to_svg("Accuracy with one faulty bit")?;
/// assert!(svg.contains("<title>conv1, 7 (sign): 11</title>"));
/// # Ok::<(), qtaml_chart::ChartError>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// The things from top to bottom; see [`Axis::named`].
    pub rows: Axis,
    /// The things from left to right; see [`Axis::named`].
    pub columns: Axis,
    /// What the colours mean. Values outside of its range have the colours of its ends.
    pub value: Axis,
    /// The values, row by row; `None` where there is none.
    pub cells: Vec<Vec<Option<f64>>>,
}

impl Heatmap {
    /// The picture. Values are written into their cells where all of them fit.
    ///
    /// # Errors
    ///
    /// [`ChartError::UnnamedRows`] and [`ChartError::RaggedRow`] if cells and names do not match,
    /// [`ChartError::ImpossibleCell`] if a value is not finite, or not positive on a logarithmic
    /// scale, [`ChartError::NothingToShow`] if there are no values,
    /// [`ChartError::ImpossibleRange`] if the range of the values cannot be shown.
    pub fn to_svg(&self, title: &str) -> Result<String, ChartError> {
        self.check()?;
        let by_value = |a: &Cell, b: &Cell| a.value.total_cmp(&b.value);
        let (Some(low), Some(high)) =
            (self.values().min_by(by_value), self.values().max_by(by_value))
        else {
            let points = self.cells.iter().map(Vec::len).sum();
            return Err(ChartError::NothingToShow { title: title.into(), points });
        };
        let tiles = Tiles::new(self, low.value, high.value)?;
        Ok(tiles.draw(title, &self.description(&low, &high)).into_string())
    }

    fn check(&self) -> Result<(), ChartError> {
        let (names, rows, columns) =
            (self.rows.names.len(), self.cells.len(), self.columns.names.len());
        if names != rows {
            return Err(ChartError::UnnamedRows { names, rows });
        }
        for (row, cells) in self.rows.names.iter().zip(&self.cells) {
            if cells.len() != columns {
                let (row, cells) = (row.clone(), cells.len());
                return Err(ChartError::RaggedRow { row, cells, columns });
            }
        }
        match self.values().find(|cell| !self.value.scale.shows(cell.value)) {
            None => Ok(()),
            Some(Cell { row, column, value, .. }) => Err(ChartError::ImpossibleCell {
                row: row.into(),
                column: column.into(),
                value,
                scale: self.value.scale,
            }),
        }
    }

    /// The cells that have a value, row by row.
    pub(crate) fn values(&self) -> impl Iterator<Item = Cell<'_>> {
        let rows = self.rows.names.iter().zip(&self.cells).enumerate();
        rows.flat_map(move |(i, (row, cells))| {
            let cells = self.columns.names.iter().zip(cells).enumerate();
            cells.filter_map(move |(j, (column, cell))| {
                cell.map(|value| Cell { row, column, place: [i, j], value })
            })
        })
    }

    /// Row and column of the cells that have none.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = [usize; 2]> {
        self.cells.iter().enumerate().flat_map(|(i, row)| {
            let empty = row.iter().enumerate().filter(|(_, cell)| cell.is_none());
            empty.map(move |(j, _)| [i, j])
        })
    }

    /// The picture in words, for readers who do not see it.
    fn description(&self, low: &Cell, high: &Cell) -> String {
        let (rows, columns) = (self.rows.names.len(), self.columns.names.len());
        let gaps = match self.gaps().count() {
            0 => String::new(),
            gaps => format!(" {gaps} of {} cells have no value.", rows * columns),
        };
        format!(
            "{} by {} ({rows}) and {} ({columns}). Lowest: {low}. Highest: {high}.{gaps}",
            self.value.caption(),
            self.rows.caption(),
            self.columns.caption(),
        )
    }
}

/// One cell with a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    row: &'a str,
    column: &'a str,
    /// Row and column, counted from 0.
    pub(crate) place: [usize; 2],
    pub(crate) value: f64,
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { row, column, value, .. } = self;
        if *value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
            write!(f, "{row}, {column}: {}", (value * 1e4).round() / 1e4)
        } else {
            write!(f, "{row}, {column}: {value:.3e}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap(value: Axis, cells: &[&[Option<f64>]]) -> Heatmap {
        Heatmap {
            rows: Axis::named("layer", ["conv1", "<fc>"]),
            columns: Axis::named("bit", ["7 (sign)", "6", "5"]),
            value,
            cells: cells.iter().map(|row| row.to_vec()).collect(),
        }
    }

    #[test]
    fn cells_that_cannot_be_shown_are_errors() {
        let error = |value: Axis, cells: &[&[Option<f64>]]| {
            heatmap(value, cells)
                .to_svg("t")
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let full: &[Option<f64>] = &[Some(0.0), Some(1.0), Some(2.0)];
        assert_eq!(
            error(Axis::linear("", ""), &[full]),
            "heat map with 2 names of rows: 1 rows of cells, must be one per name"
        );
        assert_eq!(
            error(Axis::linear("", ""), &[full, &full[1..]]),
            "row \"<fc>\" of a heat map: 2 cells, must be 3, one per column"
        );
        assert_eq!(
            error(Axis::linear("", ""), &[full, &[Some(1.0), Some(f64::NAN), None]]),
            "cell (\"<fc>\", \"6\"): NaN, must fit the Linear scale, or be no value at all"
        );
        assert_eq!(
            error(Axis::log10("", ""), &[full, full]),
            "cell (\"conv1\", \"7 (sign)\"): 0, must fit the Log10 scale, or be no value at all"
        );
        assert_eq!(
            error(Axis::linear("", ""), &[&[None; 3], &[None; 3]]),
            "figure \"t\": none of its 6 points has a place on its axes"
        );
        assert_eq!(
            error(Axis::linear("loss", "").between(1.0, 0.0), &[full, full]),
            "axis \"loss\": range 1 to 0, must rise and fit the Linear scale"
        );
    }

    #[test]
    fn the_picture_is_accessible_responsive_escaped_and_repeatable() -> Result<(), ChartError> {
        let cells: &[&[Option<f64>]] =
            &[&[Some(10.0), Some(84.25), None], &[Some(11.5), None, Some(93.0)]];
        let map = heatmap(Axis::linear("accuracy", "%"), cells);
        let svg = map.to_svg("a < b")?;
        assert!(svg.contains(r#"role="img""#) && svg.contains("<title>a &lt; b</title>"));
        assert!(svg.contains(
            "<desc>accuracy [%] by layer (2) and bit (3). Lowest: conv1, 7 (sign): 10. \
             Highest: &lt;fc&gt;, 5: 93. 2 of 6 cells have no value.</desc>"
        ));
        assert!(svg.contains(">no value</text>") && svg.contains(">accuracy [%]</text>"));
        let opening = svg.split('>').next().unwrap_or_default();
        assert!(opening.contains("viewBox=") && !opening.contains(" width="));
        assert!(!svg.contains(" id=") && !svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg, map.to_svg("a < b")?);
        Ok(())
    }

    #[test]
    fn one_value_alone_still_makes_a_picture() -> Result<(), ChartError> {
        for value in [0.0, -7.0, 1e-300, 1e300] {
            let cells: &[&[Option<f64>]] = &[&[Some(value), None, None], &[None; 3]];
            let svg = heatmap(Axis::linear("", ""), cells).to_svg("t")?;
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{value}: {svg}");
        }
        Ok(())
    }

    #[test]
    fn values_are_told_in_four_digits() {
        let told = |value| Cell { row: "a", column: "b", place: [0, 0], value }.to_string();
        let values = [0.0, 84.0, -0.123_456, 2.5e-9, 3e7].map(told);
        assert_eq!(
            values,
            ["a, b: 0", "a, b: 84", "a, b: -0.1235", "a, b: 2.500e-9", "a, b: 3.000e7"]
        );
    }
}
