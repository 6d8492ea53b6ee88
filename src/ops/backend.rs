//! Where and how operations are computed.

use candle_core::{Device, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cpu::Cpu;
use super::cpu::vectors::Vectors;
use crate::content_hash;

/// How convolutions are computed on the CPU. On other devices it makes no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Every product as it is written.
    Exact,
    /// Winograd's transforms: a quarter of the products, rounding errors some ten times larger (about 2e-6 of the largest
    /// value, where single precision has 2e-7).
    #[default]
    Fast,
}

content_hash!(enum Algorithm { Exact => legacy Flag(false), Fast => legacy Flag(true) });

/// Where operations are computed. Clones share their memory.
#[derive(Debug, Clone)]
pub struct Backend(pub(super) Inner);

#[derive(Debug, Clone)]
pub(super) enum Inner {
    Portable,
    Cpu(Cpu, Algorithm),
}

impl Backend {
    /// The kernels of the CPU for a CPU, with the vectors of this process; tensor operations for anything else.
    ///
    /// # Errors
    /// `RUNNER_VECTORS` names no instruction set of this machine.
    pub fn new(device: &Device, algorithm: Algorithm) -> Result<Self> {
        if !device.is_cpu() {
            return Ok(Self::portable());
        }
        Ok(Self::cpu(algorithm, Vectors::chosen().map_err(Error::wrap)?))
    }

    /// Gives memory back that lies ready for reuse.
    pub fn release(&self) {
        if let Inner::Cpu(cpu, _) = &self.0 {
            cpu.buffers.release();
        }
    }

    /// Tensor operations, on any device.
    pub fn portable() -> Self {
        Self(Inner::Portable)
    }

    /// The kernels of the CPU, with these vectors.
    pub fn cpu(algorithm: Algorithm, vectors: Vectors) -> Self {
        Self(Inner::Cpu(Cpu::new(vectors), algorithm))
    }
}
