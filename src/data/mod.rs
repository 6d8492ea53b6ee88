//! Data sets: what they are, reading them, and turning them into batches.
//!
//! Pixels stay `u8` in memory; a batch is cropped, flipped and normalised as it is made. What a batch
//! holds depends on the seed, the epoch and the position alone, so a run that goes on in
//! the middle of an epoch sees the very images that it would have seen.

mod batches;
mod cifar;
pub mod fetch;
mod gzip;
mod hash;
mod idx;
mod known;
mod params;
mod set;

pub use batches::{Augment, Batch, Batches, Order};
pub use hash::{DataHash, content_hash};
pub use known::KnownHashes;
pub use params::{DataParams, DataSetName, ImageShape, ImproperData, Normalise};
pub(crate) use set::paths;
pub use set::{DataError, DataSet, Images, Split, load};
