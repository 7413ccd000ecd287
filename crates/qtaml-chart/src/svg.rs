//! The parts of a picture that know no chart: text and paths.

/// Size of all text.
pub(crate) const TEXT: f64 = 13.0;

/// A generous guess, because the reader's font is unknown.
pub(crate) fn text_width(text: &str) -> f64 {
    0.57 * TEXT * text.chars().count() as f64
}

/// Coordinates as SVG reads them; a tenth of a unit is finer than the eye.
pub(crate) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let corners: Vec<_> = points.into_iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    format!("M{}", corners.join("L"))
}
