//! Random starting weights, drawn from one ChaCha stream per tensor: a tensor's values depend on
//! the seed, its name and its size, not on what is drawn beside it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::checkpoint::expected;
use super::{Checkpoint, HostTensor, NetworkSpec};

/// Conv `N(0, sqrt(2 / (9 C_out)))`, linear `N(0, 0.01)` (both standard deviations), biases 0,
/// batch-norm scale 0.5. The result has no gates.
pub fn initialise(spec: &NetworkSpec, seed: u64) -> Checkpoint {
    let tensors = expected(spec, false)
        .into_iter()
        .map(|(name, shape)| {
            let Some(shape) = shape else { return (name, HostTensor::Count(0)) };
            let count = shape.iter().product();
            let data = if shape.len() == 4 {
                normal(seed, &name, count, (2.0 / (9.0 * shape[0] as f64)).sqrt())
            } else if name == "classifier.weight" {
                normal(seed, &name, count, 0.01)
            } else if name.ends_with(".weight") {
                vec![0.5; count]
            } else if name.ends_with(".running_var") {
                vec![1.0; count]
            } else {
                vec![0.0; count]
            };
            (name, HostTensor::Float { shape, data })
        })
        .collect();
    Checkpoint { spec: spec.clone(), tensors }
}

fn normal(seed: u64, name: &str, count: usize, deviation: f64) -> Vec<f32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let digest = blake3::hash(name.as_bytes());
    let stream = digest.as_bytes().iter().take(8).fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    generator.set_stream(stream);
    let draw = |_| {
        let value: f64 = StandardNormal.sample(&mut generator);
        (value * deviation) as f32
    };
    (0..count).map(draw).collect()
}
