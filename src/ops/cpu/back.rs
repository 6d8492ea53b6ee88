//! The way back through batch norm, gate, ReLU and pool of one image: the sums over it, and its gradient.

use pulp::{Arch, Simd, WithSimd};

use super::gemm::LANE;
use super::norm::{Figures, at, clear_border, pooled};
use super::points::Frame;
use super::vectors::{fused, larger};
use crate::ops::Pool;

/// An activation's image and the gradient of its values.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The image that was activated.
    pub x: &'a [f32],
    /// Its height and width.
    pub size: (usize, usize),
    /// Its figures.
    pub figures: &'a Figures,
    /// What followed the ReLU.
    pub pool: Pool,
    /// The gradient of the activation.
    pub dy: &'a [f32],
}

impl Pair<'_> {
    /// Rows of the activation: of pixels, or of windows.
    fn rows(&self) -> usize {
        pooled(self.pool, self.size).0
    }

    /// Calls `visit` with each row and column before the pool that belongs to a row of the activation, and for a vector of
    /// channels with `x` and the gradient of `z` there. Places that no window reads are left out.
    #[inline(always)]
    fn visit<S: Simd>(
        &self,
        simd: S,
        row: usize,
        channel: usize,
        mut visit: impl FnMut((usize, usize), S::f32s, S::f32s),
    ) {
        let (_, width) = self.size;
        let stride = self.figures.scale.len();
        let zero = simd.splat_f32s(0.0);
        let scale = at::<S>(&self.figures.scale, channel);
        let shift = at::<S>(&self.figures.shift, channel);
        match self.pool {
            Pool::None => {
                for column in 0..width {
                    let place = (row * width + column) * stride + channel;
                    let x = at::<S>(self.x, place);
                    let z = fused(simd, scale, x, shift);
                    let open = simd.less_than_f32s(zero, z);
                    visit((row, column), x, simd.select_f32s(open, at::<S>(self.dy, place), zero));
                }
            }
            Pool::Max2 => {
                let out_width = width / 2;
                for column in 0..out_width {
                    let dy = at::<S>(self.dy, (row * out_width + column) * stride + channel);
                    let (top, left) = (2 * row, 2 * column);
                    let places = [(top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)];
                    let mut x = [zero; 4];
                    let mut z = [zero; 4];
                    for ((x, z), (row, column)) in x.iter_mut().zip(&mut z).zip(places) {
                        *x = at::<S>(self.x, (row * width + column) * stride + channel);
                        *z = fused(simd, scale, *x, shift);
                    }
                    let highest = larger(simd, larger(simd, z[0], z[1]), larger(simd, z[2], z[3]));
                    // The gradient is handed to the first of the highest, and is gone then.
                    let mut rest = simd.select_f32s(simd.less_than_f32s(zero, highest), dy, zero);
                    for ((place, x), z) in places.into_iter().zip(x).zip(z) {
                        let lower = simd.less_than_f32s(z, highest);
                        visit(place, x, simd.select_f32s(lower, zero, rest));
                        rest = simd.select_f32s(lower, rest, zero);
                    }
                }
            }
        }
    }
}

/// Adds to `sums` the gradient of `z` of each channel, and to `weighted` its product with `x - mean`.
pub struct GradientSums<'a> {
    pub pair: Pair<'a>,
    pub sums: &'a mut [f64],
    pub weighted: &'a mut [f64],
}

impl GradientSums<'_> {
    /// Does it.
    pub fn run(self, arch: Arch) {
        arch.dispatch(self);
    }
}

/// Adds vectors to the sums of their channels.
#[inline(always)]
fn flush<S: Simd>((sum, product): (S::f32s, S::f32s), sums: &mut [f64], weighted: &mut [f64]) {
    let (mut lanes, mut products) = ([0f32; LANE], [0f32; LANE]);
    S::as_mut_simd_f32s(&mut lanes[..S::F32_LANES]).0[0] = sum;
    S::as_mut_simd_f32s(&mut products[..S::F32_LANES]).0[0] = product;
    for (sum, lane) in sums.iter_mut().zip(&lanes[..S::F32_LANES]) {
        *sum += f64::from(*lane);
    }
    for (sum, lane) in weighted.iter_mut().zip(&products[..S::F32_LANES]) {
        *sum += f64::from(*lane);
    }
}

impl WithSimd for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// Values that are added up in `f32` before they go into the `f64` sum.
        const RUN: usize = 16;
        let Self { pair, sums, weighted } = self;
        let zero = simd.splat_f32s(0.0);
        for row in 0..pair.rows() {
            for channel in (0..sums.len()).step_by(S::F32_LANES) {
                let mean = at::<S>(&pair.figures.mean, channel);
                let (mut sum, mut product, mut run) = (zero, zero, 0);
                pair.visit(
                    simd,
                    row,
                    channel,
                    #[inline(always)]
                    |_, x, dz| {
                        sum = simd.add_f32s(sum, dz);
                        product = fused(simd, dz, simd.sub_f32s(x, mean), product);
                        run += 1;
                        if run == RUN {
                            flush::<S>((sum, product), &mut sums[channel..], &mut weighted[channel..]);
                            (sum, product, run) = (zero, zero, 0);
                        }
                    },
                );
                flush::<S>((sum, product), &mut sums[channel..], &mut weighted[channel..]);
            }
        }
    }
}

/// What takes the gradient of `z` to that of the image: `dx = scale dz - (mean_part + slope (x - mean))`.
#[derive(Debug, Clone)]
pub struct Slopes {
    pub mean_part: Vec<f32>,
    pub slope: Vec<f32>,
}

impl Slopes {
    /// From the sums of [`GradientSums`] over a batch of `count` values a channel.
    pub fn new(figures: &Figures, sums: &[f64], weighted: &[f64], count: usize) -> Self {
        let count = count as f64;
        let each = |value: &dyn Fn(usize) -> f64| (0..sums.len()).map(|c| value(c) as f32).collect();
        let (scale, inverse) = (&figures.scale, &figures.inverse);
        Self {
            mean_part: each(&|c| f64::from(scale[c]) * sums[c] / count),
            slope: each(&|c| {
                f64::from(scale[c]) * f64::from(inverse[c]) * f64::from(inverse[c]) * weighted[c] / count
            }),
        }
    }
}

/// Writes the gradient of an image into a frame, with zeros around it.
pub struct Differentiate<'a> {
    pub pair: Pair<'a>,
    pub slopes: &'a Slopes,
    pub frame: Frame,
    pub out: &'a mut [f32],
}

impl Differentiate<'_> {
    /// Does it.
    pub fn run(self, arch: Arch) {
        arch.dispatch(self);
    }
}

/// The gradient of values of `x`, from that of `z`.
#[inline(always)]
fn through<S: Simd>(
    simd: S,
    figures: &Figures,
    slopes: &Slopes,
    channel: usize,
    x: S::f32s,
    dz: S::f32s,
) -> S::f32s {
    let (scale, mean) = (at::<S>(&figures.scale, channel), at::<S>(&figures.mean, channel));
    let (mean_part, slope) = (at::<S>(&slopes.mean_part, channel), at::<S>(&slopes.slope, channel));
    let away = fused(simd, slope, simd.sub_f32s(x, mean), mean_part);
    simd.sub_f32s(simd.mul_f32s(scale, dz), away)
}

/// Writes channels of a pixel into a frame.
#[inline(always)]
fn put<S: Simd>(
    out: &mut [f32],
    frame: Frame,
    (row, column): (usize, usize),
    channel: usize,
    stride: usize,
    value: S::f32s,
) {
    let to = ((row + frame.margin) * frame.width + column + frame.margin) * stride + channel;
    S::as_mut_simd_f32s(&mut out[to..to + S::F32_LANES]).0[0] = value;
}

impl WithSimd for Differentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pair, slopes, frame, out } = self;
        let (height, width) = pair.size;
        let stride = pair.figures.scale.len();
        clear_border(out, frame, stride, pair.size);
        let zero = simd.splat_f32s(0.0);
        for row in 0..pair.rows() {
            for channel in (0..stride).step_by(S::F32_LANES) {
                pair.visit(
                    simd,
                    row,
                    channel,
                    #[inline(always)]
                    |place, x, dz| {
                        let value = through(simd, pair.figures, slopes, channel, x, dz);
                        put::<S>(out, frame, place, channel, stride, value);
                    },
                );
            }
        }
        if pair.pool == Pool::Max2 {
            // A last odd row or column, which no window reads.
            for row in 0..height {
                for column in 0..width {
                    if row >= height / 2 * 2 || column >= width / 2 * 2 {
                        for channel in (0..stride).step_by(S::F32_LANES) {
                            let x = at::<S>(pair.x, (row * width + column) * stride + channel);
                            let value = through(simd, pair.figures, slopes, channel, x, zero);
                            put::<S>(out, frame, (row, column), channel, stride, value);
                        }
                    }
                }
            }
        }
    }
}
