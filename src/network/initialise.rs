//! Random starting weights, drawn from one stream per tensor: a tensor's values depend on
//! the seed, its name and its size, not on what is drawn beside it.

use rand_distr::{Distribution, StandardNormal};

use super::checkpoint::expected;
use super::{Checkpoint, HostTensor, NetworkSpec};
use crate::random::{self, Purpose};

/// Conv `N(0, sqrt(2 / (9 C_out)))`, linear `N(0, 0.01)` (both standard deviations), biases 0,
/// batch-norm scale 0.5. The result has no gates.
pub fn initialise(spec: &NetworkSpec, seed: u64) -> Checkpoint {
    drawn(spec, Purpose::Weights, seed)
}

/// As [`initialise`], for the slim network: from streams of its own, so that the same seed does not give it the first
/// of the numbers that the full network, in which its channels were found, was drawn from.
pub fn initialise_slim(spec: &NetworkSpec, seed: u64) -> Checkpoint {
    drawn(spec, Purpose::SlimWeights, seed)
}

fn drawn(spec: &NetworkSpec, purpose: Purpose, seed: u64) -> Checkpoint {
    let tensors = expected(spec, false)
        .into_iter()
        .map(|(name, shape)| {
            let Some(shape) = shape else { return (name, HostTensor::Count(0)) };
            let count = shape.iter().product();
            let data = if shape.len() == 4 {
                normal(purpose, seed, &name, count, (2.0 / (9.0 * shape[0] as f64)).sqrt())
            } else if name == "classifier.weight" {
                normal(purpose, seed, &name, count, 0.01)
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

fn normal(purpose: Purpose, seed: u64, name: &str, count: usize, deviation: f64) -> Vec<f32> {
    let mut generator = random::stream(purpose, seed, name.as_bytes());
    let draw = |_| {
        let value: f64 = StandardNormal.sample(&mut generator);
        (value * deviation) as f32
    };
    (0..count).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Arch;

    /// Mean and standard deviation.
    fn moments(values: &[f32]) -> (f64, f64) {
        let count = values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        (mean, (squares / count).sqrt())
    }

    #[test]
    fn weights_have_the_published_distributions() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 16, 1.0, [3, 32, 32], 100).unwrap();
        for network in [initialise(&spec, 3), initialise_slim(&spec, 3)] {
            for layer in spec.layers() {
                let weight = network.values(&format!("features.{}.weight", layer.index)).unwrap();
                let wanted = (2.0 / (9.0 * layer.outputs as f64)).sqrt();
                // Five standard errors.
                let slack = 5.0 / (2.0 * weight.len() as f64).sqrt();
                let (mean, deviation) = moments(weight);
                assert!((deviation / wanted - 1.0).abs() < slack, "{deviation} against {wanted}");
                assert!(mean.abs() < 2.0 * slack * wanted, "{mean}");
                let norm = |field| network.values(&format!("features.{}.{field}", layer.index + 1)).unwrap();
                assert!(norm("weight").iter().all(|gamma| *gamma == 0.5));
                assert!(norm("bias").iter().chain(norm("running_mean")).all(|value| *value == 0.0));
                assert!(norm("running_var").iter().all(|value| *value == 1.0));
            }
            let (mean, deviation) = moments(network.values("classifier.weight").unwrap());
            assert!((deviation - 0.01).abs() < 0.0003 && mean.abs() < 0.0005, "{mean}, {deviation}");
            assert!(network.values("classifier.bias").unwrap().iter().all(|bias| *bias == 0.0));
        }
    }

    #[test]
    fn a_slim_network_s_fresh_weights_are_not_the_full_network_s_first() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 4, 1.0, [1, 16, 16], 10).unwrap();
        let (full, slim) = (initialise(&spec, 7), initialise_slim(&spec, 7));
        for layer in spec.layers() {
            let name = format!("features.{}.weight", layer.index);
            let pairs = full.values(&name).unwrap().iter().zip(slim.values(&name).unwrap());
            assert!(pairs.clone().all(|(full, slim)| full != slim), "{name}");
        }
    }
}
