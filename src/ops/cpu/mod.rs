//! Kernels for the CPU, on maps with their channels side by side.
//!
//! In this order of the values the transforms of a Winograd convolution, batch norm, gate, ReLU and pool are plain
//! loops over whole vectors of channels, for any number of channels and any size of map. Activations are never
//! stored: a convolution applies batch norm, gate, ReLU and pool to an image of the previous convolution's output
//! while it is in the cache, and takes the gradient back through them in the same way.
//!
//! One implementation serves every instruction set: it is compiled for AVX-512, AVX2 and plain code (NEON on aarch64) and chosen when
//! the program runs. A result depends neither on the number of threads nor on the instruction set:
//! - work is cut into pieces that follow from shapes alone, and partial sums are added in the order of the
//!   images;
//! - lanes are channels, so no sum runs across a vector, and no order of a sum follows its width;
//! - `a b + c` goes through [`vectors::fused`], which rounds once, and maxima through [`vectors::larger`].
//!
//! | file | holds |
//! |---|---|
//! | `buffers` | memory that is used again |
//! | `maps` | a batch of maps |
//! | `layer` | what convolutions take and give |
//! | `vectors` | the instruction sets |
//! | `gemm` | the matrix product |
//! | `tile` | short convolutions by few products, in one dimension |
//! | `points` | the same in two dimensions, over all channels of an image |
//! | `kernels` | weights in the form that products want |
//! | `winograd` | 3x3 convolutions and both gradients, by points |
//! | `direct` | any convolution and both gradients, by patches |
//! | `dense` | the linear layer and its gradients |
//! | `cut` | how a batch is cut into pieces |
//! | `norm` | batch norm, gate, ReLU and pool of an image, and the sums over it |
//! | `back` | the way back through them |

pub mod back;
pub mod buffers;
pub mod cut;
pub mod dense;
pub mod direct;
pub mod gemm;
pub mod kernels;
pub mod layer;
pub mod maps;
pub mod norm;
pub mod points;
pub mod tile;
pub mod vectors;
pub mod winograd;

use pulp::Arch;
use rayon::prelude::*;

use buffers::{Buffer, Buffers};
use gemm::LANE;
use vectors::Vectors;

/// What all kernels share: memory and the instruction set. Clones share the memory.
#[derive(Debug, Clone)]
pub struct Cpu {
    /// Memory.
    pub buffers: Buffers,
    /// The instruction set.
    pub arch: Arch,
}

impl Cpu {
    /// With these vectors.
    pub fn new(vectors: Vectors) -> Self {
        Self { buffers: Buffers::default(), arch: vectors.arch() }
    }
}

/// Whether a piece of work is spread over the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Its parts run on all threads.
    Parts,
    /// Its parts run one after the other; whole pieces run beside each other.
    Pieces,
}

impl Spread {
    /// Calls `body` with every part.
    pub fn each<T: Send>(self, parts: Vec<T>, body: impl Fn(T) + Send + Sync) {
        match self {
            Self::Parts => parts.into_par_iter().with_max_len(1).for_each(body),
            Self::Pieces => parts.into_iter().for_each(body),
        }
    }
}

/// Many equal planes side by side. Each starts a cache line later than a power of two would have it: loops that touch the
/// same place of every plane would otherwise compete for one set of the cache.
#[derive(Debug)]
pub struct Planes {
    values: Buffer,
    count: usize,
    size: usize,
}

impl Planes {
    /// Planes whose values are still to be written.
    pub fn new(buffers: &Buffers, count: usize, size: usize) -> Self {
        Self { values: buffers.take(count * (size + LANE)), count, size }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// One of them.
    pub fn plane(&self, plane: usize) -> &[f32] {
        &self.values[plane * (self.size + LANE)..][..self.size]
    }

    /// All of them.
    pub fn planes_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let size = self.size;
        self.values.chunks_exact_mut(size + LANE).map(move |plane| &mut plane[..size])
    }

    /// The first `used` values of each plane in pieces of `piece`: the first pieces of all, the second of all, and so on.
    pub fn across(&mut self, used: usize, piece: usize) -> Vec<Vec<&mut [f32]>> {
        let count = self.count;
        let mut cut: Vec<Vec<&mut [f32]>> =
            (0..used.div_ceil(piece.max(1))).map(|_| Vec::with_capacity(count)).collect();
        for plane in self.planes_mut() {
            for (pieces, part) in cut.iter_mut().zip(plane[..used].chunks_mut(piece.max(1))) {
                pieces.push(part);
            }
        }
        cut
    }
}
