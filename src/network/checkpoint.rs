//! A network's structure and numbers, free of any device, in one safetensors file whose bytes
//! depend on the content alone. Names are PyTorch's.

use std::collections::BTreeMap;

use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};

use super::canonical::{Content, Document, Entry};
use super::{NetworkSpec, SpecError};

const KEY: &str = "network";

/// A tensor in host memory.
#[derive(Debug, Clone, PartialEq)]
pub enum HostTensor {
    /// Row-major `f32` values.
    Float {
        /// Shape, outermost first.
        shape: Vec<usize>,
        /// The values.
        data: Vec<f32>,
    },
    /// A scalar counter (`num_batches_tracked`).
    Count(i64),
}

/// A structure and its tensors by PyTorch name.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The structure.
    pub spec: NetworkSpec,
    /// All tensors of the structure, and no others.
    pub tensors: BTreeMap<String, HostTensor>,
}

/// Bytes that are no checkpoint, or a checkpoint that contradicts its structure.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CheckpointError {
    /// Not a safetensors file.
    #[error("not a readable safetensors file")]
    Format(#[from] safetensors::SafeTensorError),
    /// No structure in the metadata.
    #[error("the file has no `{KEY}` entry in its metadata")]
    #[diagnostic(help("only checkpoints written by this program carry their structure"))]
    NoStructure,
    /// The structure is not readable.
    #[error("the structure in the metadata is not readable")]
    Json(#[from] serde_json::Error),
    /// The structure is impossible.
    #[error("the structure in the metadata is impossible")]
    Spec(#[from] SpecError),
    /// A device refused a tensor.
    #[error("a tensor cannot be placed on the device")]
    Device(#[from] candle_core::Error),
    /// A tensor is missing.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// A tensor does not belong.
    #[error("tensor `{0}` does not belong to the structure")]
    Unexpected(String),
    /// A tensor has the wrong shape or type.
    #[error("tensor `{name}`: expected {expected}, found {found}")]
    Shape {
        /// The tensor.
        name: String,
        /// Type and shape that follow from the structure.
        expected: String,
        /// Type and shape in the file.
        found: String,
    },
}

/// Names and shapes (`None` for a counter) that follow from a structure.
pub(crate) fn expected(spec: &NetworkSpec, gated: bool) -> BTreeMap<String, Option<Vec<usize>>> {
    let mut all = BTreeMap::new();
    for layer in spec.layers() {
        let (conv, norm) = (layer.index, layer.index + 1);
        all.insert(format!("features.{conv}.weight"), Some(vec![layer.outputs, layer.inputs, 3, 3]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            all.insert(format!("features.{norm}.{part}"), Some(vec![layer.outputs]));
        }
        all.insert(format!("features.{norm}.num_batches_tracked"), None);
        if gated {
            all.insert(format!("features.{norm}.gate"), Some(vec![layer.outputs]));
        }
    }
    let features = spec.channels.last().copied().unwrap_or(0);
    all.insert("classifier.weight".into(), Some(vec![spec.classes, features]));
    all.insert("classifier.bias".into(), Some(vec![spec.classes]));
    all
}

/// The file of a structure and its tensors.
pub(super) fn document<'a>(
    spec: &NetworkSpec,
    entries: Vec<Entry<'a>>,
) -> Result<Document<'a>, CheckpointError> {
    Ok(Document::new(KEY, &serde_json::to_string(spec)?, entries))
}

/// A counter as it is written.
pub(super) fn counter(name: &str, count: i64) -> Entry<'_> {
    Entry { name, dtype: "I64", shape: &[], content: Content::Bytes(count.to_le_bytes().to_vec()) }
}

impl Checkpoint {
    /// Whether the checkpoint has channel gates.
    pub fn gated(&self) -> bool {
        self.tensors.keys().any(|name| name.ends_with(".gate"))
    }

    /// The values of a float tensor.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn values(&self, name: &str) -> Result<&[f32], CheckpointError> {
        match self.tensors.get(name) {
            Some(HostTensor::Float { data, .. }) => Ok(data),
            _ => Err(CheckpointError::Missing(name.to_owned())),
        }
    }

    /// The canonical bytes: equal content, equal bytes.
    ///
    /// # Errors
    /// If the structure cannot be written as JSON.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, CheckpointError> {
        Ok(self.document()?.to_bytes())
    }

    /// As [`Self::to_safetensors`], for a checkpoint that nobody needs any more.
    ///
    /// # Errors
    /// If the structure cannot be written as JSON.
    pub fn into_safetensors(self) -> Result<Vec<u8>, CheckpointError> {
        self.to_safetensors()
    }

    pub(crate) fn document(&self) -> Result<Document<'_>, CheckpointError> {
        let entry = |(name, tensor)| match tensor {
            &HostTensor::Count(count) => counter(name, count),
            HostTensor::Float { shape, data } => {
                Entry { name, dtype: "F32", shape, content: Content::Floats(data) }
            }
        };
        document(&self.spec, self.tensors.iter().map(|(n, t)| entry((n.as_str(), t))).collect())
    }

    /// The structure of a checkpoint and whether it has channel gates, from the header alone.
    ///
    /// # Errors
    /// The file is no checkpoint, or structure and tensors disagree.
    pub(crate) fn described(header: &Metadata) -> Result<(NetworkSpec, bool), CheckpointError> {
        let text = header.metadata().as_ref().and_then(|all| all.get(KEY));
        let spec: NetworkSpec = serde_json::from_str(text.ok_or(CheckpointError::NoStructure)?)?;
        spec.validate()?;
        let names = header.offset_keys();
        let gated = names.iter().any(|name| name.ends_with(".gate"));
        let wanted = expected(&spec, gated);
        if let Some(name) = names.into_iter().filter(|name| !wanted.contains_key(name)).min() {
            return Err(CheckpointError::Unexpected(name));
        }
        for (name, shape) in wanted {
            let Some(found) = header.info(&name) else { return Err(CheckpointError::Missing(name)) };
            let dtype = if shape.is_some() { Dtype::F32 } else { Dtype::I64 };
            let dimensions = shape.unwrap_or_default();
            if found.dtype != dtype || found.shape != dimensions {
                return Err(CheckpointError::Shape {
                    name,
                    expected: format!("{dtype:?} {dimensions:?}"),
                    found: format!("{:?} {:?}", found.dtype, found.shape),
                });
            }
        }
        Ok((spec, gated))
    }

    /// Reads and checks a checkpoint. Nothing is allocated by what a header claims: the claims
    /// are compared with the bytes and the structure first.
    ///
    /// # Errors
    /// If the bytes are no checkpoint or structure and tensors disagree.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        let (spec, gated) = Self::described(&header)?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in expected(&spec, gated) {
            let view = file.tensor(&name).map_err(|_| CheckpointError::Missing(name.clone()))?;
            let data = view.data();
            let tensor = match shape {
                Some(shape) => HostTensor::Float {
                    shape,
                    data: data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                },
                None => {
                    HostTensor::Count(data.as_chunks::<8>().0.first().map_or(0, |b| i64::from_le_bytes(*b)))
                }
            };
            tensors.insert(name, tensor);
        }
        Ok(Self { spec, tensors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Arch, initialise};

    #[test]
    fn a_checkpoint_survives_its_bytes_and_damage_is_an_error_not_a_panic() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 16, 16], 3).unwrap();
        let checkpoint = initialise(&spec, 7);
        let bytes = checkpoint.to_safetensors().unwrap();
        assert_eq!(Checkpoint::from_safetensors(&bytes).unwrap(), checkpoint);
        assert_eq!(initialise(&spec, 7).to_safetensors().unwrap(), bytes);
        assert_ne!(initialise(&spec, 8).to_safetensors().unwrap(), bytes);
        for length in 0..bytes.len() {
            assert!(Checkpoint::from_safetensors(&bytes[..length]).is_err());
        }
        let mut lying = bytes;
        lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Checkpoint::from_safetensors(&lying).is_err());
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 2, 1.0, [1, 16, 16], 3).unwrap();
        let mut checkpoint = initialise(&spec, 7);
        checkpoint.tensors.remove("classifier.bias");
        let error = Checkpoint::from_safetensors(&checkpoint.to_safetensors().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "tensor `classifier.bias` is missing");
    }
}
