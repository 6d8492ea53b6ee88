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
            Self::Weights { .. } | Self::Slimming { .. } => Trainable::All,
            Self::BnScale(_) => Trainable::BnScale,
            Self::Gates(_) => Trainable::Gates,
        }
    }

    /// The sparsity that gates are driven to.
    pub fn sparsity(self) -> Option<Sparsity> {
        match self {
            Self::Weights { .. } | Self::Slimming { .. } => None,
            Self::BnScale(sparsity) | Self::Gates(sparsity) => Some(sparsity),
        }
    }

    /// Whether training drives gates or scales towards zero.
    pub fn moves_gates(self) -> bool {
        !matches!(self, Self::Weights { .. })
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
            Objective::Weights { label_smoothing } | Objective::Slimming { label_smoothing, .. } => {
                label_smoothing
            }
            Objective::BnScale(_) | Objective::Gates(_) => 0.0,
        };
        let (logits, tape) = self.model.forward_train(images, trainable)?;
        let scored = ops::cross_entropy(&logits, labels, smoothing)?;
        let mut gradients = self.model.backward(tape, &scored.dlogits, trainable)?;
        let mut loss = scored.loss_sum / labels.len() as f64;
        match self.objective {
            Objective::Weights { .. } => {}
            Objective::BnScale(sparsity) | Objective::Gates(sparsity) => {
                let (sum, count) = self.magnitudes()?;
                let (omega, factor) = prune::regulariser(sum, count, sparsity.ratio);
                loss += sparsity.balance * omega;
                self.push(sparsity.balance * factor, &mut gradients)?;
            }
            Objective::Slimming { penalty, .. } => {
                loss += penalty * self.magnitudes()?.0;
                self.push(penalty, &mut gradients)?;
            }
        }
        if loss.is_finite() {
            let clamped = matches!(self.objective, Objective::Gates(_));
            let after = |value: Tensor| if clamped { value.clamp(0f32, 1f32) } else { Ok(value) };
            self.optimizer.step(&mut self.model, trainable, &gradients, lr, after)?;
        }
        Ok(Step { loss, correct: scored.correct })
    }

    /// The sum of the magnitudes of all gates, and how many there are.
    fn magnitudes(&self) -> Result<(f64, usize)> {
        let (mut sum, mut count) = (0f64, 0);
        for (_, gate) in self.model.gates() {
            let values = gate.to_vec1::<f32>()?;
            sum += values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
            count += values.len();
        }
        Ok((sum, count))
    }

    /// Adds `factor * sign(gate)` to the gradient of every gate: the subgradient of `factor * |gate|`, 0 at 0.
    fn push(&self, factor: f64, gradients: &mut Gradients) -> Result<()> {
        for (name, gate) in self.model.gates() {
            if let Some(gradient) = gradients.get_mut(&name) {
                *gradient = (&*gradient + (gate.sign()? * factor)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::network::{Arch, NetworkSpec, initialise};
    use crate::train::OptimizerParams;

    #[test]
    fn the_penalty_pushes_a_scale_by_its_sign_and_one_at_zero_not_at_all() {
        let network = initialise(&NetworkSpec::vgg(Arch::Vgg11, 4, 1.0, [1, 16, 16], 10).unwrap(), 1);
        let mut model = Model::load(&network, &Device::Cpu).unwrap();
        let scales = [0.5f32, -0.25, 0.0, -0.0];
        model.set_parameter("features.1.weight", Tensor::new(&scales[..], &Device::Cpu).unwrap()).unwrap();
        let objective = Objective::Slimming { penalty: 0.01, label_smoothing: 0.0 };
        let trainee = Trainee { model, optimizer: Optimizer::new(OptimizerParams::default()), objective };
        let mut gradients = Gradients::from([
            ("features.0.weight".to_owned(), Tensor::new(&[7f32], &Device::Cpu).unwrap()),
            ("features.1.weight".to_owned(), Tensor::new(&[1f32, 1.0, 1.0, 1.0], &Device::Cpu).unwrap()),
        ]);
        trainee.push(0.01, &mut gradients).unwrap();
        let of = |name: &str| gradients[name].to_vec1::<f32>().unwrap();
        assert_eq!(of("features.1.weight"), [1.01, 0.99, 1.0, 1.0]);
        assert_eq!(of("features.0.weight"), [7.0], "weights are not penalised");
        let (sum, count) = trainee.magnitudes().unwrap();
        assert!((sum - (0.75 + 0.5 * (count - 4) as f64)).abs() < 1e-12, "{sum}");
    }
}
