//! The selection of channels as an artifact: the structure and what is kept, nothing else, so that two budgets that
//! lead to the same channels give the same bytes.

use miette::Diagnostic;
use safetensors::SafeTensors;

use super::search::slim_spec;
use crate::network::canonical::{self, Entry};
use crate::network::{CheckpointError, NetworkSpec, SpecError};

const KEY: &str = "channels";

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
    #[error("the file has no `{KEY}` entry in its metadata")]
    NoStructure,
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
        let names: Vec<String> =
            self.spec.layers().iter().map(|layer| format!("features.{}.kept", layer.index)).collect();
        let shapes: Vec<[usize; 1]> = self.kept.iter().map(|kept| [kept.len()]).collect();
        let entries: Vec<Entry<'_>> = names
            .iter()
            .zip(&shapes)
            .zip(&self.kept)
            .map(|((name, shape), kept)| Entry {
                name,
                dtype: "U32",
                shape,
                bytes: kept.iter().flat_map(|channel| channel.to_le_bytes()).collect(),
            })
            .collect();
        Ok(canonical::write(KEY, &serde_json::to_string(&self.spec)?, &entries))
    }

    /// Reads what [`Self::to_safetensors`] wrote.
    ///
    /// # Errors
    /// Bytes that are no selection of channels.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, PruneError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let spec: NetworkSpec = serde_json::from_str(metadata.ok_or(PruneError::NoStructure)?)?;
        spec.validate()?;
        let tensors = SafeTensors::deserialize(bytes)?;
        let mut kept = Vec::new();
        for layer in spec.layers() {
            let tensor = tensors.tensor(&format!("features.{}.kept", layer.index))?;
            let channels = tensor.data().chunks_exact(4);
            kept.push(channels.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect());
        }
        Self::new(spec, kept)
    }
}
