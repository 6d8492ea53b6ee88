//! The state of an interrupted stage: its hash, then the state, in one file that is replaced atomically.

use std::path::PathBuf;

use super::{Store, StoreError, durable};
use crate::fingerprint::Fingerprint;

const HASH_LENGTH: usize = 32;

/// A saved state, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    /// None is there.
    Absent,
    /// It is what was saved.
    Whole(Vec<u8>),
    /// It is not what was saved, and was moved aside.
    Damaged {
        /// Where to.
        moved_to: PathBuf,
    },
}

impl Store {
    /// Saves a state, in place of an earlier one.
    ///
    /// # Errors
    /// It cannot be written; the earlier one is still there then.
    pub fn save_partial(&self, fingerprint: &Fingerprint, state: &[u8]) -> Result<(), StoreError> {
        let hash = blake3::hash(state);
        durable::write(&self.tmp(), &self.partial_path(fingerprint), &[hash.as_bytes(), state])
    }

    /// Loads a state and checks it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load_partial(&self, fingerprint: &Fingerprint) -> Result<Partial, StoreError> {
        let path = self.partial_path(fingerprint);
        let Some(mut content) = durable::read(&path)? else { return Ok(Partial::Absent) };
        if content.len() >= HASH_LENGTH {
            let state = content.split_off(HASH_LENGTH);
            if blake3::hash(&state).as_bytes() == content.as_slice() {
                return Ok(Partial::Whole(state));
            }
        }
        Ok(Partial::Damaged { moved_to: self.quarantine(&path)? })
    }

    /// Whether a state is there.
    pub fn has_partial(&self, fingerprint: &Fingerprint) -> bool {
        self.partial_path(fingerprint).is_file()
    }

    /// Removes a state.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_partial(&self, fingerprint: &Fingerprint) -> Result<(), StoreError> {
        durable::remove(&self.partial_path(fingerprint))
    }

    fn partial_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.root.join("partial").join(fingerprint.to_string())
    }
}
