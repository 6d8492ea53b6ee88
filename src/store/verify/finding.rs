//! What can be wrong with a file, as values and in words.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::Checked;
use crate::store::{FORMAT, ObjectHash};

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The file, within the cache.
    pub path: PathBuf,
    /// What is wrong with it.
    #[serde(flatten)]
    pub damage: Damage,
    /// Where it is now, if it was moved.
    pub moved_to: Option<PathBuf>,
    /// Why it was not moved, where that was asked for.
    pub left: Option<String>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "damage", rename_all = "kebab-case")]
pub enum Damage {
    /// An object whose content is not what its name says.
    Content {
        /// The hash of its content.
        found: ObjectHash,
    },
    /// A JSON file whose seal does not fit its content, or that belongs elsewhere.
    Seal,
    /// A file of a format that this version does not know.
    Format {
        /// Its format.
        found: u32,
    },
    /// A record one of whose outputs cannot be used.
    Output {
        /// Which output.
        output: String,
        /// Its object.
        object: ObjectHash,
        /// What is wrong with that.
        #[serde(flatten)]
        state: Broken,
    },
    /// A saved state that does not fit the hash at its head.
    State,
    /// A log with a line that is no event.
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// A log with a line that was cut: the events around it stand.
    Torn {
        /// Which, from 1.
        line: usize,
    },
    /// A JSON file that is larger than any that runner writes.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// A link in the place of a file, or anywhere else.
    Link,
    /// Something that runner does not put there.
    Foreign,
    /// A file that cannot be read, now at least: whether it is whole is not known.
    Unreadable {
        /// What the system said.
        error: String,
    },
    /// A file that this user may not read.
    Forbidden {
        /// What the system said.
        error: String,
    },
}

/// Why an output cannot be used.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "object_is", rename_all = "kebab-case")]
pub enum Broken {
    /// Its object is not there.
    Missing,
    /// Its object is damaged.
    Damaged,
    /// Its object has another size than the record says.
    Size {
        /// What the record says.
        expected: u64,
        /// What it is.
        found: u64,
    },
}

impl Damage {
    /// Whether nothing that was written is missing for it: it is told, and no reason to call the cache
    /// damaged.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Torn { .. } | Self::Foreign)
    }
}

impl Checked {
    /// Whether all that runner wrote was read and is as it was written.
    pub fn is_whole(&self) -> bool {
        self.findings.iter().all(|finding| finding.damage.is_harmless())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { found } => write!(f, "its content has the hash {found}"),
            Self::Seal => f.write_str("it is not what was written"),
            Self::Format { found } => write!(f, "it has format {found}, this runner knows format {FORMAT}"),
            Self::Output { output, object, state } => match state {
                Broken::Missing => write!(f, "the object {object} of its output `{output}` is missing"),
                Broken::Damaged => write!(f, "the object {object} of its output `{output}` is damaged"),
                Broken::Size { expected, found } => write!(
                    f,
                    "the object {object} of its output `{output}` has {found} bytes, {expected} were written"
                ),
            },
            Self::State => f.write_str("the saved state is not what was written"),
            Self::Line { line } => write!(f, "line {line} is no event"),
            Self::Torn { line } => {
                write!(f, "line {line} was cut while it was written; the next run ends it")
            }
            Self::TooLarge { bytes } => {
                write!(f, "it has {bytes} bytes, more than any such file")
            }
            Self::Link => f.write_str("it is a link"),
            Self::Foreign => f.write_str("runner does not put such a thing there"),
            Self::Unreadable { error } | Self::Forbidden { error } => {
                write!(f, "it cannot be read: {error}")
            }
        }
    }
}
