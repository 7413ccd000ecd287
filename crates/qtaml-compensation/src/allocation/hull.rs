//! The lower convex hull of the candidates of a group.

use super::Candidate;

/// A corner of a lower convex hull.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corner {
    pub(super) index: u32,
    pub(super) candidate: Candidate,
}

impl Corner {
    /// The distortion that each further bit removes on the way to a dearer corner.
    pub(super) fn gain_per_bit(self, to: Self) -> f64 {
        let (from, to) = (self.candidate, to.candidate);
        (from.distortion - to.distortion) / (to.cost - from.cost) as f64
    }
}

/// The lower convex hull of a group's candidates, from the cheapest to the best, by Andrew's monotone
/// chain. Between corners cost rises, distortion falls, and the gain per bit never rises.
///
/// Of candidates that cost the same only the best can be a corner. Candidates on an edge are kept: they
/// make the steps smaller. The corners replace what is in `corners`, whose memory is used again.
pub(super) fn lower_hull(candidates: &[Candidate], corners: &mut Vec<Corner>) {
    corners.clear();
    corners.extend((0..).zip(candidates).map(|(index, &candidate)| Corner { index, candidate }));
    corners.sort_unstable_by(|a, b| {
        let by_distortion = a.candidate.distortion.total_cmp(&b.candidate.distortion);
        a.candidate.cost.cmp(&b.candidate.cost).then(by_distortion).then(a.index.cmp(&b.index))
    });
    let mut kept = 0;
    for i in 0..corners.len() {
        let next = corners[i];
        if kept > 0 && next.candidate.distortion >= corners[kept - 1].candidate.distortion {
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

    fn hull(candidates: &[Candidate]) -> Vec<Corner> {
        let mut corners = Vec::new();
        lower_hull(candidates, &mut corners);
        corners
    }

    #[test]
    fn hollows_and_rises_are_left_out() {
        let candidates = [(0, 9.0), (1, 8.0), (2, 3.0), (3, 4.0), (4, 1.0), (4, 2.0), (5, 1.0)];
        let candidates = candidates.map(|(cost, distortion)| Candidate { cost, distortion });
        let corners: Vec<u32> = hull(&candidates).iter().map(|corner| corner.index).collect();
        assert_eq!(corners, [0, 2, 4]);
    }

    proptest! {
        /// The definition: a corner is a candidate, and no candidate lies below an edge.
        #[test]
        fn no_choice_lies_below_the_hull(
            points in prop::collection::vec((0_u64..20, 0_u32..20), 1..12)
        ) {
            let candidate = |(cost, d)| Candidate { cost, distortion: f64::from(d) };
            let candidates: Vec<Candidate> = points.into_iter().map(candidate).collect();
            let corners = hull(&candidates);
            let least = |f: fn(&Candidate) -> f64| candidates.iter().map(f).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(corners[0].candidate.cost as f64, least(|c| c.cost as f64));
            prop_assert_eq!(corners[corners.len() - 1].candidate.distortion, least(|c| c.distortion));
            for edge in corners.windows(2) {
                let (from, gain) = (edge[0].candidate, edge[0].gain_per_bit(edge[1]));
                prop_assert!(gain > 0.0);
                for candidate in &candidates {
                    let line = from.distortion - gain * (candidate.cost as f64 - from.cost as f64);
                    prop_assert!(candidate.distortion >= line - 1e-9);
                }
            }
        }
    }
}
