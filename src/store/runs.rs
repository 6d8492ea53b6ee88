//! Runs: what a command asked for and what it came to, enough to repeat and to cite it.
//!
//! A file for each run that did some work, `manifests/<id>.json`. It is written when the run begins and again when it ends,
//! so a run that was killed has one as well. Nothing is computed from it: it may be deleted. While a run goes
//! on it holds the lock `locks/run-<id>`, so that anybody can tell a run that goes on from one that was killed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::durable::{self, Care};
use super::lock::StageLock;
use super::sealed;
use super::{ObjectHash, Store, StoreError};
use crate::fingerprint::Fingerprint;
use crate::state::{RunState, StageState};

/// The version of [`RunRecord`]. Its later versions have more fields; the first has none of [`RunRecord::request`].
pub const MANIFEST: u32 = 2;

/// What the names of runs' locks begin with.
pub(super) const RUN_LOCK: &str = "run-";

/// Whether a name is the id of a run: a day, a time, and letters and digits that no other run of that second
/// has (older runners took the number of the process).
pub(super) fn is_run_id(name: &str) -> bool {
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('-').collect();
    matches!(parts.as_slice(), [day, time, own] if digits(day, 8) && digits(time, 6)
        && (1..=16).contains(&own.len())
        && own.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()))
}

fn first() -> u32 {
    1
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this record: see [`MANIFEST`].
    #[serde(default = "first")]
    pub manifest: u32,
    /// How it stands; a run that was killed stays `running`.
    pub status: RunState,
    /// What the command ended with.
    #[serde(default)]
    pub exit_code: Option<u8>,
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
    /// What was asked for beside the file; not known of runs of the first version.
    #[serde(default)]
    pub request: Option<Request>,
    /// The points by name; one without a name if nothing was swept.
    pub points: Vec<String>,
    /// All work of all points.
    pub stages: Vec<RunStage>,
}

/// What a run was asked for beside its file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The file's path, as it was given.
    pub path: String,
    /// The identity of the file, as in `last/`.
    pub identity: String,
    /// Changes: `--set`.
    pub set: Vec<String>,
    /// Sweeps: `--over`.
    pub over: Vec<String>,
    /// Only these stages.
    pub only: Vec<String>,
    /// Up to these stages.
    pub until: Vec<String>,
    /// These stages anew.
    pub force: Vec<String>,
    /// Where it computed: `cpu`, `cuda:0`.
    pub devices: Vec<String>,
    /// CPU threads.
    pub threads: usize,
    /// Stages side by side.
    pub jobs: usize,
    /// The process.
    pub process: u32,
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
    /// How it stands: open until the run ends.
    pub state: StageState,
    /// What it gave, by output; empty until the run ends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, ObjectHash>,
    /// The identity of the images it saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// The version of its kind's implementation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// Held while a run goes on.
#[derive(Debug)]
pub struct RunLock {
    _lock: Option<StageLock>,
}

impl Store {
    /// Keeps a run under its id, in place of what was kept before.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_run(&self, id: &str, run: &RunRecord) -> Result<(), StoreError> {
        self.write_sealed(&self.manifests().join(format!("{id}.json")), run, Care::Lasting)
    }

    /// Keeps a run that begins, under an id that no other run has, and tells everybody that it goes on until
    /// the lock is dropped. Where there are no locks, that cannot be told.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin_run(&self, run: &RunRecord) -> Result<(String, Option<RunLock>), StoreError> {
        loop {
            let id = format!("{}-{}", run.started.strftime("%Y%m%d-%H%M%S"), unique());
            let path = self.manifests().join(format!("{id}.json"));
            // Before the record: whoever sees it sees that it goes on.
            let lock = self.go_on(&id).ok();
            let write = || {
                let mut draft = self.disk.draft()?;
                draft.write(&sealed::seal(run)?)?;
                draft.keep_new(&path)
            };
            match write() {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                written => return written.map(|()| (id, lock)).map_err(StoreError::io("write", &path)),
            }
        }
    }

    /// The ids of all runs. No file is read.
    pub fn run_ids(&self) -> Vec<String> {
        let files = durable::list(&self.manifests()).into_iter().flatten().flatten();
        let name = |path: std::path::PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .filter_map(name)
            .collect()
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
        for file in files {
            let path = file.map_err(StoreError::io("read the folder", &folder))?.path();
            if !path.file_stem().and_then(OsStr::to_str).is_some_and(is_run_id) {
                continue;
            }
            let content = match durable::read(&path) {
                Err(error) if durable::is_lost(&error) || durable::is_wrong(&error) => continue,
                content => content.map_err(StoreError::io("read", &path))?.unwrap_or_default(),
            };
            if let (Some(id), Ok(run)) = (path.file_stem(), sealed::open::<RunRecord>(&content)) {
                found.push((id.to_string_lossy().into_owned(), run));
            }
        }
        found.sort_by(|a, b| (a.1.started, &a.0).cmp(&(b.1.started, &b.0)));
        Ok(found)
    }

    /// Tells everybody that a run goes on, until what is returned is dropped.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    fn go_on(&self, id: &str) -> Result<RunLock, StoreError> {
        Ok(RunLock { _lock: self.lock_named(&lock_name(id), &mut |_| ControlFlow::Break(()))? })
    }

    /// Whether a run goes on at this moment.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn goes_on_now(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.held(&lock_name(id))?.is_some())
    }

    /// One run as it is kept now; `None` if there is none of this id, or if its file cannot be understood.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn kept_run(&self, id: &str) -> Result<Option<RunRecord>, StoreError> {
        let path = self.manifests().join(format!("{id}.json"));
        let content = durable::read(&path).map_err(StoreError::io("read", &path))?;
        Ok(content.and_then(|content| sealed::open(&content).ok()))
    }

    /// The hash of what is kept of a run: what it can be cited by.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn run_hash(&self, id: &str) -> Result<Option<ObjectHash>, StoreError> {
        let path = self.manifests().join(format!("{id}.json"));
        let content = durable::read(&path).map_err(StoreError::io("read", &path))?;
        Ok(content.map(|content| ObjectHash::of(&content)))
    }

    fn manifests(&self) -> PathBuf {
        self.disk.root().join("manifests")
    }
}

/// Eight letters and digits that differ between all runs of a second: also between machines and containers
/// that have the same names and numbers of processes.
fn unique() -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // Its keys come from the system's source of random numbers.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write(gethostname::gethostname().as_encoded_bytes());
    hasher.write_i128(Timestamp::now().as_nanosecond());
    let mut number = hasher.finish();
    let mut digits = String::new();
    for _ in 0..8 {
        digits.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
    }
    digits
}

/// The lock of a run.
fn lock_name(id: &str) -> String {
    format!("{RUN_LOCK}{id}")
}
