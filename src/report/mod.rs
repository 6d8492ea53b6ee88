//! Tables for people, made from records.

pub mod format;
pub mod summary;

pub use summary::{NetworkRow, PointSummary, summarise};
