//! The states of a stage and of a run, with one word for each, wherever it is shown or stored.
//!
//! Plans, events, logs, manifests, `status`, `watch`, `report`, `compare` and `repeat` all use these two
//! enums, and match them without a wildcard. A new state does not compile until every reader of states
//! handles it. Details of a state (who works on a stage, why it failed) are fields beside the enum, in the
//! type of its reader.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a stage, in a plan, during a run or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageState {
    /// It has no result, and nobody works on it: it waits for its inputs or its turn, or the run ended
    /// before.
    Open,
    /// It must run, and has never run.
    NeverRun,
    /// It must run, and has run before with other parameters or inputs.
    Stale,
    /// It was not selected.
    Left,
    /// A runner works on it.
    Running,
    /// It was interrupted, and its state is saved.
    Interrupted,
    /// The run computed its result.
    Ran,
    /// Its result was in the cache.
    Cached,
    /// Its result came from the shared cache.
    Downloaded,
    /// It failed.
    Failed,
    /// It could not run because a stage that it depends on failed.
    Skipped,
}

impl StageState {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::NeverRun,
        Self::Stale,
        Self::Left,
        Self::Running,
        Self::Interrupted,
        Self::Ran,
        Self::Cached,
        Self::Downloaded,
        Self::Failed,
        Self::Skipped,
    ];

    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NeverRun => "never-run",
            Self::Stale => "stale",
            Self::Left => "left",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Downloaded => "downloaded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the cache has its result.
    pub fn has_result(self) -> bool {
        match self {
            Self::Ran | Self::Cached | Self::Downloaded => true,
            Self::Open
            | Self::NeverRun
            | Self::Stale
            | Self::Left
            | Self::Running
            | Self::Interrupted
            | Self::Failed
            | Self::Skipped => false,
        }
    }
}

impl fmt::Display for StageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The state of a run, or of one point of its sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It is running. The manifest of a killed run has this state as well.
    Running,
    /// Every stage that was asked for has its result.
    Done,
    /// A stage failed, or the run as a whole.
    Failed,
    /// It was asked to stop, and saved its state.
    Interrupted,
    /// It stopped without writing its end. Never stored: readers distinguish it from [`Self::Running`] by the
    /// run's lock.
    Killed,
}

impl RunState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Done, Self::Failed, Self::Interrupted, Self::Killed];

    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Killed => "killed",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_is_stored_is_the_one_that_is_shown_and_reads_back() {
        for state in StageState::ALL {
            let stored = serde_json::to_string(&state).unwrap();
            assert_eq!(stored, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<StageState>(&stored).unwrap(), state);
        }
        for state in RunState::ALL {
            let stored = serde_json::to_string(&state).unwrap();
            assert_eq!(stored, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<RunState>(&stored).unwrap(), state);
        }
    }

    #[test]
    fn the_words_of_earlier_manifests_and_logs_still_read() {
        for word in ["open", "ran", "cached", "downloaded", "failed", "skipped"] {
            serde_json::from_str::<StageState>(&format!("\"{word}\"")).unwrap();
        }
        for word in ["running", "done", "failed", "interrupted"] {
            serde_json::from_str::<RunState>(&format!("\"{word}\"")).unwrap();
        }
    }
}
