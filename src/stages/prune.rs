//! `prune`: the slim network, with real, smaller tensors and no masks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{Kind, ParameterError, Parameters, Randomness, Stage, parse, schema};
use super::parameters::structure;
use crate::content_hash;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::pipeline::{InputRole, OutputRole};
use crate::prune::{slim_fresh, slim_inherit};

/// The kind.
pub static KIND: Kind = Kind {
    name: "prune",
    summary: "build the slim network from the channels that are kept",
    version: 2,
    inputs: &[
        InputRole {
            role: "channels",
            artifact: "channels",
            many: false,
            required: true,
            doc: "the channels to keep",
        },
        InputRole {
            role: "network",
            artifact: "network",
            many: false,
            required: false,
            doc: "the network whose weights are inherited; needed with `weights = \"inherit\"` only",
        },
    ],
    outputs: &[OutputRole { name: "network", artifact: "network", doc: "the slim network" }],
    schema: schema::<Prune>,
    parse: parse::<Prune>,
};

/// Where the slim network's weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// New random weights, the point of "Pruning from Scratch".
    Fresh,
    /// The kept slices of the input network, its gates folded into batch norm.
    Inherit,
}

content_hash!(enum Weights { Fresh => "fresh", Inherit => "inherit" });

/// Parameters of `prune`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prune {
    /// Where the slim network's weights come from.
    pub weights: Weights,
    /// A seed of its own for fresh weights; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Prune { weights } skip { seed });

impl Default for Prune {
    fn default() -> Self {
        Self { weights: Weights::Fresh, seed: None }
    }
}

impl Parameters for Prune {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Prune {
    fn randomness(&self) -> Randomness {
        match self.weights {
            Weights::Inherit => Randomness::None,
            Weights::Fresh => Randomness::seeded(self.seed),
        }
    }

    /// With fresh weights the network's content does not matter, so that two gate-trainings
    /// that lead to the same channels share everything below.
    fn uses_input(&self, role: &str) -> bool {
        role == "channels" || self.weights == Weights::Inherit
    }

    fn check_inputs(&self, written: &dyn Fn(&str) -> bool) -> Result<(), ParameterError> {
        if self.weights == Weights::Inherit && !written("network") {
            return Err(ParameterError::new(
                "weights",
                "weights are to be inherited, but no network is given to inherit from",
                "add `inputs.network = \"...\"`, naming the stage whose weights the slim network takes",
            ));
        }
        Ok(())
    }

    /// Which channels are kept is not known before the search has run.
    fn structure(
        &self,
        _inputs: &dyn Fn(&str) -> Option<NetworkSpec>,
        _data: &DataParams,
    ) -> Result<Option<NetworkSpec>, ParameterError> {
        Ok(None)
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let channels = job.inputs.channels("channels")?;
        let slim = match self.weights {
            Weights::Fresh => slim_fresh(&channels, job.seed)?,
            Weights::Inherit => slim_inherit(&job.inputs.network("network")?, &channels)?,
        };
        let metrics = structure(&slim.spec);
        Ok(Outcome::Done(Output::new("network", slim.to_safetensors()?, metrics)))
    }
}
