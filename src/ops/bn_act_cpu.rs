//! [`BnAct`](super::BnAct) on the CPU, in one pass forward and two backward.
//!
//! Statistics are summed channel by channel in `f64`, everything else image by image; neither depends on the number
//! of threads.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::bn_act::{BN_EPS, BatchStats, BnAct, BnActGrads, Pool};
use super::with_values;

/// The figures of one channel: `z = scale x + shift` before the ReLU.
#[derive(Clone, Copy)]
struct Channel {
    scale: f32,
    shift: f32,
    mean: f32,
    inverse: f32,
}

fn channels(op: &BnAct<'_>, mean: &Tensor, var: &Tensor) -> Result<Vec<Channel>> {
    let values = |tensor: &Tensor| tensor.to_vec1::<f32>();
    let (gamma, beta, mean, var) = (values(op.gamma)?, values(op.beta)?, values(mean)?, values(var)?);
    let gate = op.gate.map_or_else(|| Ok(vec![1.0; gamma.len()]), values)?;
    if [beta.len(), mean.len(), var.len(), gate.len()].iter().any(|length| *length != gamma.len()) {
        bail!("the per-channel tensors of a batch norm differ in length");
    }
    Ok((0..gamma.len())
        .map(|c| {
            let inverse = (1.0 / (f64::from(var[c]) + BN_EPS).sqrt()) as f32;
            let scale = gate[c] * gamma[c] * inverse;
            let shift = gate[c] * (beta[c] - gamma[c] * inverse * mean[c]);
            Channel { scale, shift, mean: mean[c], inverse }
        })
        .collect())
}

/// Mean and biased variance of each channel.
pub fn statistics(x: &Tensor) -> Result<BatchStats> {
    let (batch, channels, height, width) = x.dims4()?;
    let plane = height * width;
    let count = batch * plane;
    let (mean, var): (Vec<f32>, Vec<f32>) = with_values(x, |x| {
        let of_channel = |c: usize| {
            let planes = (0..batch).map(|n| &x[(n * channels + c) * plane..][..plane]);
            let sum: f64 = planes.clone().map(|plane| plane_sum(plane, |value| value)).sum();
            let mean = sum / count as f64;
            let squares: f64 =
                planes.map(|plane| plane_sum(plane, |value| (value - mean) * (value - mean))).sum();
            (mean as f32, (squares / count as f64) as f32)
        };
        Ok((0..channels).into_par_iter().map(of_channel).unzip())
    })?;
    let mean = Tensor::from_vec(mean, channels, x.device())?;
    Ok(BatchStats { mean, var: Tensor::from_vec(var, channels, x.device())?, count })
}

/// Sums in eight lanes, so that the compiler can use vectors; the order is fixed by the length.
fn plane_sum(plane: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0f64; 8];
    let chunks = plane.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|value| term(f64::from(*value))).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(f64::from(*value));
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// See [`BnAct::eval`].
pub fn apply(op: &BnAct<'_>, x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<Tensor> {
    let (batch, count, height, width) = x.dims4()?;
    let figures = channels(op, mean, var)?;
    if figures.len() != count {
        bail!("expected images of {} channels, found {count}", figures.len());
    }
    let (out_height, out_width) = match op.pool {
        Pool::None => (height, width),
        Pool::Max2 => (height / 2, width / 2),
    };
    let plane = height * width;
    let mut y = vec![0f32; batch * count * out_height * out_width];
    with_values(x, |x| {
        // A map too small for the pool leaves nothing to compute.
        let out_plane = out_height * out_width;
        if out_plane == 0 {
            return Ok(());
        }
        x.par_chunks_exact(plane).zip(y.par_chunks_exact_mut(out_plane)).enumerate().for_each(
            |(index, (plane, out))| {
                let Channel { scale, shift, .. } = figures[index % count];
                match op.pool {
                    Pool::None => {
                        for (out, x) in out.iter_mut().zip(plane) {
                            *out = (scale * x + shift).max(0.0);
                        }
                    }
                    Pool::Max2 => {
                        for (row, out) in out.chunks_exact_mut(out_width).enumerate() {
                            let top = &plane[2 * row * width..][..width];
                            let bottom = &plane[(2 * row + 1) * width..][..width];
                            for ((out, top), bottom) in
                                out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2))
                            {
                                let z = |x: f32| scale * x + shift;
                                *out = z(top[0]).max(z(top[1])).max(z(bottom[0]).max(z(bottom[1]))).max(0.0);
                            }
                        }
                    }
                }
            },
        );
        Ok(())
    })?;
    Tensor::from_vec(y, (batch, count, out_height, out_width), x.device())
}

/// Calls `visit` with the place in the plane and the gradient before the ReLU, wherever that is not
/// zero by construction.
fn visit(
    x: &[f32],
    dy: &[f32],
    width: usize,
    pool: Pool,
    figures: Channel,
    mut visit: impl FnMut(usize, f32),
) {
    let z = |x: f32| figures.scale * x + figures.shift;
    match pool {
        Pool::None => {
            for (index, (x, dy)) in x.iter().zip(dy).enumerate() {
                if z(*x) > 0.0 {
                    visit(index, *dy);
                }
            }
        }
        Pool::Max2 => {
            let out_width = width / 2;
            for (row, dy) in dy.chunks_exact(out_width.max(1)).enumerate() {
                for (column, dy) in dy.iter().enumerate() {
                    let first = 2 * row * width + 2 * column;
                    let (mut best, mut highest) = (first, z(x[first]));
                    for place in [first + 1, first + width, first + width + 1] {
                        if z(x[place]) > highest {
                            (best, highest) = (place, z(x[place]));
                        }
                    }
                    if highest > 0.0 {
                        visit(best, *dy);
                    }
                }
            }
        }
    }
}

/// See [`BnAct::backward`].
pub fn backward(op: &BnAct<'_>, x: &Tensor, stats: &BatchStats, dy: &Tensor) -> Result<BnActGrads> {
    let (batch, count, height, width) = x.dims4()?;
    let figures = channels(op, &stats.mean, &stats.var)?;
    let (_, _, out_height, out_width) = dy.dims4()?;
    let (plane, out_plane) = (height * width, out_height * out_width);
    if figures.len() != count || dy.elem_count() != batch * count * out_plane {
        bail!("the gradient of shape {:?} does not belong to an input of shape {:?}", dy.shape(), x.shape());
    }
    let mut dx = vec![0f32; x.elem_count()];
    let sums = with_values(x, |x| {
        with_values(dy, |dy| {
            let of_channel = |c: usize| {
                let Channel { mean, inverse, .. } = figures[c];
                let (mut sum, mut sum_xhat) = (0f64, 0f64);
                for n in 0..batch {
                    let index = n * count + c;
                    let x = &x[index * plane..][..plane];
                    let dy = &dy[index * out_plane..][..out_plane];
                    visit(x, dy, width, op.pool, figures[c], |place, dz| {
                        sum += f64::from(dz);
                        sum_xhat += f64::from(dz) * f64::from((x[place] - mean) * inverse);
                    });
                }
                (sum, sum_xhat)
            };
            let sums: Vec<(f64, f64)> = (0..count).into_par_iter().map(of_channel).collect();
            let values = x.par_chunks_exact(plane).zip(dx.par_chunks_exact_mut(plane));
            values.enumerate().for_each(|(index, (x, dx))| {
                let figures = figures[index % count];
                let (sum, sum_xhat) = sums[index % count];
                let mean_dz = (sum / stats.count as f64) as f32;
                let slope = (sum_xhat / stats.count as f64) as f32 * figures.inverse;
                for (dx, x) in dx.iter_mut().zip(x) {
                    *dx = -figures.scale * (mean_dz + (x - figures.mean) * slope);
                }
                let dy = &dy[index * out_plane..][..out_plane];
                visit(x, dy, width, op.pool, figures, |place, dz| dx[place] += figures.scale * dz);
            });
            Ok(sums)
        })
    })?;
    let device = x.device();
    let gate = op.gate.map_or_else(|| Ok(vec![1.0; count]), |gate| gate.to_vec1::<f32>())?;
    let (gamma, beta) = (op.gamma.to_vec1::<f32>()?, op.beta.to_vec1::<f32>()?);
    let collect = |value: &dyn Fn(usize) -> f64| {
        Tensor::from_vec((0..count).map(|c| value(c) as f32).collect::<Vec<_>>(), count, device)
    };
    let dgate = match op.gate {
        None => None,
        Some(_) => Some(collect(&|c| f64::from(gamma[c]) * sums[c].1 + f64::from(beta[c]) * sums[c].0)?),
    };
    Ok(BnActGrads {
        dgamma: collect(&|c| f64::from(gate[c]) * sums[c].1)?,
        dbeta: collect(&|c| f64::from(gate[c]) * sums[c].0)?,
        dgate,
        dx: Tensor::from_vec(dx, x.shape(), device)?,
    })
}
