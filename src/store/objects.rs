//! Objects: contents named by their hash.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::durable::{self, Care, Draft};
use super::verify::hash_file;
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
        if self.has(&hash, content.len() as u64).unwrap_or(false) {
            // What cannot be read is as good as damaged: it is written anew.
            if durable::read_up_to(&path, u64::MAX)
                .is_ok_and(|there| there.is_some_and(|there| there == content))
            {
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

    /// Reads an object and checks it against its name. One that is damaged is moved aside. One that cannot be
    /// read stays.
    ///
    /// # Errors
    /// It is missing, damaged or lost, or cannot be read.
    pub fn get(&self, hash: &ObjectHash) -> Result<Vec<u8>, StoreError> {
        let path = self.object_path(hash);
        // A link may lead out of the cache, to what anyone may change: it is no object.
        match self.object_found(hash)? {
            Some(found) if found.is_file() => {}
            _ => return Err(StoreError::Missing { hash: *hash }),
        }
        match read_object(&path, hash) {
            Ok(None) => return Err(StoreError::Missing { hash: *hash }),
            Ok(Some(Content::Whole(content))) => return Ok(content),
            Ok(Some(Content::Other)) => {}
            Err(source) if durable::is_lost(&source) => {
                return Err(StoreError::Lost { hash: *hash, path: path.display().to_string(), source });
            }
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        }
        let aside = self.set_aside(&path)?;
        // Another runner may have put a whole one in its place since we read it: then that is what we moved.
        if let Ok(Some(Content::Whole(moved))) = read_object(&aside, hash) {
            self.disk.rename(&aside, &path).map_err(StoreError::io("move back", &path))?;
            return Ok(moved);
        }
        Err(StoreError::Damaged { hash: *hash, moved_to: aside.display().to_string() })
    }

    /// Whether an object of this name and size is there. Its content is checked when it is read.
    ///
    /// # Errors
    /// It cannot be looked at, which does not mean that it is gone.
    pub(super) fn has(&self, hash: &ObjectHash, bytes: u64) -> Result<bool, StoreError> {
        Ok(self.object_found(hash)?.is_some_and(|found| found.is_file() && found.len() == bytes))
    }

    /// What is at the place of an object; `None` if nothing is.
    pub(super) fn object_found(&self, hash: &ObjectHash) -> Result<Option<fs::Metadata>, StoreError> {
        let path = self.object_path(hash);
        match durable::patiently(|| path.symlink_metadata()) {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(StoreError::io("look at", &path)(error)),
        }
    }
}

/// Objects from this size on are hashed before they are read into memory: a file with holes may claim any
/// size.
const LARGE: u64 = 64 << 20;

enum Content {
    Whole(Vec<u8>),
    Other,
}

/// Reads what should be the object `hash`; `None` if there is no file.
fn read_object(path: &Path, hash: &ObjectHash) -> io::Result<Option<Content>> {
    let is_large = path.metadata().is_ok_and(|found| found.len() >= LARGE);
    if is_large && ObjectHash::from(durable::patiently(|| hash_file(&mut durable::open(path)?))?) != *hash {
        return Ok(Some(Content::Other));
    }
    let content = durable::read_up_to(path, u64::MAX)?;
    Ok(content.map(
        |content| if ObjectHash::of(&content) == *hash { Content::Whole(content) } else { Content::Other },
    ))
}
