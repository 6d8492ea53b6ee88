//! `uniform`: width scaling, the plainest structure to compare learned gates with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, StageError};
use super::kind::{Kind, ParameterError, Parameters, Stage, parse, schema};
use super::scores::{OUTPUT, outcome};
use crate::content_hash;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::pipeline::InputRole;
use crate::prune::uniform;

/// The kind.
pub static KIND: Kind = Kind {
    name: "uniform",
    summary: "score channels such that the search scales every width alike",
    version: 1,
    inputs: &[InputRole {
        role: "network",
        artifact: "network",
        many: false,
        required: true,
        doc: "the network whose widths are scaled",
    }],
    outputs: &[OUTPUT],
    schema: schema::<Uniform>,
    parse: parse::<Uniform>,
};

/// Parameters of `uniform`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Uniform {}

content_hash!(Uniform {});

impl Parameters for Uniform {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Uniform {
    fn structure(
        &self,
        inputs: &dyn Fn(&str) -> Option<NetworkSpec>,
        _data: &DataParams,
    ) -> Result<Option<NetworkSpec>, ParameterError> {
        Ok(inputs("network"))
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        outcome(&uniform(&job.inputs.network("network")?.spec)?)
    }
}
