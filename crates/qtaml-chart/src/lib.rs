//! Small scientific charts as data, drawn as SVG that needs nothing but itself.
//!
//! # The walk
//!
//! 1. A [`Chart`] is two axes and what lies between them. An [`Axis`] has a label, a unit and a
//!    [`Scale`], and fits its data unless told its range. [`Axis::named`] is an axis of things.
//! 2. A [`Series`] is a row of [`Point`]s under one name; its [`Mark`] says whether they are a
//!    formula (a line), a histogram (steps) or measurements (markers). A point may carry its interval.
//! 3. A [`Rule`] is a reference line with a few words to it.
//! 4. A [`Heatmap`] has two axes of things, and a value where they meet.
//! 5. [`Picture::to_svg`] draws either. The picture scales with the page, uses no ids, styles or
//!    scripts, describes itself to readers who do not see it, tells series apart by colour *and*
//!    by marker and dash, and is the same bytes for the same data.
//!
//! ```
//! use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
//!
//! // A decade per 0.2 nm, and two measurements with their 95 % intervals.
//! let formula = (0..=20).map(|i| 2.0 + 0.1 * f64::from(i)).map(|d| (d, 10f64.powf(-d / 0.2)));
//! let seen = [(2.5, 4e-13, [2e-13, 6e-13]), (3.5, 3e-18, [1e-18, 5e-18])];
//! let chart = Chart {
//!     x: Axis::linear("oxide thickness", "nm"),
//!     y: Axis::log10("transmission", ""),
//!     series: vec![
//!         Series::new("formula", Mark::Line, formula),
//!         Series::new("seen", Mark::Points, seen),
//!     ],
//!     rules: vec![Rule::horizontal(1e-15, "one in 10\u{b9}\u{2075}")],
//! };
//! let svg = chart.to_svg("Leakage of an oxide")?;
//! assert!(svg.starts_with("<svg") && svg.contains("transmission against oxide thickness [nm]."));
//! # Ok::<(), qtaml_chart::ChartError>(())
//! ```

#![deny(missing_docs)]

mod axis;
mod chart;
mod error;
mod heatmap;
mod look;
mod picture;
mod plot;
mod rule;
mod series;
mod shade;
mod svg;
mod tick;
mod tiles;

pub use axis::{Axis, Scale};
pub use chart::Chart;
pub use error::ChartError;
pub use heatmap::Heatmap;
pub use picture::Picture;
pub use rule::{At, Rule};
pub use series::{Mark, Point, Series};
