//! What a `.safetensors` file holds: tensors with their figures, and the structure in its metadata.

use std::collections::BTreeMap;

use candle_core::safetensors::Load;
use candle_core::{DType, Device};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::Serialize;

use crate::network::{Checkpoint, NetworkSpec};
use crate::prune::Channels;

/// A file that is no safetensors file.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{name} is no safetensors file")]
#[diagnostic(help("give a file that runner or Python's `safetensors` wrote"))]
pub struct NoArtifact {
    /// What was read.
    pub name: String,
    /// What is wrong with it.
    pub source: safetensors::SafeTensorError,
}

/// What a file holds.
#[derive(Debug, Clone, Serialize)]
pub struct Artifact {
    /// Its size.
    pub bytes: usize,
    /// What its metadata say that it is.
    pub content: Content,
    /// Its tensors, layer by layer.
    pub tensors: Vec<TensorFigures>,
}

/// What a file is.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Content {
    /// A network of runner.
    Network {
        /// Its structure.
        #[serde(flatten)]
        structure: Structure,
        /// Whether it has channel gates.
        gated: bool,
    },
    /// The channels that a network keeps.
    Channels {
        /// The network.
        full: Structure,
        /// What is left of it.
        slim: Structure,
    },
    /// Tensors of unknown meaning.
    Tensors {
        /// The file's metadata.
        metadata: BTreeMap<String, String>,
    },
}

/// A network's structure and what follows from it.
#[derive(Debug, Clone, Serialize)]
pub struct Structure {
    /// The family member.
    pub arch: String,
    /// Image shape: channels, height, width.
    pub input: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Output channels of each convolution.
    pub channels: Vec<usize>,
    /// The same of the network that it was widened from, or itself.
    pub plain_channels: Vec<usize>,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// The same of the plain network, which shares of FLOPs are counted against.
    pub plain_macs: u64,
    /// Trainable parameters.
    pub parameters: u64,
}

impl Structure {
    /// The share of the plain network's FLOPs that it has.
    pub fn flops_share(&self) -> f64 {
        self.macs as f64 / self.plain_macs.max(1) as f64
    }
}

impl From<&NetworkSpec> for Structure {
    fn from(spec: &NetworkSpec) -> Self {
        Self {
            arch: spec.arch.to_string(),
            input: spec.input,
            classes: spec.classes,
            channels: spec.channels.clone(),
            plain_channels: spec.plain().channels,
            macs: spec.macs().0,
            plain_macs: spec.plain().macs().0,
            parameters: spec.parameters(),
        }
    }
}

/// A tensor and what its values are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorFigures {
    /// Its name.
    pub name: String,
    /// Its type, as safetensors spells it.
    pub dtype: String,
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
    /// Figures of its values; `None` for an empty tensor or a type that cannot be read.
    pub values: Option<ValueFigures>,
}

/// Figures of the values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ValueFigures {
    /// The smallest finite value.
    pub min: f64,
    /// The mean of the finite values.
    pub mean: f64,
    /// The largest finite value.
    pub max: f64,
    /// Share of values that are zero.
    pub zeros: f64,
    /// Values that are not finite.
    pub not_finite: usize,
}

impl Artifact {
    /// Looks at the bytes of a file called `name`.
    ///
    /// # Errors
    /// It is no safetensors file.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, NoArtifact> {
        let wrong = |source| NoArtifact { name: name.to_owned(), source };
        let file = SafeTensors::deserialize(bytes).map_err(wrong)?;
        let mut tensors: Vec<TensorFigures> = file.iter().map(|(name, view)| figures(name, &view)).collect();
        tensors.sort_by_key(|tensor| natural(&tensor.name));
        Ok(Self { bytes: bytes.len(), content: content(bytes).map_err(wrong)?, tensors })
    }
}

fn content(bytes: &[u8]) -> Result<Content, safetensors::SafeTensorError> {
    if let Ok(network) = Checkpoint::from_safetensors(bytes) {
        return Ok(Content::Network { structure: (&network.spec).into(), gated: network.gated() });
    }
    if let Ok(channels) = Channels::from_safetensors(bytes) {
        if let Ok(slim) = channels.slim() {
            return Ok(Content::Channels { full: channels.spec().into(), slim: (&slim).into() });
        }
    }
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Content::Tensors { metadata })
}

fn figures(name: &str, view: &TensorView<'_>) -> TensorFigures {
    TensorFigures {
        name: name.to_owned(),
        dtype: view.dtype().to_string(),
        shape: view.shape().to_vec(),
        values: values(view).filter(|values| !values.is_empty()).map(|values| of(&values)),
    }
}

/// The values as `f64`, for every type that candle knows.
fn values(view: &TensorView<'_>) -> Option<Vec<f64>> {
    let tensor = view.load(&Device::Cpu).ok()?;
    tensor.to_dtype(DType::F64).ok()?.flatten_all().ok()?.to_vec1().ok()
}

fn of(values: &[f64]) -> ValueFigures {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let count = finite().count();
    ValueFigures {
        min: finite().fold(f64::INFINITY, f64::min),
        mean: finite().sum::<f64>() / count.max(1) as f64,
        max: finite().fold(f64::NEG_INFINITY, f64::max),
        zeros: values.iter().filter(|value| **value == 0.0).count() as f64 / values.len() as f64,
        not_finite: values.len() - count,
    }
}

/// A name as it is sorted: `features.10` after `features.9`.
pub(super) fn natural(name: &str) -> Vec<(Option<u64>, String)> {
    name.split('.').map(|part| (part.parse().ok(), part.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Arch, initialise};

    #[test]
    fn a_network_is_described_by_its_tensors_and_its_structure() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 16, 16], 3).unwrap();
        let found = Artifact::read("x", &initialise(&spec, 7).to_safetensors().unwrap()).unwrap();
        let Content::Network { structure, gated } = &found.content else { panic!("no network") };
        assert_eq!((structure.parameters, *gated), (spec.parameters(), false));
        let names: Vec<&str> = found.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names[..3], ["classifier.bias", "classifier.weight", "features.0.weight"]);
        let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
        assert!(at("features.8.weight") < at("features.11.weight"));
        let gamma = &found.tensors[at("features.1.weight")];
        let half = ValueFigures { min: 0.5, mean: 0.5, max: 0.5, zeros: 0.0, not_finite: 0 };
        assert_eq!((gamma.dtype.as_str(), &gamma.shape[..], gamma.values), ("F32", &[2][..], Some(half)));
    }

    #[test]
    fn the_share_of_the_flops_is_that_of_the_plain_network_also_in_a_widened_one() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 2, 1.5, [1, 16, 16], 3).unwrap();
        let kept = spec.plain().channels.iter().map(|&channels| (0..channels as u32).collect()).collect();
        let bytes = Channels::new(spec, kept).unwrap().to_safetensors().unwrap();
        let found = Artifact::read("x", &bytes).unwrap();
        let Content::Channels { full, slim } = &found.content else { panic!("no channels") };
        assert!(full.flops_share() > 1.0);
        assert_eq!((slim.macs, slim.flops_share()), (full.plain_macs, 1.0));
    }

    #[test]
    fn values_that_are_not_finite_are_counted_and_left_out() {
        let found = of(&[f64::NAN, -1.0, 0.0, 4.0, f64::INFINITY]);
        assert_eq!(found, ValueFigures { min: -1.0, mean: 1.0, max: 4.0, zeros: 0.2, not_finite: 2 });
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 1, 1.0, [1, 16, 16], 2).unwrap();
        let bytes = initialise(&spec, 7).to_safetensors().unwrap();
        for length in (0..bytes.len()).step_by(97) {
            assert!(Artifact::read("x", &bytes[..length]).is_err());
        }
    }
}
