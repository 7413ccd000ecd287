//! How numbers are written wherever people read them.
//!
//! `xtask` has the same file, for the pages that it makes of `results.json`.

/// A number with its interval: as many digits as the interval's half width can bear, two of its own.
///
/// With an interval of no width the number stands alone: nothing was random, or nothing that was
/// changed it.
pub(crate) fn estimate(value: f64, [low, high]: [f64; 2]) -> String {
    let half_width = (high - low) / 2.0;
    if half_width.is_nan() || half_width <= 0.0 {
        return number(value);
    }
    let largest = low.abs().max(high.abs()).max(value.abs());
    // Six digits are enough for any reader, however narrow the interval.
    let last = (exponent(half_width) - 1).max(exponent(largest) - 5);
    let write = |x: f64| {
        let in_units = x / 10f64.powi(last);
        if x != 0.0 && in_units.abs() < 0.005 {
            // A p-value of 1e-12 in a wide interval is not 0.00.
            significant(x, 2)
        } else if (-4..6).contains(&exponent(largest)) {
            // Nor is a small negative number -0.0.
            let x = if in_units.abs() < 0.5 { 0.0 } else { x };
            format!("{x:.*}", (-last).max(0) as usize)
        } else {
            significant(x, (exponent(x) - last + 1).max(1) as usize)
        }
    };
    format!("{} [{}, {}]", write(value), write(low), write(high))
}

/// A number alone: four significant digits, trailing zeros dropped.
pub(crate) fn number(value: f64) -> String {
    let text = significant(value, 4);
    let (digits, power) = text.split_at(text.find('e').unwrap_or(text.len()));
    if digits.contains('.') {
        format!("{}{power}", digits.trim_end_matches('0').trim_end_matches('.'))
    } else {
        text
    }
}

/// `value` to `digits` significant digits, in powers of ten below 1e-4 and from 1e6.
fn significant(value: f64, digits: usize) -> String {
    let power = exponent(value);
    if (-4..6).contains(&power) {
        format!("{value:.*}", (digits as i32 - 1 - power).max(0) as usize)
    } else {
        format!("{value:.*e}", digits - 1)
    }
}

/// Power of ten of the leading digit; 0 for zero and for what is not finite.
fn exponent(value: f64) -> i32 {
    let exponent = value.abs().log10().floor();
    if exponent.is_finite() { exponent as i32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_decides_the_digits() {
        for (value, interval, text) in [
            (4.1823, [3.871, 4.512], "4.18 [3.87, 4.51]"),
            (0.95, [0.9, 1.0], "0.950 [0.900, 1.000]"),
            (1234.0, [1200.0, 1268.0], "1234 [1200, 1268]"),
            (1.23e-5, [1.1e-5, 1.36e-5], "1.23e-5 [1.10e-5, 1.36e-5]"),
            (3e-12, [0.0, 0.06], "3.0e-12 [0.000, 0.060]"),
            (-2.5, [-3.5, -1.5], "-2.5 [-3.5, -1.5]"),
            (-0.04, [-3.3, 3.4], "0.0 [-3.3, 3.4]"),
            (2.0, [2.0, 2.0], "2"),
            (0.333_333, [0.333_333_1, 0.333_333_5], "0.333333 [0.333333, 0.333334]"),
        ] {
            assert_eq!(estimate(value, interval), text);
        }
    }

    #[test]
    fn a_number_alone_is_short() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.3333"),
            (100.0, "100"),
            (123_456.0, "123456"),
            (1e-5, "1e-5"),
            (1.25e-18, "1.25e-18"),
            (6.02e23, "6.02e23"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
