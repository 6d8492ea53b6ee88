//! `gates`: the learned gates as scores, so that they stand beside the other rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, StageError};
use super::kind::{Kind, Parameters, Stage, parse, schema};
use super::scores::{OUTPUT, network, outcome};
use crate::content_hash;
use crate::prune::{Scores, importance};

/// The kind.
pub static KIND: Kind = Kind {
    name: "gates",
    summary: "score channels by the network's own gates, or by the magnitudes of batch norm's scales where it has none",
    version: 1,
    inputs: &[network("the network whose gates were trained, or any network whose scales are taken")],
    outputs: &[OUTPUT],
    schema: schema::<Gates>,
    parse: parse::<Gates>,
};

/// Parameters of `gates`: none.
///
/// A search that takes these scores finds what a search that takes the network finds. As scores, the learned gates
/// can be one value of a sweep over rules.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {}

content_hash!(Gates {});

impl Parameters for Gates {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Gates {
    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let network = job.inputs.network("network")?;
        let scores = importance(&network);
        outcome(&Scores::new(network.spec, scores)?)
    }
}
