//! Forward and backward of every operation a network needs, with the right gradients.
//!
//! There is no autograd here: each operation is a pair of functions, so that a frozen weight
//! costs no gradient and the first layer never computes the gradient of its images. Every
//! operation is written in candle tensor operations, which run on any device (the *portable*
//! path, and the path on CUDA); on the CPU what takes nearly all the time, [`Conv2d`] and the [`Activation`] between two of
//! them, has kernels of its own (`cpu`). A [`Backend`] chooses; tests hold both paths to each other, to closed forms and
//! to PyTorch.
//!
//! Tensors are `f32`, contiguous, batch x channels x height x width; what passes between convolutions is of
//! types that hide the backend's own layout. On the CPU the same inputs give the same bytes with any number
//! of threads and on every instruction set: work is cut into pieces that follow from shapes alone, partial
//! sums are added in a fixed order, and `exp`, `ln`, `pow` and `cos` are those of the `libm` crate, as those
//! of a system's library follow the CPU.

mod activation;
mod backend;
mod bn_act;
mod conv;
mod cpu;
mod footprint;
mod head;
mod update;

pub use activation::{Activation, Convolved, Gradient, NormGrads, Outgoing};
pub use backend::{Algorithm, Backend};
pub use bn_act::{BN_EPS, BatchStats, BnAct, BnActGrads, Pool};
pub use conv::{Conv2d, ConvGrads, Input, Reuse, Wanted};
pub use cpu::vectors::{Vectors, VectorsError};
pub use footprint::{kernel as kernel_bytes, maps as map_bytes, workspace as workspace_bytes};
pub use head::{
    CrossEntropy, LinearGrads, cross_entropy, global_avg_pool, global_avg_pool_backward, linear,
    linear_backward,
};
pub use update::{AdamStep, Moment, SgdStep, adam_step, sgd_step};

use candle_core::{CpuStorage, Result, Storage, Tensor};

/// Calls `body` with the values of a CPU tensor.
fn with_values<R>(tensor: &Tensor, body: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        candle_core::bail!(
            "expected an f32 tensor on the CPU, found {:?} on {:?}",
            tensor.dtype(),
            tensor.device()
        )
    };
    let start = layout.start_offset();
    body(&values[start..start + layout.shape().elem_count()])
}
