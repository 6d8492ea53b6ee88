//! Why a data set could not be fetched, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;

/// Why a data set could not be fetched.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FetchError {
    /// No connection, no such host, no encryption, a proxy that refuses.
    #[error("cannot reach {url}: {reason}")]
    #[diagnostic(help(
        "check the connection and, behind a proxy, the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY; \
         `--from URL` takes another mirror. Without a network, copy {file} into {} from another machine and \
         give the same command, which then checks it",
        folder.display()
    ))]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The name of the file.
        file: String,
        /// What is wrong.
        reason: String,
        /// Where a copy of the file is found.
        folder: PathBuf,
    },
    /// An answer that is no file.
    #[error("the server answered {status} for {url}")]
    #[diagnostic(help("{}", advice(*status)))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The transfer broke off again and again.
    #[error("gave up on {url} after {tries} tries without a new byte: {reason}")]
    #[diagnostic(help(
        "{at} of {size} bytes are here and kept: the same command goes on from there; `--from URL` takes \
         another mirror"
    ))]
    Broken {
        /// What was asked for.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// What went wrong last.
        reason: String,
        /// Bytes that are here.
        at: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The file has another size than the published one.
    #[error("{url} is not the published file: it has {found}, {expected} bytes were expected")]
    #[diagnostic(help(
        "it may be a page of a login or a proxy, or a changed file; `--from URL` takes another mirror"
    ))]
    NotTheFile {
        /// What was asked for.
        url: String,
        /// What was offered, in words.
        found: String,
        /// The published size.
        expected: u64,
    },
    /// The checksum is wrong.
    #[error("{url} has the MD5 sum {found}, the published one is {expected}")]
    #[diagnostic(help(
        "it was damaged on its way or replaced; it was put aside as {}, and nothing was installed. The same \
         command downloads it anew; `--from URL` takes another mirror",
        moved_to.display()
    ))]
    Mismatch {
        /// Where it came from.
        url: String,
        /// The published sum.
        expected: String,
        /// The sum of what came.
        found: String,
        /// Where it is now.
        moved_to: PathBuf,
    },
    /// The archive is not to be trusted.
    #[error("{archive} was refused: {reason}")]
    #[diagnostic(help("nothing of it was unpacked; take it from another mirror with `--from URL`"))]
    Archive {
        /// Its name.
        archive: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not enough room.
    #[error("{} has {free} bytes free, {needed} are needed", folder.display())]
    #[diagnostic(help("make room there, or fetch to another disk with `--dir DIR`"))]
    NoRoom {
        /// Where to.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A source that is no URL of a web server.
    #[error("`{source_url}` is no address to fetch from")]
    #[diagnostic(help("give the address of a folder, such as https://mirror.example.org/cifar"))]
    Source {
        /// What was given.
        source_url: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    #[diagnostic(help("{}", local(source)))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FetchError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether another source may do better.
    pub(super) fn is_of_the_source(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::NoRoom { .. } | Self::Archive { .. })
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        404 | 410 => {
            "no such file is there: see that `--from` is the address of the folder that has it, or leave it out"
        }
        401 | 403 => "the server does not give it to everybody: take another mirror with `--from URL`",
        407 => "the proxy wants a name and a password: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",
        _ => "try again later, or take another mirror with `--from URL`",
    }
}

fn local(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room and give the same command, which goes on from there, or fetch to another disk with `--dir DIR`"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "it may not be written: fetch to a folder of yours with `--dir DIR`, and name that as `data.dir` in the pipeline"
        }
        _ => "see that the folder is writable and its disk has room, or fetch to another with `--dir DIR`",
    }
}
