//! `random`: random scores, the null hypothesis of every pruning rule.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, StageError};
use super::kind::{Kind, Parameters, Randomness, Stage, parse, schema};
use super::scores::{OUTPUT, network, outcome};
use crate::content_hash;
use crate::prune::random;

/// The kind.
pub static KIND: Kind = Kind {
    name: "random",
    summary: "score channels at random",
    version: 1,
    inputs: &[network("the network whose channels are scored")],
    outputs: &[OUTPUT],
    schema: schema::<Random>,
    parse: parse::<Random>,
};

/// Parameters of `random`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Random {
    /// A seed of its own; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Random {} skip { seed });

impl Parameters for Random {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Random {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        outcome(&random(&job.inputs.network("network")?.spec, job.seed)?)
    }
}
