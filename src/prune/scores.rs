//! Scores: how much each channel matters, by whatever rule. The threshold search removes the lowest first.

use safetensors::Dtype;

use super::PruneError;
use super::layers::{self, Layout};
use crate::network::NetworkSpec;

const LAYOUT: Layout = Layout { key: "scores", field: "score", dtype: ("F32", Dtype::F32) };

/// One finite number for each output channel of each convolution of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    spec: NetworkSpec,
    values: Vec<Vec<f32>>,
}

impl Scores {
    /// The scores of the network `spec`: one list a convolution, one value a channel.
    ///
    /// # Errors
    /// Lists of another shape, values that are not finite.
    pub fn new(spec: NetworkSpec, values: Vec<Vec<f32>>) -> Result<Self, PruneError> {
        spec.validate()?;
        for (layer, channels) in spec.channels.iter().enumerate() {
            let found = values.get(layer).map_or(&[][..], Vec::as_slice);
            if found.len() != *channels {
                return Err(PruneError::Scores { layer, channels: *channels, found: found.len() });
            }
            if let Some(channel) = found.iter().position(|value| !value.is_finite()) {
                return Err(PruneError::NotFinite { layer, channel, value: found[channel] });
            }
        }
        Ok(Self { spec, values })
    }

    /// The network that is scored.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// One list a convolution.
    pub fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// The canonical bytes: `features.{i}.score`, one `F32` tensor for each convolution.
    ///
    /// # Errors
    /// None for scores that were checked.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, PruneError> {
        layers::write(LAYOUT, &self.spec, &self.values, |value| value.to_le_bytes())
    }

    /// Reads what [`Self::to_safetensors`] wrote.
    ///
    /// # Errors
    /// Bytes that are no scores.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, PruneError> {
        let (spec, values) = layers::read(LAYOUT, bytes, f32::from_le_bytes)?;
        Self::new(spec, values)
    }
}
