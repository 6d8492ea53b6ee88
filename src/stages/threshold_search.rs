//! `threshold-search`: one order of all channels, of which the best are kept that fit a FLOPs budget.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{Kind, ParameterError, Parameters, Stage, parse, schema};
use super::warning::Warning;
use crate::content_hash;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::pipeline::{InputRole, OutputRole};
use crate::prune::{
    Channels, Scores, SearchInput, SearchResult, Ties, importance, reachable, threshold_search,
};

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
    /// How far below `flops_ratio` the achieved ratio may lie; more is an error. By default any distance is allowed.
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
        let kept_in_all: usize = kept.iter().sum();
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
        let all: usize = scores.spec().channels.iter().sum();
        // Where nothing is removed, no score decides.
        let warning = (kept_in_all < all)
            .then(|| equal_scores(scores.values()).or_else(|| tied(&found, all, self.ties)))
            .flatten();
        let channels = Channels::new(scores.spec().clone(), found.kept)?;
        let output = Output::new("channels", channels.to_safetensors()?, metrics);
        Ok(Outcome::Done(output.warned(warning.into_iter().collect())))
    }
}

/// The warning that scores say nothing, where they are all the same.
fn equal_scores(scores: &[Vec<f32>]) -> Option<Warning> {
    let mut all = scores.iter().flatten().copied();
    let first = all.next()?;
    let channels = scores.iter().map(Vec::len).sum::<usize>() as u64;
    all.all(|score| score == first).then(|| Warning::EqualScores { channels, score: f64::from(first) })
}

/// The warning that more than a tenth of what is kept was decided by ties.
fn tied(found: &SearchResult, channels: usize, ties: Ties) -> Option<Warning> {
    let sum = |counts: &[usize]| counts.iter().sum::<usize>();
    let kept = found.kept.iter().map(Vec::len).sum::<usize>();
    let (tied, decided) = (sum(&found.tied), sum(&found.tied_kept));
    (10 * decided > kept).then_some(Warning::Ties { decided, kept, tied, channels, ties })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Arch;

    #[test]
    fn a_structure_that_ties_decided_by_more_than_a_tenth_is_noticed() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 8, 1.0, [1, 16, 16], 10).unwrap();
        // The lowest scores of each layer are 0, the others all differ.
        let found = |zeros: f64, ties| {
            let mut next = 0.0;
            let score = |channel: usize, all: usize| {
                next += 0.001;
                if (channel as f64) < zeros * all as f64 { 0.0 } else { next }
            };
            let mut score = score;
            let importance: Vec<Vec<f32>> = spec
                .channels
                .iter()
                .map(|all| (0..*all).map(|channel| score(channel, *all)).collect())
                .collect();
            let (tolerance, min_channels, round_to) = (None, 1, 1);
            let search = SearchInput {
                spec: &spec,
                importance: &importance,
                flops_ratio: 0.5,
                tolerance,
                min_channels,
                round_to,
                ties,
            };
            let found = threshold_search(&search).unwrap();
            tied(&found, 344, ties).map(|warning| warning.to_string())
        };
        for (ties, name) in [(Ties::Spread, "spread"), (Ties::Order, "order")] {
            let words = found(0.57, ties).unwrap();
            assert!(
                words.contains(&format!("`ties = \"{name}\"`")) && words.contains("of all 344"),
                "{words}"
            );
            assert_eq!(found(0.0, ties), None);
        }
    }

    #[test]
    fn scores_that_are_all_the_same_are_noticed() {
        let equal = equal_scores(&[vec![0.5; 3], vec![0.5; 2]]);
        assert_eq!(equal, Some(Warning::EqualScores { channels: 5, score: 0.5 }));
        assert_eq!(equal_scores(&[vec![0.5, 0.25], vec![0.5]]), None);
        assert_eq!(equal_scores(&[]), None);
    }
}
