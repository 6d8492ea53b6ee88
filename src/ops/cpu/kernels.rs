//! Weights in the form that products want: packed right-hand sides, by points or by patches.
//!
//! A weight is `out x in x k x k`, as in PyTorch.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Planes;
use super::buffers::Buffers;
use super::gemm::{LANE, PANEL, Right, padded};
use super::tile::{Line, MOST, Tile};

/// Which way a kernel is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From inputs to outputs.
    Forward,
    /// From the gradient of outputs to that of inputs.
    Backward,
}

/// Packed right-hand sides, one for each point (or a single one, by patches).
#[derive(Debug)]
pub struct Kernels(Planes);

impl Kernels {
    /// The right-hand side of a point.
    pub fn right(&self, point: usize) -> Right<'_> {
        Right::Packed(self.0.plane(point))
    }
}

/// A weight and its sizes.
#[derive(Debug, Clone, Copy)]
pub struct Weight<'a> {
    pub values: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    /// Side of the kernel.
    pub side: usize,
}

impl Weight<'_> {
    fn taps(&self) -> usize {
        self.side * self.side
    }

    /// Where the taps of an element start: `depth` and `column` are channels on the left and on the right.
    #[inline(always)]
    fn taps_at(&self, way: Way, depth: usize, column: usize) -> usize {
        let (output, input) = match way {
            Way::Forward => (column, depth),
            Way::Backward => (depth, column),
        };
        (output * self.inputs + input) * self.taps()
    }

    /// Channels on the left and on the right.
    fn sides(&self, way: Way) -> (usize, usize) {
        match way {
            Way::Forward => (self.inputs, self.outputs),
            Way::Backward => (self.outputs, self.inputs),
        }
    }

    /// The kernel at the points of `T`, for products of depth in (forward) or out (backward).
    pub fn by_points<T: Tile>(&self, way: Way, buffers: &Buffers, arch: Arch) -> Kernels {
        let (depth, columns) = self.sides(way);
        let size = depth * padded(columns);
        let mut points = Planes::new(buffers, T::POINTS * T::POINTS, size);
        let panels = points.across(size, depth * PANEL);
        panels.into_par_iter().with_max_len(1).enumerate().for_each(|(panel, planes)| {
            let (weight, first) = (*self, panel * PANEL);
            let kind = PhantomData::<T>;
            arch.dispatch(PanelByPoints { weight, way, depth, columns, first, planes, kind });
        });
        Kernels(points)
    }

    /// The kernel for products of patches: depth is row, column and channel of a patch, in this order.
    pub fn by_patches(&self, way: Way, buffers: &Buffers) -> Kernels {
        let (channels, columns) = self.sides(way);
        let taps = self.taps();
        let depth = taps * channels;
        let size = depth * padded(columns);
        let mut planes = Planes::new(buffers, 1, size);
        let panels = planes.across(size, depth * PANEL).into_iter().flatten().collect::<Vec<_>>();
        panels.into_par_iter().enumerate().for_each(|(panel, values)| {
            let width = values.len() / depth;
            for (row, line) in values.chunks_exact_mut(width).enumerate() {
                let (tap, channel) = (row / channels, row % channels);
                // Backward, the kernel is turned by 180 degrees.
                let tap = if way == Way::Forward { tap } else { taps - 1 - tap };
                for (column, value) in line.iter_mut().enumerate() {
                    let column = panel * PANEL + column;
                    let inside = column < columns;
                    *value = if inside { self.values[self.taps_at(way, channel, column) + tap] } else { 0.0 };
                }
            }
        });
        Kernels(planes)
    }
}

/// Both dimensions of a transform of the first `from` values of each line to the first `to`.
#[inline(always)]
fn both<S: Simd>(
    block: [Line<S>; MOST],
    (from, to): (usize, usize),
    line: impl Fn(Line<S>) -> Line<S>,
) -> [Line<S>; MOST] {
    let mut half = block;
    for row in 0..from {
        let transformed = line(block[row]);
        for column in 0..to {
            half[column][row] = transformed[column];
        }
    }
    let mut whole = block;
    for column in 0..to {
        let transformed = line(half[column]);
        for row in 0..to {
            whole[row][column] = transformed[row];
        }
    }
    whole
}

/// One panel of every point: `G w G^T`.
struct PanelByPoints<'a, 'b, T> {
    weight: Weight<'a>,
    way: Way,
    depth: usize,
    columns: usize,
    /// First column of the panel.
    first: usize,
    planes: Vec<&'b mut [f32]>,
    kind: PhantomData<T>,
}

impl<T: Tile> WithSimd for PanelByPoints<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weight, way, depth, columns, first, mut planes, .. } = self;
        let width = planes.first().map_or(0, |plane| plane.len() / depth.max(1));
        for group in (0..width).step_by(LANE) {
            let filled = columns.saturating_sub(first + group).min(LANE);
            for depth in 0..depth {
                let mut taps = [[0f32; LANE]; 9];
                for lane in 0..filled {
                    let from = weight.taps_at(way, depth, first + group + lane);
                    for (tap, value) in taps.iter_mut().zip(&weight.values[from..from + 9]) {
                        tap[lane] = *value;
                    }
                }
                let at = depth * width + group;
                for part in (0..LANE).step_by(S::F32_LANES) {
                    let mut block = [[simd.splat_f32s(0.0); MOST]; MOST];
                    for (tap, values) in taps.iter().enumerate() {
                        block[tap / 3][tap % 3] = S::as_simd_f32s(&values[part..part + S::F32_LANES]).0[0];
                    }
                    let points = both::<S>(
                        block,
                        (3, T::POINTS),
                        #[inline(always)]
                        |line| T::kernel(simd, line),
                    );
                    for (point, plane) in planes.iter_mut().enumerate() {
                        let to = &mut plane[at + part..at + part + S::F32_LANES];
                        S::as_mut_simd_f32s(to).0[0] = points[point / T::POINTS][point % T::POINTS];
                    }
                }
            }
        }
    }
}

/// The gradient of a weight (`out x in x 3 x 3`) from that of its points, each `inputs` rows of padded outputs: `G^T dU G`.
pub fn gradient_from_points<T: Tile>(
    points: &Planes,
    (outputs, inputs): (usize, usize),
    gradient: &mut [f32],
    arch: Arch,
) {
    let stride = padded(outputs);
    let groups = gradient.par_chunks_mut((LANE * inputs * 9).max(1)).with_max_len(1).enumerate();
    groups.for_each(|(group, gradient)| {
        let kind = PhantomData::<T>;
        arch.dispatch(GroupFromPoints { points, inputs, stride, first: group * LANE, gradient, kind });
    });
}

/// The gradient of the weights of a few outputs.
struct GroupFromPoints<'a, T> {
    points: &'a Planes,
    inputs: usize,
    stride: usize,
    /// First output of the group.
    first: usize,
    gradient: &'a mut [f32],
    kind: PhantomData<T>,
}

impl<T: Tile> WithSimd for GroupFromPoints<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { points, inputs, stride, first, gradient, .. } = self;
        for input in 0..inputs {
            let mut taps = [[0f32; LANE]; 9];
            for part in (0..LANE).step_by(S::F32_LANES) {
                let at = input * stride + first + part;
                let mut block = [[simd.splat_f32s(0.0); MOST]; MOST];
                for point in 0..T::POINTS * T::POINTS {
                    let from = &points.plane(point)[at..at + S::F32_LANES];
                    block[point / T::POINTS][point % T::POINTS] = S::as_simd_f32s(from).0[0];
                }
                let found = both::<S>(
                    block,
                    (T::POINTS, 3),
                    #[inline(always)]
                    |line| T::kernel_transposed(simd, line),
                );
                for (tap, values) in taps.iter_mut().enumerate() {
                    let to = &mut values[part..part + S::F32_LANES];
                    S::as_mut_simd_f32s(to).0[0] = found[tap / 3][tap % 3];
                }
            }
            for (lane, output) in gradient.chunks_exact_mut(inputs * 9).enumerate() {
                for (tap, value) in taps.iter().zip(&mut output[input * 9..input * 9 + 9]) {
                    *value = tap[lane];
                }
            }
        }
    }
}

/// The gradient of a weight (`out x in x k x k`) from that of its patches: rows of padded outputs.
pub fn gradient_from_patches(
    patches: &[f32],
    (outputs, inputs, taps): (usize, usize, usize),
    gradient: &mut [f32],
) {
    let stride = padded(outputs);
    for (output, gradient) in gradient.chunks_exact_mut((inputs * taps).max(1)).enumerate() {
        for (input, gradient) in gradient.chunks_exact_mut(taps).enumerate() {
            for (tap, value) in gradient.iter_mut().enumerate() {
                *value = patches[(tap * inputs + input) * stride + output];
            }
        }
    }
}
