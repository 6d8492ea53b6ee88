//! `threshold-search`: one order of all channels, of which the best are kept that fit a FLOPs budget.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{Kind, ParameterError, Parameters, Stage, parse, schema};
use crate::content_hash;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::pipeline::{InputRole, OutputRole};
use crate::prune::{Channels, Scores, SearchInput, Ties, importance, reachable, threshold_search};

/// The kind.
pub static KIND: Kind = Kind {
    name: "threshold-search",
    summary: "choose the channels to keep: the best of all layers, as many as a FLOPs budget allows",
    version: 3,
    inputs: &[
        InputRole {
            role: "network",
            artifact: "network",
            many: false,
            required: false,
            doc: "the network whose gates were trained; this or `scores`",
        },
        InputRole {
            role: "scores",
            artifact: "scores",
            many: false,
            required: false,
            doc: "scores of another rule, instead of gates",
        },
    ],
    outputs: &[OutputRole {
        name: "channels",
        artifact: "channels",
        doc: "the channels kept in every layer",
    }],
    schema: schema::<ThresholdSearch>,
    parse: parse::<ThresholdSearch>,
};

/// Parameters of `threshold-search`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThresholdSearch {
    /// The share of the plain network's FLOPs (multiply-accumulates of convolutions and linear layers) that the slim
    /// network may have: the share that is kept.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub flops_ratio: f64,
    /// How far below `flops_ratio` the achieved ratio may lie; more is an error. By default no distance is.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: Option<f64>,
    /// Channels that survive in every layer, however small their gates.
    #[schemars(range(min = 1, max = 65536))]
    pub min_channels: usize,
    /// Keeps a multiple of this many channels in every layer (8, say, for hardware that likes it), or all of them.
    #[schemars(range(min = 1, max = 1024))]
    pub round_to: usize,
    /// Which of the channels of equal score are removed first.
    pub ties: Ties,
}

content_hash!(ThresholdSearch { flops_ratio, tolerance, min_channels, round_to, ties });

impl Default for ThresholdSearch {
    fn default() -> Self {
        Self { flops_ratio: 0.5, tolerance: None, min_channels: 1, round_to: 1, ties: Ties::Spread }
    }
}

impl Parameters for ThresholdSearch {
    const KIND: &'static Kind = &KIND;
}

impl Stage for ThresholdSearch {
    fn check_inputs(&self, written: &dyn Fn(&str) -> bool) -> Result<(), ParameterError> {
        let found = match (written("network"), written("scores")) {
            (true, false) | (false, true) => return Ok(()),
            (true, true) => "both are given",
            (false, false) => "neither is given",
        };
        Err(ParameterError::new(
            "inputs",
            format!("a search needs the gates of a `network` or `scores`, and {found}"),
            "write `inputs.network = \"...\"` or `inputs.scores = \"...\"`",
        ))
    }

    fn structure(
        &self,
        inputs: &dyn Fn(&str) -> Option<NetworkSpec>,
        _data: &DataParams,
    ) -> Result<Option<NetworkSpec>, ParameterError> {
        let Some(spec) = inputs("network").or_else(|| inputs("scores")) else { return Ok(None) };
        let range = reachable(&spec, self.min_channels, self.round_to);
        let (lowest, highest) = range.map_err(|error| ParameterError::new("", error.to_string(), ""))?;
        if self.flops_ratio < lowest {
            return Err(ParameterError::new(
                "flops_ratio",
                format!(
                    "no network keeps {} of the FLOPs or less: the reachable range is {lowest:.4} to {highest:.4}",
                    self.flops_ratio
                ),
                "raise `flops_ratio`, or lower `min_channels` or `round_to`",
            ));
        }
        Ok(None)
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let scores = if job.inputs.has("scores") {
            job.inputs.scores("scores")?
        } else {
            let network = job.inputs.network("network")?;
            let importance = importance(&network);
            Scores::new(network.spec, importance)?
        };
        let found = threshold_search(&SearchInput {
            spec: scores.spec(),
            importance: scores.values(),
            flops_ratio: self.flops_ratio,
            tolerance: self.tolerance,
            min_channels: self.min_channels,
            round_to: self.round_to,
            ties: self.ties,
        })?;
        let kept: Vec<usize> = found.kept.iter().map(Vec::len).collect();
        let metrics = json!({
            "threshold": found.threshold,
            "wanted_ratio": self.flops_ratio,
            "achieved_ratio": found.achieved_ratio,
            "macs_full": found.macs_full.0,
            "macs_plain": found.macs_plain.0,
            "macs_pruned": found.macs_pruned.0,
            "parameters_full": found.params_full,
            "parameters_pruned": found.params_pruned,
            "channels_full": scores.spec().channels,
            "channels": kept,
            "filled": found.filled.iter().sum::<usize>(),
            "tied": found.tied.iter().sum::<usize>(),
            "tied_kept": found.tied_kept.iter().sum::<usize>(),
            "channels_filled": found.filled,
            "channels_tied": found.tied,
            "channels_tied_kept": found.tied_kept,
        });
        let channels = Channels::new(scores.spec().clone(), found.kept)?;
        Ok(Outcome::Done(Output::new("channels", channels.to_safetensors()?, metrics)))
    }
}
