//! Training: optimizers, schedules, the loop with its exact resume, and evaluation.
//!
//! The loop knows no files: a [`Host`] keeps its state and hears of its progress, so the engine, a test and an
//! example run the same code.

mod evaluate;
mod latency;
mod measured;
mod memory;
mod optimizer;
mod schedule;
mod state;
mod step;
mod trainer;

pub use evaluate::{Evaluation, Half, evaluate, evaluate_until};
pub use latency::{Machine, Timing, latency};
pub use measured::{Histogram, Measured};
pub use memory::{TrainingShape, evaluation_bytes};
pub use optimizer::{Optimizer, OptimizerKind, OptimizerParams};
pub use schedule::{ScheduleKind, ScheduleParams};
pub use state::{EpochRecord, Figures, TrainState};
pub use step::{Step, Trainee};
pub use trainer::{Budget, Keep, Length, Objective, Run, Sparsity, Trained, steps_per_epoch, train};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

/// Where a training run is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Epochs in all.
    pub epochs: u64,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Share of the epoch's images so far that were classified rightly.
    pub accuracy: f64,
    /// Training speed since the run began or went on.
    pub images_per_second: f64,
    /// The learning rate.
    pub lr: f64,
}

/// A host that could not keep a state.
#[derive(Debug, thiserror::Error)]
#[error("the state of the training could not be saved")]
pub struct HostError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// What a training run needs of its surroundings.
pub trait Host {
    /// Keeps a state, in place of an earlier one.
    ///
    /// # Errors
    /// It could not be kept.
    fn checkpoint(&mut self, state: &[u8]) -> Result<(), HostError>;

    /// The state that was kept last.
    fn resume(&mut self) -> Option<Vec<u8>>;

    /// Hears that the run goes on from the kept state, and where that is.
    fn resumed(&mut self, _from: &Progress) {}

    /// Hears of a step.
    fn progress(&mut self, progress: Progress);

    /// Hears of an epoch, and of what was measured in it.
    fn epoch(&mut self, record: &EpochRecord, measured: &Measured);

    /// Whether to save and stop.
    fn should_stop(&self) -> bool;
}

/// Nobody: a run that is kept nowhere, heard by none and never stopped, as in a test.
impl Host for () {
    fn checkpoint(&mut self, _state: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn progress(&mut self, _progress: Progress) {}

    fn epoch(&mut self, _record: &EpochRecord, _measured: &Measured) {}

    fn should_stop(&self) -> bool {
        false
    }
}

/// Why a training run failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TrainError {
    /// The loss is no number any more.
    #[error("the loss is {loss} at step {step} (epoch {epoch}), with a learning rate of {lr}")]
    #[diagnostic(help("lower `optimizer.lr`, or let it rise slowly with `schedule.warmup_epochs`"))]
    NotFinite {
        /// The loss.
        loss: f64,
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// The learning rate.
        lr: f64,
    },
    /// A weight or a running statistic is no number any more.
    #[error("`{name}` is not finite after step {step} (epoch {epoch}), with a learning rate of {lr}")]
    #[diagnostic(help("lower `optimizer.lr`, or let it rise slowly with `schedule.warmup_epochs`"))]
    NotFiniteTensor {
        /// The tensor.
        name: String,
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// The learning rate.
        lr: f64,
    },
    /// No images to train on.
    #[error("there are no images to train on")]
    #[diagnostic(help("lower `data.validation` or raise `data.limit_train`"))]
    NoImages,
    /// The state of another run.
    #[error("the saved state cannot be used: {0}")]
    #[diagnostic(help("run the stage with `--force` to begin anew"))]
    State(String),
    /// The host.
    #[error(transparent)]
    #[diagnostic(help(
        "see that the cache folder is writable and that its disk has room; the state saved before is still there"
    ))]
    Host(#[from] HostError),
    /// The network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] crate::network::CheckpointError),
    /// Tensor computations.
    #[error("a tensor computation failed")]
    Tensor(#[from] candle_core::Error),
}
