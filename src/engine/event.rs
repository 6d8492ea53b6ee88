//! The one stream of events of a run.
//!
//! `--json` writes each event as one line of JSON with its time; the types here document the
//! fields. Stage logs keep the same lines.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stages::Warning;
use crate::state::RunState;
use crate::train::{EpochRecord, Measured, Progress};

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
        /// CPU threads, over all jobs.
        threads: usize,
        /// How many stages run side by side.
        jobs: usize,
        /// The swept keys.
        axes: Vec<String>,
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
    /// A stage's result came from the shared cache.
    StageDownloaded {
        /// Its name.
        stage: String,
        /// The identity of the work.
        fingerprint: String,
        /// Objects that came; those that were here already did not.
        objects: usize,
        /// Their sizes together.
        bytes: u64,
        /// How long it took to come.
        seconds: f64,
        /// What running it took when it ran.
        seconds_saved: f64,
    },
    /// A stage's result was given to the shared cache.
    StageUploaded {
        /// Its name.
        stage: String,
        /// The identity of the work.
        fingerprint: String,
        /// Objects that were sent; those that were there already were not.
        objects: usize,
        /// Their sizes together.
        bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// All stages have ended, and results are still being sent to the shared cache. Told again and again.
    UploadsWaiting {
        /// How many.
        left: usize,
        /// Where to.
        remote: String,
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
        /// What was measured beside them; logs of earlier versions have it not.
        #[serde(flatten)]
        measured: Option<Measured>,
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
    /// A stage that failed is tried again.
    StageRetried {
        /// Its name.
        stage: String,
        /// Which try failed, from 1.
        attempt: u32,
        /// How many more there may be.
        left: u32,
        /// How long it waits before.
        pause: f64,
    },
    /// A stage cannot run, as one that it needs has failed.
    StageSkipped {
        /// Its name.
        stage: String,
        /// Why, in words.
        reason: String,
    },
    /// Every stage of a point of a sweep has ended.
    PointFinished {
        /// `done` or `failed`.
        status: RunState,
        /// Points that have ended, this one included.
        ended: usize,
        /// All points.
        points: usize,
    },
    /// A stage stopped because it was asked to; its state is saved.
    StageInterrupted {
        /// Its name.
        stage: String,
    },
    /// A stage does what it was asked for, and that is probably not what is meant.
    StageWarned {
        /// Its name.
        stage: String,
        /// The warning in words.
        message: String,
        /// The warning with its numbers.
        #[serde(flatten)]
        warning: Warning,
    },
    /// Something is amiss, and the run goes on.
    Warning {
        /// What.
        message: String,
    },
    /// The end.
    RunFinished {
        /// `done`, `failed` or `interrupted`.
        status: RunState,
        /// Stages that ran.
        ran: usize,
        /// Stages whose results were in the cache.
        cached: usize,
        /// Stages whose results came from the shared cache.
        #[serde(default)]
        downloaded: usize,
        /// Stages whose results were given to the shared cache.
        #[serde(default)]
        uploaded: usize,
        /// Stages that failed.
        failed: usize,
        /// Stages that were skipped, as one that they need has failed.
        skipped: usize,
        /// Wall time.
        seconds: f64,
    },
}

impl Event {
    /// The stage that the event is about.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::StageCached { stage, .. }
            | Self::StageDownloaded { stage, .. }
            | Self::StageUploaded { stage, .. }
            | Self::StageWaiting { stage, .. }
            | Self::StageStarted { stage, .. }
            | Self::StageResumed { stage, .. }
            | Self::Progress { stage, .. }
            | Self::EpochFinished { stage, .. }
            | Self::CheckpointSaved { stage }
            | Self::StageFinished { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageRetried { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StageWarned { stage, .. }
            | Self::StageInterrupted { stage } => Some(stage),
            Self::RunStarted { .. }
            | Self::PointFinished { .. }
            | Self::UploadsWaiting { .. }
            | Self::Warning { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// An event with its time: a line of `--json` and of a stage's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stamped {
    /// When it happened.
    pub time: Timestamp,
    /// The point of a sweep that it is about: what is common to all points that share the stage. Empty without a sweep,
    /// and where all points share the stage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub point: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Stamped {
    /// Stamps an event with the present time.
    pub fn now(event: Event) -> Self {
        Self::of("", event)
    }

    /// Stamps an event about a point with the present time.
    pub fn of(point: &str, event: Event) -> Self {
        Self { time: Timestamp::now(), point: point.to_owned(), event }
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
