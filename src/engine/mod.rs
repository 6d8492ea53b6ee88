//! Runs a plan.
//!
//! [`execute`] takes the nodes of a graph in order, reuses what the store has, runs the rest and
//! puts the results into the store. The dispatcher decides what runs next, and is the only one that does; as many
//! executors as there are jobs do it, each a thread with its share of the CPU. All that happens is told as one stream of typed
//! [`Event`]s to a [`Reporter`]: progress bars, plain lines, JSON and stage logs are readers of that stream
//! and know nothing of each other.

mod acceptance;
mod device;
mod dispatch;
mod event;
mod execute;
mod host;
mod images;
pub mod memory;
mod provenance;
mod shared;
mod signals;
mod work;

pub use acceptance::PLAUSIBLE;
pub use device::{DeviceChoice, DeviceError, OpenDevice};
pub use event::{Event, Reporter, Stamped};
pub use execute::{Failure, Options, Place, RunSummary, execute};
pub use host::chain;
pub use shared::{Shared, Sharing};
pub use signals::{StopFlag, StopReason};

use miette::Diagnostic;

use crate::plan::PlanError;
use crate::stages::StageError;
use crate::store::StoreError;
use crate::train::TrainError;

/// Why a run ended early.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum EngineError {
    /// A stage could not do its work.
    #[error("stage `{stage}` failed")]
    Stage {
        /// The stage.
        stage: String,
        /// Why.
        #[source]
        #[diagnostic_source]
        source: StageError,
    },
    /// A stage ran for longer than it may.
    #[error("stage `{stage}` was stopped after {}, its timeout", crate::report::format::seconds(*.seconds))]
    #[diagnostic(help("a stage that trains has saved its state: a longer `timeout` goes on from there"))]
    TimedOut {
        /// The stage.
        stage: String,
        /// How long it may run.
        seconds: f64,
    },
    /// A bug.
    #[error("stage `{stage}` met a bug of runner: {message}")]
    #[diagnostic(help("please report it, with the pipeline file"))]
    Panicked {
        /// The stage.
        stage: String,
        /// What the panic said.
        message: String,
    },
    /// The system gives no threads.
    #[error("no threads to compute with can be had")]
    #[diagnostic(help("lower `--jobs` and `--threads`"))]
    Threads(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stage was asked for alone, and what it needs is not in the cache.
    #[error("stage `{stage}` needs the result of `{input}`, which is not in the cache")]
    #[diagnostic(help("run without `--only`, or with `--until {stage}`, which runs what is needed first"))]
    InputNotCached {
        /// The stage.
        stage: String,
        /// What it needs.
        input: String,
    },
    /// The plan could not be kept up to date.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanError),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The device asked for is not there.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] DeviceError),
}

impl EngineError {
    /// Whether the stage's log has it.
    fn is_logged(&self) -> bool {
        matches!(self, Self::Stage { .. } | Self::TimedOut { .. } | Self::Panicked { .. })
    }

    /// Why another try would fail as well; `None` where it may pass.
    fn stays(&self) -> Option<&'static str> {
        match self {
            Self::Stage { source, .. } => match source {
                StageError::Train(TrainError::NotFinite { .. } | TrainError::NotFiniteTensor { .. }) => {
                    Some("the same seed leads to the same loss")
                }
                StageError::Data(_)
                | StageError::Tensor(_)
                | StageError::Train(TrainError::Host(_) | TrainError::Tensor(_)) => None,
                _ => Some("it would fail in the same way"),
            },
            Self::TimedOut { .. } => Some("its time is up"),
            Self::Store(_) => None,
            _ => Some("it would fail in the same way"),
        }
    }
}
