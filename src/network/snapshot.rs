//! A network as it was at some moment of its training.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};

use super::canonical::{Content, Document, Entry};
use super::{Checkpoint, CheckpointError, HostTensor, NetworkSpec, checkpoint};

/// A structure with its tensors, on the device of the model that they come from. Tensors that no training
/// changes are shared with the model.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) spec: NetworkSpec,
    pub(super) tensors: BTreeMap<String, Kept>,
}

/// A tensor of a snapshot.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Tensor(Tensor),
    Count(i64),
}

impl Snapshot {
    /// A checkpoint, in host memory.
    ///
    /// # Errors
    /// A shape that does not belong to its values.
    pub fn of(network: Checkpoint) -> Result<Self> {
        let kept = |(name, tensor)| {
            let kept = match tensor {
                HostTensor::Float { shape, data } => {
                    Kept::Tensor(Tensor::from_vec(data, shape, &Device::Cpu)?)
                }
                HostTensor::Count(count) => Kept::Count(count),
            };
            Ok((name, kept))
        };
        let tensors = network.tensors.into_iter().map(kept).collect::<Result<_>>()?;
        Ok(Self { spec: network.spec, tensors })
    }

    /// In host memory.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let host = |(name, kept): (&String, &Kept)| {
            let tensor = match kept {
                Kept::Tensor(tensor) => {
                    let data = tensor.flatten_all()?.to_vec1::<f32>()?;
                    HostTensor::Float { shape: tensor.dims().to_vec(), data }
                }
                Kept::Count(count) => HostTensor::Count(*count),
            };
            Ok((name.clone(), tensor))
        };
        let tensors = self.tensors.iter().map(host).collect::<Result<_>>()?;
        Ok(Checkpoint { spec: self.spec.clone(), tensors })
    }

    /// The file that [`Checkpoint::to_safetensors`] writes.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(crate) fn document(&self) -> std::result::Result<Document<'_>, CheckpointError> {
        let mut entries = Vec::with_capacity(self.tensors.len());
        for (name, kept) in &self.tensors {
            entries.push(match kept {
                Kept::Tensor(tensor) => {
                    Entry { name, dtype: "F32", shape: tensor.dims(), content: Content::of(tensor)? }
                }
                Kept::Count(count) => checkpoint::counter(name, *count),
            });
        }
        checkpoint::document(&self.spec, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Arch, Model, Trainable, initialise};
    use crate::prune::add_gates;

    #[test]
    fn a_snapshot_is_the_checkpoint_s_file_and_stays_what_it_was() {
        let mut network = initialise(&NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 16, 16], 3).unwrap(), 7);
        add_gates(&mut network);
        let bytes = network.to_safetensors().unwrap();
        assert_eq!(Snapshot::of(network.clone()).unwrap().document().unwrap().to_bytes(), bytes);
        let mut model = Model::load(&network, &Device::Cpu).unwrap();
        for trainable in [Trainable::All, Trainable::Gates] {
            let snapshot = model.snapshot(trainable).unwrap();
            assert_eq!(snapshot.document().unwrap().to_bytes(), bytes);
            assert_eq!(snapshot.checkpoint().unwrap(), network);
        }
        let snapshot = model.snapshot(Trainable::Gates).unwrap();
        for (name, gate) in model.parameters(Trainable::Gates) {
            let step = crate::ops::SgdStep { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
            let moved = step.apply(&gate, &gate.copy().unwrap(), &mut None).unwrap();
            model.set_parameter(&name, moved).unwrap();
        }
        assert_ne!(model.checkpoint().unwrap(), network, "the gates were moved where they lie");
        assert_eq!(snapshot.checkpoint().unwrap(), network);
    }
}
