//! What convolutions take and give on the CPU: an activation that is computed when it is read, and gradients.

use candle_core::{Device, Result, Tensor};

use super::Cpu;
use super::back::{Differentiate, GradientSums, Pair, Slopes};
use super::gemm::padded;
use super::maps::HostMaps;
use super::norm::{Activate, Figures, clear_border, moments, pooled};
use super::points::Frame;
use crate::ops::{BatchStats, Pool};

/// Maps, and the batch norm, gate, ReLU and pool that follow them, if anything does.
#[derive(Debug)]
pub struct Active {
    /// The maps.
    pub x: HostMaps,
    /// What follows them.
    pub norm: Option<Norm>,
}

/// What follows maps.
#[derive(Debug)]
pub struct Norm {
    /// Batch norm and gate.
    pub figures: Figures,
    /// What follows the ReLU.
    pub pool: Pool,
}

impl Active {
    /// Height and width after the pool.
    pub fn size(&self) -> (usize, usize) {
        let pool = self.norm.as_ref().map_or(Pool::None, |norm| norm.pool);
        pooled(pool, (self.x.height, self.x.width))
    }

    /// Writes the activation of an image into a frame.
    pub fn activate(&self, cpu: &Cpu, image: usize, frame: Frame, out: &mut [f32]) {
        let size = (self.x.height, self.x.width);
        let x = self.x.image(image);
        match &self.norm {
            Some(Norm { figures, pool }) => {
                Activate { x, size, figures, pool: *pool, frame, out }.run(cpu.arch);
            }
            None => copy(x, size, self.x.stride(), frame, out),
        }
    }

    fn pair<'a>(&'a self, norm: &'a Norm, image: usize, dy: &'a [f32]) -> Pair<'a> {
        let size = (self.x.height, self.x.width);
        Pair { x: self.x.image(image), size, figures: &norm.figures, pool: norm.pool, dy }
    }

    /// The sums that the gradient through batch norm needs, of one image.
    pub fn gradient_sums(&self, cpu: &Cpu, image: usize, dy: &[f32]) -> Sums {
        let mut sums = Sums::new(self.x.channels);
        if let Some(norm) = &self.norm {
            let pair = self.pair(norm, image, dy);
            GradientSums { pair, sums: &mut sums.plain, weighted: &mut sums.weighted }.run(cpu.arch);
        }
        sums
    }
}

/// Copies an image into a frame, with zeros around it.
fn copy(image: &[f32], (height, width): (usize, usize), stride: usize, frame: Frame, out: &mut [f32]) {
    clear_border(out, frame, stride, (height, width));
    for (row, line) in image.chunks_exact((width * stride).max(1)).enumerate() {
        let to = ((row + frame.margin) * frame.width + frame.margin) * stride;
        out[to..to + line.len()].copy_from_slice(line);
    }
}

/// Two sums for each channel, padded.
#[derive(Debug, Clone)]
pub struct Sums {
    /// Of the values, or of the gradient before the ReLU.
    pub plain: Vec<f64>,
    /// Of the squares, or of the gradient times `x - mean`.
    pub weighted: Vec<f64>,
}

impl Sums {
    /// Zeros.
    pub fn new(channels: usize) -> Self {
        Self { plain: vec![0.0; padded(channels)], weighted: vec![0.0; padded(channels)] }
    }

    /// The sums of an image's values and of their squares.
    pub fn moments(cpu: &Cpu, image: &[f32], channels: usize) -> Self {
        let mut sums = Self::new(channels);
        moments(cpu.arch, image, &mut sums.plain, &mut sums.weighted);
        sums
    }

    /// Mean and variance, from the moments of `count` values a channel; in `f64` their difference loses nothing that `f32`
    /// values had.
    ///
    /// # Errors
    /// None.
    pub fn statistics(&self, channels: usize, count: usize) -> Result<BatchStats> {
        let n = count as f64;
        let mean = |c: usize| self.plain[c] / n;
        let var = |c: usize| (self.weighted[c] / n - mean(c) * mean(c)).max(0.0);
        let collect = |value: &dyn Fn(usize) -> f64| {
            let values = (0..channels).map(|c| value(c) as f32).collect::<Vec<_>>();
            Tensor::from_vec(values, channels, &Device::Cpu)
        };
        Ok(BatchStats { mean: collect(&mean)?, var: collect(&var)?, count })
    }

    /// The sum over a batch, from those of its images in order.
    pub fn total(channels: usize, images: &[Self]) -> Self {
        let mut total = Self::new(channels);
        for image in images {
            for (sum, value) in total.plain.iter_mut().zip(&image.plain) {
                *sum += value;
            }
            for (sum, value) in total.weighted.iter_mut().zip(&image.weighted) {
                *sum += value;
            }
        }
        total
    }
}

/// The gradient of an activation, with its sums over the batch.
#[derive(Debug)]
pub struct Gradient {
    /// The gradient of the activation's values.
    pub dy: HostMaps,
    /// See [`Active::gradient_sums`].
    pub sums: Sums,
}

/// The gradient of the maps under an activation; computed when it is read.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The activation.
    pub active: &'a Active,
    /// The gradient of its values.
    pub dy: &'a HostMaps,
    /// What batch norm takes away, where there is one.
    pub slopes: Option<Slopes>,
}

impl<'a> Outgoing<'a> {
    /// From the gradient of an activation.
    pub fn new(active: &'a Active, gradient: &'a Gradient) -> Self {
        let count = active.x.batch * active.x.height * active.x.width;
        let Sums { plain, weighted } = &gradient.sums;
        let slopes = active.norm.as_ref().map(|norm| Slopes::new(&norm.figures, plain, weighted, count));
        Self { active, dy: &gradient.dy, slopes }
    }

    /// Writes the gradient of an image into a frame.
    pub fn differentiate(&self, cpu: &Cpu, image: usize, frame: Frame, out: &mut [f32]) {
        let dy = self.dy.image(image);
        match (&self.active.norm, &self.slopes) {
            (Some(norm), Some(slopes)) => {
                let pair = self.active.pair(norm, image, dy);
                Differentiate { pair, slopes, frame, out }.run(cpu.arch);
            }
            _ => copy(dy, (self.dy.height, self.dy.width), self.dy.stride(), frame, out),
        }
    }
}
