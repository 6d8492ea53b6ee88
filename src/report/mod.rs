//! Tables for people, made from records.

pub mod format;
mod statistics;
pub mod summary;
mod table;

pub use statistics::{Difference, Mean};
pub use summary::{NetworkRow, PointSummary, summarise};
pub use table::{Grouping, Metric, Observation, Row, observations, rows, seconds_shared};
