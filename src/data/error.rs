//! Why a data set cannot be read, and what to do.

use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::misplaced;
use super::params::DataParams;
use crate::fingerprint::Fingerprint;

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DataError {
    /// Nothing of the data set is there.
    #[error("the data set {} is not here: {file} is missing", data.set.name())]
    #[diagnostic(help(
        "`{}` downloads it. It was looked for, plain or as .gz, in {}; `data.dir` or the variable RUNNER_DATA \
         name another place",
        data.fetch_command(),
        misplaced::folders(data)
    ))]
    Missing {
        /// What was to be read.
        data: Box<DataParams>,
        /// The name of the file.
        file: String,
    },
    /// There is something in the place of the data set, and it is not the data set's files.
    #[error("the data set {} cannot be read from {}: {found}", data.set.name(), data.folder().display())]
    #[diagnostic(help("{help}"))]
    Misplaced {
        /// What was to be read.
        data: Box<DataParams>,
        /// What is there.
        found: String,
        /// The way out.
        help: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(help("see that the file may be read, and that its disk is there"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{} is not a valid file of {}: {reason}", path.display(), data.set.name())]
    #[diagnostic(help("{}", misplaced::mend(data, path)))]
    Damaged {
        /// What was to be read.
        data: Box<DataParams>,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not the one whose hash is part of the fingerprint.
    #[error(
        "{} changed after this run was planned: its content was {} then and is {} now",
        path.display(), expected.short(), found.short()
    )]
    #[diagnostic(help(
        "nothing was recorded; give the command again, which plans anew with the files as they are, and leave them \
         alone while it runs"
    ))]
    Changed {
        /// The file.
        path: PathBuf,
        /// The hash of its content when the run was planned.
        expected: Fingerprint,
        /// The hash of what was read.
        found: Fingerprint,
    },
    /// A stage asked for images that are not part of its fingerprint: a mistake in the stage's kind.
    #[error("the stage reads images that its fingerprint does not have")]
    #[diagnostic(help("`data_use` of the stage's kind must name the images that `run` loads"))]
    Undeclared,
}

impl DataError {
    pub(super) fn damaged(params: &DataParams, path: &Path, reason: String) -> Self {
        Self::Damaged { data: Box::new(params.clone()), path: path.to_owned(), reason }
    }
}
