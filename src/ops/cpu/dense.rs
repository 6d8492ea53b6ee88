//! The linear layer and its gradients, by the same products as convolutions.

use rayon::prelude::*;

use super::Cpu;
use super::buffers::Buffer;
use super::gemm::{Left, Product, Right, padded};
use super::kernels::{Way, Weight};

/// Rows of a part of the work.
const ROWS: usize = 48;

/// `rows weight` (backward) or `rows weight^T` (forward); the channels of a row are padded.
fn by_weight(cpu: &Cpu, rows: &[f32], weight: Weight<'_>, way: Way) -> Buffer {
    let (depth, columns) = match way {
        Way::Forward => (weight.inputs, weight.outputs),
        Way::Backward => (weight.outputs, weight.inputs),
    };
    let (count, stride) = (rows.len() / depth.max(1), padded(columns));
    let kernels = weight.by_patches(way, &cpu.buffers);
    let mut out = cpu.buffers.take(count * stride);
    out.par_chunks_mut((ROWS * stride).max(1)).enumerate().for_each(|(part, out)| {
        Product {
            rows: out.len() / stride,
            depth,
            columns: stride,
            left: Left::rows(&rows[part * ROWS * depth..], depth),
            right: kernels.right(0),
            out,
            out_stride: stride,
            add: false,
        }
        .compute(cpu.arch);
    });
    out
}

/// Rows without their padding.
fn cropped(rows: &[f32], columns: usize) -> Vec<f32> {
    let rows = rows.chunks_exact(padded(columns).max(1));
    rows.flat_map(|row| row[..columns].iter().copied()).collect()
}

/// `x w^T + b`, rows of as many values as `weight` has outputs.
pub fn forward(cpu: &Cpu, x: &[f32], weight: Weight<'_>, bias: &[f32]) -> Vec<f32> {
    let mut y = cropped(&by_weight(cpu, x, weight, Way::Forward), weight.outputs);
    for row in y.chunks_exact_mut(weight.outputs.max(1)) {
        row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
    y
}

/// The gradient of `x`.
pub fn input_gradient(cpu: &Cpu, dy: &[f32], weight: Weight<'_>) -> Vec<f32> {
    cropped(&by_weight(cpu, dy, weight, Way::Backward), weight.inputs)
}

/// The gradient of the weight, `outputs` rows of `inputs`: a sum over the batch in its order.
pub fn weight_gradient(cpu: &Cpu, x: &[f32], dy: &[f32], (inputs, outputs): (usize, usize)) -> Vec<f32> {
    let (batch, stride) = (x.len() / inputs.max(1), padded(inputs));
    let mut right = cpu.buffers.take(batch * stride);
    for (to, from) in right.chunks_exact_mut(stride.max(1)).zip(x.chunks_exact(inputs.max(1))) {
        to[..inputs].copy_from_slice(from);
        to[inputs..].fill(0.0);
    }
    let mut out = cpu.buffers.take(outputs * stride);
    out.par_chunks_mut((ROWS * stride).max(1)).enumerate().for_each(|(part, out)| {
        Product {
            rows: out.len() / stride,
            depth: batch,
            columns: stride,
            left: Left::transposed(&dy[part * ROWS..], outputs),
            right: Right::Rows(&right, stride),
            out,
            out_stride: stride,
            add: false,
        }
        .compute(cpu.arch);
    });
    cropped(&out, inputs)
}

/// The gradient of the bias: a sum over the batch in its order.
pub fn bias_gradient(dy: &[f32], outputs: usize) -> Vec<f32> {
    let mut sums = vec![0f32; outputs];
    for row in dy.chunks_exact(outputs.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums
}
