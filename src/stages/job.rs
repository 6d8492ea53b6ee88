//! What a running stage is given, and what it gives back.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use miette::Diagnostic;

use super::warning::Warning;
use crate::data::{self, DataError, DataParams, DataSet};
use crate::network::{Checkpoint, CheckpointError, SpecError};
use crate::prune::{Channels, PruneError, Scores, SearchError};
use crate::train::{Host, TrainError};

/// An output of another stage, as bytes that were checked against their hash.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The name of the output: `network`, `best`, ...
    pub output: String,
    /// The stage it comes from, for messages.
    pub stage: String,
    /// The content.
    pub bytes: Arc<Vec<u8>>,
}

/// The inputs of a stage, by role.
#[derive(Debug, Clone, Default)]
pub struct Inputs(BTreeMap<String, Vec<Artifact>>);

impl Inputs {
    /// Adds one artifact to a role.
    pub fn push(&mut self, role: &str, artifact: Artifact) {
        self.0.entry(role.to_owned()).or_default().push(artifact);
    }

    /// Every artifact of a role.
    pub fn all(&self, role: &str) -> &[Artifact] {
        self.0.get(role).map_or(&[], Vec::as_slice)
    }

    /// The one artifact of a role.
    ///
    /// # Errors
    /// The role is empty.
    pub fn one(&self, role: &'static str) -> Result<&Artifact, StageError> {
        self.all(role).first().ok_or(StageError::MissingInput { role })
    }

    /// The network in a role.
    ///
    /// # Errors
    /// The role is empty, or its content is no network checkpoint.
    pub fn network(&self, role: &'static str) -> Result<Checkpoint, StageError> {
        read_network(role, self.one(role)?)
    }

    /// The network in a role, whose bytes are given up: a training needs their room.
    ///
    /// # Errors
    /// The role is empty, or its content is no network checkpoint.
    pub fn take_network(&mut self, role: &'static str) -> Result<Checkpoint, StageError> {
        let network = self.network(role)?;
        self.0.remove(role);
        Ok(network)
    }

    /// The channels to keep in a role.
    ///
    /// # Errors
    /// The role is empty, or its content is no channel selection.
    pub fn channels(&self, role: &'static str) -> Result<Channels, StageError> {
        self.selection(role, "a selection of channels", Channels::from_safetensors)
    }

    /// The scores in a role.
    ///
    /// # Errors
    /// The role is empty, or its content is no scores.
    pub fn scores(&self, role: &'static str) -> Result<Scores, StageError> {
        self.selection(role, "scores of channels", Scores::from_safetensors)
    }

    fn selection<T>(
        &self,
        role: &'static str,
        what: &'static str,
        read: fn(&[u8]) -> Result<T, PruneError>,
    ) -> Result<T, StageError> {
        let artifact = self.one(role)?;
        read(&artifact.bytes).map_err(|source| StageError::Channels {
            role,
            stage: artifact.stage.clone(),
            what,
            source: Box::new(source),
        })
    }

    /// Whether a role is filled.
    pub fn has(&self, role: &str) -> bool {
        !self.all(role).is_empty()
    }
}

/// Reads an artifact as a network checkpoint.
///
/// # Errors
/// The bytes are no network checkpoint.
pub fn read_network(role: &'static str, artifact: &Artifact) -> Result<Checkpoint, StageError> {
    Checkpoint::from_safetensors(&artifact.bytes).map_err(|source| StageError::Network {
        role,
        stage: artifact.stage.clone(),
        source: Box::new(source),
    })
}

/// Gives a stage the images, read once for all stages of a run.
pub trait DataSource {
    /// What the pipeline says of the data set.
    fn params(&self) -> &DataParams;

    /// The images.
    ///
    /// # Errors
    /// The files are missing or damaged.
    fn load(&self) -> Result<Arc<DataSet>, DataError>;
}

/// Images that lie in memory, for a stage that runs outside of a pipeline: in a test, in an example.
#[derive(Debug)]
pub struct Held {
    params: DataParams,
    set: Arc<DataSet>,
}

impl Held {
    /// Reads the images that `params` describe.
    ///
    /// # Errors
    /// The files are missing or damaged.
    pub fn read(params: DataParams) -> Result<Self, DataError> {
        let set = Arc::new(data::load(&params)?);
        Ok(Self { params, set })
    }
}

impl DataSource for Held {
    fn params(&self) -> &DataParams {
        &self.params
    }

    fn load(&self) -> Result<Arc<DataSet>, DataError> {
        Ok(self.set.clone())
    }
}

/// One run of a stage.
pub struct Job<'a> {
    /// What other stages gave.
    pub inputs: Inputs,
    /// The images.
    pub data: &'a dyn DataSource,
    /// The seed of every random number.
    pub seed: u64,
    /// Where tensors live.
    pub device: Device,
    /// Takes progress and resume states; says when to stop.
    pub host: &'a mut dyn Host,
}

/// What a finished stage gives.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes by output name.
    pub artifacts: BTreeMap<&'static str, Vec<u8>>,
    /// Numbers for people and reports; never an input of another stage.
    pub metrics: serde_json::Value,
    /// What the user should know of this result; see [`super::warning`].
    pub warnings: Vec<Warning>,
}

impl Output {
    /// One artifact with its metrics.
    pub fn new(name: &'static str, bytes: Vec<u8>, metrics: serde_json::Value) -> Self {
        Self { artifacts: BTreeMap::from([(name, bytes)]), metrics, warnings: Vec::new() }
    }

    /// The same with warnings.
    pub fn warned(self, warnings: Vec<Warning>) -> Self {
        Self { warnings, ..self }
    }
}

/// How a run of a stage ended.
#[derive(Debug)]
pub enum Outcome {
    /// With results.
    Done(Output),
    /// It was asked to stop, and has saved where it was.
    Interrupted,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StageError {
    /// A role without an artifact; the pipeline's checks should make this impossible.
    #[error("the input `{role}` is missing")]
    MissingInput {
        /// The role.
        role: &'static str,
    },
    /// An input that is no network.
    #[error("the output of `{stage}` cannot be read as a network")]
    Network {
        /// The role that it should fill.
        role: &'static str,
        /// The stage it came from.
        stage: String,
        /// What is wrong with it.
        source: Box<CheckpointError>,
    },
    /// An input that is no list of channels or scores.
    #[error("the output of `{stage}` cannot be read as {what}")]
    Channels {
        /// The role that it should fill.
        role: &'static str,
        /// The stage it came from.
        stage: String,
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        source: Box<PruneError>,
    },
    /// A network and images that do not fit each other.
    #[error(
        "the network takes {network} and {network_classes} classes, the data set has {data} and {data_classes}"
    )]
    #[diagnostic(help("train and evaluate a network on the data set whose shape it was made for"))]
    Shape {
        /// Channels x height x width of the network.
        network: String,
        /// Classes of the network.
        network_classes: usize,
        /// Channels x height x width of the images.
        data: String,
        /// Classes of the data set.
        data_classes: usize,
    },
    /// The data set.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The training loop.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    /// The threshold search.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Search(#[from] SearchError),
    /// Slimming.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prune(#[from] PruneError),
    /// Building a network.
    #[error(transparent)]
    Build(#[from] SpecError),
    /// Reading or writing a network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Tensor computations.
    #[error("a tensor computation failed")]
    Tensor(#[from] candle_core::Error),
}
