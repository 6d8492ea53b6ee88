//! Convolution with stride 1, without bias.

use candle_core::{Result, Tensor, bail};

use super::conv_cpu;

/// A convolution with its weight.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Tensor,
    padding: usize,
}

impl Conv2d {
    /// A convolution by `weight` (out x in x k x k), zero-padding `padding` on every side.
    ///
    /// # Errors
    /// A weight that is no square kernel.
    pub fn new(weight: Tensor, padding: usize) -> Result<Self> {
        let (_, _, height, width) = weight.dims4()?;
        if height != width || padding >= height {
            bail!("expected a square kernel wider than its padding {padding}, found {height}x{width}");
        }
        Ok(Self { weight: weight.contiguous()?, padding })
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `y = x * w`: N x in x H x W to N x out x H' x W'.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            return conv_cpu::forward(x, &self.weight, self.padding);
        }
        self.forward_portable(x)
    }

    /// The gradient of the input, from that of the output.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_input(&self, dy: &Tensor) -> Result<Tensor> {
        if dy.device().is_cpu() {
            return conv_cpu::grad_input(dy, &self.weight, self.padding);
        }
        self.grad_input_portable(dy)
    }

    /// The gradient of the weight, from the input and the gradient of the output.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_weight(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        if dy.device().is_cpu() {
            return conv_cpu::grad_weight(x, dy, self.weight.dims4()?, self.padding);
        }
        self.grad_weight_portable(x, dy)
    }

    /// [`Self::forward`] in tensor operations.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_portable(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.conv2d(&self.weight, self.padding, 1, 1, 1)
    }

    /// [`Self::grad_input`] in tensor operations: the convolution of `dy` with the kernel turned by 180 degrees and
    /// its channels swapped.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_input_portable(&self, dy: &Tensor) -> Result<Tensor> {
        let kernel = self.weight.dim(2)?;
        let turned = self.weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
        dy.contiguous()?.conv2d(&turned, kernel - 1 - self.padding, 1, 1, 1)
    }

    /// [`Self::grad_weight`] in tensor operations: one matrix product per kernel offset.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_weight_portable(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (outputs, inputs, kernel, _) = self.weight.dims4()?;
        let (batch, _, height, width) = dy.dims4()?;
        let positions = batch * height * width;
        let padded = x.pad_with_zeros(2, self.padding, self.padding)?;
        let padded = padded.pad_with_zeros(3, self.padding, self.padding)?;
        let dy = dy.transpose(0, 1)?.contiguous()?.reshape((outputs, positions))?;
        let mut offsets = Vec::with_capacity(kernel * kernel);
        for row in 0..kernel {
            for column in 0..kernel {
                let shifted = padded.narrow(2, row, height)?.narrow(3, column, width)?;
                let shifted = shifted.transpose(0, 1)?.contiguous()?.reshape((inputs, positions))?;
                offsets.push(dy.matmul(&shifted.t()?)?);
            }
        }
        Tensor::stack(&offsets, 2)?.reshape((outputs, inputs, kernel, kernel))
    }
}
