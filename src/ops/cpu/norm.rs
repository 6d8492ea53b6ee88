//! Batch norm, gate, ReLU and pool of one image, and the sums over it.
//!
//! `z = scale x + shift` holds batch norm and gate together; the activation is `pool(max(z, 0))`. Sums are taken in `f64`.

use pulp::{Arch, Simd, WithSimd};

use super::gemm::{LANE, padded};
use super::points::Frame;
use super::vectors::{fused, larger};
use crate::ops::{BN_EPS, Pool};

/// The figures of each channel, padded with zeros.
#[derive(Debug, Clone)]
pub struct Figures {
    /// `gate gamma / sqrt(var + eps)`.
    pub scale: Vec<f32>,
    /// `gate (beta - gamma mean / sqrt(var + eps))`.
    pub shift: Vec<f32>,
    /// Means.
    pub mean: Vec<f32>,
    /// `1 / sqrt(var + eps)`.
    pub inverse: Vec<f32>,
}

impl Figures {
    /// From the parameters and the statistics of each channel.
    pub fn new(gamma: &[f32], beta: &[f32], gate: Option<&[f32]>, mean: &[f32], var: &[f32]) -> Self {
        let room = padded(gamma.len());
        let zeros = || vec![0f32; room];
        let mut figures = Self { scale: zeros(), shift: zeros(), mean: zeros(), inverse: zeros() };
        for channel in 0..gamma.len() {
            let inverse = (1.0 / (f64::from(var[channel]) + BN_EPS).sqrt()) as f32;
            let gate = gate.map_or(1.0, |gate| gate[channel]);
            figures.scale[channel] = gate * gamma[channel] * inverse;
            figures.shift[channel] = gate * (beta[channel] - gamma[channel] * inverse * mean[channel]);
            figures.mean[channel] = mean[channel];
            figures.inverse[channel] = inverse;
        }
        figures
    }
}

/// The size of an activation, from that of its input.
pub fn pooled(pool: Pool, (height, width): (usize, usize)) -> (usize, usize) {
    match pool {
        Pool::None => (height, width),
        Pool::Max2 => (height / 2, width / 2),
    }
}

/// Writes zeros around an image of `height` x `width` inside a frame.
pub fn clear_border(values: &mut [f32], frame: Frame, stride: usize, (height, width): (usize, usize)) {
    let line = frame.width * stride;
    let (top, rest) = values.split_at_mut(frame.margin * line);
    top.fill(0.0);
    for (row, line) in rest.chunks_exact_mut(line).enumerate() {
        if row < height {
            line[..frame.margin * stride].fill(0.0);
            line[(frame.margin + width) * stride..].fill(0.0);
        } else {
            line.fill(0.0);
        }
    }
}

/// Writes the activation of an image into a frame, with zeros around it.
pub struct Activate<'a> {
    /// The image: pixels of `stride` values.
    pub x: &'a [f32],
    /// Its height and width.
    pub size: (usize, usize),
    /// Its figures.
    pub figures: &'a Figures,
    /// What follows the ReLU.
    pub pool: Pool,
    /// Where the activation goes.
    pub frame: Frame,
    /// The frame's values.
    pub out: &'a mut [f32],
}

impl Activate<'_> {
    /// Does it.
    pub fn run(self, arch: Arch) {
        arch.dispatch(self);
    }
}

/// The vector at a place.
#[inline(always)]
pub fn at<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&values[at..at + S::F32_LANES]).0[0]
}

/// `scale x + shift`, for the values at a place.
#[inline(always)]
fn affine<S: Simd>(simd: S, (scale, shift): (S::f32s, S::f32s), x: &[f32], place: usize) -> S::f32s {
    fused(simd, scale, at::<S>(x, place), shift)
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, size: (height, width), figures, pool, frame, out } = self;
        let stride = figures.scale.len();
        let (out_height, out_width) = pooled(pool, (height, width));
        clear_border(out, frame, stride, (out_height, out_width));
        let zero = simd.splat_f32s(0.0);
        for row in 0..out_height {
            for column in 0..out_width {
                let to = ((row + frame.margin) * frame.width + column + frame.margin) * stride;
                let out = &mut out[to..to + stride];
                let from = match pool {
                    Pool::None => (row * width + column) * stride,
                    Pool::Max2 => (2 * row * width + 2 * column) * stride,
                };
                let x = &x[from..];
                for channel in (0..stride).step_by(S::F32_LANES) {
                    let line = (at::<S>(&figures.scale, channel), at::<S>(&figures.shift, channel));
                    let highest = match pool {
                        Pool::None => affine(simd, line, x, channel),
                        Pool::Max2 => {
                            let below = width * stride;
                            let top = larger(
                                simd,
                                affine(simd, line, x, channel),
                                affine(simd, line, x, stride + channel),
                            );
                            let bottom = larger(
                                simd,
                                affine(simd, line, x, below + channel),
                                affine(simd, line, x, below + stride + channel),
                            );
                            larger(simd, top, bottom)
                        }
                    };
                    let value = larger(simd, highest, zero);
                    S::as_mut_simd_f32s(&mut out[channel..channel + S::F32_LANES]).0[0] = value;
                }
            }
        }
    }
}

/// The sums of each channel over an image, and of the squares.
pub fn moments(arch: Arch, image: &[f32], sums: &mut [f64], squares: &mut [f64]) {
    let stride = sums.len();
    arch.dispatch(
        #[inline(always)]
        || {
            // Few pixels at a time: they stay in the nearest cache while their channels are gone through.
            let runs =
                image.chunks(stride * 32).flat_map(|run| (0..stride).step_by(LANE).map(move |c| (run, c)));
            for (run, channel) in runs {
                let (mut sum, mut square) = ([0f64; LANE], [0f64; LANE]);
                for pixel in run.chunks_exact(stride) {
                    let values = &pixel[channel..channel + LANE];
                    for lane in 0..LANE {
                        let value = f64::from(values[lane]);
                        sum[lane] += value;
                        square[lane] += value * value;
                    }
                }
                for lane in 0..LANE {
                    sums[channel + lane] += sum[lane];
                    squares[channel + lane] += square[lane];
                }
            }
        },
    );
}
