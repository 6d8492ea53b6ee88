//! `uniform`: width scaling, the plainest structure to compare learned gates with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, StageError};
use super::kind::{Kind, Parameters, Stage, parse, schema};
use super::scores::{OUTPUT, network, outcome};
use crate::content_hash;
use crate::prune::uniform;

/// The kind.
pub static KIND: Kind = Kind {
    name: "uniform",
    summary: "score channels such that the search scales every width alike",
    version: 1,
    inputs: &[network("the network whose widths are scaled")],
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
    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        outcome(&uniform(&job.inputs.network("network")?.spec)?)
    }
}
