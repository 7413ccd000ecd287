//! The colour scale of a heat map: shades of one blue.

/// A colour as red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shade([f64; 3]);

impl Shade {
    /// The shade of a fraction, from light for 0 to dark for 1; beyond them it stays there.
    ///
    /// One hue, and steps of equal lightness: order survives grey print and every kind of colour
    /// blindness. The scale is ours, around the blue of the series.
    pub(crate) fn of(fraction: f64) -> Self {
        const LIGHT: [f64; 3] = [230.0, 241.0, 248.0];
        const BLUE: [f64; 3] = [0.0, 114.0, 178.0];
        const DARK: [f64; 3] = [0.0, 38.0, 59.0];
        // Where lightness falls equally fast on both sides.
        const MIDDLE: f64 = 0.6;
        let mix = |from: [f64; 3], to: [f64; 3], t: f64| {
            Self([0, 1, 2].map(|i| (from[i] + t * (to[i] - from[i])).round()))
        };
        match fraction.clamp(0.0, 1.0) {
            low if low < MIDDLE => mix(LIGHT, BLUE, low / MIDDLE),
            high => mix(BLUE, DARK, (high - MIDDLE) / (1.0 - MIDDLE)),
        }
    }

    pub(crate) fn hex(self) -> String {
        let [red, green, blue] = self.0.map(|part| part as u8);
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Black or white, whichever is easier to read on it.
    pub(crate) fn ink(self) -> &'static str {
        // There the contrasts with black, (Y + 0.05) / 0.05, and with white, 1.05 / (Y + 0.05),
        // are equal.
        if self.luminance() > 0.05f64.mul_add(21f64.sqrt(), -0.05) { "#000" } else { "#fff" }
    }

    /// Relative luminance Y, 0 to 1 (W3C, Web Content Accessibility Guidelines 2.1, 2018).
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| match part / 255.0 {
            low if low <= 0.03928 => low / 12.92,
            high => ((high + 0.055) / 1.055).powf(2.4),
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_steps_are_equally_much_darker() {
        // CIE 1976 lightness, for all luminances above 0.0089.
        let lightness = |i: i32| 116.0 * Shade::of(f64::from(i) / 20.0).luminance().cbrt() - 16.0;
        for i in 0..20 {
            let step = lightness(i) - lightness(i + 1);
            assert!((3.2..5.2).contains(&step), "step {i}: {step}");
        }
    }

    #[test]
    fn numbers_can_be_read_on_every_shade() {
        for i in 0..=100 {
            let shade = Shade::of(f64::from(i) / 100.0);
            let ink = if shade.ink() == "#fff" { 1.0 } else { 0.0 };
            let (y, ink) = (shade.luminance() + 0.05, ink + 0.05);
            // The guidelines ask for 4.5.
            assert!(y.max(ink) / y.min(ink) > 4.5, "{i}: {}", shade.hex());
        }
    }

    #[test]
    fn the_middle_is_the_blue_of_the_series_and_the_ends_hold() {
        assert_eq!(Shade::of(0.6).hex(), "#0072b2");
        assert_eq!([Shade::of(-3.0), Shade::of(7.0)], [Shade::of(0.0), Shade::of(1.0)]);
    }
}
