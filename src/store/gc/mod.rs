//! Collection: results that nobody asked to keep make room.
//!
//! [`Store::plan_gc`] decides and changes nothing; what it returns can be shown, and [`Store::collect`] carries it out for
//! whoever is alone on the cache ([`Alone`](super::Alone)). Records go before their objects, on the disk as well: whatever
//! stops it half-way leaves a valid cache.

mod collect;
mod plan;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::ObjectHash;
use crate::fingerprint::Fingerprint;

/// What is kept, and how much.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which pipelines' results are kept.
    pub keep: Keep,
    /// What so many of the last runs used is kept.
    pub runs: usize,
    /// States of interrupted stages that were saved less than this ago are kept.
    pub partials: Duration,
    /// Of the rest, what was not used for this long is removed.
    pub older_than: Option<Duration>,
    /// Of the rest, what was not used for longest is removed until no more is left than this.
    pub max_size: Option<u64>,
}

/// Whose results are kept, with all that led to them.
#[derive(Debug, Clone)]
pub enum Keep {
    /// Those of the last run of every pipeline.
    LastOfEach,
    /// These.
    These(BTreeSet<Fingerprint>),
}

/// What is removed, and why the rest is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GcPlan {
    /// Results, the one that was used longest ago first.
    pub work: Vec<OldWork>,
    /// All objects that go: those of `work` that no other result shares, and those that no record names.
    pub objects: Vec<OldObject>,
    /// States of interrupted stages.
    pub partials: Vec<OldFile>,
    /// Logs of work that is gone, what runs used that is gone, and what forgotten stages were.
    pub remains: Vec<OldFile>,
    /// How many results stay, by the first reason that holds for each.
    pub kept: Vec<Kept>,
    /// The size of the cache before.
    pub before: u64,
    /// The size of the cache after.
    pub after: u64,
}

/// A result that is removed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OldWork {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// The stage's kind.
    pub kind: String,
    /// The stage's name at the time.
    pub stage: String,
    /// The pipeline's name at the time.
    pub pipeline: String,
    /// When it was last used.
    pub used: Timestamp,
    /// What its removal frees.
    pub bytes: u64,
}

/// An object that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OldObject {
    /// Its name.
    pub object: ObjectHash,
    /// Its size.
    pub bytes: u64,
    /// Whether a record names it: one that is removed as well.
    pub named: bool,
}

/// A file that is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OldFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Results that stay for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The reason.
    pub why: Why,
    /// How many.
    pub results: usize,
}

/// Why a result stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It, or what was made from it, is pinned.
    Pinned,
    /// A pipeline's last run used it.
    LastOfEach,
    /// It belongs to what was asked to be kept.
    These,
    /// One of the last runs used it.
    Runs,
    /// It is neither old nor in the way.
    NoNeed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "pinned",
            Self::LastOfEach => "of the last run of a pipeline",
            Self::These => "of the pipelines to keep",
            Self::Runs => "of the last runs",
            Self::NoNeed => "within the limits",
        })
    }
}

impl GcPlan {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty() && self.objects.is_empty() && self.partials.is_empty() && self.remains.is_empty()
    }
}
