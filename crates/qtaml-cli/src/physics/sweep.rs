//! The flip probability along one quantity, as a table, as CSV and as a chart.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use clap::ValueEnum;
use qtaml::files;
use qtaml_chart::{Axis, Chart, Mark, Scale, Series};
use serde::Serialize;

use super::input::Input;
use super::quantity::Quantity;
use super::steps::Steps;
use crate::number::{duration, readable};

const FORM: &str = "QUANTITY=LOW..HIGH[:POINTS][:log|:linear]";
const POINTS: usize = 61;
const MOST_POINTS: usize = 10_000;

/// One quantity from one value to another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sweep {
    pub(super) quantity: Quantity,
    low: f64,
    high: f64,
    points: usize,
    scale: Scale,
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("the form is {FORM}"))?;
        let quantity = Quantity::from_str(name, false)
            .map_err(|_| format!("{name:?} cannot be swept, only {}", Quantity::names()))?;
        let mut parts = rest.split(':');
        let (low, high) = parts
            .next()
            .and_then(|range| range.split_once(".."))
            // Three dots could belong to either number.
            .filter(|(_, high)| !high.starts_with('.'))
            .ok_or_else(|| format!("the form is {FORM}"))?;
        let (mut points, mut scale) = (None, None);
        for part in parts {
            let again = match part {
                "log" => scale.replace(Scale::Log10).is_some(),
                "linear" => scale.replace(Scale::Linear).is_some(),
                _ => points.replace(count(part)?).is_some(),
            };
            if again {
                return Err(format!("{part:?} says again what was said; the form is {FORM}"));
            }
        }
        let usual = match quantity {
            Quantity::RetentionS => Scale::Log10,
            _ => Scale::Linear,
        };
        let (points, scale) = (points.unwrap_or(POINTS), scale.unwrap_or(usual));
        Self { quantity, low: number(low)?, high: number(high)?, points, scale }.checked()
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is not a finite number"))
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (2..=MOST_POINTS).contains(count));
    let allowed = format!("a number of points in 2..={MOST_POINTS}, `log` or `linear`");
    count.ok_or_else(|| format!("{text:?} is not {allowed}"))
}

impl Sweep {
    fn checked(self) -> Result<Self, String> {
        let Self { quantity, low, high, scale, .. } = self;
        let range = format!("{} from {low:?} to {high:?}", quantity.name());
        if low >= high {
            Err(format!("{range}: the second value has to be the larger one"))
        } else if scale == Scale::Log10 && low <= 0.0 {
            Err(format!("{range}: equal factors need positive values; add :linear for equal steps"))
        } else {
            Ok(self)
        }
    }

    /// The values, both ends included.
    fn values(&self) -> impl Iterator<Item = f64> {
        let (low, high) = match self.scale {
            Scale::Linear => (self.low, self.high),
            Scale::Log10 => (self.low.log10(), self.high.log10()),
        };
        let last = self.points - 1;
        (0..=last).map(move |i| {
            let t = i as f64 / last as f64;
            match self.scale {
                // Rounding must not carry an end beyond what was asked for.
                _ if i == 0 => self.low,
                _ if i == last => self.high,
                Scale::Linear => low + (high - low) * t,
                Scale::Log10 => 10f64.powf(low + (high - low) * t),
            }
        })
    }

    /// The cell at every value.
    pub(super) fn rows(&self, input: &Input) -> Result<Vec<Row>> {
        self.values()
            .map(|value| Ok(Row::new(value, &Steps::new(&input.with(self.quantity, value))?)))
            .collect()
    }

    /// What stays the same, and where the probability starts and ends.
    pub(super) fn summary(&self, rows: &[Row]) -> String {
        let at = |row: &Row| {
            let value = format!("{} {}", readable(row.swept), self.quantity.unit());
            format!("{} at {value}", readable(row.p10))
        };
        let ends: Vec<String> = rows.first().into_iter().chain(rows.last()).map(at).collect();
        let cell = rows.first().map(|row| {
            let [height, mass, attempts] =
                [row.height_ev, row.mass_ratio, row.attempt_rate_hz].map(readable);
            let fixed = self.fixed(row);
            format!("barrier {height} eV, {mass} electron masses, {attempts} attempts/s, {fixed}\n")
        });
        let cell = cell.unwrap_or_default();
        format!("{cell}flip probability {}, {} points", ends.join(" to "), rows.len())
    }

    /// Writes `sweep-QUANTITY.csv` into the folder, and returns its path.
    pub(super) fn write_table(&self, rows: &[Row], folder: &Path) -> Result<PathBuf> {
        self.write("csv", &csv(rows)?, folder)
    }

    /// Writes `sweep-QUANTITY.svg` into the folder, and returns its path; `None` if no bit flips,
    /// which has no place on a logarithmic axis.
    pub(super) fn write_chart(&self, rows: &[Row], folder: &Path) -> Result<Option<PathBuf>> {
        let chart = self.chart(rows);
        if chart.series.is_empty() {
            return Ok(None);
        }
        let title = format!("Flip probability against {}", self.quantity.label());
        let svg = chart.to_svg(&title)?;
        self.write("svg", svg.as_bytes(), folder).map(Some)
    }

    fn write(&self, extension: &str, bytes: &[u8], folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("sweep-{}.{extension}", self.quantity.name()));
        files::write(&path, bytes)?;
        Ok(path)
    }

    fn chart(&self, rows: &[Row]) -> Chart {
        let series = |name: &str, p: fn(&Row) -> f64| {
            Series::new(name, Mark::Line, rows.iter().map(|row| (row.swept, p(row))))
        };
        let fixed = rows.first().map(|row| self.fixed(row)).unwrap_or_default();
        let mut series = if rows.iter().all(|row| row.p01 == row.p10) {
            vec![series(&fixed, |row| row.p10)]
        } else {
            vec![
                series(&format!("1 read as 0, {fixed}"), |row| row.p10),
                series("0 read as 1", |row| row.p01),
            ]
        };
        // What never flips has no line on a logarithmic axis, and needs no entry in the legend.
        series.retain(|series| series.points.iter().any(|point| point.y > 0.0));
        let axis = match self.scale {
            Scale::Linear => Axis::linear,
            Scale::Log10 => Axis::log10,
        };
        Chart {
            x: axis(self.quantity.label(), self.quantity.unit()),
            y: Axis::log10("flip probability", ""),
            series,
            rules: vec![],
        }
    }

    /// The other quantities, which stay the same along the sweep.
    fn fixed(&self, row: &Row) -> String {
        let time = duration(row.retention_s);
        let fixed = [
            (Quantity::OxideNm, format!("{} nm", readable(row.oxide_nm))),
            (Quantity::FieldVPerNm, format!("{} V/nm", readable(row.field_v_per_nm))),
            (Quantity::TemperatureK, format!("{} K", readable(row.temperature_k))),
            (
                Quantity::RetentionS,
                time.unwrap_or_else(|| format!("{} s", readable(row.retention_s))),
            ),
        ];
        let others = fixed.into_iter().filter(|(quantity, _)| *quantity != self.quantity);
        others.map(|(_, text)| text).collect::<Vec<_>>().join(", ")
    }
}

/// One point of a sweep; the columns of the CSV file.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(super) struct Row {
    /// The value of the swept quantity, which is a column below as well.
    #[serde(skip)]
    swept: f64,
    height_ev: f64,
    mass_ratio: f64,
    attempt_rate_hz: f64,
    oxide_nm: f64,
    field_v_per_nm: f64,
    retention_s: f64,
    temperature_k: f64,
    wkb_exponent: f64,
    transmission: f64,
    thermal_factor: f64,
    rate_per_s: f64,
    p01: f64,
    p10: f64,
}

impl Row {
    fn new(swept: f64, Steps { cell, condition, chain }: &Steps) -> Self {
        Self {
            swept,
            height_ev: cell.barrier.height_ev(),
            mass_ratio: cell.barrier.mass_ratio(),
            attempt_rate_hz: cell.attempt_rate_hz,
            oxide_nm: cell.barrier.thickness_nm(),
            field_v_per_nm: condition.field_v_per_nm,
            retention_s: condition.retention_s,
            temperature_k: condition.temperature_k,
            wkb_exponent: chain.wkb_exponent,
            transmission: chain.transmission,
            thermal_factor: chain.thermal_factor,
            rate_per_s: chain.rate_per_s,
            p01: chain.probability.p01(),
            p10: chain.probability.p10(),
        }
    }
}

fn csv(rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<f64> {
        text.parse::<Sweep>().unwrap().values().collect()
    }

    #[test]
    fn steps_are_equal_or_factors_are_and_both_ends_are_there() {
        assert_eq!(values("oxide-nm=3..6:4"), [3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values("field-v-per-nm=-1..1:3"), [-1.0, 0.0, 1.0]);
        assert_eq!(values("retention-s=1e-3..1e3:7"), [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3]);
        assert_eq!(values("retention-s=0..2:3:linear"), [0.0, 1.0, 2.0]);
        assert_eq!(values("oxide-nm=1..100:log:3"), [1.0, 10.0, 100.0]);
        assert_eq!(values("oxide-nm=3..6").len(), POINTS);
    }

    #[test]
    fn what_is_wrong_with_a_range_is_said() {
        for (text, says) in [
            ("oxide-nm", "the form is"),
            ("oxide-nm=3", "the form is"),
            (
                "mass=1..2",
                "\"mass\" cannot be swept, only oxide-nm, field-v-per-nm, retention-s, temperature-k",
            ),
            ("oxide-nm=1...2", "the form is"),
            ("oxide-nm=3..6:10:log:5", "\"5\" says again"),
            ("oxide-nm=3..6:log:linear", "\"linear\" says again"),
            ("oxide-nm=a..6", "\"a\" is not a finite number"),
            ("oxide-nm=3..inf", "\"inf\" is not a finite number"),
            ("oxide-nm=6..3", "oxide-nm from 6.0 to 3.0"),
            ("oxide-nm=3..3", "has to be the larger one"),
            ("oxide-nm=3..6:1", "\"1\" is not a number of points in 2..=10000"),
            ("oxide-nm=3..6:cubic", "\"cubic\" is not"),
            ("retention-s=0..1", "equal factors need positive values"),
        ] {
            let error = text.parse::<Sweep>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
