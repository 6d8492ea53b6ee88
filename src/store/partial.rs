//! The state of an interrupted stage, in one file that is replaced atomically.
//!
//! ```text
//! runner partial 2\n    what the file is, and the version of its format
//! 32 bytes              blake3 of all that follows
//! 4 bytes               length of the history, little endian
//! history               JSON: see [`History`]
//! state                 the stage's own bytes
//! ```

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::durable::{self, Care};
use super::verify::hash_file;
use super::{LastRun, Record, Store, StoreError};
use crate::fingerprint::Fingerprint;

/// The first bytes; a state of another format is begun anew.
const MAGIC: &[u8] = b"runner partial 2\n";
const HASH: usize = 32;
const LENGTH: usize = 4;
/// A head of more bytes is none of ours.
pub(super) const LONGEST_HEAD: u64 = 1 << 20;

/// The work that led to a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When the first run of the stage began.
    pub started: Timestamp,
    /// Wall time of all runs, each up to the last state it saved.
    pub seconds: f64,
    /// How many runs took part.
    pub sessions: u32,
    /// What the state is for; states of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<SavedFor>>,
}

/// What a state is for, so that a plan with other parameters can say that it is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedFor {
    /// The identity of the pipeline file, as in `last/`.
    pub pipeline: String,
    /// The names of the stages that share the work.
    pub stages: Vec<String>,
    /// The work.
    pub work: LastRun,
}

/// A saved state, as it was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Partial {
    /// None is there.
    Absent,
    /// It is what was saved.
    Whole {
        /// The work that led to it.
        history: History,
        /// The stage's own bytes.
        state: Vec<u8>,
    },
    /// It is not what was saved, or of another format.
    Damaged,
}

impl Store {
    /// Saves a state, in place of an earlier one.
    ///
    /// # Errors
    /// It cannot be written; the earlier one is still there then.
    pub fn save_partial(
        &self,
        fingerprint: &Fingerprint,
        history: &History,
        state: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.partial_path(fingerprint);
        let history = serde_json::to_vec(history)
            .map_err(|error| StoreError::io("write", &path)(std::io::Error::from(error)))?;
        let length = (history.len() as u32).to_le_bytes();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&length).update(&history).update_rayon(state);
        let hash = hasher.finalize();
        let parts = [MAGIC, hash.as_bytes(), &length, &history, state];
        self.make_way(&path)?;
        self.disk.write(&path, &parts, Care::Lasting).map_err(StoreError::io("write", &path))
    }

    /// Loads a state and checks it.
    ///
    /// # Errors
    /// It cannot be read, which does not mean that it is gone: the stage must not begin anew and replace it.
    pub fn load_partial(&self, fingerprint: &Fingerprint) -> Result<Partial, StoreError> {
        let path = self.partial_path(fingerprint);
        let whole = || {
            // A file with holes may claim any size: it is hashed before it is read into memory.
            let is_large = path.metadata().is_ok_and(|found| found.len() >= LARGE);
            if is_large && !durable::patiently(|| is_whole(&path))? {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was saved"));
            }
            durable::read_up_to(&path, u64::MAX)
        };
        match whole() {
            Ok(content) => {
                Ok(content.map_or(Partial::Absent, |content| parse(content).unwrap_or(Partial::Damaged)))
            }
            Err(error) if durable::is_wrong(&error) => Ok(Partial::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Partial::Absent),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Whether a state is there.
    pub fn has_partial(&self, fingerprint: &Fingerprint) -> bool {
        self.partial_path(fingerprint).is_file()
    }

    /// Whether a run would go on from a state. One that makes a result anew, which is there as `last`, does so only
    /// from a state that was begun after it: that of a run which was forced as well, and interrupted.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn goes_on(&self, fingerprint: &Fingerprint, last: Option<&Record>) -> Result<bool, StoreError> {
        let Some(last) = last.filter(|_| self.has_partial(fingerprint)) else {
            return Ok(self.has_partial(fingerprint));
        };
        Ok(match self.load_partial(fingerprint)? {
            Partial::Whole { history, .. } => history.started > last.provenance.finished,
            Partial::Absent | Partial::Damaged => false,
        })
    }

    /// Removes a state.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_partial(&self, fingerprint: &Fingerprint) -> Result<(), StoreError> {
        let path = self.partial_path(fingerprint);
        durable::remove(&path).map_err(StoreError::io("remove", &path))
    }

    /// Moves a state that cannot be used aside, and says where to.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_partial_aside(&self, fingerprint: &Fingerprint) -> Result<PathBuf, StoreError> {
        self.set_aside(&self.partial_path(fingerprint))
    }

    fn partial_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.disk.root().join("partial").join(fingerprint.to_string())
    }
}

/// States from this size on are checked before they are read into memory.
const LARGE: u64 = 64 << 20;

/// Whether a state fits the hash at its head.
pub(super) fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = durable::open(path)?;
    let mut head = [0; MAGIC.len() + HASH];
    match file.read_exact(&mut head) {
        Ok(()) => Ok(head.starts_with(MAGIC) && hash_file(&mut file)?.as_bytes() == &head[MAGIC.len()..]),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn parse(mut content: Vec<u8>) -> Option<Partial> {
    let body = content.strip_prefix(MAGIC)?;
    let (hash, body) = body.split_at_checked(HASH)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(body);
    if hasher.finalize().as_bytes() != hash {
        return None;
    }
    let (length, rest) = body.split_first_chunk::<LENGTH>()?;
    let (history, state) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let history = serde_json::from_slice(history).ok()?;
    let state = content.split_off(content.len() - state.len());
    Some(Partial::Whole { history, state })
}

/// The history at the head of a state's file, which is read no further. Not checked against the hash.
pub(super) fn head(file: &mut impl Read) -> Option<History> {
    let mut fixed = [0; MAGIC.len() + HASH + LENGTH];
    file.read_exact(&mut fixed).ok()?;
    let body = fixed.strip_prefix(MAGIC)?;
    let length = u32::from_le_bytes(*body.last_chunk::<LENGTH>()?);
    if u64::from(length) > LONGEST_HEAD {
        return None;
    }
    let mut history = vec![0; length as usize];
    file.read_exact(&mut history).ok()?;
    serde_json::from_slice(&history).ok()
}
