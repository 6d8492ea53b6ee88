//! `shuffled`: the learned gates without their places: what is left if only the gates' distribution mattered.
//! Every order of the channels is equally likely, equal gates included.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, StageError};
use super::kind::{Kind, Parameters, Randomness, Stage, parse, schema};
use super::scores::{OUTPUT, network, outcome};
use crate::content_hash;
use crate::prune::shuffled;

/// The kind.
pub static KIND: Kind = Kind {
    name: "shuffled",
    summary: "deal the learned gates out anew over all layers",
    version: 2,
    inputs: &[network("the network with the trained gates")],
    outputs: &[OUTPUT],
    schema: schema::<Shuffled>,
    parse: parse::<Shuffled>,
};

/// Parameters of `shuffled`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shuffled {
    /// A seed of its own; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Shuffled {} skip { seed });

impl Parameters for Shuffled {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Shuffled {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        outcome(&shuffled(&job.inputs.network("network")?, job.seed)?)
    }
}
