//! How much memory a training or an evaluation takes at its peak: closed forms over the layers, for the CPU.
//!
//! A training has phases, each of which gives back what only it needed; the largest counts. Beside the
//! network, the best so far and the optimizer's buffers, steps have gradients, the maps that the backward
//! pass needs and weights in the form that products want; a validation has all layers' weights in that form;
//! a saved state has its file; the end has the results and their files. Networks whose weights are frozen
//! share them with their best. The data set and the program itself are not counted, as all stages of a run
//! share them.

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
        let best = if self.validates { trained } else { 0 };
        let held = weights + best + moments;
        let tape: u64 = layers.iter().map(|layer| maps(self.batch, layer)).sum();
        let gradient = layers.iter().map(|layer| maps(self.batch, layer)).max().unwrap_or(0);
        let (all, largest) = kernels(&layers, self.conv);
        let trains_weights = self.trainable == Trainable::All;
        // Both ways, for the whole stage, where weights are frozen.
        let kept = if trains_weights { 0 } else { 2 * all };
        // One layer's at a time, the gradient's points beside it, where they are trained.
        let (own, shared) = if trains_weights { (2 * largest, None) } else { (0, Some(largest)) };
        let step = trained + tape + gradient + own + workspace_bytes(2 * gradient, shared);
        let validation = match (self.validates, trains_weights) {
            (true, true) => all + 2 * gradient + workspace_bytes(2 * gradient, Some(largest)),
            _ => 0,
        };
        let save = weights + if self.validates { weights } else { 0 } + moments;
        // The last network, and the files of both.
        let end = 3 * weights;
        // The bytes and the values that the network is read from.
        let start = 2 * weights;
        let phases = [step, validation, save, end.saturating_sub(moments), start];
        held + kept + phases.into_iter().max().unwrap_or(0) + images(spec, self.batch)
    }
}

/// Bytes at the peak of an evaluation of one network, with its bytes.
pub fn evaluation_bytes(network: &NetworkSpec, batch: usize, conv: Algorithm) -> u64 {
    let layers = network.layers();
    let largest = layers.iter().map(|layer| maps(batch, layer)).max().unwrap_or(0);
    let (kernels, kernel) = kernels(&layers, conv);
    let weights = 4 * network.parameters();
    let passes = 2 * largest + kernels + images(network, batch) + workspace_bytes(2 * largest, Some(kernel));
    // Values that the model is made of, until it is.
    2 * weights + passes.max(weights)
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
