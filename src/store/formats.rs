//! The stored formats, all in one place. A change of meaning raises [`FORMAT`].
//!
//! JSON files begin with their format and their seal, which [`super::sealed`] writes and checks; the types here are
//! what follows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ObjectHash;
use crate::fingerprint::Fingerprint;

/// The version of the formats below. A record of another version is refused, never guessed at.
pub const FORMAT: u32 = 2;

/// One output of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputEntry {
    /// The object that holds it.
    pub object: ObjectHash,
    /// Its size.
    pub bytes: u64,
    /// What it is: `network`, `channels`.
    pub artifact: String,
}

/// What a piece of work gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The identity of the work.
    pub fingerprint: Fingerprint,
    /// The stage's kind.
    pub kind: String,
    /// The version of the kind's implementation.
    pub version: u32,
    /// Outputs by name.
    pub outputs: BTreeMap<String, OutputEntry>,
    /// Figures for people and reports.
    pub metrics: Value,
    /// Where it came from.
    pub provenance: Provenance,
}

/// Where a result came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of runner.
    pub runner_version: String,
    /// Its commit, where the build knew it.
    pub runner_commit: Option<String>,
    /// The stage's name at the time.
    pub stage: String,
    /// The pipeline's name at the time.
    pub pipeline: String,
    /// Parameters, defaults written out.
    pub parameters: Value,
    /// Objects by role.
    pub inputs: BTreeMap<String, ObjectHash>,
    /// The identity of the images.
    pub data: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// CPU threads.
    pub threads: usize,
    /// The CPU's instruction set that was used: `avx512`, `avx2`, `neon`, `plain`. Results do not depend on
    /// it. None on a GPU and in records from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction_set: Option<String>,
    /// The machine.
    pub host: String,
    /// Start of the first run that took part.
    pub started: Timestamp,
    /// End of the run that finished it.
    pub finished: Timestamp,
    /// Wall time of all runs that took part; of those that were interrupted, up to the last state they saved.
    pub seconds: f64,
    /// How many runs took part: 1, and one more for each interruption.
    pub sessions: u32,
}

impl Provenance {
    /// The device, with the CPU's instruction set where it is known: `cpu (avx2)`.
    pub fn device_in_words(&self) -> String {
        match &self.instruction_set {
            Some(name) => format!("{} ({name})", self.device),
            None => self.device.clone(),
        }
    }
}

/// Something that is kept, with all that led to it, until it is unpinned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// The identity of the work.
    pub fingerprint: Fingerprint,
    /// Since when.
    pub pinned: Timestamp,
}

/// What a run used. A run of the same pipeline that uses the same takes its place, so there are as many as there are
/// different runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunNote {
    /// The identity of the pipeline file, as in `last/`.
    pub pipeline: String,
    /// The pipeline's name.
    pub name: String,
    /// When the run ended.
    pub finished: Timestamp,
    /// The work whose results it made or found, sorted.
    pub work: Vec<Fingerprint>,
}

/// What a named stage last was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    /// The identity of the work.
    pub fingerprint: Fingerprint,
    /// The stage's kind.
    pub kind: String,
    /// The version of the kind's implementation.
    pub version: u32,
    /// Parameters, defaults written out.
    pub parameters: Value,
    /// The seed.
    pub seed: Option<u64>,
    /// The identity of the images.
    pub data: Option<String>,
    /// What was done with the images, defaults written out.
    #[serde(default)]
    pub images: Value,
    /// Objects by role.
    pub inputs: BTreeMap<String, Vec<ObjectHash>>,
}
