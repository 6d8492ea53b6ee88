//! Gates: one number for each output channel of a convolution, telling how much it matters.

use crate::network::{Checkpoint, HostTensor};

/// Gives every channel a gate of 1 after its batch norm (`channel-gate` mode). A gated checkpoint is left as it is.
pub fn add_gates(checkpoint: &mut Checkpoint) {
    for layer in checkpoint.spec.layers() {
        checkpoint.tensors.entry(format!("features.{}.gate", layer.index + 1)).or_insert_with(|| {
            HostTensor::Float { shape: vec![layer.outputs], data: vec![1.0; layer.outputs] }
        });
    }
}

/// Folds the gates into scale and shift of batch norm, and takes them away. The network computes what it did.
pub fn fold_gates(checkpoint: &mut Checkpoint) {
    for layer in checkpoint.spec.layers() {
        let norm = format!("features.{}", layer.index + 1);
        let Some(HostTensor::Float { data: gates, .. }) = checkpoint.tensors.remove(&format!("{norm}.gate"))
        else {
            continue;
        };
        for field in ["weight", "bias"] {
            let tensor = checkpoint.tensors.get_mut(&format!("{norm}.{field}"));
            if let Some(HostTensor::Float { data, .. }) = tensor {
                data.iter_mut().zip(&gates).for_each(|(value, gate)| *value *= gate);
            }
        }
    }
}

/// The importance of every channel, layer by layer: the gate where the network has gates, else the
/// magnitude of batch norm's scale.
pub fn importance(checkpoint: &Checkpoint) -> Vec<Vec<f32>> {
    let field = if checkpoint.gated() { "gate" } else { "weight" };
    let of_layer = |index: usize| match checkpoint.tensors.get(&format!("features.{}.{field}", index + 1)) {
        Some(HostTensor::Float { data, .. }) => data.iter().map(|value| value.abs()).collect(),
        _ => Vec::new(),
    };
    checkpoint.spec.layers().iter().map(|layer| of_layer(layer.index)).collect()
}

/// The sparsity regulariser `(mean_j |gate_j| - r)^2` over *all* gates, and the factor of its gradient:
/// `dOmega/dgate_j = factor * sign(gate_j)` with `factor = 2 (mean |gate| - r) / C`.
pub fn regulariser(absolute_sum: f64, count: usize, r: f64) -> (f64, f64) {
    let count = count.max(1) as f64;
    let distance = absolute_sum / count - r;
    (distance * distance, 2.0 * distance / count)
}

/// The share of gates that are open: whose magnitude is above `zero`.
pub fn sparsity(gates: &[Vec<f32>], zero: f32) -> f64 {
    let count: usize = gates.iter().map(Vec::len).sum();
    let open = gates.iter().flatten().filter(|gate| gate.abs() > zero).count();
    open as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regulariser_s_gradient_is_its_finite_difference() {
        let gates = [0.9f64, -0.3, 0.5, 0.05];
        let sum = |gates: &[f64]| gates.iter().map(|gate| gate.abs()).sum::<f64>();
        let (_, factor) = regulariser(sum(&gates), 4, 0.2);
        for (index, gate) in gates.iter().enumerate() {
            let (mut up, mut down) = (gates, gates);
            up[index] += 1e-6;
            down[index] -= 1e-6;
            let slope = (regulariser(sum(&up), 4, 0.2).0 - regulariser(sum(&down), 4, 0.2).0) / 2e-6;
            assert!((slope - factor * gate.signum()).abs() < 1e-8);
        }
    }

    #[test]
    fn sparsity_is_the_share_of_open_gates() {
        assert_eq!(sparsity(&[vec![0.0, 1.0], vec![0.5, 0.0]], 0.0), 0.5);
    }
}
