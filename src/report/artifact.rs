//! What a `.safetensors` file holds: tensors with their figures, and the structure in its metadata.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom};

use candle_core::safetensors::Load;
use candle_core::{DType, Device};
use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
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
    pub source: SafeTensorError,
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
        Self::read_from(name, &mut Cursor::new(bytes), bytes.len() as u64)
    }

    /// Looks at a file of `length` bytes called `name`, of which it holds little at a time.
    ///
    /// # Errors
    /// It is no safetensors file, or cannot be read.
    pub fn read_from(name: &str, file: &mut (impl Read + Seek), length: u64) -> Result<Self, NoArtifact> {
        Self::look(file, length).map_err(|source| NoArtifact { name: name.to_owned(), source })
    }

    fn look(file: &mut (impl Read + Seek), length: u64) -> Result<Self, SafeTensorError> {
        let (header, data) = header(file, length)?;
        let content = match Checkpoint::described(&header) {
            Ok((spec, gated)) => Content::Network { structure: (&spec).into(), gated },
            Err(_) => content(&header, file, length)?,
        };
        let mut tensors = Vec::new();
        // In the order of the file.
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else { continue };
            let (dtype, shape) = (info.dtype.to_string(), info.shape.clone());
            file.seek(SeekFrom::Start(data + info.data_offsets.0 as u64))?;
            let values = values(file, info)?;
            tensors.push(TensorFigures { name, dtype, shape, values });
        }
        tensors.sort_by_key(|tensor| natural(&tensor.name));
        Ok(Self { bytes: usize::try_from(length).unwrap_or(usize::MAX), content, tensors })
    }
}

/// The header of a file, and where its data begin.
fn header(file: &mut (impl Read + Seek), length: u64) -> Result<(Metadata, u64), SafeTensorError> {
    /// The longest header; that of a network of a thousand layers has less than 1 MiB.
    const LONGEST: u64 = 16 << 20;
    let mut size = [0; 8];
    if length < size.len() as u64 {
        return Err(SafeTensorError::HeaderTooSmall);
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST {
        return Err(SafeTensorError::HeaderTooLarge);
    }
    if size > length - 8 {
        return Err(SafeTensorError::InvalidHeaderLength);
    }
    let mut text = vec![0; size as usize];
    file.read_exact(&mut text)?;
    let text = std::str::from_utf8(&text).map_err(SafeTensorError::InvalidHeader)?;
    let header: Metadata =
        serde_json::from_str(text).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    let infos = header.tensors();
    let end = infos.values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
    if end != length - 8 - size {
        return Err(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok((header, 8 + size))
}

/// What a file is that is no network.
fn content(
    header: &Metadata,
    file: &mut (impl Read + Seek),
    length: u64,
) -> Result<Content, SafeTensorError> {
    /// The largest choice of channels: far more than the widest network has.
    const CHANNELS: u64 = 1 << 20;
    if length <= CHANNELS {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(length).read_to_end(&mut bytes)?;
        if let Ok(channels) = Channels::from_safetensors(&bytes) {
            if let Ok(slim) = channels.slim() {
                return Ok(Content::Channels { full: channels.spec().into(), slim: (&slim).into() });
            }
        }
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Content::Tensors { metadata })
}

/// Figures of the values that begin where `file` is; `None` for an empty tensor or a type that candle does
/// not know.
fn values(file: &mut impl Read, info: &TensorInfo) -> Result<Option<ValueFigures>, SafeTensorError> {
    /// As many values are held at a time.
    const HELD: usize = 1 << 16;
    let size = info.dtype.bitsize() / 8;
    let mut left = (info.data_offsets.1 - info.data_offsets.0).checked_div(size).unwrap_or(0);
    let mut sum = Sum::default();
    let mut bytes = vec![0; size * left.min(HELD)];
    while left > 0 {
        let count = left.min(HELD);
        let part = &mut bytes[..size * count];
        file.read_exact(part)?;
        let view = TensorView::new(info.dtype, vec![count], part)?;
        let Some(values) = loaded(&view) else { return Ok(None) };
        values.into_iter().for_each(|value| sum.add(value));
        left -= count;
    }
    Ok(sum.figures())
}

/// The values as `f64`, for every type that candle knows.
fn loaded(view: &TensorView<'_>) -> Option<Vec<f64>> {
    let tensor = view.load(&Device::Cpu).ok()?;
    tensor.to_dtype(DType::F64).ok()?.flatten_all().ok()?.to_vec1().ok()
}

/// Values that were seen.
struct Sum {
    min: f64,
    max: f64,
    sum: f64,
    finite: usize,
    zeros: usize,
    all: usize,
}

impl Default for Sum {
    fn default() -> Self {
        Self { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, finite: 0, zeros: 0, all: 0 }
    }
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.all += 1;
        self.zeros += usize::from(value == 0.0);
        if value.is_finite() {
            self.finite += 1;
            self.sum += value;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }

    fn figures(&self) -> Option<ValueFigures> {
        (self.all > 0).then(|| ValueFigures {
            min: self.min,
            mean: self.sum / self.finite.max(1) as f64,
            max: self.max,
            zeros: self.zeros as f64 / self.all as f64,
            not_finite: self.all - self.finite,
        })
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
        let mut sum = Sum::default();
        [f64::NAN, -1.0, 0.0, 4.0, f64::INFINITY].into_iter().for_each(|value| sum.add(value));
        assert_eq!(
            sum.figures().unwrap(),
            ValueFigures { min: -1.0, mean: 1.0, max: 4.0, zeros: 0.2, not_finite: 2 }
        );
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
