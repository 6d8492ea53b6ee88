//! What was found, made from records, logs and objects: values that the command line and pages draw.

pub mod artifact;
mod baseline;
pub mod compare;
pub mod figure;
pub mod figures;
pub mod format;
pub mod live;
mod observations;
pub mod repeated;
mod sharing;
mod statistics;
pub mod status;
pub mod studies;
pub mod summary;
mod table;
pub mod tail;
pub mod tensorboard;
mod uncertainty;

pub use artifact::{Artifact, Content, NoArtifact, Structure, TensorFigures};
pub use baseline::Baseline;
pub use figure::{key_figure, metric_title, written};
pub use observations::{Measured, Observation, measured, observations};
pub use sharing::Sharing;
pub use statistics::{Difference, Mean};
pub use status::{StageStatus, Standing, status};
pub use summary::{NetworkRow, PointSummary, summarise};
pub use table::{Grouping, Metric, Row, UNPRUNED, merged_rows, rows, unpruned};
pub use uncertainty::{measured_on, uncertainty};
