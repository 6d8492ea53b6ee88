//! Runs: what a command asked for and what it came to, enough to repeat and to cite it.
//!
//! A file for each run that did some work, `manifests/<id>.json`. It is written when the run begins and again when it ends,
//! so a run that was killed has one as well. Nothing is computed from it: it may be lost or deleted.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::durable::{self, Care};
use super::sealed;
use super::{Store, StoreError};
use crate::fingerprint::Fingerprint;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// `running`, `done`, `failed` or `interrupted`; a run that was killed stays `running`.
    pub status: String,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// The folder it was given in.
    pub folder: String,
    /// The machine.
    pub host: String,
    /// Version of runner.
    pub runner_version: String,
    /// Its commit, where the build knew it.
    pub runner_commit: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file as it was.
    pub file: String,
    /// The points by name; one without a name if nothing was swept.
    pub points: Vec<String>,
    /// All work of all points.
    pub stages: Vec<RunStage>,
}

/// A piece of work of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStage {
    /// The stage.
    pub stage: String,
    /// The points that it belongs to, as places in the list of points.
    pub points: Vec<usize>,
    /// The identity of its result, if it has one.
    pub fingerprint: Option<Fingerprint>,
    /// `open` until the run ends, then `ran`, `cached`, `failed`, `skipped` or still `open`.
    pub state: String,
}

impl Store {
    /// Keeps a run under its id, in place of what was kept before.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_run(&self, id: &str, run: &RunRecord) -> Result<(), StoreError> {
        self.write_sealed(&self.manifests().join(format!("{id}.json")), run, Care::Hint)
    }

    /// All runs with their ids, the oldest first. A file that cannot be understood is passed over.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn runs(&self) -> Result<Vec<(String, RunRecord)>, StoreError> {
        let folder = self.manifests();
        let mut found = Vec::new();
        let files = match durable::list(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(StoreError::io("read the folder", &folder)(error)),
        };
        for path in files.flatten().map(|file| file.path()) {
            let content = match durable::read(&path) {
                Err(error) if durable::is_lost(&error) => continue,
                content => content.map_err(StoreError::io("read", &path))?.unwrap_or_default(),
            };
            if let (Some(id), Ok(run)) = (path.file_stem(), sealed::open::<RunRecord>(&content)) {
                found.push((id.to_string_lossy().into_owned(), run));
            }
        }
        found.sort_by(|a, b| (a.1.started, &a.0).cmp(&(b.1.started, &b.0)));
        Ok(found)
    }

    fn manifests(&self) -> PathBuf {
        self.disk.root().join("manifests")
    }
}
