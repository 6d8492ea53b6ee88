//! Why the cache could not do what was asked.

use std::io;
use std::path::Path;

use miette::Diagnostic;

use super::durable::is_lost;
use super::{FORMAT, ObjectHash};
use crate::fingerprint::Fingerprint;

/// Why the cache could not do what was asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    #[diagnostic(help("{}", if is_lost(source) {
        "the disk does not give it back, or it is no file: `runner cache verify --repair` moves it aside"
    } else {
        "see that the cache folder is writable and that its disk has room; `--cache DIR` takes another folder"
    }))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is no folder where the cache should be.
    #[error("the cache {path} is not a folder")]
    #[diagnostic(help("`--cache DIR` takes another folder"))]
    NotAFolder {
        /// Where it is.
        path: String,
    },
    /// A cache that can be read, and not written.
    #[error("the cache {path} cannot be written, and there is something to run")]
    #[diagnostic(help(
        "its results can be used, but no stage can run; make it writable, or take another folder with `--cache DIR`"
    ))]
    ReadOnly {
        /// Where it is.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// An object whose content is not what its name says.
    #[error("object {hash} is damaged; it was moved to {moved_to}")]
    #[diagnostic(help("run the pipeline again: the stage that made it will run anew"))]
    Damaged {
        /// Its name.
        hash: ObjectHash,
        /// Where it is now.
        moved_to: String,
    },
    /// An object that the disk does not give back.
    #[error("object {hash} cannot be read back from the disk; it was moved to {moved_to}")]
    #[diagnostic(help(
        "run the pipeline again: the stage that made it will run anew; and look after the disk"
    ))]
    Lost {
        /// Its name.
        hash: ObjectHash,
        /// Where it is now.
        moved_to: String,
        /// What the system said.
        source: io::Error,
    },
    /// An object that is not there.
    #[error("object {hash} is missing from the cache")]
    #[diagnostic(help("run the pipeline again: the stage that made it will run anew"))]
    Missing {
        /// Its name.
        hash: ObjectHash,
    },
    /// Work whose result is not in the cache.
    #[error("the result of {} is not in the cache", fingerprint.short())]
    #[diagnostic(help("run the pipeline: the stage will run anew"))]
    NoResult {
        /// The work.
        fingerprint: Fingerprint,
    },
    /// A file that says what to keep and is not what was written.
    #[error("cannot tell what to keep: {path} is damaged")]
    #[diagnostic(help("`runner cache verify --repair` says what is damaged and moves it aside"))]
    Unsure {
        /// Where it is.
        path: String,
    },
    /// A file system without locks, on which nobody can know who uses the cache.
    #[error("the file system of {path} has no locks, so nobody can tell whether a runner uses the cache")]
    #[diagnostic(help("mount it with locks, or copy the cache to another file system and collect there"))]
    NoLocks {
        /// The cache.
        path: String,
    },
    /// A format that this version does not know.
    #[error("{path} has format {found}, this version of runner reads format {}", FORMAT)]
    #[diagnostic(help("{}", if *found > FORMAT {
        "it was written by a newer runner: use that, or another cache folder with `--cache DIR`"
    } else {
        "it was written by an older runner: remove the cache folder, or take another with `--cache DIR`"
    }))]
    Format {
        /// Where it is.
        path: String,
        /// Its format.
        found: u32,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the system allows no writing, be it by permissions or because the file system is read-only.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::ReadOnly { .. } => true,
            Self::Io { source, .. } => forbidden(source),
            _ => false,
        }
    }
}

pub(super) fn forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}
