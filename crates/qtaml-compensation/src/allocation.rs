//! Where to spend the protection budget.
//!
//! Minimise `Σ_l D_l(k_l)` subject to `Σ_l n_l k_l <= B`. Each layer's distortion falls fast at
//! first and slowly later, so the cheapest improvements can be taken one after another; where a
//! curve is not convex, steps are merged until it is (its lower convex hull). Every allocation on
//! the resulting path is optimal for its own cost (Everett's theorem, Operations Research 11,
//! 1963), and the path is nested: a larger budget never takes protection away.

use crate::LayerDistortion;

/// The number of protected top bits in each layer, and what that costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    protected: Vec<u32>,
    cost: usize,
}

impl Allocation {
    /// The allocation with `protected[l]` protected bits in layer `l`.
    ///
    /// # Panics
    /// If there is not one number per layer.
    pub fn new(protected: Vec<u32>, layers: &[LayerDistortion]) -> Self {
        assert_eq!(protected.len(), layers.len(), "one number of protected bits per layer");
        let cost = protected.iter().zip(layers).map(|(&k, l)| k as usize * l.weights()).sum();
        Self { protected, cost }
    }

    /// The number of protected top bits, layer by layer.
    pub fn protected_bits(&self) -> &[u32] {
        &self.protected
    }

    /// The number of protected bits in all, `Σ_l n_l k_l`.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Protected bits over all stored bits, the paper-style *ideal* overhead.
    pub fn overhead(&self, layers: &[LayerDistortion]) -> f64 {
        let stored: usize = layers.iter().map(|l| l.weights() * l.max_protected()).sum();
        self.cost as f64 / stored as f64
    }

    /// The predicted distortion of the output, `Σ_l D_l(k_l)`.
    pub fn distortion(&self, layers: &[LayerDistortion]) -> f64 {
        self.protected.iter().zip(layers).map(|(&k, l)| l.by_protected()[k as usize]).sum()
    }
}

/// The Uniform-MSP baseline: the same number of top bits everywhere, from none to all.
///
/// Layers with fewer bits stop at theirs.
pub fn uniform_path(layers: &[LayerDistortion]) -> Vec<Allocation> {
    let most = layers.iter().map(LayerDistortion::max_protected).max().unwrap_or(0);
    let capped = |k: usize| layers.iter().map(|l| k.min(l.max_protected()) as u32).collect();
    (0..=most).map(|k| Allocation::new(capped(k), layers)).collect()
}

/// Tunneling-aware compensation: from nothing to everything, always the step that lowers the
/// output distortion most per protected bit.
///
/// Steps that would not lower it at all come last, so the path always ends with every bit
/// protected.
pub fn optimal_path(layers: &[LayerDistortion]) -> Vec<Allocation> {
    let mut steps: Vec<Step> = layers.iter().enumerate().flat_map(|(l, d)| hull(l, d)).collect();
    // Stable: within a layer the hull's slopes already fall, so its steps stay in order.
    steps.sort_by(|a, b| b.gain_per_bit.total_cmp(&a.gain_per_bit));

    let mut protected = vec![0; layers.len()];
    let mut path = vec![Allocation::new(protected.clone(), layers)];
    for step in steps {
        protected[step.layer] = step.to;
        path.push(Allocation::new(protected.clone(), layers));
    }
    path
}

/// One edge of a layer's lower convex hull.
#[derive(Debug, Clone, Copy)]
struct Step {
    layer: usize,
    to: u32,
    gain_per_bit: f64,
}

/// The lower convex hull of `k -> D(k)`, from 0 to b, by Andrew's monotone chain.
fn hull(layer: usize, distortion: &LayerDistortion) -> Vec<Step> {
    let curve = distortion.by_protected();
    let gain = |from: usize, to: usize| (curve[from] - curve[to]) / (to - from) as f64;
    let mut corners = vec![0];
    for k in 1..curve.len() {
        while let [.., before, last] = corners[..]
            && gain(last, k) > gain(before, last)
        {
            corners.pop();
        }
        corners.push(k);
    }
    corners
        .windows(2)
        .map(|edge| Step {
            layer,
            to: edge[1] as u32,
            gain_per_bit: gain(edge[0], edge[1]) / distortion.weights() as f64,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layers() -> impl Strategy<Value = Vec<LayerDistortion>> {
        let layer = (1_usize..50, prop::collection::vec(0.0_f64..100.0, 2..=5));
        prop::collection::vec(layer, 1..=4).prop_map(|layers| {
            let layer = |(n, d): (usize, Vec<f64>)| LayerDistortion::new("l", n, d).unwrap();
            layers.into_iter().map(layer).collect()
        })
    }

    /// Every allocation there is.
    fn exhaustive(layers: &[LayerDistortion]) -> Vec<Allocation> {
        let mut all = vec![vec![]];
        for layer in layers {
            let choices = 0..=layer.max_protected() as u32;
            all = all
                .iter()
                .flat_map(|head: &Vec<u32>| {
                    choices.clone().map(|k| head.iter().copied().chain([k]).collect())
                })
                .collect();
        }
        all.into_iter().map(|k| Allocation::new(k, layers)).collect()
    }

    proptest! {
        /// Against exhaustive search, for arbitrary curves, convex or not, falling or not.
        #[test]
        fn no_allocation_of_the_same_cost_is_better(layers in layers()) {
            let all = exhaustive(&layers);
            for step in optimal_path(&layers) {
                let best = all
                    .iter()
                    .filter(|a| a.cost() == step.cost())
                    .map(|a| a.distortion(&layers))
                    .fold(f64::INFINITY, f64::min);
                prop_assert!(step.distortion(&layers) <= best + 1e-9);
            }
        }

        #[test]
        fn the_path_is_nested_from_nothing_to_everything(layers in layers()) {
            let path = optimal_path(&layers);
            prop_assert_eq!(path[0].cost(), 0);
            let full: Vec<u32> = layers.iter().map(|l| l.max_protected() as u32).collect();
            prop_assert_eq!(path[path.len() - 1].protected_bits(), &full[..]);
            for pair in path.windows(2) {
                let mut bits = pair[0].protected_bits().iter().zip(pair[1].protected_bits());
                prop_assert!(bits.all(|(before, after)| before <= after));
            }
        }
    }

    #[test]
    fn uniform_protects_every_layer_alike() {
        let fall = |b: i32| (0..=b).map(|k| 4_f64.powi(b - k)).collect();
        let layers = [
            LayerDistortion::new("a", 10, fall(8)).unwrap(),
            LayerDistortion::new("b", 30, fall(4)).unwrap(),
        ];
        let path = uniform_path(&layers);
        assert_eq!(path.len(), 9);
        assert_eq!(path[2].protected_bits(), [2, 2]);
        assert_eq!(path[6].protected_bits(), [6, 4]);
        assert_eq!(path[2].cost(), 80);
        assert_eq!(path[2].overhead(&layers), 80.0 / 200.0);
    }
}
