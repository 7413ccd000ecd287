//! The layout of a heat map.

use maud::{Markup, html};

use crate::axis::{Axis, Scale, Span};
use crate::error::ChartError;
use crate::heatmap::{Cell, Heatmap};
use crate::shade::Shade;
use crate::svg::{TEXT, fit_level, path, shortened, text_width, upright};
use crate::tick::{apart, named_ticks};

/// Width of a picture that would have room to spare.
const NARROW: f64 = 420.0;
/// Width that no number of columns exceeds.
const WIDE: f64 = 600.0;
/// Room right of the cells.
const RIGHT: f64 = 16.0;
/// Height of a row.
const ROW: f64 = 18.0;
/// Size of the numbers in the cells.
const SMALL: f64 = 11.0;
/// Height of the bar that explains the colours.
const BAR: f64 = 12.0;
/// Width of the sample of a cell without a value.
const SAMPLE: f64 = 24.0;
/// Shades in that bar: more than the eye tells apart.
const SHADES: u32 = 64;

/// A heat map with its lengths worked out.
pub(crate) struct Tiles<'a> {
    heatmap: &'a Heatmap,
    value: Span,
    left: f64,
    top: f64,
    /// Width of a column.
    column: f64,
    /// Whether names of columns stand upright.
    upright: bool,
    /// Whether numbers fit into the cells.
    numbers: bool,
}

impl<'a> Tiles<'a> {
    pub(crate) fn new(heatmap: &'a Heatmap, low: f64, high: f64) -> Result<Self, ChartError> {
        let extent = (low < high).then_some([low, high]);
        let range = heatmap.value.range.or(extent);
        let value = Span::new(&Axis { range, ..heatmap.value.clone() }, [low].into_iter())?;
        let Heatmap { rows, columns, .. } = heatmap;
        let widest = |texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| text_width(&text)).fold(0.0, f64::max)
        };
        let names = |axis: &Axis| widest(&mut axis.names.iter().map(|name| shortened(name)));
        let left = 12.0 + names(rows).max(text_width(&shortened(&rows.caption()))).ceil();
        let numbers = widest(&mut heatmap.values().map(|cell| number(&value, cell.value)));
        let count = columns.names.len() as f64;
        let roomy = left + count * (numbers * SMALL / TEXT + 5.0) + RIGHT;
        let column = (roomy.clamp(NARROW, WIDE) - left - RIGHT) / count;
        let upright = !fit_level(&columns.names, column);
        let depth = if upright { 6.0 + names(columns).ceil() } else { TEXT + 3.0 };
        let (top, numbers) = (28.0 + depth, roomy <= WIDE);
        Ok(Self { heatmap, value, left, top, column, upright, numbers })
    }

    fn width(&self) -> f64 {
        self.column * self.heatmap.columns.names.len() as f64
    }

    pub(crate) fn draw(&self, title: &str, description: &str) -> Markup {
        let bottom = self.top + ROW * self.heatmap.rows.names.len() as f64;
        let complete = self.heatmap.gaps().next().is_none();
        let width = self.left + self.width() + RIGHT;
        let height = bottom + if complete { 66.0 } else { 90.0 };
        html! {
            svg xmlns="http://www.w3.org/2000/svg" role="img"
                viewBox={ "0 0 " (tenths(width)) " " (height) }
                font-family="system-ui, 'DejaVu Sans', sans-serif" font-size=(TEXT) fill="#1a1a1a" {
                title { (title) }
                desc { (description) }
                rect width=(tenths(width)) height=(height) fill="#fff" {}
                (self.names())
                (self.cells())
                (self.legend(bottom + 12.0))
                @if !complete {
                    (empty(self.left, bottom + 68.0, SAMPLE))
                    text x=(self.left + SAMPLE + 6.0) y=(bottom + 68.0 + ROW / 2.0)
                        dy="0.35em" { "no value" }
                }
            }
        }
    }

    fn names(&self) -> Markup {
        let (left, top) = (self.left, self.top);
        let Heatmap { rows, columns, .. } = self.heatmap;
        let middle = |column: f64| left + self.column * (column + 0.5);
        let extent = |name: &str| if self.upright { TEXT } else { text_width(name) };
        html! {
            text x=(tenths(left + self.width() / 2.0)) y="16" text-anchor="middle"
                font-weight="600" { (columns.caption()) }
            @for tick in apart(named_ticks(&columns.names, |_| true), middle, extent) {
                @let x = tenths(middle(tick.value));
                @if let Some(name) = tick.label {
                    @if self.upright {
                        (upright(&x, top - 6.0, "start", &name))
                    } @else {
                        text x=(x) y=(top - 6.0) text-anchor="middle" { (name) }
                    }
                }
            }
            g text-anchor="end" {
                text x=(left - 7.0) y=(top - 6.0) font-weight="600" {
                    (shortened(&rows.caption()))
                }
                @for tick in named_ticks(&rows.names, |_| true) {
                    text x=(left - 7.0) y=(top + ROW * (tick.value + 0.5)) dy="0.35em" {
                        (tick.label.unwrap_or_default())
                    }
                }
            }
        }
    }

    fn cells(&self) -> Markup {
        html! {
            g text-anchor="middle" font-size=(SMALL) {
                @for cell in self.heatmap.values() { (self.cell(&cell)) }
            }
            @for place in self.heatmap.gaps() {
                @let (left, top) = self.corner(place);
                (empty(left, top, self.column))
            }
        }
    }

    /// The upper left corner of a cell.
    fn corner(&self, [row, column]: [usize; 2]) -> (f64, f64) {
        (self.left + self.column * column as f64, self.top + ROW * row as f64)
    }

    fn cell(&self, cell: &Cell) -> Markup {
        let (left, top) = self.corner(cell.place);
        let shade = Shade::of(self.value.fraction(cell.value));
        html! {
            rect x=(tenths(left)) y=(tenths(top)) width=(tenths(self.column - 1.0))
                height=(ROW - 1.0) fill=(shade.hex()) { title { (cell) } }
            @if self.numbers {
                text x=(tenths(left + self.column / 2.0)) y=(tenths(top + ROW / 2.0)) dy="0.35em"
                    fill=(shade.ink()) pointer-events="none" { (number(&self.value, cell.value)) }
            }
        }
    }

    /// The shades from the low end of the values to the high one, with ticks below.
    fn legend(&self, top: f64) -> Markup {
        let (left, width, bottom) = (self.left, self.width(), top + BAR);
        let place = |value: f64| left + width * self.value.fraction(value);
        html! {
            @for i in 0..SHADES {
                @let start = f64::from(i) / f64::from(SHADES);
                // Each shade reaches to the end, beneath those that follow: no seams.
                rect x=(tenths(left + width * start)) y=(top) width=(tenths(width * (1.0 - start)))
                    height=(BAR) fill=(Shade::of(f64::from(i) / f64::from(SHADES - 1)).hex()) {}
            }
            @for tick in apart(self.value.ticks(), place, text_width) {
                @let x = tenths(place(tick.value));
                line x1=(x) x2=(x) y1=(bottom) y2=(bottom + 3.0) stroke="#8a8a8a" {}
                @if let Some(label) = tick.label {
                    text x=(x) y=(bottom + 16.0) text-anchor="middle" { (label) }
                }
            }
            text x=(tenths(left + width / 2.0)) y=(bottom + 35.0) text-anchor="middle"
                font-weight="600" { (self.heatmap.value.caption()) }
        }
    }
}

/// A cell without a value: paper, crossed out.
fn empty(left: f64, top: f64, width: f64) -> Markup {
    let (right, bottom) = (left + width - 1.5, top + ROW - 1.5);
    let (left, top) = (left + 0.5, top + 0.5);
    let frame = path([(left, top), (right, top), (right, bottom), (left, bottom)]);
    html! {
        path d={ (frame) "Z" (path([(left, bottom), (right, top)])) } fill="none" stroke="#bbb" {}
    }
}

/// A value for its cell: as many decimals for all, a hundredth of their range or finer; two digits on a
/// logarithmic scale that stays near 1, and one on others.
fn number(values: &Span, value: f64) -> String {
    let [low, high] = values.ends();
    let power = (high - low).log10().ceil() as i32;
    match values.scale {
        Scale::Linear if (-2..=4).contains(&power) => {
            let decimals = (2 - power).max(0);
            let shift = 10f64.powi(decimals);
            // Zero is never "-0".
            let rounded = (value * shift).round() / shift + 0.0;
            format!("{rounded:.*}", decimals as usize).replace('-', "−")
        }
        Scale::Log10 if low >= 0.01 && high < 10_000.0 => {
            let decimals = (1 - value.log10().floor() as i32).max(0);
            format!("{value:.*}", decimals as usize)
        }
        // Only a hyphen is narrow enough.
        _ => format!("{value:.0e}"),
    }
}

fn tenths(length: f64) -> String {
    format!("{length:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forty_layers(value: f64) -> Heatmap {
        Heatmap {
            rows: Axis::named("layer", (0..40).map(|i| format!("blocks.{i}.attention.qkv.weight"))),
            columns: Axis::named("bit", (0..12).map(|bit| bit.to_string())),
            value: Axis::linear("accuracy", "").between(0.0, 1.0),
            cells: vec![vec![Some(value); 12]; 40],
        }
    }

    #[test]
    fn forty_layers_and_twelve_bits_fit_with_their_numbers() -> Result<(), ChartError> {
        let heatmap = forty_layers(0.875);
        let tiles = Tiles::new(&heatmap, 0.875, 0.875)?;
        assert!(tiles.numbers && !tiles.upright);
        assert!(tiles.left + tiles.width() + RIGHT <= WIDE && ROW > TEXT);
        assert_eq!(tiles.corner([40, 12]), (tiles.left + tiles.width(), tiles.top + 40.0 * ROW));
        Ok(())
    }

    #[test]
    fn ratios_have_two_digits_and_powers_of_ten_one() -> Result<(), ChartError> {
        let span =
            |low, high| Span::new(&Axis::log10("ratio", "").between(low, high), std::iter::empty());
        let near = span(1.1, 33.0)?;
        assert_eq!([1.52, 9.6, 33.2].map(|value| number(&near, value)), ["1.5", "9.6", "33"]);
        assert_eq!(number(&span(0.02, 0.5)?, 0.123), "0.12");
        assert_eq!(number(&span(1e-9, 0.5)?, 0.123), "1e-1");
        Ok(())
    }

    #[test]
    fn numbers_that_do_not_all_fit_are_left_to_the_colours() -> Result<(), ChartError> {
        let heatmap = forty_layers(-1234.5);
        let tiles = Tiles::new(&heatmap, -1234.5, -1234.5)?;
        assert!(!tiles.numbers);
        let svg = heatmap.to_svg("t")?;
        assert!(!svg.contains(">−1234.50</text>") && svg.contains("0: -1234.5</title>"));
        Ok(())
    }

    #[test]
    fn all_numbers_have_the_decimals_that_their_range_deserves() -> Result<(), ChartError> {
        let numbers = |axis: Axis, values: [f64; 3]| {
            let span = Span::new(&axis.between(values[0], values[2]), std::iter::empty())?;
            Ok::<_, ChartError>(values.map(|value| number(&span, value)))
        };
        let linear = || Axis::linear("", "");
        assert_eq!(numbers(linear(), [0.0, 0.875, 1.0])?, ["0.00", "0.88", "1.00"]);
        assert_eq!(numbers(linear(), [-0.4, -0.001, 99.6])?, ["0", "0", "100"]);
        assert_eq!(numbers(linear(), [-3.0, 0.25, 4.0])?, ["−3.0", "0.3", "4.0"]);
        assert_eq!(numbers(linear(), [0.0, 1.6e-6, 3e-6])?, ["0e0", "2e-6", "3e-6"]);
        assert_eq!(numbers(Axis::log10("", ""), [1e-9, 0.034, 1.0])?, ["1e-9", "3e-2", "1e0"]);
        Ok(())
    }
}
