//! `l1`: filter norms (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, StageError};
use super::kind::{Kind, Parameters, Stage, parse, schema};
use super::scores::{OUTPUT, network, outcome};
use crate::content_hash;
use crate::prune::{Norms, l1};

/// The kind.
pub static KIND: Kind = Kind {
    name: "l1",
    summary: "score channels by the L1 norms of their filters",
    version: 1,
    inputs: &[network("the network whose filters are measured: random from `init`, or trained")],
    outputs: &[OUTPUT],
    schema: schema::<L1>,
    parse: parse::<L1>,
};

/// Parameters of `l1`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct L1 {
    /// How the norms of different layers are made comparable.
    pub norms: Norms,
}

content_hash!(L1 { norms });

content_hash!(enum Norms { LayerMean => "layer-mean", Raw => "raw" });

impl Default for L1 {
    fn default() -> Self {
        Self { norms: Norms::LayerMean }
    }
}

impl Parameters for L1 {
    const KIND: &'static Kind = &KIND;
}

impl Stage for L1 {
    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        outcome(&l1(&job.inputs.network("network")?, self.norms)?)
    }
}
