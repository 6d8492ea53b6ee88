//! The one stream of events of a run.
//!
//! `--json` writes each event as one line of JSON with its time; the types here document the
//! fields. Stage logs keep the same lines.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::train::{EpochRecord, Progress};

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is made and execution begins.
    RunStarted {
        /// The pipeline's name.
        pipeline: String,
        /// Points of the sweep; 1 without a sweep.
        points: usize,
        /// Different pieces of work.
        stages: usize,
        /// How many of them must run.
        to_run: usize,
        /// `cpu`, `cuda:0`.
        device: String,
        /// CPU threads.
        threads: usize,
    },
    /// A stage's result was in the cache.
    StageCached {
        /// Its name.
        stage: String,
        /// The identity of the work.
        fingerprint: String,
        /// What running it took when it ran.
        seconds_saved: f64,
    },
    /// Another runner works on the same stage; we wait for it. Told again when yet another takes over.
    StageWaiting {
        /// Its name.
        stage: String,
        /// Who holds it.
        holder: String,
    },
    /// A stage begins.
    StageStarted {
        /// Its name.
        stage: String,
        /// Its kind.
        kind: String,
        /// The identity of the work.
        fingerprint: String,
        /// Why it runs, in words.
        reasons: Vec<String>,
        /// Whether it goes on from a saved state.
        resumed: bool,
    },
    /// A stage goes on from its saved state; `step` is the last step done.
    StageResumed {
        /// The stage.
        stage: String,
        /// Where it is.
        #[serde(flatten)]
        progress: Progress,
    },
    /// A training step, not more than a few times a second.
    Progress {
        /// The stage.
        stage: String,
        /// Where it is.
        #[serde(flatten)]
        progress: Progress,
    },
    /// An epoch is done.
    EpochFinished {
        /// The stage.
        stage: String,
        /// Its figures.
        #[serde(flatten)]
        record: EpochRecord,
    },
    /// A state to go on from was saved.
    CheckpointSaved {
        /// The stage.
        stage: String,
    },
    /// A stage's results are in the cache.
    StageFinished {
        /// Its name.
        stage: String,
        /// The identity of the work.
        fingerprint: String,
        /// Wall time of this run of it, without those that were interrupted.
        seconds: f64,
        /// Objects by output name.
        outputs: BTreeMap<String, String>,
        /// The stage's figures.
        metrics: Value,
    },
    /// A stage could not do its work.
    StageFailed {
        /// Its name.
        stage: String,
        /// Why.
        message: String,
    },
    /// A stage stopped because it was asked to; its state is saved.
    StageInterrupted {
        /// Its name.
        stage: String,
    },
    /// Something is amiss, and the run goes on.
    Warning {
        /// What.
        message: String,
    },
    /// The end.
    RunFinished {
        /// `done`, `failed` or `interrupted`.
        status: String,
        /// Stages that ran.
        ran: usize,
        /// Stages whose results were in the cache.
        cached: usize,
        /// Wall time.
        seconds: f64,
    },
}

impl Event {
    /// The stage that the event is about.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::StageCached { stage, .. }
            | Self::StageWaiting { stage, .. }
            | Self::StageStarted { stage, .. }
            | Self::StageResumed { stage, .. }
            | Self::Progress { stage, .. }
            | Self::EpochFinished { stage, .. }
            | Self::CheckpointSaved { stage }
            | Self::StageFinished { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageInterrupted { stage } => Some(stage),
            Self::RunStarted { .. } | Self::Warning { .. } | Self::RunFinished { .. } => None,
        }
    }
}

/// An event with its time: a line of `--json` and of a stage's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stamped {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Stamped {
    /// Stamps an event with the present time.
    pub fn now(event: Event) -> Self {
        Self { time: Timestamp::now(), event }
    }

    /// The event as one line of JSON, without the line's end.
    pub fn line(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| format!("{{\"event\":\"warning\",\"message\":\"{error}\"}}"))
    }
}

/// Takes events: a terminal, a JSON stream, a test.
pub trait Reporter {
    /// Takes one event.
    fn report(&mut self, event: &Stamped);
}
