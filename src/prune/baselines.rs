//! Structures to compare learned gates with: each rule scores channels, and the same threshold search
//! turns scores into a network of the same FLOPs.

use rand::Rng;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PruneError, Scores, importance};
use crate::network::{Checkpoint, NetworkSpec};
use crate::random::{Purpose, stream};

/// Scores under which the search scales every width alike: a channel's rank in its layer, as a share.
///
/// # Errors
/// None for a structure that was checked.
pub fn uniform(spec: &NetworkSpec) -> Result<Scores, PruneError> {
    let rank = |channels: usize| (0..channels).map(|c| (channels - c) as f32 / channels as f32).collect();
    Scores::new(spec.clone(), spec.channels.iter().map(|&channels| rank(channels)).collect())
}

/// Independent random scores, uniform in 0..1.
///
/// # Errors
/// None for a structure that was checked.
pub fn random(spec: &NetworkSpec, seed: u64) -> Result<Scores, PruneError> {
    let mut generator = stream(Purpose::Scores, seed, b"random");
    let layer = |&channels: &usize| (0..channels).map(|_| generator.random::<f32>()).collect();
    Scores::new(spec.clone(), spec.channels.iter().map(layer).collect())
}

/// The importance of a network's channels, dealt out anew over all layers: the same values, without their places.
///
/// Equal values are told apart first, each by the next number that single precision has, so that chance alone orders them
/// and no rule for ties. Every order of the channels is then equally likely, as under [`random`].
///
/// # Errors
/// Gates that are not finite.
pub fn shuffled(network: &Checkpoint, seed: u64) -> Result<Scores, PruneError> {
    let mut values: Vec<f32> = importance(network).concat();
    values.sort_by(f32::total_cmp);
    for at in 1..values.len() {
        values[at] = values[at].max(values[at - 1].next_up());
    }
    values.shuffle(&mut stream(Purpose::Scores, seed, b"shuffled"));
    let mut values = values.into_iter();
    let layer = |&channels: &usize| values.by_ref().take(channels).collect();
    Scores::new(network.spec.clone(), network.spec.channels.iter().map(layer).collect())
}

/// How the norms of different layers are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Norms {
    /// Divided by the mean norm of their layer.
    LayerMean,
    /// As they are; layers of many inputs have larger ones.
    Raw,
}

/// The L1 norm of each filter (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.1).
///
/// # Errors
/// Weights that are not finite.
pub fn l1(network: &Checkpoint, norms: Norms) -> Result<Scores, PruneError> {
    let mut scores = Vec::new();
    for layer in network.spec.layers() {
        let weight = network.values(&format!("features.{}.weight", layer.index))?;
        let filters = weight.chunks_exact(9 * layer.inputs);
        let found: Vec<f64> =
            filters.map(|filter| filter.iter().map(|value| f64::from(value.abs())).sum()).collect();
        let scale = match norms {
            Norms::Raw => 1.0,
            Norms::LayerMean => found.iter().sum::<f64>() / found.len().max(1) as f64,
        };
        // A layer of nothing but zeros is all of the lowest score.
        let scale = if scale == 0.0 { 1.0 } else { scale };
        scores.push(found.iter().map(|norm| (norm / scale) as f32).collect());
    }
    Scores::new(network.spec.clone(), scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Arch, HostTensor, initialise};
    use crate::prune::{SearchInput, SearchResult, Ties, threshold_search};

    fn network() -> Checkpoint {
        initialise(&NetworkSpec::vgg(Arch::Vgg11, 8, 1.0, [1, 16, 16], 10).unwrap(), 3)
    }

    fn found(scores: &Scores, flops_ratio: f64, ties: Ties) -> SearchResult {
        let (spec, importance) = (scores.spec(), scores.values());
        let (tolerance, min_channels, round_to) = (None, 1, 1);
        let input = SearchInput { spec, importance, flops_ratio, tolerance, min_channels, round_to, ties };
        threshold_search(&input).unwrap()
    }

    /// A network whose gates are these numbers.
    fn gated(mut gate: impl FnMut() -> f32) -> Checkpoint {
        let mut network = network();
        for layer in network.spec.layers() {
            let data = (0..layer.outputs).map(|_| gate()).collect();
            let gates = HostTensor::Float { shape: vec![layer.outputs], data };
            network.tensors.insert(format!("features.{}.gate", layer.index + 1), gates);
        }
        network
    }

    #[test]
    fn uniform_scores_scale_every_width_alike() {
        let scores = uniform(&network().spec).unwrap();
        let found = found(&scores, 0.3, Ties::Spread);
        let kept = &found.kept;
        let shares: Vec<f64> = kept
            .iter()
            .zip(&found.filled)
            .zip(&scores.spec().channels)
            .map(|((kept, filled), all)| (kept.len() - filled) as f64 / *all as f64)
            .collect();
        for (share, channels) in shares.iter().zip(&scores.spec().channels) {
            assert!((share - shares[7]).abs() <= 1.0 / *channels as f64, "{shares:?}");
        }
        // What fills the budget up is next to nothing beside that.
        assert!(found.filled.iter().sum::<usize>() <= 8 && found.achieved_ratio > 0.299);
        assert!(
            kept.iter().all(|kept| kept.iter().enumerate().all(|(place, channel)| place as u32 == *channel))
        );
    }

    #[test]
    fn random_scores_follow_their_seed_and_cover_all_layers() {
        let spec = network().spec;
        assert_eq!(random(&spec, 4).unwrap(), random(&spec, 4).unwrap());
        assert_ne!(random(&spec, 4).unwrap(), random(&spec, 5).unwrap());
        let all = random(&spec, 4).unwrap().values().concat();
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        assert!((0.4..0.6).contains(&mean) && all.iter().all(|score| (0.0..1.0).contains(score)));
    }

    #[test]
    fn shuffled_scores_are_the_same_values_in_other_places() {
        let mut next = 0f32;
        let network = gated(|| {
            next += 1.0;
            next
        });
        let before = importance(&network).concat();
        let after = shuffled(&network, 1).unwrap().values().concat();
        assert_ne!(before, after);
        let mut sorted = after;
        sorted.sort_by(f32::total_cmp);
        assert_eq!(before, sorted);
    }

    /// Channels that each layer keeps, seed by seed.
    fn structures(of: impl Fn(u64) -> SearchResult) -> Vec<Vec<usize>> {
        (0..SEEDS).map(|seed| of(seed).kept.iter().map(Vec::len).collect()).collect()
    }

    const SEEDS: u64 = 400;

    /// The largest distance of the two distribution functions of what `layer` keeps (Kolmogorov and Smirnov).
    fn distance(a: &[Vec<usize>], b: &[Vec<usize>], layer: usize) -> f64 {
        let below = |all: &[Vec<usize>], most: usize| {
            all.iter().filter(|kept| kept[layer] <= most).count() as f64 / all.len() as f64
        };
        let widths = a.iter().chain(b).map(|kept| kept[layer]);
        widths.map(|width| (below(a, width) - below(b, width)).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn structures_of_shuffled_gates_are_distributed_as_those_of_random_scores() {
        // 57% of the gates are 0, the others differ: as in a trained network.
        let mut generator = stream(Purpose::Scores, 9, b"test");
        let network = gated(|| if generator.random_bool(0.57) { 0.0 } else { generator.random::<f32>() });
        // Two samples of 400 from one distribution are farther apart than this once in 10,000 times:
        // sqrt(ln(2 / p) / 2) * sqrt(2 / 400), Smirnov's bound. Eight layers at three budgets are 24
        // comparisons.
        let most = ((2.0 / 1e-4f64).ln() / 2.0).sqrt() * (2.0 / SEEDS as f64).sqrt();
        for flops_ratio in [0.3, 0.5, 0.7] {
            let chance =
                structures(|seed| found(&random(&network.spec, seed).unwrap(), flops_ratio, Ties::Spread));
            for ties in [Ties::Spread, Ties::Order] {
                let dealt = structures(|seed| found(&shuffled(&network, seed).unwrap(), flops_ratio, ties));
                for layer in 0..network.spec.channels.len() {
                    let apart = distance(&chance, &dealt, layer);
                    assert!(apart <= most, "layer {layer} at {flops_ratio}: {apart} of {most}");
                }
            }
        }
        // The same test sees that gates whose ties go by the layer's number are no control.
        let plain = |seed| {
            let mut values = importance(&network).concat();
            values.shuffle(&mut stream(Purpose::Scores, seed, b"test"));
            let mut values = values.into_iter();
            let channels = &network.spec.channels;
            let layers = channels.iter().map(|count| values.by_ref().take(*count).collect()).collect();
            Scores::new(network.spec.clone(), layers).unwrap()
        };
        let chance = structures(|seed| found(&random(&network.spec, seed).unwrap(), 0.5, Ties::Spread));
        let by_layer = structures(|seed| found(&plain(seed), 0.5, Ties::Order));
        assert!((0..8).all(|layer| distance(&chance, &by_layer, layer) > 2.0 * most));
    }

    #[test]
    fn equal_gates_are_told_apart_when_they_are_dealt_out() {
        let values = shuffled(&gated(|| 0.5), 1).unwrap().values().concat();
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        assert!(sorted.is_sorted_by(|a, b| a < b), "no two are equal");
        assert!(sorted[0] == 0.5 && sorted[sorted.len() - 1] < 0.5001);
        assert_ne!(values, sorted);
    }

    #[test]
    fn l1_scores_are_the_sums_of_magnitudes_of_each_filter() {
        let network = network();
        let weight = network.values("features.0.weight").unwrap();
        let expected: Vec<f32> =
            weight.chunks(9).map(|filter| filter.iter().map(|w| w.abs()).sum()).collect();
        let raw = l1(&network, Norms::Raw).unwrap();
        for (found, expected) in raw.values()[0].iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6);
        }
        for layer in l1(&network, Norms::LayerMean).unwrap().values() {
            assert!((layer.iter().sum::<f32>() / layer.len() as f32 - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn scores_survive_their_bytes_and_improper_ones_are_refused() {
        let scores = random(&network().spec, 1).unwrap();
        assert_eq!(Scores::from_safetensors(&scores.to_safetensors().unwrap()).unwrap(), scores);
        let mut values = scores.values().to_vec();
        values[2][1] = f32::NAN;
        assert!(Scores::new(scores.spec().clone(), values).is_err());
        assert!(Scores::new(scores.spec().clone(), vec![vec![1.0]]).is_err());
    }
}
