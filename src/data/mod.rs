//! Data sets: what they are, reading them, and turning them into batches.
//!
//! Pixels stay `u8` in memory; a batch is cropped, flipped and normalised as it is made. What a batch
//! holds depends on the seed, the epoch and the position alone, so a run that goes on in
//! the middle of an epoch sees the very images that it would have seen.

mod batches;
mod cifar;
mod classes;
mod error;
pub mod fetch;
mod files;
mod gzip;
mod idx;
mod known;
mod misplaced;
mod params;
mod read;
mod resize;
mod set;
mod split;
mod survey;

pub use batches::{Augment, Batch, Batches, Order};
pub use error::DataError;
pub use files::Half;
pub(crate) use files::paths;
pub use known::KnownHashes;
pub use params::{DataParams, DataSetName, ImageShape, ImproperData, Normalise};
pub use read::ReadFile;
pub use set::{DataSet, Images, Loaded, load, load_hashed};
pub use split::{Split, SplitSizes};
pub use survey::{HalfSurvey, Survey, survey};
