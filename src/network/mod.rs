//! Networks as descriptions and checkpoints: structure, analytic cost, names, initial weights.
//!
//! Everything derives from one [`NetworkSpec`]: layer shapes, FLOPs (multiply-accumulates),
//! parameter counts and the names of a [`Checkpoint`]'s tensors.

pub(crate) mod canonical;
mod checkpoint;
mod initialise;
mod model;
mod snapshot;
mod spec;

pub use checkpoint::{Checkpoint, CheckpointError, HostTensor};
pub use initialise::{initialise, initialise_slim};
pub use model::{Gradients, Model, Tape, Trainable};
pub use snapshot::Snapshot;
pub use spec::{Arch, LayerShape, Macs, NetworkSpec, SpecError};
