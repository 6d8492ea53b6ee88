//! What must run, and why: from a pipeline and the store to a plan, as values.
//!
//! [`Graph`] merges the points of a sweep into one graph, in which equal work is one node: nine
//! FLOPs ratios share one gate-training before anything is looked up. [`assess`] compares
//! the graph with the store and gives each node a [`Verdict`] with [`Reason`]s; `runner plan` prints
//! it, `runner run` executes it.
//!
//! # What identifies work
//! | enters the fingerprint | how |
//! |---|---|
//! | kind and version of its implementation | name and number |
//! | parameters that change the result | field by field ([`crate::content_hash!`]), defaults included |
//! | seed | where the stage draws random numbers |
//! | images | the content hash of the split it reads, and how pixels become numbers |
//! | inputs | the content hashes of the objects it reads, by role |
//!
//! Names of stages and pipelines, paths, the device, the number of threads and everything that
//! only changes how a run looks stay out. Because inputs enter by *content*, a stage that ran
//! again to the same bytes leaves everything below it fresh (early cutoff); the price is that
//! the fingerprint of a stage is known only once its inputs are, so a plan can say "input
//! gate-train will run" without knowing yet whether that will change anything.
//!
//! Known limit: two devices may give results that differ in the last bits. They share
//! a fingerprint on purpose; the record's provenance says where a result was made.

mod assess;
mod estimate;
mod graph;
mod identity;
mod reason;
mod saved;

pub use assess::{Assessment, Entry, MissingData, Plan, Selection, Verdict, assess, assess_with, named};
pub use estimate::{Estimate, Estimates, Total};
pub use graph::{Edge, Graph, Node, NodeId, PointNodes, Use};
pub use identity::{DataIdentities, fingerprint};
pub use reason::{Reason, flat, images, reasons};

use miette::Diagnostic;

use crate::data::DataError;
use crate::pipeline::PipelineError;
use crate::store::StoreError;

/// Why no plan could be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PlanError {
    /// The pipeline file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pipeline(#[from] PipelineError),
    /// The data set's files.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A stage that is to be made anew and is not among those that are to run.
    #[error("--force names the stage `{name}`, which --only and --until leave out")]
    #[diagnostic(help("name it with `--only` or `--until` as well, or leave `--force` out"))]
    ForcedUnselected {
        /// Its name.
        name: String,
    },
    /// A stage named on the command line that the pipeline does not have.
    #[error("{option} names the stage `{name}`, which the pipeline does not have")]
    #[diagnostic(help("{help}"))]
    UnknownStage {
        /// The option of the command line.
        option: &'static str,
        /// What was written.
        name: String,
        /// The nearest name, or all of them.
        help: String,
    },
}
