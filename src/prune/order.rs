//! The order in which the search removes channels: the lowest score first, and a rule for channels of equal
//! score.
//!
//! Equal scores are common: trained gates are clamped at 0, and most of them may end there. A rule that goes
//! by layer number would then choose the structure, so ties are spread over the layers by default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content_hash;

/// Which of the channels of equal score are removed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// Every layer in proportion to its channels of that score, after any number of removals; within a layer the lower
    /// channel number first.
    Spread,
    /// The lower layer number first, then the lower channel number. The first layers lose their channels first.
    Order,
}

content_hash!(enum Ties { Spread => "spread", Order => "order" });

impl Ties {
    /// As it is written in a pipeline.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Order => "order",
        }
    }
}

/// All channels, as (layer, channel), in the order of removal. `scores` has a list for each layer.
pub fn removal_order(scores: &[Vec<f32>], ties: Ties) -> Vec<(usize, usize)> {
    let channels =
        |(layer, scores): (usize, &Vec<f32>)| (0..scores.len()).map(move |channel| (layer, channel));
    let mut order: Vec<(usize, usize)> = scores.iter().enumerate().flat_map(channels).collect();
    let score = |&(layer, channel): &(usize, usize)| level(scores[layer][channel]);
    // Stable: equal scores stay in the order of layers and channels.
    order.sort_by(|a, b| score(a).total_cmp(&score(b)));
    match ties {
        Ties::Order => order,
        Ties::Spread => {
            let tied = order.chunk_by(|a, b| score(a) == score(b));
            tied.flat_map(|tied| spread(tied, scores.len())).collect()
        }
    }
}

/// A score for comparisons: -0.0 counts as 0.0.
pub(super) fn level(score: f32) -> f32 {
    score + 0.0
}

/// Spreads channels of equal score, given in the order of layers and channels, over the layers.
fn spread(tied: &[(usize, usize)], layers: usize) -> Vec<(usize, usize)> {
    let mut counts = vec![0u64; layers];
    tied.iter().for_each(|(layer, _)| counts[*layer] += 1);
    let mut next: Vec<usize> =
        (0..layers).map(|layer| tied.partition_point(|(other, _)| *other < layer)).collect();
    let mut take = |layer: usize| {
        next[layer] += 1;
        tied[next[layer] - 1]
    };
    turns(&counts).into_iter().map(&mut take).collect()
}

/// Gives layer `i` `counts[i]` turns. After `k` of all `n` turns, a layer with `c` turns has had `c k / n`
/// turns, rounded down or up.
///
/// Each turn goes to the layer whose next turn is due the earliest, among the layers that are not ahead of
/// their share (the quota method of apportionment; Balinski and Young 1975, Still 1979).
fn turns(counts: &[u64]) -> Vec<usize> {
    let all: u64 = counts.iter().sum();
    let mut had = vec![0u64; counts.len()];
    let turn = |turn: u64| {
        let behind = (0..counts.len()).filter(|&layer| had[layer] * all < counts[layer] * turn);
        // The exact share reaches the next whole turn after `(had + 1) / count` of all turns.
        let next = behind
            .min_by(|&a, &b| ((had[a] + 1) * counts[b]).cmp(&((had[b] + 1) * counts[a])).then(a.cmp(&b)))?;
        had[next] += 1;
        Some(next)
    };
    (1..=all).map_while(turn).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_prefix_of_the_turns_is_within_one_of_the_exact_shares(
            counts in prop::collection::vec(prop_oneof![3 => 0u64..12, 1 => 0u64..400], 1..17)
        ) {
            let all: u64 = counts.iter().sum();
            let turns = turns(&counts);
            prop_assert_eq!(turns.len() as u64, all);
            let mut had = vec![0u64; counts.len()];
            for (turn, layer) in turns.iter().enumerate() {
                had[*layer] += 1;
                for (had, count) in had.iter().zip(&counts) {
                    // |had - count * k / all| < 1
                    let (own, share) = (had * all, count * (turn as u64 + 1));
                    prop_assert!(own.abs_diff(share) < all, "{had} of {count} after {} of {all}", turn + 1);
                }
            }
            prop_assert_eq!(had, counts);
        }

        #[test]
        fn the_order_goes_by_score_and_holds_every_channel_once(
            scores in prop::collection::vec(prop::collection::vec(0u8..4, 1..9), 1..6),
            ties in prop::sample::select(vec![Ties::Spread, Ties::Order]),
        ) {
            let scores: Vec<Vec<f32>> =
                scores.into_iter().map(|layer| layer.into_iter().map(f32::from).collect()).collect();
            let order = removal_order(&scores, ties);
            prop_assert!(order.is_sorted_by_key(|(layer, channel)| scores[*layer][*channel]));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            let all: Vec<_> =
                scores.iter().enumerate().flat_map(|(l, s)| (0..s.len()).map(move |c| (l, c))).collect();
            prop_assert_eq!(sorted, all);
            // Within a layer the lower of two equal channels goes first.
            for pair in order.iter().enumerate().flat_map(|(at, a)| order[at + 1..].iter().map(move |b| (a, b))) {
                let ((layer, one), (other, two)) = pair;
                if layer == other && scores[*layer][*one] == scores[*other][*two] {
                    prop_assert!(one < two);
                }
            }
        }
    }

    #[test]
    fn by_order_the_first_layer_goes_first_and_spread_every_layer_loses_its_share() {
        let scores = vec![vec![0.0; 2], vec![0.0; 4], vec![-0.0; 4]];
        let layers = |ties| removal_order(&scores, ties).iter().map(|(layer, _)| *layer).collect::<Vec<_>>();
        assert_eq!(layers(Ties::Order), [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(layers(Ties::Spread), [1, 2, 0, 1, 2, 1, 2, 0, 1, 2]);
    }
}
