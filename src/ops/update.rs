//! One step of an optimizer on one tensor, with PyTorch's semantics.

use candle_core::{Result, Tensor};

/// Settings of one step of stochastic gradient descent.
#[derive(Debug, Clone, Copy)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last update's direction that is kept.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Whether to look ahead (Nesterov).
    pub nesterov: bool,
}

/// The parameter and its momentum buffer after one step. The first step's buffer is the gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn sgd_step(
    parameter: &Tensor,
    gradient: &Tensor,
    buffer: Option<&Tensor>,
    step: SgdStep,
) -> Result<(Tensor, Option<Tensor>)> {
    let mut direction = gradient.clone();
    if step.weight_decay != 0.0 {
        direction = (direction + (parameter * step.weight_decay)?)?;
    }
    let mut kept = None;
    if step.momentum != 0.0 {
        let updated = match buffer {
            None => direction.clone(),
            Some(buffer) => ((buffer * step.momentum)? + &direction)?,
        };
        direction = if step.nesterov { (direction + (&updated * step.momentum)?)? } else { updated.clone() };
        kept = Some(updated);
    }
    Ok(((parameter - (direction * step.lr)?)?, kept))
}

/// Settings of one step of Adam.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// The number of this step, from 1.
    pub step: u64,
}

/// The parameter and its two moments after one step (Kingma and Ba 2015, algorithm 1).
///
/// # Errors
/// Shapes that do not fit.
pub fn adam_step(
    parameter: &Tensor,
    gradient: &Tensor,
    moments: Option<(&Tensor, &Tensor)>,
    step: AdamStep,
) -> Result<(Tensor, Tensor, Tensor)> {
    let mut gradient = gradient.clone();
    if step.weight_decay != 0.0 {
        gradient = (gradient + (parameter * step.weight_decay)?)?;
    }
    let fresh_first = (&gradient * (1.0 - step.beta1))?;
    let fresh_second = (gradient.sqr()? * (1.0 - step.beta2))?;
    let (first, second) = match moments {
        None => (fresh_first, fresh_second),
        Some((first, second)) => {
            (((first * step.beta1)? + fresh_first)?, ((second * step.beta2)? + fresh_second)?)
        }
    };
    let exponent = step.step as f64;
    let correction1 = 1.0 - step.beta1.powf(exponent);
    let correction2 = 1.0 - step.beta2.powf(exponent);
    let denominator = ((second.sqrt()? / correction2.sqrt())? + step.eps)?;
    let update = ((&first * (step.lr / correction1))? / denominator)?;
    Ok(((parameter - update)?, first, second))
}
