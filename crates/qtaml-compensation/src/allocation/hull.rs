//! The choices of a unit that are worth a step: its lower convex hull.

use super::Candidate;

/// A corner of a lower convex hull.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corner {
    pub(super) index: u32,
    pub(super) choice: Candidate,
}

impl Corner {
    /// The distortion that each further bit removes on the way to a dearer corner.
    pub(super) fn gain_per_bit(self, to: Self) -> f64 {
        let (from, to) = (self.choice, to.choice);
        (from.distortion - to.distortion) / (to.cost - from.cost) as f64
    }
}

/// The lower convex hull of a unit's choices, from the cheapest to the best, by Andrew's monotone
/// chain. Between corners cost rises, distortion falls, and the gain per bit never rises.
///
/// Of choices that cost the same only the best can be a corner. Choices on an edge are kept: they
/// make the steps smaller. The corners replace what is in `corners`, whose memory is used again.
pub(super) fn lower_hull(choices: &[Candidate], corners: &mut Vec<Corner>) {
    corners.clear();
    corners.extend((0..).zip(choices).map(|(index, &choice)| Corner { index, choice }));
    corners.sort_unstable_by(|a, b| {
        let by_distortion = a.choice.distortion.total_cmp(&b.choice.distortion);
        a.choice.cost.cmp(&b.choice.cost).then(by_distortion).then(a.index.cmp(&b.index))
    });
    let mut kept = 0;
    for i in 0..corners.len() {
        let next = corners[i];
        if kept > 0 && next.choice.distortion >= corners[kept - 1].choice.distortion {
            continue;
        }
        while let [.., before, last] = corners[..kept]
            && last.gain_per_bit(next) > before.gain_per_bit(last)
        {
            kept -= 1;
        }
        corners[kept] = next;
        kept += 1;
    }
    corners.truncate(kept);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hull(choices: &[Candidate]) -> Vec<Corner> {
        let mut corners = Vec::new();
        lower_hull(choices, &mut corners);
        corners
    }

    #[test]
    fn hollows_and_rises_are_left_out() {
        let choices = [(0, 9.0), (1, 8.0), (2, 3.0), (3, 4.0), (4, 1.0), (4, 2.0), (5, 1.0)];
        let choices = choices.map(|(cost, distortion)| Candidate { cost, distortion });
        let corners: Vec<u32> = hull(&choices).iter().map(|corner| corner.index).collect();
        assert_eq!(corners, [0, 2, 4]);
    }

    proptest! {
        /// The definition: a corner is a choice, and no choice lies below an edge.
        #[test]
        fn no_choice_lies_below_the_hull(
            points in prop::collection::vec((0_u64..20, 0_u32..20), 1..12)
        ) {
            let choice = |(cost, d)| Candidate { cost, distortion: f64::from(d) };
            let choices: Vec<Candidate> = points.into_iter().map(choice).collect();
            let corners = hull(&choices);
            let least = |f: fn(&Candidate) -> f64| choices.iter().map(f).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(corners[0].choice.cost as f64, least(|c| c.cost as f64));
            prop_assert_eq!(corners[corners.len() - 1].choice.distortion, least(|c| c.distortion));
            for edge in corners.windows(2) {
                let (from, gain) = (edge[0].choice, edge[0].gain_per_bit(edge[1]));
                prop_assert!(gain > 0.0);
                for choice in &choices {
                    let line = from.distortion - gain * (choice.cost as f64 - from.cost as f64);
                    prop_assert!(choice.distortion >= line - 1e-9);
                }
            }
        }
    }
}
