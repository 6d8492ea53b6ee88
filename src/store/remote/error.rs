//! Why the shared cache could not do what was asked.

use miette::Diagnostic;

use crate::store::{ObjectHash, StoreError};

/// Why the shared cache could not do what was asked. None of it holds what the object store itself said.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RemoteError {
    /// It cannot be used from here.
    #[error("the shared cache {url} cannot be used: {reason}")]
    #[diagnostic(help(
        "credentials and endpoints come from the environment (AWS_*, GOOGLE_*, AZURE_*): see docs/remote.md"
    ))]
    Setup {
        /// Where it is.
        url: String,
        /// What is missing.
        reason: String,
    },
    /// It does not answer, or not as it should.
    #[error("the shared cache {url} cannot {action}: {reason}")]
    Trouble {
        /// Where it is.
        url: String,
        /// What was tried.
        action: &'static str,
        /// Why not.
        reason: String,
    },
    /// It was written by another version.
    #[error("the shared cache {url} has {what} {found}, this version of runner uses {known}")]
    #[diagnostic(help("use the version of runner that wrote it, or another address"))]
    Layout {
        /// Where it is.
        url: String,
        /// Of what the version is.
        what: &'static str,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// What it has is not what it should be.
    #[error("`{name}` of the shared cache {url} is not used: {reason}")]
    #[diagnostic(help("nothing of it entered the cache; remove that file there, and push the result again"))]
    Wrong {
        /// Where it is.
        url: String,
        /// Which file.
        name: String,
        /// What is wrong with it.
        reason: String,
        /// Which object it should have been.
        object: Option<ObjectHash>,
    },
    /// It was asked to stop.
    #[error("the transfer was stopped")]
    Stopped,
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}
