//! Matrix products with a right-hand side that is packed once and used many times.
//!
//! The `gemm` crate packs both sides anew in every call; here the right-hand side is a weight, the same for all
//! chunks of a batch and, where weights are frozen, for all steps. A block of the result stays in registers over
//! the whole depth, so every element is one chain of fused multiply-adds in ascending depth, whatever the cut.

use pulp::{Arch, Simd, WithSimd};

use super::vectors::fused;

/// Channels are padded to a multiple of this, one cache line of `f32`, so that no loop has a remainder.
pub const LANE: usize = 16;

/// Columns of a packed panel: four of the widest vectors.
pub const PANEL: usize = 64;

/// The room that `channels` channels take.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANE)
}

/// The right-hand side of a product: `depth` rows of `columns`, a multiple of [`LANE`].
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// Panels of [`PANEL`] columns (the last may have fewer), each with its rows one after the other.
    Packed(&'a [f32]),
    /// Rows, so far apart.
    Rows(&'a [f32], usize),
}

/// The left-hand side: element (row, depth) is at `row * row_step + depth * depth_step`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// The values.
    pub values: &'a [f32],
    /// From a row to the next.
    pub row_step: usize,
    /// From an element of a row to the next.
    pub depth_step: usize,
}

impl<'a> Left<'a> {
    /// Rows of `stride`.
    pub fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_step: stride, depth_step: 1 }
    }

    /// The transpose of rows of `stride`.
    pub fn transposed(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_step: 1, depth_step: stride }
    }
}

/// `out = left right`, or `out += left right`: `rows` x `depth` times `depth` x `columns`.
pub struct Product<'a> {
    /// Rows of the left-hand side.
    pub rows: usize,
    /// Columns of the left-hand side.
    pub depth: usize,
    /// Columns of the right-hand side, a multiple of [`LANE`].
    pub columns: usize,
    /// The left-hand side.
    pub left: Left<'a>,
    /// The right-hand side.
    pub right: Right<'a>,
    /// The result, in rows of `out_stride`.
    pub out: &'a mut [f32],
    /// From a row of the result to the next.
    pub out_stride: usize,
    /// Whether the product is added to what is there.
    pub add: bool,
}

impl Product<'_> {
    /// Computes it.
    pub fn compute(self, arch: Arch) {
        arch.dispatch(self);
    }
}

/// Where a block of the product lies.
#[derive(Clone, Copy)]
struct Block<'a> {
    depth: usize,
    left: Left<'a>,
    right: &'a [f32],
    right_stride: usize,
    out_stride: usize,
    add: bool,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        let mut first = 0;
        while first < self.columns {
            let width = PANEL.min(self.columns - first);
            let (right, right_stride) = match self.right {
                Right::Packed(values) => (&values[first * self.depth..][..width * self.depth], width),
                Right::Rows(values, stride) => (&values[first..], stride),
            };
            let block = Block {
                depth: self.depth,
                left: self.left,
                right,
                right_stride,
                out_stride: self.out_stride,
                add: self.add,
            };
            panel(simd, block, self.rows, width, &mut self.out[first..]);
            first += width;
        }
    }
}

/// One panel, in pieces as wide as the registers allow.
#[inline(always)]
fn panel<S: Simd>(simd: S, block: Block<'_>, rows: usize, width: usize, out: &mut [f32]) {
    let lanes = S::F32_LANES;
    // 32 registers of 16 lanes: 6 x 4 accumulators. 16 of 8 lanes: 6 x 2. 32 of 4 lanes (NEON): 6 x 4.
    let most = if lanes == 8 { 2 } else { 4 };
    let mut column = 0;
    while column < width {
        let vectors = ((width - column) / lanes).min(most);
        let piece = Block { right: &block.right[column..], ..block };
        let out = &mut out[column..];
        match vectors {
            4 => columns::<S, 6, 4>(simd, piece, rows, out),
            3 => columns::<S, 8, 3>(simd, piece, rows, out),
            2 if lanes == 8 => columns::<S, 6, 2>(simd, piece, rows, out),
            2 => columns::<S, 12, 2>(simd, piece, rows, out),
            _ => columns::<S, 12, 1>(simd, piece, rows, out),
        }
        column += vectors.max(1) * lanes;
    }
}

/// All rows of some columns, `HEIGHT` at a time.
#[inline(always)]
fn columns<S: Simd, const HEIGHT: usize, const WIDTH: usize>(
    simd: S,
    block: Block<'_>,
    rows: usize,
    out: &mut [f32],
) {
    let mut row = 0;
    let mut at = |height: usize| {
        let left = Left { values: &block.left.values[row * block.left.row_step..], ..block.left };
        let from = row * block.out_stride;
        row += height;
        (Block { left, ..block }, from)
    };
    let mut left_over = rows;
    while left_over >= HEIGHT {
        let (block, from) = at(HEIGHT);
        registers::<S, HEIGHT, WIDTH>(simd, block, &mut out[from..]);
        left_over -= HEIGHT;
    }
    if left_over >= 8 {
        let (block, from) = at(8);
        registers::<S, 8, WIDTH>(simd, block, &mut out[from..]);
        left_over -= 8;
    }
    if left_over >= 4 {
        let (block, from) = at(4);
        registers::<S, 4, WIDTH>(simd, block, &mut out[from..]);
        left_over -= 4;
    }
    if left_over >= 2 {
        let (block, from) = at(2);
        registers::<S, 2, WIDTH>(simd, block, &mut out[from..]);
        left_over -= 2;
    }
    if left_over == 1 {
        let (block, from) = at(1);
        registers::<S, 1, WIDTH>(simd, block, &mut out[from..]);
    }
}

/// `HEIGHT` rows of `WIDTH` vectors, accumulated in registers.
#[inline(always)]
fn registers<S: Simd, const HEIGHT: usize, const WIDTH: usize>(simd: S, block: Block<'_>, out: &mut [f32]) {
    let Block { depth, left, right, right_stride, out_stride, add } = block;
    let width = WIDTH * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); WIDTH]; HEIGHT];
    if depth > 0 {
        assert!(left.values.len() > (HEIGHT - 1) * left.row_step + (depth - 1) * left.depth_step);
        assert!(right.len() >= (depth - 1) * right_stride + width);
    }
    for step in 0..depth {
        // SAFETY: `step < depth`, so by the second assertion the `width` values from `step * right_stride` on lie inside `right`.
        let line = unsafe { right.get_unchecked(step * right_stride..step * right_stride + width) };
        let (line, _) = S::as_simd_f32s(line);
        for (row, sums) in sums.iter_mut().enumerate() {
            let place = row * left.row_step + step * left.depth_step;
            // SAFETY: `row < HEIGHT` and `step < depth`, so the first assertion holds `place` inside `values`.
            let value = simd.splat_f32s(unsafe { *left.values.get_unchecked(place) });
            for (sum, right) in sums.iter_mut().zip(line) {
                *sum = fused(simd, value, *right, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let (line, _) = S::as_mut_simd_f32s(&mut out[row * out_stride..][..width]);
        for (value, sum) in line.iter_mut().zip(sums) {
            *value = if add { simd.add_f32s(*value, *sum) } else { *sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::cpu::vectors::Vectors;

    /// Small whole numbers, so that every product is exact in `f32`.
    fn whole(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 7) as f32 - 3.0).collect()
    }

    fn pack(right: &[f32], depth: usize, columns: usize) -> Vec<f32> {
        let mut packed = Vec::new();
        for first in (0..columns).step_by(PANEL) {
            for row in 0..depth {
                packed.extend_from_slice(
                    &right[row * columns + first..row * columns + columns.min(first + PANEL)],
                );
            }
        }
        packed
    }

    proptest! {
        #[test]
        fn a_product_is_the_sum_of_products(
            rows in 1usize..40, depth in 1usize..30, lanes in 1usize..9, add: bool, transposed: bool, packed: bool,
        ) {
            let columns = lanes * LANE;
            let (a, b, start) = (whole(rows * depth, 1), whole(depth * columns, 2), whole(rows * columns, 3));
            let mut expected = start.clone();
            for row in 0..rows {
                for column in 0..columns {
                    let at = |k: usize| if transposed { a[k * rows + row] } else { a[row * depth + k] };
                    let sum: f32 = (0..depth).map(|k| at(k) * b[k * columns + column]).sum();
                    let old = if add { start[row * columns + column] } else { 0.0 };
                    expected[row * columns + column] = old + sum;
                }
            }
            let in_panels = pack(&b, depth, columns);
            for vectors in Vectors::available() {
                let mut out = start.clone();
                let left = if transposed { Left::transposed(&a, rows) } else { Left::rows(&a, depth) };
                let right = if packed { Right::Packed(&in_panels) } else { Right::Rows(&b, columns) };
                Product { rows, depth, columns, left, right, out: &mut out, out_stride: columns, add }
                    .compute(vectors.arch());
                prop_assert_eq!(&out, &expected);
            }
        }
    }
}
