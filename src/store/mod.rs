//! The content-addressed cache: bytes and hashes, nothing of networks.
//!
//! ```text
//! cache/
//!   objects/ab/<hash>.safetensors   contents, named by the blake3 hash of their bytes
//!   records/ab/<fingerprint>.json   what a piece of work gave: outputs, metrics, provenance
//!   partial/<fingerprint>           the state of an interrupted stage
//!   last/<pipeline>/<stage>.json    what a named stage last was, to say what changed
//!   runs/<hash>.json                what a run used
//!   pins/<fingerprint>.json         what is always kept
//!   logs/<fingerprint>.jsonl        the events of a stage's runs
//!   manifests/<id>.json             what a run was asked for and what it came to
//!   locks/<fingerprint>             held while a stage runs, by whom, and how far it is
//!   locks/run-<id>                  held while a run goes on
//!   quarantine/                     what was found damaged
//!   tmp/                            files being written
//!   data-hashes.json                hashes of data files that need not be read again
//!   .runner-cache                   marks the folder as a cache
//! ```
//!
//! A file appears whole or not at all (see the `durable` module), and a record only after its objects, so a
//! record means that its outputs are there. What is read back is checked: objects against their names, records
//! and other JSON files against their seal (`sealed`), states against the hash at their head. `docs/cache.md`
//! has the formats and the promises, each with the test that holds it. What machines share of it is the room `remote`.

mod bundle;
#[cfg(test)]
mod crash;
mod durable;
mod error;
mod faults;
mod find;
mod formats;
mod gc;
mod inventory;
mod lock;
mod memory;
mod objects;
mod partial;
mod past;
mod pins;
mod records;
mod remote;
mod rooms;
mod runs;
mod sealed;
mod site;
mod verify;
mod visit;

pub use bundle::{BundleError, Exported, Imported, Replace, check_bundle};
pub use durable::Patience;
pub use error::StoreError;
pub use formats::{FORMAT, LastRun, OutputEntry, Pin, Provenance, Record, RunNote};
pub use gc::{GcPlan, Keep, Kept, OldFile, OldObject, OldWork, Policy, Why};
pub use inventory::{Aside, Held, Inventory, Last, Room, Told, Work, objects};
pub use lock::{HeldLock, Holder, StageLock};
pub use memory::Memo;
pub use objects::ObjectHash;
pub use partial::{History, Partial, SavedFor};
pub use past::Experience;
pub use records::Lookup;
pub use remote::{Acceptance, Control, Pulled, Pushed, Remote, RemoteError, RemoteUrl, Standing, UrlFlaw};
pub use rooms::{Found, Place};
pub use runs::{MANIFEST, Request, RunLock, RunRecord, RunStage};
pub use site::{Site, project};
pub use verify::{Broken, Checked, Damage, Finding, Repair};
pub use visit::{Alone, Visit};

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use durable::Disk;
use faults::{Operation, before};

/// Whether what is written outlives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Full,
    /// The file system cannot flush folders: a power cut may take what was reported a moment before.
    Unflushed,
}

impl Durability {
    /// What a person has to know of it.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Unflushed => Some(
                "the cache's file system cannot flush folders: a power cut may take results that were reported shortly before",
            ),
        }
    }
}

/// The cache in a folder.
#[derive(Debug, Clone)]
pub struct Store {
    disk: Disk,
}

impl Store {
    /// Opens the cache in `root`. Where there is no folder or an empty one, the cache is empty; it is made
    /// when something is written.
    ///
    /// # Errors
    /// Something else is in its place: no folder, or one with files of somebody else.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Site::at(root)?.usable(root)?;
        Ok(Self { disk: Disk::new(root) })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.disk.root()
    }

    /// Makes the folder ready to be written, and clears what runners that were killed have left half-written.
    /// Says whether what is written outlives a power cut.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(&self) -> Result<Durability, StoreError> {
        let root = self.disk.root();
        let probe = || {
            let tmp = root.join("tmp");
            self.disk.make_folder(&tmp)?;
            before(Operation::WriteFile(&tmp))?;
            tempfile::tempfile_in(tmp)
        };
        if let Err(source) = probe() {
            return Err(if error::forbidden(&source) {
                StoreError::ReadOnly { path: root.display().to_string(), source }
            } else {
                StoreError::io("write into the cache folder", root)(source)
            });
        }
        // What cannot be cleared now can be another time.
        let _ = self.disk.sweep();
        Ok(if durable::cannot_flush() { Durability::Unflushed } else { Durability::Full })
    }

    fn sharded(&self, room: &str, name: &str, extension: &str) -> PathBuf {
        let shard = name.get(..2).unwrap_or("xx");
        self.disk.root().join(room).join(shard).join(format!("{name}.{extension}"))
    }

    /// Moves aside whatever keeps a file from taking its name: a folder cannot be replaced by one.
    fn make_way(&self, path: &Path) -> Result<(), StoreError> {
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            self.set_aside(path)?;
        }
        Ok(())
    }

    /// Moves something damaged into a folder of `quarantine/` that has the name of its own, and says where
    /// to. Nothing that lies there is replaced.
    fn set_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let root = self.disk.root();
        let mut folder = root.join("quarantine");
        let inner = path.strip_prefix(root).ok().and_then(Path::parent);
        folder.extend(inner.and_then(|inner| inner.iter().next()));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = || StoreError::io("move aside", path);
        self.disk.make_folder(&folder).map_err(failed())?;
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let mut target = folder.join(&name);
        let mut number = 1;
        // Whoever makes the name first has it, of all runners that move something aside at the same time.
        while let Err(error) = reserve(&target, is_folder) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(failed()(error));
            }
            target = folder.join(format!("{name}.{number}"));
            number += 1;
        }
        match self.disk.rename(path, &target) {
            Ok(()) => Ok(target),
            Err(error) => {
                // Nothing but the reserved name is there.
                let _ = if is_folder { fs::remove_dir(&target) } else { fs::remove_file(&target) };
                // Another runner was quicker.
                if error.kind() == io::ErrorKind::NotFound { Ok(target) } else { Err(failed()(error)) }
            }
        }
    }

    /// Lets `patience` decide how long writers wait for a process that holds `locks/writing`.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.disk.set_patience(patience);
        self
    }
}

/// Takes a name that nothing has.
fn reserve(path: &Path, is_folder: bool) -> io::Result<()> {
    match is_folder {
        true => fs::create_dir(path),
        false => OpenOptions::new().write(true).create_new(true).open(path).map(drop),
    }
}
