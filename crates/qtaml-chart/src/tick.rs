//! Ticks of an axis: round values and names.

use crate::svg::shortened;

/// A mark on an axis; without a label it is a minor one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: Option<String>,
}

/// Three to seven round values: steps of 1, 2 or 5 times a power of ten.
pub(crate) fn linear_ticks(low: f64, high: f64) -> Vec<Tick> {
    let longest = (high - low) / 3.0;
    let power = 10f64.powf(longest.log10().floor());
    let step = [5.0, 2.0].into_iter().find(|m| m * power <= longest).unwrap_or(1.0) * power;
    // Between numbers that f64 hardly tells apart there are none to mark.
    if !step.is_normal() {
        return Vec::new();
    }
    let step_exponent = (step.log10() + 1e-9).floor() as i32;
    let exponent = low.abs().max(high.abs()).log10().floor() as i32;
    let label = |value: f64| match exponent {
        -3..=4 => format!("{value:.*}", (-step_exponent).max(0) as usize),
        _ if value == 0.0 => "0".into(),
        _ => {
            let digits = (exponent - step_exponent).max(0) as usize;
            format!("{:.digits$}·10{}", value / 10f64.powi(exponent), superscript(exponent))
        }
    };
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last)
        // Zero is never "-0".
        .map(|i| if i == 0 { 0.0 } else { i as f64 * step })
        .map(|value| Tick { value, label: Some(label(value).replace('-', "−")) })
        .collect()
}

/// Powers of ten, few enough to read; over less than three decades their 2 and 5 fold as well.
pub(crate) fn decade_ticks(low: f64, high: f64) -> Vec<Tick> {
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let stride = 1 + (last - first) / 8;
    let plain = low > -3.01 && high < 4.01;
    let label = |mantissa: i32, exponent: i32| match mantissa {
        _ if plain => {
            let value = f64::from(mantissa) * 10f64.powi(exponent);
            format!("{value:.*}", (-exponent).max(0) as usize)
        }
        1 => format!("10{}", superscript(exponent)),
        _ => format!("{mantissa}·10{}", superscript(exponent)),
    };
    let labelled = |mantissa: i32, exponent: i32| match mantissa {
        1 => exponent % stride == 0,
        2 | 5 => high - low < 2.5,
        _ => false,
    };
    let minor = if stride == 1 { 9 } else { 1 };
    (first..=last)
        .flat_map(|exponent| (1..=minor).map(move |mantissa| (mantissa, exponent)))
        .map(|(mantissa, exponent)| Tick {
            value: f64::from(mantissa) * 10f64.powi(exponent),
            label: labelled(mantissa, exponent).then(|| label(mantissa, exponent)),
        })
        .filter(|tick| (low - 1e-9..=high + 1e-9).contains(&tick.value.log10()))
        .collect()
}

/// A mark for every visible name.
pub(crate) fn named_ticks(names: &[String], visible: impl Fn(f64) -> bool) -> Vec<Tick> {
    let tick = |(index, name): (usize, &String)| Tick {
        value: index as f64,
        label: Some(shortened(name)),
    };
    names.iter().enumerate().map(tick).filter(|tick| visible(tick.value)).collect()
}

/// The ticks without labels that would run into the one before, given the middle and the extent of
/// each along the axis.
pub(crate) fn apart(
    ticks: Vec<Tick>,
    middle: impl Fn(f64) -> f64,
    extent: impl Fn(&str) -> f64,
) -> Vec<Tick> {
    let mut taken = f64::NEG_INFINITY;
    let mut fit = |tick: Tick| {
        let (middle, value) = (middle(tick.value), tick.value);
        let label = tick.label.filter(|label| {
            let half = extent(label) / 2.0;
            let fits = taken <= middle - half;
            if fits {
                taken = middle + half;
            }
            fits
        });
        Tick { value, label }
    };
    ticks.into_iter().map(&mut fit).collect()
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]);
    exponent.to_string().chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().filter_map(|tick| tick.label.as_deref()).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_equally_precise() {
        assert_eq!(labels(&linear_ticks(-0.02, 1.04)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear_ticks(-3.1, 3.2)), ["−2", "0", "2"]);
        assert_eq!(labels(&linear_ticks(0.0, 100.0)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&linear_ticks(0.0, 3e-6)), ["0", "1·10⁻⁶", "2·10⁻⁶", "3·10⁻⁶"]);
    }

    #[test]
    fn logarithmic_ticks_fit_the_number_of_decades() {
        let wide = decade_ticks(-4.05, -0.6);
        assert_eq!(labels(&wide), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]);
        assert!(wide.iter().any(|t| t.label.is_none() && (t.value - 0.2).abs() < 1e-12));
        assert_eq!(
            labels(&decade_ticks(-2.01, 0.01)),
            ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]
        );
        assert!((3..=8).contains(&labels(&decade_ticks(-18.0, 0.0)).len()));
    }
}
