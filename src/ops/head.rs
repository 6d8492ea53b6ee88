//! What follows the convolutions: global average pool, linear layer, cross-entropy.

use candle_core::{Result, Tensor, bail};

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
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
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
pub fn linear_backward(x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<(Tensor, LinearGrads)> {
    let dx = dy.matmul(weight)?;
    let dweight = dy.t()?.contiguous()?.matmul(x)?;
    Ok((dx, LinearGrads { dweight, dbias: dy.sum(0)? }))
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
        let log_sum = row.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum::<f64>().ln() + highest;
        let share = smoothing / row.len() as f64;
        for (class, logit) in row.iter().enumerate() {
            let log_probability = f64::from(*logit) - log_sum;
            let target = share + if class == label { 1.0 - smoothing } else { 0.0 };
            if target != 0.0 {
                loss_sum -= target * log_probability;
            }
            gradient.push(((log_probability.exp() - target) / rows.len() as f64) as f32);
        }
    }
    let dlogits = Tensor::from_vec(gradient, logits.shape(), logits.device())?;
    Ok(CrossEntropy { loss_sum, correct, predicted, dlogits })
}
