//! The slim network: fresh weights, or the kept slices of the full network's.

use std::collections::BTreeMap;

use super::channels::{Channels, PruneError};
use super::gates::fold_gates;
use crate::network::{self, Checkpoint, HostTensor};

/// The slim network with new random weights. They depend on the slim structure and the seed alone.
///
/// # Errors
/// None for a selection that was checked.
pub fn slim_fresh(channels: &Channels, seed: u64) -> Result<Checkpoint, PruneError> {
    Ok(network::initialise_slim(&channels.slim()?, seed))
}

/// The slim network with the kept slices of `full`; gates are folded into scale and shift of batch norm,
/// so that its logits are those of the masked full network.
///
/// # Errors
/// A network other than the one whose channels were chosen.
pub fn slim_inherit(full: &Checkpoint, channels: &Channels) -> Result<Checkpoint, PruneError> {
    check(full, channels)?;
    let mut full = full.clone();
    fold_gates(&mut full);
    let mut tensors = BTreeMap::new();
    let mut put = |name: String, shape: Vec<usize>, data: Vec<f32>| {
        tensors.insert(name, HostTensor::Float { shape, data });
    };
    let mut inputs: Vec<u32> = (0..full.spec.input[0] as u32).collect();
    for (layer, kept) in full.spec.layers().iter().zip(channels.kept()) {
        let conv = format!("features.{}.weight", layer.index);
        let weight = full.values(&conv)?;
        let mut slices = Vec::with_capacity(kept.len() * inputs.len() * 9);
        for output in kept {
            for input in &inputs {
                let at = (*output as usize * layer.inputs + *input as usize) * 9;
                slices.extend_from_slice(&weight[at..at + 9]);
            }
        }
        put(conv, vec![kept.len(), inputs.len(), 3, 3], slices);
        let norm = format!("features.{}", layer.index + 1);
        for field in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{norm}.{field}");
            let values = full.values(&name)?;
            let slices = kept.iter().map(|channel| values[*channel as usize]);
            put(name, vec![kept.len()], slices.collect());
        }
        inputs.clone_from(kept);
    }
    let features = full.spec.channels.last().copied().unwrap_or(0);
    let weight = full.values("classifier.weight")?;
    let columns =
        weight.chunks_exact(features).flat_map(|row| inputs.iter().map(|input| row[*input as usize]));
    put("classifier.weight".to_owned(), vec![full.spec.classes, inputs.len()], columns.collect());
    put("classifier.bias".to_owned(), vec![full.spec.classes], full.values("classifier.bias")?.to_vec());
    for (name, tensor) in &full.tensors {
        if let HostTensor::Count(_) = tensor {
            tensors.insert(name.clone(), tensor.clone());
        }
    }
    Ok(Checkpoint { spec: channels.slim()?, tensors })
}

/// The full network with the removed channels silenced: their gates, or scale and shift, are zero.
///
/// # Errors
/// A network other than the one whose channels were chosen.
pub fn masked(full: &Checkpoint, channels: &Channels) -> Result<Checkpoint, PruneError> {
    check(full, channels)?;
    let mut masked = full.clone();
    let fields: &[&str] = if full.gated() { &["gate"] } else { &["weight", "bias"] };
    for (layer, kept) in full.spec.layers().iter().zip(channels.kept()) {
        for field in fields {
            let name = format!("features.{}.{field}", layer.index + 1);
            if let Some(HostTensor::Float { data, .. }) = masked.tensors.get_mut(&name) {
                for (channel, value) in data.iter_mut().enumerate() {
                    if kept.binary_search(&(channel as u32)).is_err() {
                        *value = 0.0;
                    }
                }
            }
        }
    }
    Ok(masked)
}

fn check(full: &Checkpoint, channels: &Channels) -> Result<(), PruneError> {
    if full.spec != *channels.spec() {
        return Err(PruneError::OtherNetwork {
            chosen: channels.spec().channels.clone(),
            weights: full.spec.channels.clone(),
        });
    }
    Ok(())
}
