//! Runs a plan.
//!
//! [`execute`] takes the nodes of a graph in order, reuses what the store has, runs the rest and
//! puts the results into the store. All that happens is told as one stream of typed
//! [`Event`]s to a [`Reporter`]: progress bars, plain lines, JSON and stage logs are readers of that stream
//! and know nothing of each other.

mod device;
mod event;
mod execute;
mod host;
mod images;
mod provenance;
mod signals;
mod work;

pub use device::{DeviceChoice, DeviceError, OpenDevice};
pub use event::{Event, Reporter, Stamped};
pub use execute::{Options, RunSummary, Status, execute};
pub use images::Images;
pub use signals::{Signal, StopFlag};

use miette::Diagnostic;

use crate::plan::PlanError;
use crate::stages::StageError;
use crate::store::StoreError;

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
