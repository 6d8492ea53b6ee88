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
/// # Errors
/// Gates that are not finite.
pub fn shuffled(network: &Checkpoint, seed: u64) -> Result<Scores, PruneError> {
    let mut values: Vec<f32> = importance(network).concat();
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
    use crate::prune::{SearchInput, threshold_search};

    fn network() -> Checkpoint {
        initialise(&NetworkSpec::vgg(Arch::Vgg11, 8, 1.0, [1, 16, 16], 10).unwrap(), 3)
    }

    fn kept(scores: &Scores, flops_ratio: f64) -> Vec<Vec<u32>> {
        let (min_channels, round_to) = (1, 1);
        let importance = scores.values();
        let input = SearchInput {
            spec: scores.spec(),
            importance,
            flops_ratio,
            tolerance: None,
            min_channels,
            round_to,
        };
        threshold_search(&input).unwrap().kept
    }

    #[test]
    fn uniform_scores_scale_every_width_alike() {
        let scores = uniform(&network().spec).unwrap();
        let kept = kept(&scores, 0.3);
        let shares: Vec<f64> = kept
            .iter()
            .zip(&scores.spec().channels)
            .map(|(kept, all)| kept.len() as f64 / *all as f64)
            .collect();
        for (share, channels) in shares.iter().zip(&scores.spec().channels) {
            assert!((share - shares[7]).abs() <= 1.0 / *channels as f64, "{shares:?}");
        }
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
        let mut network = network();
        let mut next = 0f32;
        for layer in network.spec.layers() {
            let data = (0..layer.outputs)
                .map(|_| {
                    next += 1.0;
                    next
                })
                .collect();
            let gate = HostTensor::Float { shape: vec![layer.outputs], data };
            network.tensors.insert(format!("features.{}.gate", layer.index + 1), gate);
        }
        let before = importance(&network).concat();
        let after = shuffled(&network, 1).unwrap().values().concat();
        assert_ne!(before, after);
        let mut sorted = after;
        sorted.sort_by(f32::total_cmp);
        assert_eq!(before, sorted);
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
