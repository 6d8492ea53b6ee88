//! Where a result came from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ops::Vectors;
use crate::plan::{Assessment, Node};
use crate::store::{History, Provenance};

/// What all stages of a run have in common.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The pipeline's name.
    pub pipeline: String,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// CPU threads.
    pub threads: usize,
    /// The CPU's instruction set; `None` on a GPU.
    pub instruction_set: Option<String>,
    /// This machine's name.
    pub host: String,
}

impl Origin {
    /// The origin of results made on this machine.
    pub fn here(pipeline: &str, device: String, threads: usize) -> Self {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let vectors = if device == "cpu" { Vectors::chosen().ok() } else { None };
        let instruction_set = vectors.map(|vectors| vectors.name().to_owned());
        Self { pipeline: pipeline.to_owned(), device, threads, instruction_set, host }
    }

    /// The provenance of a result.
    pub fn provenance(&self, node: &Node, assessment: &Assessment, work: &History) -> Provenance {
        let inputs = assessment.inputs.iter().flat_map(|(role, artifacts)| {
            let single = artifacts.len() == 1;
            artifacts.iter().map(move |(output, object)| {
                let key = if single { role.clone() } else { format!("{role}.{output}") };
                (key, *object)
            })
        });
        Provenance {
            runner_version: env!("CARGO_PKG_VERSION").to_owned(),
            runner_commit: option_env!("RUNNER_COMMIT").map(str::to_owned),
            stage: node.name.clone(),
            pipeline: self.pipeline.clone(),
            parameters: node.stage.parameters.clone(),
            inputs: inputs.collect::<BTreeMap<_, _>>(),
            data: assessment.data.map(|data| data.to_string()),
            seed: node.seed,
            device: self.device.clone(),
            threads: self.threads,
            instruction_set: self.instruction_set.clone(),
            host: self.host.clone(),
            started: work.started,
            finished: Timestamp::now(),
            seconds: work.seconds,
            sessions: work.sessions,
        }
    }
}
