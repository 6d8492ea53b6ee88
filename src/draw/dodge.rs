//! Marks that would cover each other move sideways.

/// A mark with its error bar, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    /// Its middle.
    pub x: f64,
    /// Its upper end.
    pub top: f64,
    /// Its lower end.
    pub bottom: f64,
}

/// Where the marks stand so that no two closer than `gap` lie beside each other. Marks that overlap, one or
/// another, become a group around their middle, ordered by `x` and then as they come; others stay where they
/// are. The same marks always give the same places.
pub(super) fn dodge(spots: &[Spot], gap: f64) -> Vec<f64> {
    let mut places: Vec<f64> = spots.iter().map(|spot| spot.x).collect();
    let mut groups: Vec<usize> = (0..spots.len()).collect();
    // Each round joins at least two groups.
    for _ in 0..spots.len() {
        let mut joined = false;
        for a in 0..spots.len() {
            for b in 0..a {
                let (one, other) = (&spots[a], &spots[b]);
                let beside = one.top < other.bottom && other.top < one.bottom;
                if groups[a] != groups[b] && beside && (places[a] - places[b]).abs() < gap - 1e-9 {
                    let (kept, gone) = (groups[a].min(groups[b]), groups[a].max(groups[b]));
                    groups.iter_mut().filter(|group| **group == gone).for_each(|group| *group = kept);
                    joined = true;
                }
            }
        }
        if !joined {
            break;
        }
        for group in 0..spots.len() {
            let mut members: Vec<usize> = (0..spots.len()).filter(|at| groups[*at] == group).collect();
            if members.len() < 2 {
                continue;
            }
            members.sort_by(|a, b| spots[*a].x.total_cmp(&spots[*b].x).then(a.cmp(b)));
            let middle = members.iter().map(|at| spots[*at].x).sum::<f64>() / members.len() as f64;
            let start = middle - gap * (members.len() - 1) as f64 / 2.0;
            for (place, at) in members.into_iter().enumerate() {
                places[at] = start + gap * place as f64;
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spot(x: f64, y: f64) -> Spot {
        Spot { x, top: y - 4.0, bottom: y + 4.0 }
    }

    #[test]
    fn marks_at_one_place_stand_side_by_side_in_their_order() {
        let places = dodge(&[spot(50.0, 10.0), spot(50.0, 10.0), spot(50.0, 11.0), spot(50.0, 90.0)], 10.0);
        assert_eq!(places, [40.0, 50.0, 60.0, 50.0]);
        assert_eq!(dodge(&[], 10.0), Vec::<f64>::new());
    }

    proptest! {
        #[test]
        fn no_two_marks_cover_each_other(spots in prop::collection::vec((0.0f64..300.0, 0.0f64..200.0), 0..40)) {
            let spots: Vec<Spot> = spots.into_iter().map(|(x, y)| spot(x, y)).collect();
            let places = dodge(&spots, 9.0);
            for a in 0..spots.len() {
                for b in 0..a {
                    let beside = spots[a].top < spots[b].bottom && spots[b].top < spots[a].bottom;
                    prop_assert!(!beside || (places[a] - places[b]).abs() >= 9.0 - 1e-6);
                }
            }
        }
    }
}
