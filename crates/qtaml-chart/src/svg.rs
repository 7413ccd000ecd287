//! SVG text and paths.

use maud::{Markup, html};

/// Size of all text.
pub(crate) const TEXT: f64 = 13.0;

/// A generous guess, because the reader's font is unknown.
pub(crate) fn text_width(text: &str) -> f64 {
    let wide = |letter: char| if letter.is_uppercase() { 0.75 } else { 0.57 };
    TEXT * text.chars().map(wide).sum::<f64>()
}

/// A long name without its middle: what tells layers apart stands at both ends.
pub(crate) fn shortened(name: &str) -> String {
    const HEAD: usize = 9;
    const TAIL: usize = 16;
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= HEAD + TAIL + 1 {
        return name.into();
    }
    let [head, tail]: [String; 2] =
        [&letters[..HEAD], &letters[letters.len() - TAIL..]].map(|part| part.iter().collect());
    // Dots of a path beside it would lengthen the ellipsis.
    format!("{}…{}", head.trim_end_matches('.'), tail.trim_start_matches('.'))
}

/// Whether names stand side by side at equal distances without touching or leaving their axis.
pub(crate) fn fit_level(names: &[String], distance: f64) -> bool {
    let wide: Vec<f64> = names.iter().map(|name| text_width(&shortened(name)) + 6.0).collect();
    wide.windows(2).all(|pair| f64::midpoint(pair[0], pair[1]) <= distance)
        && wide.iter().all(|wide| wide - 24.0 <= distance)
}

/// Text that reads upwards along a vertical line through `x`.
pub(crate) fn upright(x: &str, y: f64, anchor: &str, text: &str) -> Markup {
    html! {
        text x=(x) y=(y) dy="0.35em" text-anchor=(anchor)
            transform={ "rotate(-90 " (x) " " (y) ")" } { (text) }
    }
}

/// Coordinates as SVG reads them; a tenth of a unit is finer than the eye.
pub(crate) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let corners: Vec<_> = points.into_iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    format!("M{}", corners.join("L"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(shortened("transformer.h.0.mlp.weight"), "transformer.h.0.mlp.weight");
        assert_eq!(shortened("transformer.h.10.mlp.weight"), "transform…h.10.mlp.weight");
        assert_eq!(shortened("blocks.0.mlp.downsample.conv.weight"), "blocks.0…mple.conv.weight");
        assert_eq!(shortened(&"ä".repeat(40)).chars().count(), 26);
    }

    #[test]
    fn one_long_name_among_short_ones_may_use_their_room() {
        let bits = ["7 (sign)", "6", "5"].map(String::from);
        assert!(fit_level(&bits, 42.0) && !fit_level(&bits, 30.0));
        let layers = ["conv1.weight", "conv2.weight"].map(String::from);
        assert!(fit_level(&layers, 100.0) && !fit_level(&layers, 90.0));
        assert!(!fit_level(&layers[..1], 60.0), "it would leave the axis");
    }
}
