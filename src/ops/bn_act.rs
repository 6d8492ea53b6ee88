//! Batch normalisation, gate, ReLU and max-pool as one operation.
//!
//! `y = pool(relu(gate * (gamma * xhat + beta)))` with `xhat = (x - mean) / sqrt(var + eps)`. The backward pass
//! computes the activations again from `x`, so nothing but the input is kept between the passes.
//! Gradients follow PyTorch: none through a ReLU at exactly zero, and a pool's gradient goes to the
//! first maximum of its window.

use candle_core::{D, DType, Result, Tensor};

use super::activation::{Convolved, NormGrads};
use super::backend::{Algorithm, Backend};

/// The epsilon of batch normalisation, PyTorch's default.
pub const BN_EPS: f64 = 1e-5;

/// What follows the ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Nothing.
    None,
    /// 2x2 max-pool with stride 2; an odd last row or column is dropped.
    Max2,
}

/// The operation with its per-channel parameters.
#[derive(Debug, Clone, Copy)]
pub struct BnAct<'a> {
    /// Scale, one for each channel.
    pub gamma: &'a Tensor,
    /// Shift, one for each channel.
    pub beta: &'a Tensor,
    /// Gate, one for each channel; absent is 1.
    pub gate: Option<&'a Tensor>,
    /// What follows the ReLU.
    pub pool: Pool,
}

/// Mean and biased variance of each channel over a batch.
#[derive(Debug, Clone)]
pub struct BatchStats {
    /// Mean of each channel.
    pub mean: Tensor,
    /// Variance of each channel, divided by `count`.
    pub var: Tensor,
    /// Values of each channel: batch x height x width.
    pub count: usize,
}

impl BatchStats {
    /// Of batch x channels x height x width.
    pub(super) fn of(x: &Tensor) -> Result<Self> {
        let (batch, _, height, width) = x.dims4()?;
        let mean = x.mean((0, 2, 3))?;
        let var = x.broadcast_sub(&per_channel(&mean)?)?.sqr()?.mean((0, 2, 3))?;
        Ok(Self { mean, var, count: batch * height * width })
    }
}

/// Gradients of [`BnAct`].
#[derive(Debug, Clone)]
pub struct BnActGrads {
    /// Of the input.
    pub dx: Tensor,
    /// Of gamma.
    pub dgamma: Tensor,
    /// Of beta.
    pub dbeta: Tensor,
    /// Of the gate, where there is one.
    pub dgate: Option<Tensor>,
}

impl BnAct<'_> {
    /// Evaluation: with this mean and variance.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn eval(&self, x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<Tensor> {
        Convolved::from_tensor(x, &backend(x)?)?.activate(self, mean, var)?.to_tensor()
    }

    /// Training: with the statistics of the batch, which are returned.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn train(&self, x: &Tensor) -> Result<(Tensor, BatchStats)> {
        let maps = Convolved::from_tensor(x, &backend(x)?)?;
        let Some(stats) = maps.stats().cloned() else { candle_core::bail!("maps without statistics") };
        Ok((maps.activate(self, &stats.mean, &stats.var)?.to_tensor()?, stats))
    }

    /// The gradients of [`Self::train`].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn backward(&self, x: &Tensor, stats: &BatchStats, dy: &Tensor) -> Result<BnActGrads> {
        let backend = backend(x)?;
        let activation = Convolved::from_tensor(x, &backend)?.activate(self, &stats.mean, &stats.var)?;
        let gradient = activation.gradient(dy)?;
        let (outgoing, NormGrads { dgamma, dbeta, dgate }) = activation.backward(&gradient)?;
        Ok(BnActGrads { dx: outgoing.to_tensor(&backend)?, dgamma, dbeta, dgate })
    }

    /// [`Self::train`] in tensor operations.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn train_portable(&self, x: &Tensor) -> Result<(Tensor, BatchStats)> {
        let stats = BatchStats::of(x)?;
        Ok((self.apply_portable(x, &stats.mean, &stats.var)?, stats))
    }

    /// [`Self::eval`] in tensor operations.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn apply_portable(&self, x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<Tensor> {
        let active = self.before_relu(&normalised(x, mean, var)?)?.relu()?;
        match self.pool {
            Pool::None => Ok(active),
            Pool::Max2 => {
                let [a, b, c, d] = windows(&active)?;
                a.maximum(&b)?.maximum(&c)?.maximum(&d)
            }
        }
    }

    /// [`Self::backward`] in tensor operations.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn backward_portable(&self, x: &Tensor, stats: &BatchStats, dy: &Tensor) -> Result<BnActGrads> {
        let xhat = normalised(x, &stats.mean, &stats.var)?;
        let z = self.before_relu(&xhat)?;
        let dy = match self.pool {
            Pool::None => dy.clone(),
            Pool::Max2 => unpool(&z.relu()?, dy)?,
        };
        let dz = dy.mul(&z.gt(0f64)?.to_dtype(DType::F32)?)?;
        let sum = dz.sum((0, 2, 3))?;
        let sum_xhat = dz.mul(&xhat)?.sum((0, 2, 3))?;
        let count = stats.count as f64;
        let centred = dz
            .broadcast_sub(&per_channel(&(&sum / count)?)?)?
            .sub(&xhat.broadcast_mul(&per_channel(&(&sum_xhat / count)?)?)?)?;
        let inverse = (&stats.var + BN_EPS)?.sqrt()?.recip()?;
        let scale = self.gated(&(self.gamma * inverse)?)?;
        let dgate = match self.gate {
            None => None,
            Some(_) => Some((self.gamma.mul(&sum_xhat)? + self.beta.mul(&sum)?)?),
        };
        Ok(BnActGrads {
            dx: centred.broadcast_mul(&per_channel(&scale)?)?,
            dgamma: self.gated(&sum_xhat)?,
            dbeta: self.gated(&sum)?,
            dgate,
        })
    }

    fn before_relu(&self, xhat: &Tensor) -> Result<Tensor> {
        xhat.broadcast_mul(&per_channel(&self.gated(self.gamma)?)?)?
            .broadcast_add(&per_channel(&self.gated(self.beta)?)?)
    }

    fn gated(&self, values: &Tensor) -> Result<Tensor> {
        self.gate.map_or_else(|| Ok(values.clone()), |gate| values.mul(gate))
    }
}

fn backend(x: &Tensor) -> Result<Backend> {
    Backend::new(x.device(), Algorithm::default())
}

fn per_channel(values: &Tensor) -> Result<Tensor> {
    values.reshape((1, values.elem_count(), 1, 1))
}

fn normalised(x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<Tensor> {
    let inverse = (var + BN_EPS)?.sqrt()?.recip()?;
    x.broadcast_sub(&per_channel(mean)?)?.broadcast_mul(&per_channel(&inverse)?)
}

/// The four corners of every 2x2 window, in reading order.
fn windows(x: &Tensor) -> Result<[Tensor; 4]> {
    let (batch, channels, height, width) = x.dims4()?;
    let even = x.narrow(2, 0, height / 2 * 2)?.narrow(3, 0, width / 2 * 2)?.contiguous()?;
    let split = even.reshape((batch * channels, height / 2, 2, width / 2, 2))?;
    let corner = |row: usize, column: usize| {
        split.narrow(2, row, 1)?.narrow(D::Minus1, column, 1)?.contiguous()?.reshape((
            batch,
            channels,
            height / 2,
            width / 2,
        ))
    };
    Ok([corner(0, 0)?, corner(0, 1)?, corner(1, 0)?, corner(1, 1)?])
}

/// Sends the gradient of each window to its first maximum.
fn unpool(active: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = active.dims4()?;
    let corners = windows(active)?;
    let [a, b, c, d] = &corners;
    let highest = a.maximum(b)?.maximum(c)?.maximum(d)?;
    let mut free = highest.ones_like()?;
    let mut gradients = Vec::with_capacity(4);
    for corner in &corners {
        let here = corner.eq(&highest)?.to_dtype(DType::F32)?.mul(&free)?;
        free = (free - &here)?;
        gradients.push(here.mul(dy)?);
    }
    let top = Tensor::stack(&gradients[..2], D::Minus1)?;
    let bottom = Tensor::stack(&gradients[2..], D::Minus1)?;
    // batch, channels, rows, 2 (row in the window), columns, 2 (column in the window)
    let even = Tensor::stack(&[top, bottom], 3)?.reshape((batch, channels, height / 2 * 2, width / 2 * 2))?;
    even.pad_with_zeros(2, 0, height % 2)?.pad_with_zeros(3, 0, width % 2)
}
