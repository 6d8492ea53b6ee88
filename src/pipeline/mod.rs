//! The pipeline file as checked values.
//!
//! This room knows no stage kinds. It gets a [`Catalog`] of them, with the JSON Schema of each kind's parameters, and checks
//! the file against it, so that a range or a default is declared once, on the Rust type. Changes of the command line
//! ([`load`]'s `--set`, [`Pipeline::points`]' `--over`) go through the same checks. All mistakes are reported together,
//! each with its place in the file or in the option.

mod catalog;
mod change;
mod check;
mod error;
mod excerpt;
mod file;
mod inputs;
mod order;
mod reference;
mod schema;
mod stages;
mod suggest;
mod sweep;
mod syntax;
mod text;

pub use catalog::{Catalog, InputRole, KindSchema, OutputRole};
pub use error::{Mistake, PipelineError, Place, Source};
pub use file::{Pipeline, load, parse};
pub use inputs::InputRef;
pub use reference::reference;
pub use schema::schema;
pub use stages::{StageDecl, TIME, duration};
pub use suggest::{keys, nearest, rounded, words};
pub use sweep::Point;
