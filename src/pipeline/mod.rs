//! The pipeline file as checked values.
//!
//! This room knows no stage kinds. It gets a [`Catalog`] of them, with the JSON Schema of each kind's parameters, and checks
//! the file against it, so that a range or a default is declared once, on the Rust type. All mistakes
//! of a file are reported together, each with its place.

mod catalog;
mod check;
mod error;
mod file;

pub use catalog::{Catalog, InputRole, KindSchema, OutputRole, reference, schema};
pub use error::{Mistake, PipelineError};
pub use file::{InputRef, Pipeline, Point, StageDecl, load};
