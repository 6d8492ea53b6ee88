//! The content-addressed cache: bytes and hashes, nothing of networks.
//!
//! ```text
//! cache/
//!   objects/ab/<hash>.safetensors   contents, named by the blake3 hash of their bytes
//!   records/ab/<fingerprint>.json   what a piece of work gave: outputs, metrics, provenance
//!   partial/<fingerprint>           the state of an interrupted stage: a hash, then the state
//!   last/<pipeline>/<stage>.json    what a named stage last was, to say what changed
//!   logs/<fingerprint>.jsonl        the events of a stage's runs
//!   locks/<fingerprint>             held while a stage runs
//!   quarantine/                     what was found damaged
//!   tmp/                            files being written
//! ```
//!
//! A file appears whole or not at all (see the `durable` module), and a record only after its objects, so a
//! record means that its outputs are there. What is read back is checked against its hash.

mod durable;
mod formats;
mod lock;
mod objects;
mod partial;
mod records;

pub use formats::{FORMAT, LastRun, OutputEntry, Provenance, Record};
pub use lock::{Holder, StageLock};
pub use objects::ObjectHash;
pub use partial::Partial;
pub use records::Lookup;

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;

/// The cache in a folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Why the cache could not do what was asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    #[diagnostic(help(
        "see that the cache folder is writable and that its disk has room; `--cache DIR` takes another folder"
    ))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
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
    /// An object that is not there.
    #[error("object {hash} is missing from the cache")]
    #[diagnostic(help("run the pipeline again: the stage that made it will run anew"))]
    Missing {
        /// Its name.
        hash: ObjectHash,
    },
    /// A stored file that cannot be understood.
    #[error("{path} cannot be read as a {what}")]
    #[diagnostic(help(
        "it was written by another version of runner, or by something else; remove it to compute its stage anew"
    ))]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A format that this version does not know.
    #[error("{path} has format {found}, this version of runner reads format {}", FORMAT)]
    #[diagnostic(help("use a newer runner, or another cache folder with `--cache DIR`"))]
    Format {
        /// Where it is.
        path: String,
        /// Its format.
        found: u32,
    },
}

impl StoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

impl Store {
    /// Opens the cache in `root`, and makes the folder where there is none.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root).map_err(StoreError::io("make the cache folder", root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where the hashes of data files are remembered.
    pub fn data_memo(&self) -> PathBuf {
        self.root.join("data-hashes.json")
    }

    fn sharded(&self, room: &str, name: &str, extension: &str) -> PathBuf {
        let shard = name.get(..2).unwrap_or("xx");
        self.root.join(room).join(shard).join(format!("{name}.{extension}"))
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Moves something damaged aside, and says where to.
    fn quarantine(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let folder = self.root.join("quarantine");
        std::fs::create_dir_all(&folder).map_err(StoreError::io("make the folder", &folder))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut target = folder.join(&name);
        let mut number = 1;
        while target.exists() {
            target = folder.join(format!("{name}.{number}"));
            number += 1;
        }
        std::fs::rename(path, &target).map_err(StoreError::io("move aside", path))?;
        Ok(target)
    }
}
