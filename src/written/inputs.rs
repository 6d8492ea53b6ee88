//! The files that a command reads and must not overwrite.

use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};

use super::above;

/// The files that a command reads, and the cache that it uses.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    files: Vec<PathBuf>,
    caches: Vec<PathBuf>,
}

impl Inputs {
    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Adds a cache, with everything in it.
    #[must_use]
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.caches.push(folder.into());
        self
    }

    /// Whether a file is an input, by this or another name.
    pub(super) fn are(&self, path: &Path, found: &Metadata) -> bool {
        self.files.iter().any(|input| is_one(input, path, found))
    }

    /// Whether a path, which need not exist, lies in the cache.
    pub(crate) fn hold(&self, path: &Path) -> bool {
        let Some(path) = whole(path) else { return false };
        let caches = self.caches.iter().filter_map(|cache| cache.canonicalize().ok());
        caches.into_iter().any(|cache| path.starts_with(cache))
    }
}

#[cfg(unix)]
fn is_one(input: &Path, _path: &Path, found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    input.metadata().is_ok_and(|input| (input.dev(), input.ino()) == (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn is_one(input: &Path, path: &Path, _found: &Metadata) -> bool {
    input.canonicalize().is_ok_and(|input| path.canonicalize().is_ok_and(|path| input == path))
}

/// The absolute path without links. Of a path that does not exist, the nearest existing folder is resolved.
fn whole(path: &Path) -> Option<PathBuf> {
    if let Ok(whole) = path.canonicalize() {
        return Some(whole);
    }
    // The current folder itself may be gone.
    let last = path.components().next_back().filter(|last| *last != Component::CurDir)?;
    let above = whole(above(path))?;
    // Folders that are still to be made have no links, so `..` in them is the folder above.
    Some(if last == Component::ParentDir { above.parent()?.to_owned() } else { above.join(last) })
}
