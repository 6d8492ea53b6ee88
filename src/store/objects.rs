//! Objects: contents named by their hash.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::durable::{self, Care, Draft};
use super::{Store, StoreError};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint, NotAFingerprint};

/// The blake3 hash of an object's bytes, which is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectHash(Fingerprint);

impl ObjectHash {
    /// The hash of `content`.
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update_rayon(content);
        hasher.finalize().into()
    }
}

impl From<blake3::Hash> for ObjectHash {
    fn from(hash: blake3::Hash) -> Self {
        Self(Fingerprint::from_bytes(*hash.as_bytes()))
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ObjectHash {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse()?))
    }
}

impl ContentHash for ObjectHash {
    fn content_hash(&self, encoder: &mut Encoder) {
        self.0.content_hash(encoder);
    }
}

impl Store {
    /// Where an object is, or would be.
    pub fn object_path(&self, hash: &ObjectHash) -> PathBuf {
        self.sharded("objects", &hash.to_string(), "safetensors")
    }

    /// Puts an object, so that it outlives a power cut from now on. One that is there, whole, is left as it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, content: &[u8]) -> Result<ObjectHash, StoreError> {
        let hash = ObjectHash::of(content);
        let path = self.object_path(&hash);
        if self.has(&hash, content.len() as u64) {
            // What cannot be read is as good as damaged: it is written anew.
            if durable::read(&path).is_ok_and(|there| there.is_some_and(|there| there == content)) {
                // Another runner may have put it there a moment ago, and not have flushed it yet.
                self.disk.settle(&path).map_err(StoreError::io("flush", &path))?;
                return Ok(hash);
            }
        }
        let mut draft = self.draft_object(&path)?;
        draft
            .write(content)
            .and_then(|()| draft.keep(&path, Care::Forever))
            .map_err(StoreError::io("write", &path))?;
        Ok(hash)
    }

    /// Begins an object, which is to be kept with [`Care::Forever`].
    pub(super) fn draft_object(&self, path: &Path) -> Result<Draft<'_>, StoreError> {
        self.make_way(path)?;
        self.disk.draft().map_err(StoreError::io("write", path))
    }

    /// Reads an object and checks it against its name. One that is damaged, or that the disk does not give back, is
    /// moved aside.
    ///
    /// # Errors
    /// It is missing, damaged or lost, or may not be read.
    pub fn get(&self, hash: &ObjectHash) -> Result<Vec<u8>, StoreError> {
        let path = self.object_path(hash);
        // A link may lead out of the cache, to what anyone may change: it is no object.
        if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return Err(StoreError::Missing { hash: *hash });
        }
        let lost = match durable::read(&path) {
            Ok(None) => return Err(StoreError::Missing { hash: *hash }),
            Ok(Some(content)) if ObjectHash::of(&content) == *hash => return Ok(content),
            Ok(Some(_)) => None,
            Err(error) if durable::is_lost(&error) => Some(error),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let aside = self.set_aside(&path)?;
        // Another runner may have put a whole one in its place since we read it: then that is what we moved.
        if let Ok(Some(moved)) = durable::read(&aside) {
            if ObjectHash::of(&moved) == *hash {
                self.disk.rename(&aside, &path).map_err(StoreError::io("move back", &path))?;
                return Ok(moved);
            }
        }
        let (hash, moved_to) = (*hash, aside.display().to_string());
        Err(match lost {
            Some(source) => StoreError::Lost { hash, moved_to, source },
            None => StoreError::Damaged { hash, moved_to },
        })
    }

    /// Whether an object of this name and size is there. Its content is checked when it is read.
    pub(super) fn has(&self, hash: &ObjectHash, bytes: u64) -> bool {
        self.object_path(hash).symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == bytes)
    }
}
