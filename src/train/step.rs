//! One training step: forward, loss, backward, optimizer.

use candle_core::{Result, Tensor};

use super::optimizer::Optimizer;
use super::trainer::{Objective, Sparsity};
use crate::network::{Gradients, Model, Trainable};
use crate::{ops, prune};

/// A network under training.
#[derive(Debug)]
pub struct Trainee {
    /// The network.
    pub model: Model,
    /// What moves it.
    pub optimizer: Optimizer,
    /// Where to.
    pub objective: Objective,
}

/// What a step found, before it moved anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Mean loss of the batch, the regulariser included.
    pub loss: f64,
    /// Images classified rightly.
    pub correct: usize,
}

impl Objective {
    /// What is trained.
    pub fn trainable(self) -> Trainable {
        match self {
            Self::Weights { .. } => Trainable::All,
            Self::BnScale(_) => Trainable::BnScale,
            Self::Gates(_) => Trainable::Gates,
        }
    }

    /// The sparsity that gates are driven to.
    pub fn sparsity(self) -> Option<Sparsity> {
        match self {
            Self::Weights { .. } => None,
            Self::BnScale(sparsity) | Self::Gates(sparsity) => Some(sparsity),
        }
    }
}

impl Trainee {
    /// Trains on a batch (N x C x H x W) at a learning rate. A loss that is no number moves nothing.
    ///
    /// # Errors
    /// Images or labels that do not fit the network.
    pub fn step(&mut self, images: &Tensor, labels: &[u32], lr: f64) -> Result<Step> {
        let trainable = self.objective.trainable();
        let smoothing = match self.objective {
            Objective::Weights { label_smoothing } => label_smoothing,
            Objective::BnScale(_) | Objective::Gates(_) => 0.0,
        };
        let (logits, tape) = self.model.forward_train(images, trainable)?;
        let scored = ops::cross_entropy(&logits, labels, smoothing)?;
        let mut gradients = self.model.backward(tape, &scored.dlogits, trainable)?;
        let mut loss = scored.loss_sum / labels.len() as f64;
        if let Some(sparsity) = self.objective.sparsity() {
            loss += self.regularise(sparsity, &mut gradients)?;
        }
        if loss.is_finite() {
            let clamped = matches!(self.objective, Objective::Gates(_));
            let after = |value: Tensor| if clamped { value.clamp(0f32, 1f32) } else { Ok(value) };
            self.optimizer.step(&mut self.model, trainable, &gradients, lr, after)?;
        }
        Ok(Step { loss, correct: scored.correct })
    }

    /// Adds the regulariser's gradient, and returns its part of the loss.
    fn regularise(&self, sparsity: Sparsity, gradients: &mut Gradients) -> Result<f64> {
        let gates = self.model.gates();
        let (mut sum, mut count) = (0f64, 0);
        for (_, gate) in &gates {
            let values = gate.to_vec1::<f32>()?;
            sum += values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
            count += values.len();
        }
        let (omega, factor) = prune::regulariser(sum, count, sparsity.ratio);
        for (name, gate) in gates {
            if let Some(gradient) = gradients.get_mut(&name) {
                *gradient = (&*gradient + (gate.sign()? * (sparsity.balance * factor))?)?;
            }
        }
        Ok(sparsity.balance * omega)
    }
}
