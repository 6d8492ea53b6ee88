//! Convolution with stride 1, without bias.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};

use super::activation::{Activation, Convolved, Dx, Dy, Gradient, Held, Maps, Outgoing};
use super::backend::{Algorithm, Backend, Inner};
use super::bn_act::BatchStats;
use super::cpu::direct::{self, Images, Source};
use super::cpu::kernels::{Kernels, Way, Weight};
use super::cpu::layer::{Active, Gradient as HostGradient, Outgoing as HostOutgoing, Sums};
use super::cpu::maps::HostMaps;
use super::cpu::tile::{Four, One, Two};
use super::cpu::{Cpu, winograd};
use super::with_values;

/// What a convolution reads.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Images, batch x channels x height x width.
    Images(&'a Tensor),
    /// The activation of another convolution's output.
    Activation(&'a Activation),
}

/// Whether the weight stays as it is for more than this call, so that what is derived from it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// It stays.
    Keep,
    /// It changes soon.
    Once,
}

/// Which gradients are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// That of the input.
    pub input: bool,
    /// That of the weight.
    pub weight: bool,
}

/// Gradients of a convolution, where they were wanted.
#[derive(Debug)]
pub struct ConvGrads {
    /// Of the input's activation.
    pub input: Option<Gradient>,
    /// Of the weight.
    pub weight: Option<Tensor>,
}

/// How one layer is computed on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Four,
    Two,
    One,
    Patches,
}

/// Something derived from the weight.
type Derived = (Scheme, Way, Arc<Kernels>);

/// A convolution with its weight.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    padding: usize,
    backend: Backend,
    derived: Mutex<Vec<Derived>>,
}

impl Conv2d {
    /// A convolution by `weight` (out x in x k x k), zero-padding `padding` on every side, by the fast algorithm.
    ///
    /// # Errors
    /// A weight that is no square kernel.
    pub fn new(weight: Tensor, padding: usize) -> Result<Self> {
        let backend = Backend::new(weight.device(), Algorithm::default())?;
        Self::on(weight, padding, &backend)
    }

    /// A convolution that `backend` computes.
    ///
    /// # Errors
    /// A weight that is no square kernel.
    pub fn on(weight: Tensor, padding: usize, backend: &Backend) -> Result<Self> {
        let (_, _, height, width) = weight.dims4()?;
        if height != width || padding >= height {
            bail!("expected a square kernel wider than its padding {padding}, found {height}x{width}");
        }
        let weight = weight.contiguous()?;
        Ok(Self { weight, padding, backend: backend.clone(), derived: Mutex::default() })
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Replaces the weight by one of the same shape.
    ///
    /// # Errors
    /// Another shape.
    pub fn set_weight(&mut self, weight: Tensor) -> Result<()> {
        if weight.dims() != self.weight.dims() {
            bail!("expected a weight of shape {:?}, found {:?}", self.weight.shape(), weight.shape());
        }
        self.weight = weight.contiguous()?;
        self.derived = Mutex::default();
        Ok(())
    }

    /// Gives back what was derived from the weight and kept.
    pub fn forget(&self) {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// `y = x * w`, with the statistics of the batch where they are wanted.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn convolve(&self, input: Input<'_>, with_stats: bool, reuse: Reuse) -> Result<Convolved> {
        let Inner::Cpu(cpu, _) = &self.backend.0 else {
            let y = self.forward_portable(&portable(input)?)?;
            let stats = if with_stats { Some(BatchStats::of(&y)?) } else { None };
            return Ok(Convolved { maps: Maps::Tensor(y), stats, backend: self.backend.clone() });
        };
        let (outputs, ..) = self.weight.dims4()?;
        let (y, sums) = with_source(input, |source| self.host_forward(cpu, source, with_stats, reuse))?;
        let count = y.batch * y.height * y.width;
        let stats = sums.map(|sums| sums.statistics(outputs, count)).transpose()?;
        Ok(Convolved { maps: Maps::Host(y), stats, backend: self.backend.clone() })
    }

    fn host_forward(
        &self,
        cpu: &Cpu,
        source: Source<'_>,
        with_stats: bool,
        reuse: Reuse,
    ) -> Result<(HostMaps, Option<Sums>)> {
        let (outputs, inputs, side, _) = self.weight.dims4()?;
        if source.channels() != inputs {
            bail!("expected images of {inputs} channels, found {}", source.channels());
        }
        let scheme = self.scheme(source);
        let kernels = self.kernels(cpu, scheme, Way::Forward, reuse)?;
        Ok(match (scheme, source) {
            (Scheme::Four, Source::Active(active)) => {
                winograd::forward::<Four>(cpu, active, &kernels, outputs, with_stats)
            }
            (Scheme::Two, Source::Active(active)) => {
                winograd::forward::<Two>(cpu, active, &kernels, outputs, with_stats)
            }
            (Scheme::One, Source::Active(active)) => {
                winograd::forward::<One>(cpu, active, &kernels, outputs, with_stats)
            }
            _ => direct::forward(cpu, source, &kernels, (outputs, side, self.padding), with_stats)?,
        })
    }

    /// [`Self::convolve`] of a tensor.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Inner::Cpu(cpu, _) = &self.backend.0 else { return self.forward_portable(x) };
        let x = Convolved::from_tensor(x, &self.backend)?.plain()?;
        self.host_forward(cpu, Source::Active(&x), false, Reuse::Keep)?.0.to_tensor()
    }

    /// The gradient of the input, from that of the output.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_input(&self, dy: &Tensor) -> Result<Tensor> {
        let Inner::Cpu(cpu, _) = &self.backend.0 else { return self.grad_input_portable(dy) };
        let (batch, _, height, width) = dy.dims4()?;
        let (_, inputs, side, _) = self.weight.dims4()?;
        let size = |side_of_y: usize| (side_of_y + side).saturating_sub(1 + 2 * self.padding);
        let x = Tensor::zeros((batch, inputs, size(height), size(width)), dy.dtype(), dy.device())?;
        let wanted = Wanted { input: true, weight: false };
        match self.tensor_gradients(cpu, &x, dy, wanted)?.input {
            Some(gradient) => gradient.dy.to_tensor(),
            None => bail!("a convolution of images has no gradient of its input"),
        }
    }

    /// The gradient of the weight, from the input and the gradient of the output.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_weight(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let Inner::Cpu(cpu, _) = &self.backend.0 else { return self.grad_weight_portable(x, dy) };
        let wanted = Wanted { input: false, weight: true };
        let values = self.tensor_gradients(cpu, x, dy, wanted)?.weight.unwrap_or_default();
        Tensor::from_vec(values, self.weight.shape(), self.weight.device())
    }

    fn tensor_gradients(
        &self,
        cpu: &Cpu,
        x: &Tensor,
        dy: &Tensor,
        wanted: Wanted,
    ) -> Result<winograd::Gradients> {
        let x = Convolved::from_tensor(x, &self.backend)?.plain()?;
        let dy = HostMaps::from_tensor(&cpu.buffers, dy)?;
        let y = HostMaps::new(&cpu.buffers, dy.batch, (dy.height, dy.width), dy.channels);
        let (active, sums) = (Active { x: y, norm: None }, Sums::new(dy.channels));
        let gradient = HostGradient { dy, sums };
        let outgoing = HostOutgoing::new(&active, &gradient);
        self.host_backward(cpu, Source::Active(&x), &outgoing, wanted, Reuse::Keep)
    }

    /// The gradients of the input's activation and of the weight, from that of the output.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn backward(
        &self,
        input: Input<'_>,
        outgoing: &Outgoing<'_>,
        wanted: Wanted,
        reuse: Reuse,
    ) -> Result<ConvGrads> {
        let outgoing = match &outgoing.0 {
            Dx::Tensor(dy) => {
                let weight = if wanted.weight {
                    Some(self.grad_weight_portable(&portable(input)?, dy)?)
                } else {
                    None
                };
                let input = if wanted.input {
                    Some(Gradient(Dy::Tensor(self.grad_input_portable(dy)?)))
                } else {
                    None
                };
                return Ok(ConvGrads { input, weight });
            }
            Dx::Host(outgoing) => outgoing,
        };
        let Inner::Cpu(cpu, _) = &self.backend.0 else { bail!("a gradient of another backend") };
        let found = with_source(input, |source| self.host_backward(cpu, source, outgoing, wanted, reuse))?;
        let weight =
            found.weight.map(|values| Tensor::from_vec(values, self.weight.shape(), self.weight.device()));
        Ok(ConvGrads {
            input: found.input.map(|gradient| Gradient(Dy::Host(gradient))),
            weight: weight.transpose()?,
        })
    }

    fn host_backward(
        &self,
        cpu: &Cpu,
        source: Source<'_>,
        outgoing: &HostOutgoing<'_>,
        wanted: Wanted,
        reuse: Reuse,
    ) -> Result<winograd::Gradients> {
        let (outputs, inputs, side, _) = self.weight.dims4()?;
        let y = &outgoing.active.x;
        let reach = |size: usize| (size + 2 * self.padding + 1).checked_sub(side);
        let (height, width) = source.size();
        let fits = (reach(height), reach(width)) == (Some(y.height), Some(y.width));
        if source.channels() != inputs || y.channels != outputs || source.batch() != y.batch || !fits {
            bail!(
                "the gradient of {} maps does not belong to a convolution of {:?}",
                y.channels,
                self.weight.shape()
            );
        }
        let scheme = self.scheme(source);
        let kernels = match wanted.input {
            true => Some(self.kernels(cpu, scheme, Way::Backward, reuse)?),
            false => None,
        };
        let kernels = kernels.as_deref();
        match (scheme, source) {
            (Scheme::Four, Source::Active(active)) => {
                Ok(winograd::backward::<Four>(cpu, active, outgoing, kernels, wanted.weight))
            }
            (Scheme::Two, Source::Active(active)) => {
                Ok(winograd::backward::<Two>(cpu, active, outgoing, kernels, wanted.weight))
            }
            (Scheme::One, Source::Active(active)) => {
                Ok(winograd::backward::<One>(cpu, active, outgoing, kernels, wanted.weight))
            }
            _ => direct::backward(cpu, source, outgoing, kernels, (side, self.padding), wanted.weight),
        }
    }

    /// How this layer is computed: by points where the kernel is 3x3 with a padding of 1 and its input an activation, with the scheme
    /// that fits the map; by patches otherwise, and always where the algorithm is to be exact.
    fn scheme(&self, source: Source<'_>) -> Scheme {
        let fast = matches!(self.backend.0, Inner::Cpu(_, Algorithm::Fast));
        let usual = self.weight.dims().ends_with(&[3, 3]) && self.padding == 1;
        match (source, source.size()) {
            (Source::Active(_), (1, 1)) if fast && usual => Scheme::One,
            (Source::Active(_), (2, 2)) if fast && usual => Scheme::Two,
            (Source::Active(_), (1.., 1..)) if fast && usual => Scheme::Four,
            _ => Scheme::Patches,
        }
    }

    fn kernels(&self, cpu: &Cpu, scheme: Scheme, way: Way, reuse: Reuse) -> Result<Arc<Kernels>> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, found)) = derived.iter().find(|(s, w, _)| (*s, *w) == (scheme, way)) {
            return Ok(found.clone());
        }
        let (outputs, inputs, side, _) = self.weight.dims4()?;
        let made = with_values(&self.weight, |values| {
            let weight = Weight { values, outputs, inputs, side };
            Ok(match scheme {
                Scheme::Four => weight.by_points::<Four>(way, &cpu.buffers, cpu.arch),
                Scheme::Two => weight.by_points::<Two>(way, &cpu.buffers, cpu.arch),
                Scheme::One => weight.by_points::<One>(way, &cpu.buffers, cpu.arch),
                Scheme::Patches => weight.by_patches(way, &cpu.buffers),
            })
        })?;
        let made = Arc::new(made);
        if reuse == Reuse::Keep {
            derived.push((scheme, way, made.clone()));
        }
        Ok(made)
    }

    /// [`Self::forward`] in tensor operations.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_portable(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.conv2d(&self.weight, self.padding, 1, 1, 1)
    }

    /// The gradient of the input in tensor operations: the convolution of `dy` with the kernel turned by 180 degrees and
    /// its channels swapped.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn grad_input_portable(&self, dy: &Tensor) -> Result<Tensor> {
        let kernel = self.weight.dim(2)?;
        let turned = self.weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
        dy.contiguous()?.conv2d(&turned, kernel - 1 - self.padding, 1, 1, 1)
    }

    /// The gradient of the weight in tensor operations: one matrix product per kernel offset.
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

/// The input as a tensor.
fn portable(input: Input<'_>) -> Result<Tensor> {
    match input {
        Input::Images(images) => Ok(images.clone()),
        Input::Activation(activation) => activation.to_tensor(),
    }
}

/// Calls `body` with what the kernels of the CPU read.
fn with_source<R>(input: Input<'_>, body: impl FnOnce(Source<'_>) -> Result<R>) -> Result<R> {
    match input {
        Input::Images(images) => {
            let (batch, channels, height, width) = images.dims4()?;
            with_values(images, |values| {
                body(Source::Images(Images { values, batch, channels, height, width }))
            })
        }
        Input::Activation(activation) => match &activation.held {
            Held::Host(active) => body(Source::Active(active)),
            Held::Tensor { .. } => bail!("an activation of another backend"),
        },
    }
}
