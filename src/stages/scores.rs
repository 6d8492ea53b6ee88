//! What the kinds that score channels have in common: one input, one output.

use serde_json::json;

use super::job::{Outcome, Output, StageError};
use crate::pipeline::{InputRole, OutputRole};
use crate::prune::Scores;

/// The output of every kind that scores channels.
pub const OUTPUT: OutputRole = OutputRole {
    name: "scores",
    artifact: "scores",
    doc: "a score for every channel; the lowest are removed first",
};

/// Their one input, which every kind explains in its own words.
pub const fn network(doc: &'static str) -> InputRole {
    InputRole { role: "network", artifact: "network", many: false, required: true, doc }
}

/// The mean score of every layer.
pub fn mean_scores(scores: &Scores) -> Vec<f64> {
    let mean =
        |layer: &Vec<f32>| layer.iter().map(|v| f64::from(*v)).sum::<f64>() / layer.len().max(1) as f64;
    scores.values().iter().map(mean).collect()
}

/// Scores as a stage's result.
///
/// # Errors
/// None for scores that were checked.
pub fn outcome(scores: &Scores) -> Result<Outcome, StageError> {
    let metrics = json!({ "channels": scores.spec().channels, "mean_scores": mean_scores(scores) });
    Ok(Outcome::Done(Output::new(OUTPUT.name, scores.to_safetensors()?, metrics)))
}
