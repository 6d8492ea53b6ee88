//! What a stage kind is: the static description of a kind, and the trait of a configured stage.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::job::{Job, Outcome, StageError};
use super::warning::{Outlook, Warning};
use crate::data::{DataParams, Half};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};
use crate::network::NetworkSpec;
use crate::pipeline::{InputRole, OutputRole};

/// The part of the data set that decides a stage's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataUse {
    /// The stage sees no images.
    None,
    /// Only the images' shape and the number of classes.
    Shape,
    /// The training images (with the validation images held out of them).
    Train,
    /// The training images, all of them: which of them `data.validation` would hold out does not matter.
    TrainWhole,
    /// The test images.
    Test,
}

impl DataUse {
    /// The half of the data set whose images are read.
    pub fn reads(self) -> Option<Half> {
        match self {
            Self::None | Self::Shape => None,
            Self::Train | Self::TrainWhole => Some(Half::Train),
            Self::Test => Some(Half::Test),
        }
    }
}

/// Whether a stage draws random numbers, so that the seed decides its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Randomness {
    /// The seed does not matter and is left out of the fingerprint.
    None,
    /// Everything random comes from the pipeline's seed.
    Pipeline,
    /// The stage was given a seed of its own.
    Own(u64),
}

impl Randomness {
    /// The stage's own seed where it has one, else the pipeline's.
    pub fn seeded(own: Option<u64>) -> Self {
        own.map_or(Self::Pipeline, Self::Own)
    }
}

/// The static description of a stage kind.
#[derive(Debug)]
pub struct Kind {
    /// The `kind` of the pipeline file.
    pub name: &'static str,
    /// One line for the reference page and for `--help`.
    pub summary: &'static str,
    /// Version of the implementation. Raise it when the same parameters and inputs lead to other
    /// bytes than before: all results of the older version become stale.
    pub version: u32,
    /// What it takes from other stages.
    pub inputs: &'static [InputRole],
    /// What it gives.
    pub outputs: &'static [OutputRole],
    /// The JSON Schema of its parameters.
    pub schema: fn() -> Value,
    /// Parameters as written in the file, checked and with defaults filled in.
    pub parse: fn(Map<String, Value>) -> Result<Configured, ParameterError>,
}

/// A parameter that is well-typed but wrong together with the others.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ParameterError {
    /// The parameter to point at.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

impl ParameterError {
    /// A mistake in `key`.
    pub fn new(key: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into(), help: help.into() }
    }
}

/// A stage with its parameters, ready to run.
#[derive(Debug)]
pub struct Configured {
    /// The kind it is of.
    pub kind: &'static Kind,
    /// The parameters with every default written out, for people and provenance.
    pub parameters: Value,
    /// The hash of the kind, its version and every parameter that changes the result.
    pub hash: Fingerprint,
    /// What it does.
    pub stage: Box<dyn Stage>,
}

/// What a stage does.
pub trait Stage: fmt::Debug + Send + Sync {
    /// Where its random numbers come from.
    fn randomness(&self) -> Randomness {
        Randomness::None
    }

    /// The images it looks at.
    fn data_use(&self) -> DataUse {
        DataUse::None
    }

    /// Whether the content of the input in `role` decides the result.
    fn uses_input(&self, _role: &str) -> bool {
        true
    }

    /// Checks which roles are filled against the parameters; `written` tells if a role is.
    ///
    /// # Errors
    /// A parameter that needs an input which is not there.
    fn check_inputs(&self, _written: &dyn Fn(&str) -> bool) -> Result<(), ParameterError> {
        Ok(())
    }

    /// The structure of the network that the stage gives, where it is known before anything runs: by default that of
    /// its `network`, whose numbers alone it changes. And a check of the parameters against the structures of its inputs, by
    /// role: what cannot work fails here, not after a night.
    ///
    /// # Errors
    /// A parameter that cannot work on these networks.
    fn structure(
        &self,
        inputs: &dyn Fn(&str) -> Option<NetworkSpec>,
        _data: &DataParams,
    ) -> Result<Option<NetworkSpec>, ParameterError> {
        Ok(inputs("network"))
    }

    /// What its parameters ask for and probably do not mean; see [`super::warning`]. What is known only once it has run goes into
    /// [`Output::warnings`](super::Output::warnings).
    fn warnings(&self, _outlook: &Outlook<'_>) -> Vec<Warning> {
        Vec::new()
    }

    /// Bytes of memory that it takes at its peak on the CPU, beside the program and the data set; `network` is the largest
    /// that it takes or makes. By default three copies of it: bytes that are read, values, bytes that are written.
    fn memory(&self, network: &NetworkSpec, _data: &DataParams) -> u64 {
        3 * 4 * network.parameters()
    }

    /// How many images it passes through its network over all epochs, which decides how long it takes; `None` where its time
    /// does not depend on images. `share` is the share of the unpruned network's FLOPs that its network takes.
    fn images(&self, _share: f64, _data: &DataParams) -> Option<f64> {
        None
    }

    /// Runs the stage. The same job gives the same bytes, on the CPU with any number of threads.
    ///
    /// # Errors
    /// What went wrong, in words for the user.
    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError>;
}

/// Parameters of a kind: what [`parse`] needs to know of them.
pub trait Parameters: Stage + Serialize + DeserializeOwned + ContentHash + 'static {
    /// The kind they are of.
    const KIND: &'static Kind;

    /// Checks what the types cannot: fields that contradict each other.
    ///
    /// # Errors
    /// The parameter to mend.
    fn check(&self) -> Result<(), ParameterError> {
        Ok(())
    }
}

/// The `parse` of a [`Kind`], for parameters `P`.
///
/// # Errors
/// Parameters that do not fit the types (the pipeline room reports those first, with their
/// place in the file) or contradict each other.
pub fn parse<P: Parameters>(written: Map<String, Value>) -> Result<Configured, ParameterError> {
    let unfit = |error: serde_json::Error| {
        ParameterError::new("", error.to_string(), "`runner schema` prints what is allowed")
    };
    let stage: P = serde_json::from_value(Value::Object(written)).map_err(unfit)?;
    stage.check()?;
    let parameters = serde_json::to_value(&stage).map_err(unfit)?;
    let mut encoder = Encoder::new("parameters");
    P::KIND.name.content_hash(&mut encoder);
    P::KIND.version.content_hash(&mut encoder);
    stage.content_hash(&mut encoder);
    Ok(Configured { kind: P::KIND, parameters, hash: encoder.finish(), stage: Box::new(stage) })
}

/// The `schema` of a [`Kind`], for parameters `P`.
pub fn schema<P: schemars::JsonSchema>() -> Value {
    schemars::schema_for!(P).to_value()
}
