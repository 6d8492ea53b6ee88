//! A network on a device: forward, and backward to exactly the gradients that are wanted.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, bail};

use super::snapshot::{Kept, Snapshot};
use super::{Checkpoint, CheckpointError, HostTensor, NetworkSpec};
use crate::ops::{self, Activation, Algorithm, Backend, BnAct, Conv2d, Input, Pool, Reuse, Wanted};

/// Weight of a batch in the running statistics, PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Tensor>;

/// Which parameters are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainable {
    /// Every weight; gates are not touched.
    All,
    /// Scale and shift of every batch norm.
    BnScale,
    /// The gates.
    Gates,
}

impl Trainable {
    /// Whether convolutions meet the same weights in the next step.
    fn reuse(self) -> Reuse {
        if self == Self::All { Reuse::Once } else { Reuse::Keep }
    }
}

#[derive(Debug)]
struct Block {
    /// Index of the convolution in `features`; its batch norm is the next.
    index: usize,
    conv: Conv2d,
    gamma: Tensor,
    beta: Tensor,
    gate: Option<Tensor>,
    running_mean: Tensor,
    running_var: Tensor,
    batches: i64,
    pool: Pool,
}

impl Block {
    fn activation(&self) -> BnAct<'_> {
        BnAct { gamma: &self.gamma, beta: &self.beta, gate: self.gate.as_ref(), pool: self.pool }
    }
}

/// A network whose tensors live on a device.
#[derive(Debug)]
pub struct Model {
    spec: NetworkSpec,
    blocks: Vec<Block>,
    weight: Tensor,
    bias: Tensor,
    backend: Backend,
}

/// What the backward pass needs of a forward pass.
#[derive(Debug)]
pub struct Tape {
    images: Tensor,
    /// What each block gave.
    activations: Vec<Activation>,
    pooled: Tensor,
}

impl Model {
    /// Places a checkpoint on a device, with the fast algorithm.
    ///
    /// # Errors
    /// A tensor that is missing, or a device without memory for it.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> std::result::Result<Self, CheckpointError> {
        Self::load_on(checkpoint, device, &Backend::new(device, Algorithm::default())?)
    }

    /// Places a checkpoint on a device, whose work `backend` does.
    ///
    /// # Errors
    /// A tensor that is missing, or a device without memory for it.
    pub fn load_on(
        checkpoint: &Checkpoint,
        device: &Device,
        backend: &Backend,
    ) -> std::result::Result<Self, CheckpointError> {
        let tensor = |name: &str| place(checkpoint, name, device);
        let mut blocks = Vec::new();
        for layer in checkpoint.spec.layers() {
            let conv = format!("features.{}", layer.index);
            let norm = format!("features.{}", layer.index + 1);
            let gate = format!("{norm}.gate");
            let batches = match checkpoint.tensors.get(&format!("{norm}.num_batches_tracked")) {
                Some(HostTensor::Count(count)) => *count,
                _ => 0,
            };
            blocks.push(Block {
                index: layer.index,
                conv: Conv2d::on(tensor(&format!("{conv}.weight"))?, 1, backend)?,
                gamma: tensor(&format!("{norm}.weight"))?,
                beta: tensor(&format!("{norm}.bias"))?,
                gate: if checkpoint.gated() { Some(tensor(&gate)?) } else { None },
                running_mean: tensor(&format!("{norm}.running_mean"))?,
                running_var: tensor(&format!("{norm}.running_var"))?,
                batches,
                pool: if layer.pooled { Pool::Max2 } else { Pool::None },
            });
        }
        let (weight, bias) = (tensor("classifier.weight")?, tensor("classifier.bias")?);
        Ok(Self { spec: checkpoint.spec.clone(), blocks, weight, bias, backend: backend.clone() })
    }

    /// The network as it is now, in host memory.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.view().checkpoint()
    }

    /// The network as it is now. What `trainable` trains is copied, because optimizers change it where it
    /// lies.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn snapshot(&self, trainable: Trainable) -> Result<Snapshot> {
        let mut snapshot = self.view();
        for (name, tensor) in self.parameters(trainable) {
            snapshot.tensors.insert(name, Kept::Tensor(tensor.copy()?));
        }
        Ok(snapshot)
    }

    /// The network as it is until the next step: all tensors are shared.
    pub(crate) fn view(&self) -> Snapshot {
        let mut tensors = BTreeMap::new();
        let mut put = |name: String, tensor: &Tensor| tensors.insert(name, Kept::Tensor(tensor.clone()));
        for block in &self.blocks {
            let norm = format!("features.{}", block.index + 1);
            put(format!("features.{}.weight", block.index), block.conv.weight());
            put(format!("{norm}.weight"), &block.gamma);
            put(format!("{norm}.bias"), &block.beta);
            put(format!("{norm}.running_mean"), &block.running_mean);
            put(format!("{norm}.running_var"), &block.running_var);
            if let Some(gate) = &block.gate {
                put(format!("{norm}.gate"), gate);
            }
        }
        put("classifier.weight".to_owned(), &self.weight);
        put("classifier.bias".to_owned(), &self.bias);
        for block in &self.blocks {
            let name = format!("features.{}.num_batches_tracked", block.index + 1);
            tensors.insert(name, Kept::Count(block.batches));
        }
        Snapshot { spec: self.spec.clone(), tensors }
    }

    /// Gives memory back that lies ready for the next pass.
    pub fn release(&self) {
        self.backend.release();
    }

    /// Gives back what passes derived from the weights and kept. Those that change soon need it no more.
    pub fn forget_kernels(&self) {
        self.blocks.iter().for_each(|block| block.conv.forget());
    }

    /// The structure.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Logits (N x classes) of images (N x C x H x W), by the running statistics.
    ///
    /// # Errors
    /// Images of the wrong shape.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut last: Option<Activation> = None;
        for block in &self.blocks {
            let input = last.as_ref().map_or(Input::Images(images), Input::Activation);
            let convolved = block.conv.convolve(input, false, Reuse::Keep)?;
            last = Some(convolved.activate(&block.activation(), &block.running_mean, &block.running_var)?);
        }
        let Some(last) = last else { bail!("a network without convolutions") };
        ops::linear(&last.average()?, &self.weight, &self.bias, &self.backend)
    }

    /// Logits by the batch's own statistics, which move the running ones; and what
    /// [`Self::backward`] needs.
    ///
    /// # Errors
    /// Images of the wrong shape, a batch of which a channel has a single value.
    pub fn forward_train(&mut self, images: &Tensor, trainable: Trainable) -> Result<(Tensor, Tape)> {
        let mut activations: Vec<Activation> = Vec::with_capacity(self.blocks.len());
        for block in &mut self.blocks {
            let input = activations.last().map_or(Input::Images(images), Input::Activation);
            let convolved = block.conv.convolve(input, true, trainable.reuse())?;
            let Some(stats) = convolved.stats().cloned() else { bail!("a batch without statistics") };
            if stats.count < 2 {
                bail!("batch norm needs more than one value for each channel, in training");
            }
            let unbiased = (&stats.var * (stats.count as f64 / (stats.count - 1) as f64))?;
            let mixed = |old: &Tensor, new: &Tensor| (old * (1.0 - MOMENTUM))? + (new * MOMENTUM)?;
            block.running_mean = mixed(&block.running_mean, &stats.mean)?;
            block.running_var = mixed(&block.running_var, &unbiased)?;
            block.batches += 1;
            activations.push(convolved.activate(&block.activation(), &stats.mean, &stats.var)?);
        }
        let Some(last) = activations.last() else { bail!("a network without convolutions") };
        let pooled = last.average()?;
        let logits = ops::linear(&pooled, &self.weight, &self.bias, &self.backend)?;
        Ok((logits, Tape { images: images.clone(), activations, pooled }))
    }

    /// The gradients of what is trained, from that of the logits. Frozen weights cost nothing, and the gradient of
    /// the images is never computed.
    ///
    /// # Errors
    /// A tape of another network.
    pub fn backward(&self, tape: Tape, dlogits: &Tensor, trainable: Trainable) -> Result<Gradients> {
        let Tape { images, mut activations, pooled } = tape;
        let mut gradients = Gradients::new();
        let (dpooled, head) = ops::linear_backward(&pooled, &self.weight, dlogits, &self.backend)?;
        if trainable == Trainable::All {
            gradients.insert("classifier.weight".to_owned(), head.dweight);
            gradients.insert("classifier.bias".to_owned(), head.dbias);
        }
        let mut gradient = activations.last().map(|last| last.average_backward(&dpooled)).transpose()?;
        for (position, block) in self.blocks.iter().enumerate().rev() {
            let (Some(activation), Some(dy)) = (activations.pop(), gradient.take()) else {
                bail!("a tape of another network")
            };
            let norm = format!("features.{}", block.index + 1);
            let (outgoing, grads) = activation.backward(&dy)?;
            match trainable {
                Trainable::Gates => {
                    let Some(dgate) = grads.dgate else { bail!("the network has no gates to train") };
                    gradients.insert(format!("{norm}.gate"), dgate);
                }
                Trainable::All | Trainable::BnScale => {
                    gradients.insert(format!("{norm}.weight"), grads.dgamma);
                    gradients.insert(format!("{norm}.bias"), grads.dbeta);
                }
            }
            let wanted = Wanted { input: position > 0, weight: trainable == Trainable::All };
            if wanted.input || wanted.weight {
                let input = activations.last().map_or(Input::Images(&images), Input::Activation);
                let found = block.conv.backward(input, &outgoing, wanted, trainable.reuse())?;
                if let Some(dweight) = found.weight {
                    gradients.insert(format!("features.{}.weight", block.index), dweight);
                }
                gradient = found.input;
            }
        }
        Ok(gradients)
    }

    /// The parameters that are trained, by name.
    pub fn parameters(&self, trainable: Trainable) -> Vec<(String, Tensor)> {
        let mut found = Vec::new();
        for block in &self.blocks {
            let norm = format!("features.{}", block.index + 1);
            if trainable == Trainable::All {
                found.push((format!("features.{}.weight", block.index), block.conv.weight().clone()));
            }
            match (&block.gate, trainable) {
                (Some(gate), Trainable::Gates) => found.push((format!("{norm}.gate"), gate.clone())),
                (None, Trainable::Gates) => {}
                (_, Trainable::All | Trainable::BnScale) => {
                    found.push((format!("{norm}.weight"), block.gamma.clone()));
                    found.push((format!("{norm}.bias"), block.beta.clone()));
                }
            }
        }
        if trainable == Trainable::All {
            found.push(("classifier.weight".to_owned(), self.weight.clone()));
            found.push(("classifier.bias".to_owned(), self.bias.clone()));
        }
        found
    }

    /// Replaces a parameter.
    ///
    /// # Errors
    /// No parameter of this name.
    pub fn set_parameter(&mut self, name: &str, value: Tensor) -> Result<()> {
        match name {
            "classifier.weight" => self.weight = value,
            "classifier.bias" => self.bias = value,
            _ => {
                let mut parts = name.split('.');
                let (Some("features"), Some(index), Some(field), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    bail!("no parameter is called `{name}`")
                };
                let index: usize = index.parse().map_err(candle_core::Error::wrap)?;
                for block in &mut self.blocks {
                    match field {
                        "weight" if index == block.index => block.conv.set_weight(value)?,
                        "weight" if index == block.index + 1 => block.gamma = value,
                        "bias" if index == block.index + 1 => block.beta = value,
                        "gate" if index == block.index + 1 => block.gate = Some(value),
                        _ => continue,
                    }
                    return Ok(());
                }
                bail!("no parameter is called `{name}`")
            }
        }
        Ok(())
    }

    /// The importance that is regularised and searched: gates, or the scale of batch norm.
    pub fn gates(&self) -> Vec<(String, Tensor)> {
        self.blocks
            .iter()
            .map(|block| {
                let norm = format!("features.{}", block.index + 1);
                match &block.gate {
                    Some(gate) => (format!("{norm}.gate"), gate.clone()),
                    None => (format!("{norm}.weight"), block.gamma.clone()),
                }
            })
            .collect()
    }
}

fn place(
    checkpoint: &Checkpoint,
    name: &str,
    device: &Device,
) -> std::result::Result<Tensor, CheckpointError> {
    match checkpoint.tensors.get(name) {
        Some(HostTensor::Float { shape, data }) => Ok(Tensor::from_slice(data, shape.as_slice(), device)?),
        _ => Err(CheckpointError::Missing(name.to_owned())),
    }
}
