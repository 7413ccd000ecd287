//! Adaptive quadrature after Gauss and Kronrod.

use crate::error::PhysicsError;

/// Positive nodes of the 15-point Kronrod rule, from the outermost to the centre.
const NODES: [f64; 8] = [
    0.991_455_371_120_812_6,
    0.949_107_912_342_758_5,
    0.864_864_423_359_769_1,
    0.741_531_185_599_394_4,
    0.586_087_235_467_691_1,
    0.405_845_151_377_397_2,
    0.207_784_955_007_898_47,
    0.0,
];
const KRONROD: [f64; 8] = [
    0.022_935_322_010_529_224,
    0.063_092_092_629_978_55,
    0.104_790_010_322_250_18,
    0.140_653_259_715_525_92,
    0.169_004_726_639_267_9,
    0.190_350_578_064_785_4,
    0.204_432_940_075_298_9,
    0.209_482_141_084_727_82,
];
/// Weights of the 7-point Gauss rule, whose nodes are every second one of Kronrod's.
const GAUSS: [f64; 4] = [
    0.129_484_966_168_869_7,
    0.279_705_391_489_276_64,
    0.381_830_050_505_118_9,
    0.417_959_183_673_469_4,
];

/// Relative error at which an integral counts as done. It is the error of the Gauss rule; the value
/// returned is Kronrod's, which is far closer.
const RELATIVE: f64 = 1e-12;
/// Absolute error that is always good enough: the integrals of this crate are exponents, and an
/// exponent that is off by this makes a transmission that is off by as much, relatively.
const ABSOLUTE: f64 = 1e-13;
/// Panels to begin with. The two rules agree on what neither of them sees, so the first nodes have to
/// be dense enough for what the caller promises to notice.
const FIRST_PANELS: u32 = 32;
const MOST_PANELS: usize = 500;

/// `∫ f dx` over `from..=to`, to a relative error of 1e-12 or an absolute one of 1e-13. The ends
/// are not evaluated.
///
/// The first 480 nodes lie at most 1/300 of the whole interval apart. A feature that fits between
/// two of them is missed, and no estimate of the error can tell.
///
/// Source: R. Piessens et al., QUADPACK, Springer (1983); the strategy is that of its QAG.
///
/// # Errors
///
/// Those of `f`, and [`PhysicsError::NotConverged`] after 500 panels or if `f` is not finite.
pub(crate) fn integrate(
    quantity: &'static str,
    f: impl Fn(f64) -> Result<f64, PhysicsError>,
    from: f64,
    to: f64,
) -> Result<f64, PhysicsError> {
    let end = |i| from + (to - from) * f64::from(i) / f64::from(FIRST_PANELS);
    let first = (0..FIRST_PANELS).map(|i| Panel::new(&f, end(i), end(i + 1)));
    let mut panels = first.collect::<Result<Vec<_>, _>>()?;
    loop {
        let value: f64 = panels.iter().map(|panel| panel.value).sum();
        let error: f64 = panels.iter().map(|panel| panel.error).sum();
        if error <= ABSOLUTE.max(RELATIVE * value.abs()) {
            return Ok(value);
        }
        let worst = (0..panels.len()).max_by(|&i, &j| panels[i].error.total_cmp(&panels[j].error));
        let Some(worst) = worst.filter(|_| panels.len() < MOST_PANELS && error.is_finite()) else {
            let reached = error / value.abs();
            return Err(PhysicsError::NotConverged { quantity, reached, promised: RELATIVE });
        };
        let Panel { from, to, .. } = panels.swap_remove(worst);
        let middle = f64::midpoint(from, to);
        panels.push(Panel::new(&f, from, middle)?);
        panels.push(Panel::new(&f, middle, to)?);
    }
}

/// One interval with its Kronrod value and the distance to the Gauss value.
struct Panel {
    from: f64,
    to: f64,
    value: f64,
    error: f64,
}

impl Panel {
    fn new(
        f: &impl Fn(f64) -> Result<f64, PhysicsError>,
        from: f64,
        to: f64,
    ) -> Result<Self, PhysicsError> {
        let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
        let centre = f(middle)?;
        let (mut kronrod, mut gauss) = (KRONROD[7] * centre, GAUSS[3] * centre);
        for i in 0..7 {
            let pair = f(middle - half * NODES[i])? + f(middle + half * NODES[i])?;
            kronrod += KRONROD[i] * pair;
            if i % 2 == 1 {
                gauss += GAUSS[i / 2] * pair;
            }
        }
        Ok(Self { from, to, value: half * kronrod, error: (half * (kronrod - gauss)).abs() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use std::f64::consts::PI;

    fn integral(f: impl Fn(f64) -> f64, from: f64, to: f64) -> Result<f64, PhysicsError> {
        integrate("integral", |x| Ok(f(x)), from, to)
    }

    #[test]
    fn one_panel_is_exact_for_polynomials_up_to_degree_22() -> Result<(), PhysicsError> {
        for degree in 0..=22 {
            let panel = Panel::new(&|x: f64| Ok(x.powi(degree)), 0.0, 1.0)?;
            let exact = 1.0 / f64::from(degree + 1);
            assert_relative_eq!(panel.value, exact, max_relative = 1e-14);
            // The Gauss rule inside is exact up to degree 13 and not beyond.
            assert_eq!(panel.error < 1e-15, degree <= 13, "degree {degree}: {}", panel.error);
        }
        Ok(())
    }

    #[test]
    fn hard_integrands_are_subdivided() -> Result<(), PhysicsError> {
        let peak = integral(|x| 1e-3 / (x * x + 1e-6), -1.0, 2.0)?;
        assert_relative_eq!(peak, 1e3_f64.atan() + 2e3_f64.atan(), max_relative = 1e-12);
        assert_relative_eq!(integral(f64::ln, 0.0, 1.0)?, -1.0, max_relative = 1e-12);
        let kink = integral(|x| (x - 0.3).abs(), 0.0, 1.0)?;
        assert_relative_eq!(kink, 0.29, max_relative = 1e-12);
        Ok(())
    }

    #[test]
    fn a_narrow_peak_is_seen_wherever_it_is() -> Result<(), PhysicsError> {
        for i in 1..100 {
            let place = f64::from(i) / 100.0 + 0.000_3;
            let peak = integral(|x| (-((x - place) / 1e-3).powi(2)).exp(), 0.0, 1.0)?;
            assert_relative_eq!(peak, 1e-3 * PI.sqrt(), max_relative = 1e-11);
        }
        Ok(())
    }

    #[test]
    fn divergent_integrals_end_in_an_error() {
        for diverges in [|x: f64| 1.0 / x, |_| f64::NAN, |_| f64::INFINITY] {
            let result = integral(diverges, 0.0, 1.0);
            assert!(matches!(result, Err(PhysicsError::NotConverged { .. })), "{result:?}");
        }
    }
}
