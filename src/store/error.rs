//! Why the cache could not do what was asked.

use std::io;
use std::path::Path;

use miette::Diagnostic;

use super::durable::{is_lost, is_wrong};
use super::{FORMAT, ObjectHash};
use crate::fingerprint::Fingerprint;

/// Why the cache could not do what was asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    #[diagnostic(help("{}", help(source)))]
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
    /// A link that leads nowhere where the cache should be.
    #[error("the cache {path} is a link to a folder that does not exist")]
    #[diagnostic(help("make that folder (or mount its disk), or take another with `--cache DIR`"))]
    DanglingLink {
        /// Where it is.
        path: String,
    },
    /// A folder with files of somebody else where the cache should be.
    #[error("{path} is not a cache of runner: {why}")]
    #[diagnostic(help(
        "nothing was changed there; name a new or empty folder with `--cache DIR`. If it is the cache of an older runner, \
         move the other files out of it first"
    ))]
    NotACache {
        /// Where it is.
        path: String,
        /// What says so.
        why: String,
    },
    /// No cache where one should be.
    #[error("there is no cache at {path}{}", if *is_there { ": the folder is empty" } else { "" })]
    #[diagnostic(help(
        "`runner run` makes one beside its pipeline's project; `--cache DIR` or RUNNER_CACHE names another"
    ))]
    NoCache {
        /// Where it should be.
        path: String,
        /// Whether an empty folder is there.
        is_there: bool,
    },
    /// A layout that this version does not know.
    #[error(
        "the cache {path} has a layout that this version of runner does not know: its marker says `{head}`"
    )]
    #[diagnostic(help("use the runner that made it, or take another folder with `--cache DIR`"))]
    Layout {
        /// Where it is.
        path: String,
        /// The first line of its marker.
        head: String,
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
    #[error("object {hash} cannot be read back from the disk")]
    #[diagnostic(help(
        "{path} was not changed. The next run computes it again and replaces the file; check the disk"
    ))]
    Lost {
        /// Its name.
        hash: ObjectHash,
        /// Where it is.
        path: String,
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
    #[diagnostic(help(
        "nothing was removed; `runner cache verify --repair` rewrites damaged pins and moves other damaged files to quarantine/"
    ))]
    Unsure {
        /// Where it is.
        path: String,
    },
    /// A file that said what to keep, and lies in quarantine.
    #[error("cannot tell what to keep: {path} is in quarantine, as it was damaged")]
    #[diagnostic(help(
        "nothing was removed; run its pipeline again (or pin its result again), then remove that file"
    ))]
    Aside {
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

/// The way out of a file operation that failed.
fn help(error: &io::Error) -> &'static str {
    if is_wrong(error) {
        "it is not what runner wrote: `runner cache verify --repair` moves it aside"
    } else if is_lost(error) {
        "the disk cannot read it, and the file was not changed. Check the disk, or the server of the file system. If the file is \
         lost, remove it by hand: a run makes it again"
    } else if is_passing(error) {
        "that may pass: try again; nothing was changed"
    } else {
        "see that the cache folder is writable and that its disk has room; `--cache DIR` takes another folder"
    }
}

/// Whether an error tells of the moment and not of the file: too many open files, no memory, a server that is
/// away.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        Interrupted, NotConnected, OutOfMemory, StaleNetworkFileHandle, TimedOut, WouldBlock,
    };
    /// ENFILE and EMFILE.
    const FILES: [i32; 2] = [23, 24];
    matches!(
        error.kind(),
        Interrupted | NotConnected | OutOfMemory | StaleNetworkFileHandle | TimedOut | WouldBlock
    ) || cfg!(unix) && error.raw_os_error().is_some_and(|code| FILES.contains(&code))
}
