//! Numbers as text for people.

use qtaml::physics::YEAR_S;

/// Six significant digits, without trailing zeros and without an exponent where it can be spared.
pub(crate) fn readable(value: f64) -> String {
    let rounded = rounded(value, 6);
    if rounded == 0.0 {
        // Without a sign.
        "0".into()
    } else if (1e-3..1e6).contains(&rounded.abs()) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}

/// A time in the largest unit that it fills, nothing for times that are short or in seconds anyway.
pub(crate) fn duration(seconds: f64) -> Option<String> {
    const UNITS: [(f64, &str); 4] =
        [(YEAR_S, "yr"), (86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    let (length, name) = UNITS.into_iter().find(|(length, _)| seconds >= *length)?;
    Some(format!("{} {name}", readable(rounded(seconds / length, 3))))
}

/// The number of so many digits that is nearest.
pub(crate) fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn numbers_keep_six_digits_and_no_more_zeros_than_needed() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (4.5, "4.5"),
            (52.612_208, "52.6122"),
            (0.042_725_96, "0.042726"),
            (1e13, "1e13"),
            (999_999.9, "1e6"),
            (-0.5, "-0.5"),
            (1.415_17e-23, "1.41517e-23"),
        ] {
            assert_eq!(readable(value), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (seconds, text) in [
            (3.156e8, Some("10 yr")),
            (86_400.0, Some("1 d")),
            (90.0, Some("1.5 min")),
            (59.0, None),
            (0.0, None),
            (3.156e17, Some("1e10 yr")),
        ] {
            assert_eq!(duration(seconds).as_deref(), text);
        }
    }
}
