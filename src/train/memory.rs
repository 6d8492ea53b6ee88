//! How much memory a training or an evaluation takes at its peak: closed forms over the layers, for the CPU.
//!
//! Counted are the network's copies (input bytes, checkpoint, model, gradients, the best so far), the optimizer's buffers, the maps that
//! the backward pass needs, weights in the form that products want, and what is written when the state is saved: the network, the
//! best one and the optimizer's buffers once more, as values, as bytes and as one file. The data set and the program itself
//! are not, as all stages of a run share them.

use super::{OptimizerKind, OptimizerParams};
use crate::network::{LayerShape, NetworkSpec, Trainable};
use crate::ops::{Algorithm, kernel_bytes, map_bytes, workspace_bytes};

/// Batches that are ready or under way, as images.
const BATCHES: u64 = 4;

/// A training, as far as memory goes.
#[derive(Debug, Clone, Copy)]
pub struct TrainingShape<'a> {
    /// The network.
    pub network: &'a NetworkSpec,
    /// Images in a batch.
    pub batch: usize,
    /// What is trained.
    pub trainable: Trainable,
    /// By which optimizer.
    pub optimizer: &'a OptimizerParams,
    /// How convolutions are computed.
    pub conv: Algorithm,
    /// Whether epochs are validated, and the best is kept.
    pub validates: bool,
}

impl TrainingShape<'_> {
    /// Bytes at the peak.
    pub fn bytes(&self) -> u64 {
        let spec = self.network;
        let layers = spec.layers();
        let weights = 4 * spec.parameters();
        let trained = match self.trainable {
            Trainable::All => weights,
            Trainable::BnScale => 8 * spec.gates(),
            Trainable::Gates => 4 * spec.gates(),
        };
        let moments = match self.optimizer.kind {
            OptimizerKind::Sgd if self.optimizer.momentum == 0.0 => 0,
            OptimizerKind::Sgd => trained,
            OptimizerKind::Adam => 2 * trained,
        };
        let best = if self.validates { weights } else { 0 };
        // Input bytes, checkpoint and model are there all along.
        let held = 3 * weights + best + moments;
        let step = trained;
        // Values, bytes, and the file: of the network, of the best one, of the optimizer's buffers.
        let save = 3 * weights + 2 * best + 3 * moments;
        let tape: u64 = layers.iter().map(|layer| maps(self.batch, layer)).sum();
        let gradient = layers.iter().map(|layer| maps(self.batch, layer)).max().unwrap_or(0);
        let (all, largest) = kernels(&layers, self.conv);
        let kernels = match self.trainable {
            // One layer's at a time, the gradient's points beside it; all of them in a validation.
            Trainable::All if !self.validates => 2 * largest,
            Trainable::All => all.max(largest) + largest,
            // Both ways, for the whole stage.
            Trainable::BnScale | Trainable::Gates => 2 * all,
        };
        let shared = (self.trainable != Trainable::All).then_some(largest);
        held + step.max(save)
            + tape
            + gradient
            + kernels
            + images(spec, self.batch)
            + workspace_bytes(2 * gradient, shared)
    }
}

/// Bytes at the peak of an evaluation of one network, with its bytes and its checkpoint.
pub fn evaluation_bytes(network: &NetworkSpec, batch: usize, conv: Algorithm) -> u64 {
    let layers = network.layers();
    let largest = layers.iter().map(|layer| maps(batch, layer)).max().unwrap_or(0);
    let (kernels, kernel) = kernels(&layers, conv);
    4 * 4 * network.parameters()
        + 2 * largest
        + kernels
        + images(network, batch)
        + workspace_bytes(2 * largest, Some(kernel))
}

fn maps(batch: usize, layer: &LayerShape) -> u64 {
    map_bytes(batch, layer.size, layer.outputs)
}

/// All layers' kernels one way, and the largest.
fn kernels(layers: &[LayerShape], conv: Algorithm) -> (u64, u64) {
    let of = |layer: &LayerShape| kernel_bytes(layer.size, (layer.inputs, layer.outputs), conv);
    (layers.iter().map(of).sum(), layers.iter().map(of).max().unwrap_or(0))
}

fn images(network: &NetworkSpec, batch: usize) -> u64 {
    let [channels, height, width] = network.input;
    BATCHES * 4 * (batch * channels * height * width) as u64
}
