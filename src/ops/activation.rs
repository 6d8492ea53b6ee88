//! What lies between two convolutions: maps with the batch norm, gate, ReLU and pool that follow them, and their gradients.
//!
//! On the CPU neither an activation nor the gradient of the maps under it is ever stored: the convolution that reads it
//! computes it, image by image.

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::backend::{Backend, Inner};
use super::bn_act::{BatchStats, BnAct, BnActGrads, Pool};
use super::cpu::Cpu;
use super::cpu::gemm::LANE;
use super::cpu::layer::{Active, Gradient as HostGradient, Norm, Sums};
use super::cpu::maps::HostMaps;
use super::cpu::norm::Figures;
use super::cpu::points::Frame;
use super::{global_avg_pool, global_avg_pool_backward};

/// Maps of a batch, where the backend keeps them.
#[derive(Debug)]
pub(super) enum Maps {
    Tensor(Tensor),
    Host(HostMaps),
}

/// The output of a convolution.
#[derive(Debug)]
pub struct Convolved {
    pub(super) maps: Maps,
    pub(super) stats: Option<BatchStats>,
    pub(super) backend: Backend,
}

impl Convolved {
    /// Maps from batch x channels x height x width, with their statistics.
    ///
    /// # Errors
    /// Not four dimensions.
    pub fn from_tensor(x: &Tensor, backend: &Backend) -> Result<Self> {
        let (maps, stats) = match &backend.0 {
            Inner::Portable => (Maps::Tensor(x.clone()), BatchStats::of(x)?),
            Inner::Cpu(cpu, _) => {
                let maps = HostMaps::from_tensor(&cpu.buffers, x)?;
                let images: Vec<Sums> = (0..maps.batch)
                    .into_par_iter()
                    .map(|image| Sums::moments(cpu, maps.image(image), maps.channels))
                    .collect();
                let stats = Sums::total(maps.channels, &images)
                    .statistics(maps.channels, maps.batch * maps.height * maps.width)?;
                (Maps::Host(maps), stats)
            }
        };
        Ok(Self { maps, stats: Some(stats), backend: backend.clone() })
    }

    /// As batch x channels x height x width.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.maps {
            Maps::Tensor(x) => Ok(x.clone()),
            Maps::Host(maps) => maps.to_tensor(),
        }
    }

    /// The statistics of the batch, where they were asked for.
    pub fn stats(&self) -> Option<&BatchStats> {
        self.stats.as_ref()
    }

    /// What follows, with this mean and variance.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn activate(self, op: &BnAct<'_>, mean: &Tensor, var: &Tensor) -> Result<Activation> {
        let parameters = Parameters {
            gamma: op.gamma.clone(),
            beta: op.beta.clone(),
            gate: op.gate.cloned(),
            pool: op.pool,
        };
        let held = match self.maps {
            Maps::Tensor(x) => {
                let (batch, _, height, width) = x.dims4()?;
                let stats =
                    BatchStats { mean: mean.clone(), var: var.clone(), count: batch * height * width };
                Held::Tensor { x, stats }
            }
            Maps::Host(x) => {
                let values = |tensor: &Tensor| tensor.to_vec1::<f32>();
                let (gamma, beta, mean, var) =
                    (values(op.gamma)?, values(op.beta)?, values(mean)?, values(var)?);
                let gate = op.gate.map(values).transpose()?;
                let lengths = [&gamma, &beta, &mean, &var].into_iter().chain(&gate).map(Vec::len);
                if { lengths }.any(|length| length != x.channels) {
                    bail!(
                        "the per-channel tensors of a batch norm over {} channels differ in length",
                        x.channels
                    );
                }
                let figures = Figures::new(&gamma, &beta, gate.as_deref(), &mean, &var);
                Held::Host(Active { x, norm: Some(Norm { figures, pool: op.pool }) })
            }
        };
        Ok(Activation { held, parameters, backend: self.backend })
    }

    /// The maps on the CPU, with nothing that follows.
    pub(super) fn plain(self) -> Result<Active> {
        match self.maps {
            Maps::Host(x) => Ok(Active { x, norm: None }),
            Maps::Tensor(_) => wrong_backend(),
        }
    }
}

/// The parameters of [`BnAct`], owned.
#[derive(Debug)]
struct Parameters {
    gamma: Tensor,
    beta: Tensor,
    gate: Option<Tensor>,
    pool: Pool,
}

impl Parameters {
    fn op(&self) -> BnAct<'_> {
        BnAct { gamma: &self.gamma, beta: &self.beta, gate: self.gate.as_ref(), pool: self.pool }
    }
}

#[derive(Debug)]
pub(super) enum Held {
    Tensor { x: Tensor, stats: BatchStats },
    Host(Active),
}

/// Maps, and what follows them up to the next convolution.
#[derive(Debug)]
pub struct Activation {
    pub(super) held: Held,
    parameters: Parameters,
    pub(super) backend: Backend,
}

/// The gradient of an [`Activation`]'s values.
#[derive(Debug)]
pub struct Gradient(pub(super) Dy);

#[derive(Debug)]
pub(super) enum Dy {
    Tensor(Tensor),
    Host(HostGradient),
}

/// The gradients of a batch norm's parameters.
#[derive(Debug, Clone)]
pub struct NormGrads {
    /// Of gamma.
    pub dgamma: Tensor,
    /// Of beta.
    pub dbeta: Tensor,
    /// Of the gate, where there is one.
    pub dgate: Option<Tensor>,
}

/// The gradient of the maps under an activation.
#[derive(Debug)]
pub struct Outgoing<'a>(pub(super) Dx<'a>);

#[derive(Debug)]
pub(super) enum Dx<'a> {
    Tensor(Tensor),
    Host(super::cpu::layer::Outgoing<'a>),
}

fn wrong_backend<T>() -> Result<T> {
    bail!("an activation and a gradient of different backends")
}

impl Activation {
    fn cpu(&self) -> Result<&Cpu> {
        match &self.backend.0 {
            Inner::Cpu(cpu, _) => Ok(cpu),
            Inner::Portable => wrong_backend(),
        }
    }

    /// The values, batch x channels x height x width.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.held {
            Held::Tensor { x, stats } => self.parameters.op().apply_portable(x, &stats.mean, &stats.var),
            Held::Host(active) => {
                let cpu = self.cpu()?;
                let (height, width) = active.size();
                let mut y = HostMaps::new(&cpu.buffers, active.x.batch, (height, width), active.x.channels);
                let size = y.size();
                let frame = Frame { height, width, margin: 0 };
                let images = y.values_mut().chunks_exact_mut(size.max(1));
                images.enumerate().for_each(|(image, out)| active.activate(cpu, image, frame, out));
                y.to_tensor()
            }
        }
    }

    /// The mean of each channel over each image: batch x channels.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn average(&self) -> Result<Tensor> {
        let active = match &self.held {
            Held::Tensor { .. } => return global_avg_pool(&self.to_tensor()?),
            Held::Host(active) => active,
        };
        let cpu = self.cpu()?;
        let ((height, width), channels, stride) = (active.size(), active.x.channels, active.x.stride());
        let frame = Frame { height, width, margin: 0 };
        let mut means = vec![0f32; active.x.batch * channels];
        means.par_chunks_exact_mut(channels).enumerate().for_each(|(image, means)| {
            let mut values = cpu.buffers.take(frame.size(stride));
            active.activate(cpu, image, frame, &mut values);
            for pixel in values.chunks_exact(stride) {
                for (mean, value) in means.iter_mut().zip(pixel) {
                    *mean += value;
                }
            }
            for mean in means {
                *mean /= (height * width) as f32;
            }
        });
        Tensor::from_vec(means, (active.x.batch, channels), &Device::Cpu)
    }

    /// The gradient of the values, from that of [`Self::average`].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn average_backward(&self, dy: &Tensor) -> Result<Gradient> {
        let active = match &self.held {
            Held::Tensor { x, .. } => {
                let (_, _, height, width) = x.dims4()?;
                let (height, width) = match self.parameters.pool {
                    Pool::None => (height, width),
                    Pool::Max2 => (height / 2, width / 2),
                };
                return Ok(Gradient(Dy::Tensor(global_avg_pool_backward(dy, (height, width))?)));
            }
            Held::Host(active) => active,
        };
        let (height, width) = active.size();
        let shares = dy.to_vec2::<f32>()?;
        self.gradient_of(active, (height, width), |image, pixels| {
            let share = shares.get(image).map_or(&[][..], Vec::as_slice);
            for pixel in pixels.chunks_exact_mut(active.x.stride()) {
                pixel.fill(0.0);
                for (value, share) in pixel.iter_mut().zip(share) {
                    *value = share / (height * width) as f32;
                }
            }
        })
    }

    /// The gradient of the values, from batch x channels x height x width.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn gradient(&self, dy: &Tensor) -> Result<Gradient> {
        let Held::Host(active) = &self.held else { return Ok(Gradient(Dy::Tensor(dy.clone()))) };
        let dy = HostMaps::from_tensor(&self.cpu()?.buffers, dy)?;
        if (dy.batch, dy.channels, (dy.height, dy.width))
            != (active.x.batch, active.x.channels, active.size())
        {
            bail!("a gradient of {} maps of {}x{} for other maps", dy.channels, dy.height, dy.width);
        }
        self.gradient_of(active, active.size(), |image, pixels| pixels.copy_from_slice(dy.image(image)))
    }

    fn gradient_of(
        &self,
        active: &Active,
        size: (usize, usize),
        fill: impl Fn(usize, &mut [f32]) + Send + Sync,
    ) -> Result<Gradient> {
        let cpu = self.cpu()?;
        let mut dy = HostMaps::new(&cpu.buffers, active.x.batch, size, active.x.channels);
        let image_size = dy.size();
        let images = dy.values_mut().par_chunks_exact_mut(image_size.max(1)).enumerate();
        let sums: Vec<Sums> = images
            .map(|(image, pixels)| {
                fill(image, pixels);
                active.gradient_sums(cpu, image, pixels)
            })
            .collect();
        let sums = Sums::total(active.x.channels, &sums);
        Ok(Gradient(Dy::Host(HostGradient { dy, sums })))
    }

    /// The gradient of the maps, and those of the parameters, through the statistics of the batch.
    ///
    /// # Errors
    /// A gradient of another shape.
    pub fn backward<'a>(&'a self, gradient: &'a Gradient) -> Result<(Outgoing<'a>, NormGrads)> {
        match (&self.held, &gradient.0) {
            (Held::Tensor { x, stats }, Dy::Tensor(dy)) => {
                let BnActGrads { dx, dgamma, dbeta, dgate } =
                    self.parameters.op().backward_portable(x, stats, dy)?;
                Ok((Outgoing(Dx::Tensor(dx)), NormGrads { dgamma, dbeta, dgate }))
            }
            (Held::Host(active), Dy::Host(gradient)) => {
                let channels = active.x.channels;
                if gradient.sums.plain.len() != channels.next_multiple_of(LANE) {
                    return wrong_backend();
                }
                let Sums { plain, weighted } = &gradient.sums;
                let Some(Norm { figures, .. }) = &active.norm else { return wrong_backend() };
                let of_xhat = |c: usize| f64::from(figures.inverse[c]) * weighted[c];
                let collect = |value: &dyn Fn(usize) -> f64| {
                    let values = (0..channels).map(|c| value(c) as f32).collect::<Vec<_>>();
                    Tensor::from_vec(values, channels, &Device::Cpu)
                };
                let gate = self.parameters.gate.as_ref().map(Tensor::to_vec1::<f32>).transpose()?;
                let gated = |c: usize| gate.as_ref().map_or(1.0, |gate| f64::from(gate[c]));
                let dgate = match &gate {
                    None => None,
                    Some(_) => {
                        let gamma = self.parameters.gamma.to_vec1::<f32>()?;
                        let beta = self.parameters.beta.to_vec1::<f32>()?;
                        let value =
                            |c: usize| f64::from(gamma[c]) * of_xhat(c) + f64::from(beta[c]) * plain[c];
                        Some(collect(&value)?)
                    }
                };
                let grads = NormGrads {
                    dgamma: collect(&|c| gated(c) * of_xhat(c))?,
                    dbeta: collect(&|c| gated(c) * plain[c])?,
                    dgate,
                };
                let outgoing = super::cpu::layer::Outgoing::new(active, gradient);
                Ok((Outgoing(Dx::Host(outgoing)), grads))
            }
            _ => wrong_backend(),
        }
    }
}

impl Gradient {
    /// As batch x channels x height x width.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.0 {
            Dy::Tensor(dy) => Ok(dy.clone()),
            Dy::Host(gradient) => gradient.dy.to_tensor(),
        }
    }
}

impl Outgoing<'_> {
    /// As batch x channels x height x width.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn to_tensor(&self, cpu: &Backend) -> Result<Tensor> {
        match (&self.0, &cpu.0) {
            (Dx::Tensor(dx), _) => Ok(dx.clone()),
            (Dx::Host(outgoing), Inner::Cpu(cpu, _)) => {
                let x = &outgoing.active.x;
                let mut dx = HostMaps::new(&cpu.buffers, x.batch, (x.height, x.width), x.channels);
                let size = dx.size();
                let frame = Frame { height: x.height, width: x.width, margin: 0 };
                let images = dx.values_mut().chunks_exact_mut(size.max(1));
                images.enumerate().for_each(|(image, out)| outgoing.differentiate(cpu, image, frame, out));
                dx.to_tensor()
            }
            _ => wrong_backend(),
        }
    }
}
