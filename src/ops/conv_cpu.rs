//! Convolution on the CPU: patches gathered into a matrix, multiplied by the `gemm` crate.
//!
//! Images are independent pieces of work for the thread pool; inside one image the product is
//! single-threaded. The weight gradient sums over images in fixed groups, and the groups in order, so the
//! result does not depend on the number of threads.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::with_values;

/// Images whose weight gradients are summed into one partial result. Fixed, because the order of the
/// summation must not follow the number of threads.
const GROUPS: usize = 8;

/// The sizes of one convolution.
#[derive(Clone, Copy)]
struct Shape {
    inputs: usize,
    kernel: usize,
    padding: usize,
    /// Input height and width.
    height: usize,
    width: usize,
}

impl Shape {
    fn out_height(self) -> usize {
        self.height + 2 * self.padding + 1 - self.kernel
    }

    fn out_width(self) -> usize {
        self.width + 2 * self.padding + 1 - self.kernel
    }

    fn positions(self) -> usize {
        self.out_height() * self.out_width()
    }

    fn taps(self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    fn image(self) -> usize {
        self.inputs * self.height * self.width
    }

    fn check(self) -> Result<Self> {
        if self.height + 2 * self.padding < self.kernel || self.width + 2 * self.padding < self.kernel {
            bail!(
                "images of {}x{} are smaller than the {}-wide kernel",
                self.height,
                self.width,
                self.kernel
            );
        }
        Ok(self)
    }
}

/// A matrix in memory: its values and the distances between neighbours in a row and in a column.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    fn rows(values: &'a [f32], columns: usize) -> Self {
        Self { values, row_stride: columns, column_stride: 1 }
    }

    fn transposed(values: &'a [f32], rows: usize) -> Self {
        Self { values, row_stride: 1, column_stride: rows }
    }
}

/// `out = a b`, or `out += a b`, for `out` of m rows and n columns and an inner size of k.
fn multiply(out: &mut [f32], (m, n, k): (usize, usize, usize), a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    let last = |matrix: Matrix<'_>, rows: usize, columns: usize| {
        (rows.max(1) - 1) * matrix.row_stride + (columns.max(1) - 1) * matrix.column_stride
    };
    assert!(out.len() >= m * n && last(a, m, k) < a.values.len() && last(b, k, n) < b.values.len());
    // SAFETY: the assertion above holds every address that the product reads or writes inside
    // its slice, and `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Gathers the patches of one image: taps x positions.
fn gather(image: &[f32], shape: Shape, patches: &mut [f32]) {
    let (height, width) = (shape.out_height(), shape.out_width());
    let mut rows = patches.chunks_exact_mut(height * width);
    for channel in image.chunks_exact(shape.height * shape.width) {
        for tap_row in 0..shape.kernel {
            for tap_column in 0..shape.kernel {
                let Some(row) = rows.next() else { return };
                for (y, line) in row.chunks_exact_mut(width).enumerate() {
                    copy_line(channel, shape, y + tap_row, tap_column, line);
                }
            }
        }
    }
}

/// Copies the part of a padded line that lies over the image, zeros elsewhere.
fn copy_line(channel: &[f32], shape: Shape, padded_row: usize, tap_column: usize, line: &mut [f32]) {
    let Some(row) = padded_row.checked_sub(shape.padding).filter(|row| *row < shape.height) else {
        line.fill(0.0);
        return;
    };
    let source = &channel[row * shape.width..(row + 1) * shape.width];
    let start = shape.padding.saturating_sub(tap_column).min(line.len());
    let end = (shape.width + shape.padding).saturating_sub(tap_column).min(line.len()).max(start);
    line[..start].fill(0.0);
    line[end..].fill(0.0);
    if end > start {
        let from = start + tap_column - shape.padding;
        line[start..end].copy_from_slice(&source[from..from + end - start]);
    }
}

/// See [`super::Conv2d::forward`].
pub fn forward(x: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    let (batch, inputs, height, width) = x.dims4()?;
    let (outputs, expected, kernel, _) = weight.dims4()?;
    if inputs != expected {
        bail!("expected images of {expected} channels, found {inputs}");
    }
    let shape = Shape { inputs, kernel, padding, height, width }.check()?;
    let positions = shape.positions();
    let mut y = vec![0f32; batch * outputs * positions];
    with_values(x, |x| {
        with_values(weight, |weight| {
            let work = x.par_chunks_exact(shape.image()).zip(y.par_chunks_exact_mut(outputs * positions));
            work.for_each_init(
                || vec![0f32; shape.taps() * positions],
                |patches, (image, out)| {
                    gather(image, shape, patches);
                    let (a, b) = (Matrix::rows(weight, shape.taps()), Matrix::rows(patches, positions));
                    multiply(out, (outputs, positions, shape.taps()), a, b, false);
                },
            );
            Ok(())
        })
    })?;
    Tensor::from_vec(y, (batch, outputs, shape.out_height(), shape.out_width()), x.device())
}

/// See [`super::Conv2d::grad_input`].
pub fn grad_input(dy: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    let (outputs, inputs, kernel, _) = weight.dims4()?;
    // dX is the convolution of dY with the turned kernel, so the forward kernel serves it.
    let turned = with_values(weight, |weight| {
        let square = kernel * kernel;
        let mut turned = vec![0f32; weight.len()];
        for output in 0..outputs {
            for input in 0..inputs {
                let from = &weight[(output * inputs + input) * square..][..square];
                let to = &mut turned[(input * outputs + output) * square..][..square];
                for (to, from) in to.iter_mut().zip(from.iter().rev()) {
                    *to = *from;
                }
            }
        }
        Tensor::from_vec(turned, (inputs, outputs, kernel, kernel), dy.device())
    })?;
    forward(dy, &turned, kernel - 1 - padding)
}

/// See [`super::Conv2d::grad_weight`].
pub fn grad_weight(
    x: &Tensor,
    dy: &Tensor,
    (outputs, inputs, kernel, _): (usize, usize, usize, usize),
    padding: usize,
) -> Result<Tensor> {
    let (batch, _, height, width) = x.dims4()?;
    let shape = Shape { inputs, kernel, padding, height, width }.check()?;
    let positions = shape.positions();
    if dy.dims() != [batch, outputs, shape.out_height(), shape.out_width()] {
        bail!("the gradient of shape {:?} does not belong to images of shape {:?}", dy.shape(), x.shape());
    }
    let group = batch.div_ceil(GROUPS).max(1);
    let sums = with_values(x, |x| {
        with_values(dy, |dy| {
            let work = x.par_chunks(group * shape.image()).zip(dy.par_chunks(group * outputs * positions));
            let partial = work.map(|(images, gradients)| {
                let mut patches = vec![0f32; shape.taps() * positions];
                let mut sum = vec![0f32; outputs * shape.taps()];
                let pairs =
                    images.chunks_exact(shape.image()).zip(gradients.chunks_exact(outputs * positions));
                for (index, (image, gradient)) in pairs.enumerate() {
                    gather(image, shape, &mut patches);
                    let a = Matrix::rows(gradient, positions);
                    let b = Matrix::transposed(&patches, positions);
                    multiply(&mut sum, (outputs, shape.taps(), positions), a, b, index > 0);
                }
                sum
            });
            Ok(partial.collect::<Vec<_>>())
        })
    })?;
    let mut total = vec![0f32; outputs * shape.taps()];
    for sum in sums {
        for (total, value) in total.iter_mut().zip(sum) {
            *total += value;
        }
    }
    Tensor::from_vec(total, (outputs, inputs, kernel, kernel), x.device())
}
