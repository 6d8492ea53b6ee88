//! Tiles of an image to points and back: the two-dimensional transforms, over all channels.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::tile::{Line, MOST, Tile};

/// One image's values, or a part of it, with its rows of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Pixels before the first row and column of the image proper.
    pub margin: usize,
}

impl Frame {
    /// The frame that holds every tile's input whole.
    pub fn input<T: Tile>(grid: Grid) -> Self {
        let side = |tiles: usize| (tiles - 1) * T::OUTPUT + T::INPUT;
        Self { height: side(grid.down), width: side(grid.across), margin: T::MARGIN }
    }

    /// The frame that holds every tile's output whole.
    pub fn output<T: Tile>(grid: Grid) -> Self {
        Self { height: grid.down * T::OUTPUT, width: grid.across * T::OUTPUT, margin: 0 }
    }

    /// Values in it.
    pub fn size(self, stride: usize) -> usize {
        self.height * self.width * stride
    }
}

/// The tiles of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows of tiles.
    pub down: usize,
    /// Tiles of a row.
    pub across: usize,
}

impl Grid {
    /// The tiles of a map.
    pub fn of<T: Tile>(height: usize, width: usize) -> Self {
        Self { down: height.div_ceil(T::OUTPUT), across: width.div_ceil(T::OUTPUT) }
    }
}

/// A transform from values to points.
pub trait Forward<T: Tile> {
    /// Values of a line.
    const VALUES: usize;
    /// The transform of a line.
    fn line<S: Simd>(simd: S, line: Line<S>) -> Line<S>;
}

/// A transform from points to values.
pub trait Back<T: Tile> {
    /// Values of a line.
    const VALUES: usize;
    /// Whether tiles overlap and are added up.
    const ADDS: bool;
    /// The transform of a line.
    fn line<S: Simd>(simd: S, line: Line<S>) -> Line<S>;
}

/// B, of a convolution's input; back, the gradient's way to it.
pub struct Input;
/// A, to a convolution's output; its transpose takes the gradient of the output to points.
pub struct Output;

impl<T: Tile> Forward<T> for Input {
    const VALUES: usize = T::INPUT;
    #[inline(always)]
    fn line<S: Simd>(simd: S, line: Line<S>) -> Line<S> {
        T::input(simd, line)
    }
}

impl<T: Tile> Forward<T> for Output {
    const VALUES: usize = T::OUTPUT;
    #[inline(always)]
    fn line<S: Simd>(simd: S, line: Line<S>) -> Line<S> {
        T::output_transposed(simd, line)
    }
}

impl<T: Tile> Back<T> for Output {
    const VALUES: usize = T::OUTPUT;
    const ADDS: bool = false;
    #[inline(always)]
    fn line<S: Simd>(simd: S, line: Line<S>) -> Line<S> {
        T::output(simd, line)
    }
}

impl<T: Tile> Back<T> for Input {
    const VALUES: usize = T::INPUT;
    const ADDS: bool = true;
    #[inline(always)]
    fn line<S: Simd>(simd: S, line: Line<S>) -> Line<S> {
        T::input_transposed(simd, line)
    }
}

/// Transforms the tiles in `rows` of an image to points.
pub struct ToPoints<'a, 'b, T, D> {
    pub values: &'a [f32],
    pub frame: Frame,
    pub stride: usize,
    pub rows: Range<usize>,
    pub across: usize,
    /// For each point: tiles x channels.
    pub points: &'a mut [&'b mut [f32]],
    pub kind: PhantomData<(T, D)>,
}

/// Transforms points to the tiles in `rows` of an image; what lies beyond the frame is dropped.
pub struct FromPoints<'a, 'b, T, D> {
    /// For each point: tiles x channels.
    pub points: &'a [&'b [f32]],
    pub values: &'a mut [f32],
    pub frame: Frame,
    pub stride: usize,
    pub rows: Range<usize>,
    pub across: usize,
    pub kind: PhantomData<(T, D)>,
}

impl<T: Tile, D: Forward<T>> ToPoints<'_, '_, T, D> {
    pub fn run(self, arch: Arch) {
        arch.dispatch(self);
    }
}

impl<T: Tile, D: Back<T>> FromPoints<'_, '_, T, D> {
    pub fn run(self, arch: Arch) {
        arch.dispatch(self);
    }
}

#[inline(always)]
fn load<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&values[at..at + S::F32_LANES]).0[0]
}

#[inline(always)]
fn store<S: Simd>(values: &mut [f32], at: usize, value: S::f32s) {
    S::as_mut_simd_f32s(&mut values[at..at + S::F32_LANES]).0[0] = value;
}

#[inline(always)]
fn transposed<S: Simd>(block: &[Line<S>; MOST]) -> [Line<S>; MOST] {
    let mut turned = *block;
    for row in 0..MOST {
        for column in 0..MOST {
            turned[row][column] = block[column][row];
        }
    }
    turned
}

impl<T: Tile, D: Forward<T>> WithSimd for ToPoints<'_, '_, T, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { values, frame, stride, rows, across, points, .. } = self;
        let mut tile = 0;
        for row in rows {
            for column in 0..across {
                let corner = (row * T::OUTPUT * frame.width + column * T::OUTPUT) * stride;
                for channel in (0..stride).step_by(S::F32_LANES) {
                    let mut block = [[simd.splat_f32s(0.0); MOST]; MOST];
                    for (y, line) in block.iter_mut().enumerate().take(D::VALUES) {
                        for (x, value) in line.iter_mut().enumerate().take(D::VALUES) {
                            *value = load::<S>(values, corner + (y * frame.width + x) * stride + channel);
                        }
                        *line = D::line(simd, *line);
                    }
                    let block = transposed::<S>(&block);
                    for (x, line) in block.iter().enumerate().take(T::POINTS) {
                        let line = D::line(simd, *line);
                        for (y, value) in line.iter().enumerate().take(T::POINTS) {
                            store::<S>(points[y * T::POINTS + x], tile * stride + channel, *value);
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

impl<T: Tile, D: Back<T>> WithSimd for FromPoints<'_, '_, T, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { points, values, frame, stride, rows, across, .. } = self;
        let mut tile = 0;
        for row in rows {
            let height = D::VALUES.min(frame.height - row * T::OUTPUT);
            for column in 0..across {
                let width = D::VALUES.min(frame.width - column * T::OUTPUT);
                let corner = (row * T::OUTPUT * frame.width + column * T::OUTPUT) * stride;
                for channel in (0..stride).step_by(S::F32_LANES) {
                    let mut block = [[simd.splat_f32s(0.0); MOST]; MOST];
                    for (y, line) in block.iter_mut().enumerate().take(T::POINTS) {
                        for (x, value) in line.iter_mut().enumerate().take(T::POINTS) {
                            *value = load::<S>(points[y * T::POINTS + x], tile * stride + channel);
                        }
                        *line = D::line(simd, *line);
                    }
                    let block = transposed::<S>(&block);
                    for (x, line) in block.iter().enumerate().take(D::VALUES) {
                        let line = D::line(simd, *line);
                        if x >= width {
                            break;
                        }
                        for (y, value) in line.iter().enumerate().take(D::VALUES) {
                            if y >= height {
                                break;
                            }
                            let at = corner + (y * frame.width + x) * stride + channel;
                            let value =
                                if D::ADDS { simd.add_f32s(load::<S>(values, at), *value) } else { *value };
                            store::<S>(values, at, value);
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}
