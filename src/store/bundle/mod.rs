//! Bundles: results that another machine can check and use.
//!
//! ```text
//! manifest.json                what follows, with sizes and hashes, under a seal
//! records/<fingerprint>.json   as in the cache
//! objects/<hash>.safetensors   as in the cache
//! ```
//!
//! A bundle is a folder of these files, or a plain tar archive of them in this order. The same results give the same bytes:
//! no time, no name of a user or a machine is added. It is read as something that anyone may have made: no name in it is ever
//! used as a path, nothing that the manifest does not list is accepted, and nothing enters the cache before all of it
//! was checked.

mod export;
mod folder;
mod import;
mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use super::{ObjectHash, StoreError};
use crate::fingerprint::Fingerprint;
use crate::written::WriteError;

pub use export::{Exported, Replace};
pub use import::{Imported, check_bundle};

/// The version of the layout of bundles. What is in them has the cache's own format.
const BUNDLE: u32 = 1;
/// The name of the file that lists the others.
const MANIFEST: &str = "manifest.json";

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    bundle: u32,
    /// Records, with the hashes of their files.
    records: BTreeMap<Fingerprint, Listed>,
    /// Objects, with their sizes.
    objects: BTreeMap<ObjectHash, u64>,
}

/// A record's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    hash: ObjectHash,
    bytes: u64,
}

/// Why a bundle could not be written or used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BundleError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is something already where the bundle should go.
    #[error("{path} is there already")]
    #[diagnostic(help("`--force` replaces it"))]
    Exists {
        /// Where it is.
        path: String,
    },
    /// What is there is no bundle, and is not replaced.
    #[error("{path} is no bundle, and is not replaced by one")]
    #[diagnostic(help("`--force` replaces bundles only: remove it by hand, or choose another name"))]
    NotReplaced {
        /// Where it is.
        path: String,
    },
    /// A bundle with files that no export wrote.
    #[error("{path} holds `{name}`, which is no part of the bundle, and is not replaced")]
    #[diagnostic(help("move that file elsewhere, or choose another name for the bundle"))]
    HoldsMore {
        /// Where the bundle is.
        path: String,
        /// One of the files.
        name: String,
    },
    /// The current folder would be removed.
    #[error("{path} is the current folder or holds it, and is not replaced")]
    #[diagnostic(help("give the command from another folder"))]
    Inside {
        /// Where the bundle is.
        path: String,
    },
    /// What is there is not what an export wrote.
    #[error("the bundle {path} cannot be used: {reason}")]
    #[diagnostic(help("nothing was imported; copy it once more, or export it again"))]
    Refused {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was written by another version.
    #[error("the bundle {path} has {what} {found}, this version of runner reads {known}")]
    #[diagnostic(help("import it with the version of runner that exported it, or export it with this one"))]
    Format {
        /// Where it is.
        path: String,
        /// Of what the version is.
        what: &'static str,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Its place.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Write(#[from] WriteError),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

impl BundleError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

fn record_name(fingerprint: &Fingerprint) -> String {
    format!("records/{fingerprint}.json")
}

fn object_name(object: &ObjectHash) -> String {
    format!("objects/{object}.safetensors")
}
