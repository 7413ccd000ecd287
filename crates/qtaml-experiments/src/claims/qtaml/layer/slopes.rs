//! How what faults in one layer do depends on its largest weight and on its Jacobian.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use qtaml::compensation::Accounting;
use qtaml::compensation::allocation::Selection;
use qtaml::deploy::scheme::Scheme;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::ALONE;
use crate::bench::{Bench, on_bench};
use crate::context::Context;
use crate::workloads::networks::Net;

/// One layer, exposed alone.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Layer {
    pub(super) net: Net,
    pub(super) name: String,
    pub(super) largest: f64,
    /// Squared norm of its Jacobian.
    pub(super) jacobian: f64,
    /// Squared change of the scores, as measured.
    pub(super) change: f64,
}

/// A slope with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Slope {
    pub(super) value: f64,
    pub(super) interval: [f64; 2],
}

/// The exponents with which the change of the scores grows with the squares of largest weight and Jacobian.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Slopes {
    pub(super) layers: Vec<Layer>,
    pub(super) largest: Slope,
    pub(super) jacobian: Slope,
    /// Correlation of the logarithms of the change with what the slopes say.
    pub(super) correlation: f64,
}

pub(super) fn measure(context: &Context) -> Result<Slopes> {
    let mut layers = Vec::new();
    for net in &Net::ALL[..context.size(Net::ALL.len(), 2)] {
        layers.extend(on_bench(context, *net, of_network)?);
    }
    let rows: Vec<[f64; 3]> = layers
        .iter()
        .map(|layer| [2.0 * layer.largest.ln(), layer.jacobian.ln(), layer.change.ln()])
        .collect();
    let nets: Vec<&str> = layers.iter().map(|layer| layer.net.id()).collect();
    let (slopes, correlation) = regression(&rows, &nets)?;
    let [largest, jacobian] = slopes;
    Ok(Slopes { layers, largest, jacobian, correlation })
}

fn of_network(bench: &Bench<'_>) -> Result<Vec<Layer>> {
    let stored = bench.store(&Scheme::tac(), ALONE, Accounting::ProtectedBits)?;
    let kept = stored.model.uniform(u32::MAX);
    let norms = bench.norms(stored.scheme.granularity)?;
    let groups = stored.model.groups();
    let task =
        bench.context.progress.task(&format!("{} layers", bench.net.id()), groups.len() as u64);
    let mut layers = Vec::new();
    for (exposed, (group, norm)) in groups.iter().zip(&*norms).enumerate() {
        let selection: Selection =
            kept.iter().enumerate().map(|(g, &k)| if g == exposed { 0 } else { k }).collect();
        let change = bench.output_noise(&stored, &selection)?;
        task.tick(1);
        // A layer in which no pattern has a fault, or that nothing depends on, has no logarithm.
        if change > 0.0 && norm.squared > 0.0 {
            let (name, largest) = (group.group.name.clone(), group.largest);
            layers.push(Layer { net: bench.net, name, largest, jacobian: norm.squared, change });
        }
    }
    Ok(layers)
}

/// Least squares of the last column on the first two, each less its mean in its network.
fn regression(rows: &[[f64; 3]], nets: &[&str]) -> Result<([Slope; 2], f64)> {
    let kinds = nets.iter().collect::<BTreeSet<_>>().len();
    let freedom = rows.len() as f64 - kinds as f64 - 2.0;
    ensure!(freedom >= 1.0, "{} layers of {kinds} networks have no slopes", rows.len());
    let centred: Vec<[f64; 3]> = rows
        .iter()
        .zip(nets)
        .map(|(row, net)| {
            let same = || rows.iter().zip(nets).filter(|(_, other)| *other == net);
            let mean =
                |i: usize| same().map(|(row, _)| row[i]).sum::<f64>() / same().count() as f64;
            [row[0] - mean(0), row[1] - mean(1), row[2] - mean(2)]
        })
        .collect();
    let product = |i: usize, j: usize| centred.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let [aa, ab, bb, ay, by, yy] =
        [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)].map(|(i, j)| product(i, j));
    let determinant = aa * bb - ab * ab;
    ensure!(determinant > 0.0, "largest weights and Jacobians of all layers are in proportion");
    let a = (bb * ay - ab * by) / determinant;
    let b = (aa * by - ab * ay) / determinant;
    let residual = (yy - a * ay - b * by).max(0.0);
    let variance = residual / freedom;
    let t = StudentsT::new(0.0, 1.0, freedom).context("Student's t")?.inverse_cdf(0.975);
    let slope = |value: f64, inverse: f64| {
        let half = t * (variance * inverse).sqrt();
        Slope { value, interval: [value - half, value + half] }
    };
    let slopes = [slope(a, bb / determinant), slope(b, aa / determinant)];
    Ok((slopes, (1.0 - residual / yy).max(0.0).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two networks of different offsets, y = 2 a - b exactly.
    #[test]
    fn slopes_are_within_networks() {
        let a = [0.0, 1.0, 2.0, 4.0, 1.0, 3.0, 5.0, 2.0];
        let b = [1.0, 0.0, 3.0, 1.0, 2.0, 7.0, 1.0, 4.0];
        let nets = ["a", "a", "a", "a", "b", "b", "b", "b"];
        let rows: Vec<[f64; 3]> = (0..8)
            .map(|i| [a[i], b[i], 2.0 * a[i] - b[i] + if i < 4 { 0.0 } else { 100.0 }])
            .collect();
        let ([largest, jacobian], correlation) = regression(&rows, &nets).unwrap();
        assert!((largest.value - 2.0).abs() < 1e-9 && (jacobian.value + 1.0).abs() < 1e-9);
        assert!((correlation - 1.0).abs() < 1e-9);
        assert!(largest.interval[1] - largest.interval[0] < 1e-5);
        assert!(regression(&rows[..3], &nets[..3]).is_err());
    }

    /// Least squares with an intercept by `numpy.linalg.lstsq`: slopes 1.0025862 and 0.4525862, and from the
    /// inverse of the normal matrix a standard error of 0.0676956 for both.
    #[test]
    fn intervals_are_those_of_a_linear_model() {
        let rows = [
            [1.0, 2.0, 2.2],
            [2.0, 1.0, 2.6],
            [3.0, 5.0, 5.3],
            [4.0, 3.0, 5.8],
            [5.0, 6.0, 8.1],
            [6.0, 4.0, 7.9],
        ];
        let ([a, b], _) = regression(&rows, &["a"; 6]).unwrap();
        assert!((a.value - 1.002_586_2).abs() < 1e-6 && (b.value - 0.452_586_2).abs() < 1e-6);
        // The quantile of Student's t with three degrees of freedom.
        for slope in [a, b] {
            let error = (slope.interval[1] - slope.value) / 3.182_446;
            assert!((error - 0.067_695_6).abs() < 1e-6, "{error}");
        }
    }
}
