//! Optimizers with their state.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::Moments;
use crate::content_hash;
use crate::fingerprint::{ContentHash, Encoder};
use crate::network::{Gradients, Model, Trainable};
use crate::ops::{AdamStep, Moment, SgdStep};

/// Which optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent.
    Sgd,
    /// Adam (Kingma and Ba 2015).
    Adam,
}

content_hash!(enum OptimizerKind { Sgd => legacy Flag(false), Adam => legacy Flag(true) });

/// Parameters of an optimizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerParams {
    /// Which optimizer.
    pub kind: OptimizerKind,
    /// The learning rate that the schedule starts from.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub lr: f64,
    /// Momentum, of `sgd`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub momentum: f64,
    /// L2 penalty on what is trained, added to the gradient.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Nesterov's momentum, of `sgd`.
    pub nesterov: bool,
    /// Decay of the first moment, of `adam`. At 1 nothing would be learnt, so it lies below.
    #[schemars(range(min = 0.0, max = 0.999999))]
    pub beta1: f64,
    /// Decay of the second moment, of `adam`. It lies below 1 as well.
    #[schemars(range(min = 0.0, max = 0.999999))]
    pub beta2: f64,
    /// Added to the root of the second moment, of `adam`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eps: f64,
}

/// Only what the kind looks at: momentum changes nothing under Adam.
impl ContentHash for OptimizerParams {
    fn content_hash(&self, encoder: &mut Encoder) {
        let Self { kind, lr, momentum, weight_decay, nesterov, beta1, beta2, eps } = self;
        match kind {
            OptimizerKind::Sgd => {
                encoder.structure(5);
                encoder.field("momentum", momentum);
                encoder.field("nesterov", nesterov);
            }
            OptimizerKind::Adam => {
                encoder.structure(6);
                encoder.field("beta1", beta1);
                encoder.field("beta2", beta2);
                encoder.field("eps", eps);
            }
        }
        encoder.field("kind", kind);
        encoder.field("lr", lr);
        encoder.field("weight_decay", weight_decay);
    }
}

impl Default for OptimizerParams {
    /// The authors' retraining: SGD, 0.1, momentum 0.9, weight decay 1e-4.
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            lr: 0.1,
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

impl OptimizerParams {
    /// Whether Nesterov's momentum is asked for without any momentum.
    pub fn is_nesterov_without_momentum(&self) -> bool {
        self.kind == OptimizerKind::Sgd && self.nesterov && self.momentum == 0.0
    }

    /// The authors' gate-training: Adam, 0.01.
    pub fn gates() -> Self {
        Self { kind: OptimizerKind::Adam, lr: 0.01, weight_decay: 0.0, ..Self::default() }
    }
}

/// Shape and values of an optimizer's buffers, by name.
pub type Buffers = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// An optimizer at work.
#[derive(Debug)]
pub struct Optimizer {
    params: OptimizerParams,
    /// Steps done.
    steps: u64,
    /// Momentum buffers, or the two moments, by parameter name with `.0` and `.1`.
    state: BTreeMap<String, Moment>,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub fn new(params: OptimizerParams) -> Self {
        Self { params, steps: 0, state: BTreeMap::new() }
    }

    /// An optimizer after `steps` steps, with the shape and the values of its buffers.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn resumed(params: OptimizerParams, steps: u64, buffers: Buffers, device: &Device) -> Result<Self> {
        let place = |(name, (shape, values))| Ok((name, Moment::place(shape, values, device)?));
        Ok(Self { params, steps, state: buffers.into_iter().map(place).collect::<Result<_>>()? })
    }

    /// Its buffers, by name; on the CPU where they lie.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(super) fn moments(&self) -> Result<Vec<Moments<'_>>> {
        let mut found = Vec::with_capacity(self.state.len());
        for (name, moment) in &self.state {
            let (shape, values) = moment.values()?;
            found.push(Moments { name, shape, values });
        }
        Ok(found)
    }

    /// Moves the parameters of a model by one step.
    ///
    /// # Errors
    /// A gradient without a parameter.
    pub fn step(
        &mut self,
        model: &mut Model,
        trainable: Trainable,
        gradients: &Gradients,
        lr: f64,
        after: impl Fn(Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        self.steps += 1;
        for (name, parameter) in model.parameters(trainable) {
            let Some(gradient) = gradients.get(&name) else { continue };
            let moved = self.parameter(&name, &parameter, gradient, lr)?;
            model.set_parameter(&name, after(moved)?)?;
        }
        Ok(())
    }

    fn parameter(&mut self, name: &str, parameter: &Tensor, gradient: &Tensor, lr: f64) -> Result<Tensor> {
        let p = &self.params;
        let (first, second) = (format!("{name}.0"), format!("{name}.1"));
        match p.kind {
            OptimizerKind::Sgd => {
                let step =
                    SgdStep { lr, momentum: p.momentum, weight_decay: p.weight_decay, nesterov: p.nesterov };
                let mut buffer = self.state.remove(&first);
                let moved = step.apply(parameter, gradient, &mut buffer)?;
                self.state.extend(buffer.map(|buffer| (first, buffer)));
                Ok(moved)
            }
            OptimizerKind::Adam => {
                let step = AdamStep {
                    lr,
                    beta1: p.beta1,
                    beta2: p.beta2,
                    eps: p.eps,
                    weight_decay: p.weight_decay,
                    step: self.steps,
                };
                let mut moments = self.state.remove(&first).zip(self.state.remove(&second));
                let moved = step.apply(parameter, gradient, &mut moments)?;
                if let Some((m, v)) = moments {
                    self.state.extend([(first, m), (second, v)]);
                }
                Ok(moved)
            }
        }
    }
}
