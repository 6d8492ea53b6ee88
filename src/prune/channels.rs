//! The selection of channels as an artifact: the structure and what is kept, nothing else, so that two budgets that
//! lead to the same channels give the same bytes.

use miette::Diagnostic;
use safetensors::Dtype;

use super::layers::{self, Layout};
use super::search::slim_spec;
use crate::network::{CheckpointError, NetworkSpec, SpecError};

const LAYOUT: Layout = Layout { key: "channels", field: "kept", dtype: ("U32", Dtype::U32) };

/// The channels that a network keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    spec: NetworkSpec,
    kept: Vec<Vec<u32>>,
}

/// A selection of channels that cannot be read or applied.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PruneError {
    /// Not a safetensors file.
    #[error("not a readable safetensors file")]
    Format(#[from] safetensors::SafeTensorError),
    /// No structure in the metadata.
    #[error("the file has no `{0}` entry in its metadata")]
    NoStructure(&'static str),
    /// A tensor of another type.
    #[error("tensor `{name}`: expected {expected}, found {found}")]
    Type {
        /// The tensor.
        name: String,
        /// The type that it should have.
        expected: &'static str,
        /// The type that it has.
        found: String,
    },
    /// Scores that do not belong to the network.
    #[error("convolution {layer} needs a score for each of its {channels} channels, found {found}")]
    Scores {
        /// Which convolution, from 0.
        layer: usize,
        /// Its channels.
        channels: usize,
        /// Its scores.
        found: usize,
    },
    /// A score that is no number.
    #[error("channel {channel} of convolution {layer} has the score {value}, which is not a finite number")]
    NotFinite {
        /// Which convolution, from 0.
        layer: usize,
        /// Which channel.
        channel: usize,
        /// The score.
        value: f32,
    },
    /// The structure cannot be read.
    #[error("the structure in the metadata is not readable")]
    Json(#[from] serde_json::Error),
    /// The structure is impossible.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A layer's channels are missing, out of range or out of order.
    #[error(
        "the kept channels of convolution {layer} are not an ascending choice of its {channels} channels"
    )]
    Layer {
        /// Which convolution, from 0.
        layer: usize,
        /// Its channels.
        channels: usize,
    },
    /// The weights belong to another network.
    #[error(
        "the channels were chosen for a network of {chosen:?} channels, the weights are of one of {weights:?}"
    )]
    #[diagnostic(help("give `prune` the network that the threshold search looked at"))]
    OtherNetwork {
        /// Channels of the network that was searched.
        chosen: Vec<usize>,
        /// Channels of the network that was given.
        weights: Vec<usize>,
    },
    /// The network's tensors.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Channels {
    /// Keeps `kept` (ascending, one list a convolution) of the network `spec`.
    ///
    /// # Errors
    /// Channels that the network does not have, or a layer without any.
    pub fn new(spec: NetworkSpec, kept: Vec<Vec<u32>>) -> Result<Self, PruneError> {
        spec.validate()?;
        for (layer, channels) in spec.channels.iter().enumerate() {
            let kept = kept.get(layer).map_or(&[][..], Vec::as_slice);
            let ascending = kept.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = kept.last().is_some_and(|last| (*last as usize) < *channels);
            if !ascending || !inside {
                return Err(PruneError::Layer { layer, channels: *channels });
            }
        }
        Ok(Self { spec, kept })
    }

    /// The network that is pruned.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// The kept channels of each convolution.
    pub fn kept(&self) -> &[Vec<u32>] {
        &self.kept
    }

    /// The structure of the slim network.
    ///
    /// # Errors
    /// None for a selection that was checked.
    pub fn slim(&self) -> Result<NetworkSpec, PruneError> {
        Ok(slim_spec(&self.spec, &self.kept)?)
    }

    /// The canonical bytes: `features.{i}.kept`, one `U32` tensor for each convolution.
    ///
    /// # Errors
    /// None for a structure that was checked.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, PruneError> {
        layers::write(LAYOUT, &self.spec, &self.kept, |channel| channel.to_le_bytes())
    }

    /// Reads what [`Self::to_safetensors`] wrote.
    ///
    /// # Errors
    /// Bytes that are no selection of channels.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, PruneError> {
        let (spec, kept) = layers::read(LAYOUT, bytes, u32::from_le_bytes)?;
        Self::new(spec, kept)
    }
}
