//! The look of a series: colour, dash and marker.

use maud::{Markup, html};

use crate::svg::path;

/// The look of one series.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) colour: &'static str,
    pub(crate) dash: &'static str,
    marker: usize,
    radius: f64,
}

impl Look {
    pub(crate) fn of(index: usize, points: usize) -> Self {
        // Okabe and Ito's palette without yellow, which white paper swallows.
        const COLOURS: [&str; 7] =
            ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
        const DASHES: [&str; 5] = ["none", "7 3", "2 3", "9 3 2 3", "12 4"];
        Self {
            colour: COLOURS[index % COLOURS.len()],
            dash: DASHES[index % DASHES.len()],
            marker: index,
            radius: if points > 80 { 2.2 } else { 3.6 },
        }
    }

    /// Outlines of one area, around (0, 0).
    pub(crate) fn marker_at(self, (x, y): (f64, f64)) -> Markup {
        let r = self.radius;
        let polygon = |corners: &[(f64, f64)]| {
            path(corners.iter().map(|(dx, dy)| (x + r * dx, y + r * dy))) + "Z"
        };
        let outline = match self.marker % 6 {
            0 => format!(
                "M{:.1} {y:.1}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0Z",
                x - r,
                2.0 * r,
                2.0 * r
            ),
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            4 => polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
            _ => polygon(&[(-1.3, -0.4), (1.3, -0.4), (1.3, 0.4), (-1.3, 0.4)]),
        };
        html! { path d=(outline) fill=(self.colour) stroke="#fff" stroke-width="0.7" {} }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_the_first_series_look_the_same() {
        let looks: std::collections::HashSet<_> =
            (0..30).map(|i| Look::of(i, 1)).map(|l| (l.colour, l.dash, l.marker % 6)).collect();
        assert_eq!(looks.len(), 30);
        let first: Vec<_> = (0..5).map(|i| Look::of(i, 1).dash).collect();
        assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 5);
    }
}
