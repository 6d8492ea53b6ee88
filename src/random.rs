//! Random numbers: a stream of its own for every purpose, seed and place.
//!
//! Keys are derived by blake3, so that streams are unrelated however close their seeds and places are, and the weights
//! of a full network, those of its slim one and the order of the images share nothing but the seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What random numbers are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The weights that a network starts from; a place is the name of a tensor.
    Weights,
    /// The fresh weights of a slim network; a place is the name of a tensor.
    SlimWeights,
    /// The order of training images; a place is an epoch.
    Order,
    /// The random changes to training images; a place is an epoch and a position in it.
    Augmentation,
    /// Scores of channels; a place is the rule that draws them.
    Scores,
    /// The images of a measurement of time.
    Latency,
}

impl Purpose {
    /// What tells the keys of the purposes apart. Never changes: all that was drawn would.
    fn context(self) -> &'static str {
        match self {
            Self::Weights => "runner random stream: weights",
            Self::SlimWeights => "runner random stream: slim weights",
            Self::Order => "runner random stream: order",
            Self::Augmentation => "runner random stream: augmentation",
            Self::Scores => "runner random stream: scores",
            Self::Latency => "runner random stream: latency",
        }
    }
}

/// The stream of a purpose, a seed and a place.
pub fn stream(purpose: Purpose, seed: u64, place: &[u8]) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    hasher.update(&seed.to_le_bytes()).update(place);
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngCore;

    use super::*;

    #[test]
    fn no_two_purposes_seeds_and_places_share_a_stream() {
        let mut seen = BTreeSet::new();
        let mut drawn = 0;
        use Purpose::{Augmentation, Latency, Order, Scores, SlimWeights, Weights};
        for purpose in [Weights, SlimWeights, Order, Augmentation, Scores, Latency] {
            for seed in 0..20u64 {
                for place in 0..20u64 {
                    // The seeds that collide where an epoch times a constant is mixed into the seed.
                    let seed = seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    seen.insert(stream(purpose, seed, &place.to_le_bytes()).next_u64());
                    drawn += 1;
                }
            }
        }
        assert_eq!(seen.len(), drawn);
    }

    #[test]
    fn a_stream_is_the_same_every_time() {
        let draw = || stream(Purpose::Order, 7, b"place").next_u64();
        assert_eq!(draw(), draw());
        // Fixed for ever: results in caches depend on it.
        assert_eq!(draw(), 9_734_207_051_775_456_627);
    }
}
