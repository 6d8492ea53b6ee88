//! What was found, made from records, logs and objects: values that the command line and pages draw.

pub mod artifact;
pub mod compare;
pub mod figure;
pub mod figures;
pub mod format;
pub mod live;
pub mod repeated;
mod statistics;
pub mod status;
pub mod studies;
pub mod summary;
mod table;
pub mod tail;
pub mod tensorboard;

pub use artifact::{Artifact, Content, NoArtifact, Structure, TensorFigures};
pub use figure::{key_figure, written};
pub use statistics::{Difference, Mean};
pub use status::{StageStatus, Standing, status};
pub use summary::{NetworkRow, PointSummary, summarise};
pub use table::{Baseline, Grouping, Metric, Observation, Row, Sharing, observations, rows};
