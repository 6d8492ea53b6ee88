//! What follows the convolutions: global average pool, linear layer, cross-entropy.

use candle_core::{Result, Tensor, bail};

use super::backend::{Backend, Inner};
use super::cpu::dense;
use super::cpu::kernels::Weight;
use super::with_values;

/// The mean of each channel's map: N x C x H x W to N x C.
///
/// # Errors
/// Not four dimensions.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    x.mean((2, 3))
}

/// The gradient of [`global_avg_pool`], for maps of `height` x `width`.
///
/// # Errors
/// Not two dimensions.
pub fn global_avg_pool_backward(dy: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (batch, channels) = dy.dims2()?;
    let share = (dy / (height * width) as f64)?.reshape((batch, channels, 1, 1))?;
    share.broadcast_as((batch, channels, height, width))?.contiguous()
}

/// `x w^T + b`, for `w` of out x in.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, backend: &Backend) -> Result<Tensor> {
    let (batch, inputs, outputs) = sizes(x, weight)?;
    if bias.dims() != [outputs] {
        bail!("expected a bias of {outputs} values, found {:?}", bias.shape());
    }
    let Inner::Cpu(cpu, _) = &backend.0 else { return x.matmul(&weight.t()?)?.broadcast_add(bias) };
    let values = with_values(x, |x| {
        with_values(weight, |weight| {
            let weight = Weight { values: weight, outputs, inputs, side: 1 };
            with_values(bias, |bias| Ok(dense::forward(cpu, x, weight, bias)))
        })
    })?;
    Tensor::from_vec(values, (batch, outputs), x.device())
}

/// Batch, inputs and outputs of a linear layer.
fn sizes(x: &Tensor, weight: &Tensor) -> Result<(usize, usize, usize)> {
    let ((batch, inputs), (outputs, expected)) = (x.dims2()?, weight.dims2()?);
    if inputs != expected {
        bail!("expected rows of {expected} values for a linear layer, found {inputs}");
    }
    Ok((batch, inputs, outputs))
}

/// Gradients of [`linear`].
#[derive(Debug, Clone)]
pub struct LinearGrads {
    /// Of the weight.
    pub dweight: Tensor,
    /// Of the bias.
    pub dbias: Tensor,
}

/// The gradient of the input of [`linear`], and those of its parameters.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear_backward(
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    backend: &Backend,
) -> Result<(Tensor, LinearGrads)> {
    let (batch, inputs, outputs) = sizes(x, weight)?;
    if dy.dims() != [batch, outputs] {
        bail!("expected a gradient of {batch} x {outputs}, found {:?}", dy.shape());
    }
    let Inner::Cpu(cpu, _) = &backend.0 else {
        let dweight = dy.t()?.contiguous()?.matmul(x)?;
        return Ok((dy.matmul(weight)?, LinearGrads { dweight, dbias: dy.sum(0)? }));
    };
    let device = x.device();
    with_values(dy, |dy| {
        let dx = with_values(weight, |weight| {
            let weight = Weight { values: weight, outputs, inputs, side: 1 };
            Ok(dense::input_gradient(cpu, dy, weight))
        })?;
        let dweight = with_values(x, |x| Ok(dense::weight_gradient(cpu, x, dy, (inputs, outputs))))?;
        let grads = LinearGrads {
            dweight: Tensor::from_vec(dweight, (outputs, inputs), device)?,
            dbias: Tensor::from_vec(dense::bias_gradient(dy, outputs), outputs, device)?,
        };
        Ok((Tensor::from_vec(dx, (batch, inputs), device)?, grads))
    })
}

/// Cross-entropy of a batch.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// The sum over the batch of each image's loss, without label smoothing's division by the batch.
    pub loss_sum: f64,
    /// Images whose highest logit is their label's (the first, where several are highest).
    pub correct: usize,
    /// The predicted class of each image.
    pub predicted: Vec<u32>,
    /// The gradient of the *mean* loss.
    pub dlogits: Tensor,
}

/// Mean cross-entropy of `logits` (N x classes) with label smoothing as in PyTorch: the target is
/// `1 - smoothing` on the label plus `smoothing / classes` everywhere.
///
/// # Errors
/// Labels that do not fit the logits.
pub fn cross_entropy(logits: &Tensor, labels: &[u32], smoothing: f64) -> Result<CrossEntropy> {
    let rows = logits.to_vec2::<f32>()?;
    if rows.len() != labels.len() {
        bail!("{} labels for {} rows of logits", labels.len(), rows.len());
    }
    let (mut loss_sum, mut correct) = (0f64, 0);
    let mut predicted = Vec::with_capacity(labels.len());
    let mut gradient = Vec::with_capacity(logits.elem_count());
    for (row, label) in rows.iter().zip(labels) {
        let label = *label as usize;
        if label >= row.len() {
            bail!("label {label} for {} classes", row.len());
        }
        let mut best = 0;
        for (class, logit) in row.iter().enumerate() {
            if *logit > row[best] {
                best = class;
            }
        }
        correct += usize::from(best == label);
        predicted.push(best as u32);
        let highest = f64::from(row[best]);
        let sum: f64 = row.iter().map(|logit| libm::exp(f64::from(*logit) - highest)).sum();
        let log_sum = libm::log(sum) + highest;
        let share = smoothing / row.len() as f64;
        for (class, logit) in row.iter().enumerate() {
            let log_probability = f64::from(*logit) - log_sum;
            let target = share + if class == label { 1.0 - smoothing } else { 0.0 };
            if target != 0.0 {
                loss_sum -= target * log_probability;
            }
            gradient.push(((libm::exp(log_probability) - target) / rows.len() as f64) as f32);
        }
    }
    let dlogits = Tensor::from_vec(gradient, logits.shape(), logits.device())?;
    Ok(CrossEntropy { loss_sum, correct, predicted, dlogits })
}
