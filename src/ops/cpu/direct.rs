//! Any convolution of stride 1 and both its gradients, by products of patches: as it is written, without Winograd's
//! transforms. The first layer, of one or three channels, always goes this way.

use std::ops::Range;

use candle_core::Result;
use rayon::prelude::*;

use super::Cpu;
use super::gemm::{Left, Product, Right, padded};
use super::kernels::{Kernels, gradient_from_patches};
use super::layer::{Active, Gradient, Outgoing, Sums};
use super::maps::HostMaps;
use super::points::Frame;
use super::winograd::Gradients;

/// Bytes of patches that a thread works on at a time.
const PIECE: usize = 384 << 10;

/// Partial sums of a weight's gradient; fixed, because the order of the sum must not follow the number of threads.
const GROUPS: usize = 8;

/// The images that a network is given: batch x channels x height x width.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    pub values: &'a [f32],
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// What a convolution reads.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The images themselves.
    Images(Images<'a>),
    /// An activation.
    Active(&'a Active),
}

impl Source<'_> {
    /// Images of the batch.
    pub fn batch(&self) -> usize {
        match self {
            Self::Images(images) => images.batch,
            Self::Active(active) => active.x.batch,
        }
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        match self {
            Self::Images(images) => images.channels,
            Self::Active(active) => active.x.channels,
        }
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Self::Images(images) => (images.height, images.width),
            Self::Active(active) => active.size(),
        }
    }

    /// Values of a pixel in a frame.
    fn stride(&self) -> usize {
        match self {
            Self::Images(images) => images.channels,
            Self::Active(active) => active.x.stride(),
        }
    }

    /// Writes an image into a frame.
    fn fill(&self, cpu: &Cpu, image: usize, frame: Frame, out: &mut [f32]) {
        match self {
            Self::Active(active) => active.activate(cpu, image, frame, out),
            Self::Images(images) => {
                let Images { values, channels, height, width, .. } = *images;
                out.fill(0.0);
                let plane = height * width;
                let image = &values[image * channels * plane..(image + 1) * channels * plane];
                for (channel, plane) in image.chunks_exact(plane.max(1)).enumerate() {
                    for (row, line) in plane.chunks_exact(width).enumerate() {
                        let from = ((row + frame.margin) * frame.width + frame.margin) * channels + channel;
                        let to = out[from..].iter_mut().step_by(channels);
                        for (to, value) in to.zip(line) {
                            *to = *value;
                        }
                    }
                }
            }
        }
    }
}

/// The patches of rows of an image.
#[derive(Clone, Copy)]
struct Patches {
    side: usize,
    channels: usize,
    stride: usize,
    frame: Frame,
    /// Size of the result.
    height: usize,
    width: usize,
}

impl Patches {
    fn depth(self) -> usize {
        self.side * self.side * self.channels
    }

    /// Rows of the result that are worked on at a time.
    fn rows(self) -> usize {
        (PIECE / (self.width * self.depth() * size_of::<f32>()).max(1)).clamp(1, self.height.max(1))
    }

    fn blocks(self) -> impl Iterator<Item = Range<usize>> {
        let rows = self.rows();
        (0..self.height).step_by(rows).map(move |first| first..(first + rows).min(self.height))
    }

    fn gather(self, framed: &[f32], rows: Range<usize>, out: &mut [f32]) {
        let mut patches = out.chunks_exact_mut(self.depth());
        let run = self.side * self.channels;
        for row in rows {
            for column in 0..self.width {
                let Some(patch) = patches.next() else { return };
                for (tap_row, to) in patch.chunks_exact_mut(run).enumerate() {
                    let from = ((row + tap_row) * self.frame.width + column) * self.stride;
                    if self.stride == self.channels {
                        to.copy_from_slice(&framed[from..from + run]);
                    } else {
                        for (tap, to) in to.chunks_exact_mut(self.channels).enumerate() {
                            let from = from + tap * self.stride;
                            to.copy_from_slice(&framed[from..from + self.channels]);
                        }
                    }
                }
            }
        }
    }
}

fn patches(
    (channels, stride): (usize, usize),
    (height, width): (usize, usize),
    side: usize,
    padding: usize,
) -> Result<Patches> {
    if height + 2 * padding < side || width + 2 * padding < side {
        candle_core::bail!("images of {height}x{width} are smaller than the {side}-wide kernel");
    }
    let frame = Frame { height: height + 2 * padding, width: width + 2 * padding, margin: padding };
    let (height, width) = (frame.height + 1 - side, frame.width + 1 - side);
    Ok(Patches { side, channels, stride, frame, height, width })
}

/// The convolution, and the moments of the result where they are wanted.
pub fn forward(
    cpu: &Cpu,
    source: Source<'_>,
    kernels: &Kernels,
    (outputs, side, padding): (usize, usize, usize),
    with_moments: bool,
) -> Result<(HostMaps, Option<Sums>)> {
    let patches = patches((source.channels(), source.stride()), source.size(), side, padding)?;
    let mut y = HostMaps::new(&cpu.buffers, source.batch(), (patches.height, patches.width), outputs);
    let size = y.size();
    let images = y.values_mut().par_chunks_exact_mut(size.max(1)).enumerate();
    let sums: Vec<Option<Sums>> = images
        .map(|(image, values)| {
            let mut framed = cpu.buffers.take(patches.frame.size(patches.stride));
            source.fill(cpu, image, patches.frame, &mut framed);
            convolve(cpu, patches, &framed, kernels, padded(outputs), values);
            with_moments.then(|| Sums::moments(cpu, values, outputs))
        })
        .collect();
    let sums: Option<Vec<Sums>> = sums.into_iter().collect();
    Ok((y, sums.filter(|_| with_moments).map(|sums| Sums::total(outputs, &sums))))
}

fn convolve(cpu: &Cpu, patches: Patches, framed: &[f32], kernels: &Kernels, stride: usize, out: &mut [f32]) {
    let depth = patches.depth();
    let mut gathered = cpu.buffers.take(patches.rows() * patches.width * depth);
    for rows in patches.blocks() {
        let positions = rows.len() * patches.width;
        patches.gather(framed, rows.clone(), &mut gathered[..positions * depth]);
        Product {
            rows: positions,
            depth,
            columns: stride,
            left: Left::rows(&gathered, depth),
            right: kernels.right(0),
            out: &mut out[rows.start * patches.width * stride..],
            out_stride: stride,
            add: false,
        }
        .compute(cpu.arch);
    }
}

/// The gradients of a convolution's input (where `kernels` are given, and the source is an activation) and weight (where it is wanted).
pub fn backward(
    cpu: &Cpu,
    source: Source<'_>,
    outgoing: &Outgoing<'_>,
    kernels: Option<&Kernels>,
    (side, padding): (usize, usize),
    weight: bool,
) -> Result<Gradients> {
    let input = match (source, kernels) {
        (Source::Active(active), Some(kernels)) => {
            Some(input_gradient(cpu, active, outgoing, kernels, side, padding)?)
        }
        _ => None,
    };
    let weight = if weight { Some(weight_gradient(cpu, source, outgoing, side, padding)?) } else { None };
    Ok(Gradients { input, weight })
}

fn input_gradient(
    cpu: &Cpu,
    input: &Active,
    outgoing: &Outgoing<'_>,
    kernels: &Kernels,
    side: usize,
    padding: usize,
) -> Result<Gradient> {
    let y = &outgoing.active.x;
    let patches = patches((y.channels, y.stride()), (y.height, y.width), side, side - 1 - padding)?;
    let inputs = input.x.channels;
    let mut dx = HostMaps::new(&cpu.buffers, y.batch, input.size(), inputs);
    let size = dx.size();
    let images = dx.values_mut().par_chunks_exact_mut(size.max(1)).enumerate();
    let sums: Vec<Sums> = images
        .map(|(image, values)| {
            let mut framed = cpu.buffers.take(patches.frame.size(patches.stride));
            outgoing.differentiate(cpu, image, patches.frame, &mut framed);
            convolve(cpu, patches, &framed, kernels, padded(inputs), values);
            input.gradient_sums(cpu, image, values)
        })
        .collect();
    Ok(Gradient { dy: dx, sums: Sums::total(inputs, &sums) })
}

fn weight_gradient(
    cpu: &Cpu,
    source: Source<'_>,
    outgoing: &Outgoing<'_>,
    side: usize,
    padding: usize,
) -> Result<Vec<f32>> {
    let y = &outgoing.active.x;
    let patches = patches((source.channels(), source.stride()), source.size(), side, padding)?;
    let (depth, stride) = (patches.depth(), y.stride());
    let frame = Frame { height: y.height, width: y.width, margin: 0 };
    let group = y.batch.div_ceil(GROUPS).max(1);
    let groups: Vec<Range<usize>> =
        (0..y.batch).step_by(group).map(|first| first..(first + group).min(y.batch)).collect();
    let sums: Vec<_> = groups
        .into_par_iter()
        .with_max_len(1)
        .map(|images| {
            let mut sum = cpu.buffers.take(depth * stride);
            sum.fill(0.0);
            let mut framed = cpu.buffers.take(patches.frame.size(patches.stride));
            let mut gradient = cpu.buffers.take(frame.size(stride));
            let mut gathered = cpu.buffers.take(patches.rows() * patches.width * depth);
            for image in images {
                source.fill(cpu, image, patches.frame, &mut framed);
                outgoing.differentiate(cpu, image, frame, &mut gradient);
                for rows in patches.blocks() {
                    let positions = rows.len() * patches.width;
                    patches.gather(&framed, rows.clone(), &mut gathered[..positions * depth]);
                    Product {
                        rows: depth,
                        depth: positions,
                        columns: stride,
                        left: Left::transposed(&gathered, depth),
                        right: Right::Rows(&gradient[rows.start * patches.width * stride..], stride),
                        out: &mut sum,
                        out_stride: stride,
                        add: true,
                    }
                    .compute(cpu.arch);
                }
            }
            sum
        })
        .collect();
    let mut total = cpu.buffers.take(depth * stride);
    total.fill(0.0);
    for sum in sums {
        for (total, value) in total.iter_mut().zip(sum.iter()) {
            *total += value;
        }
    }
    let mut gradient = vec![0f32; y.channels * source.channels() * side * side];
    gradient_from_patches(&total, (y.channels, source.channels(), side * side), &mut gradient);
    Ok(gradient)
}
