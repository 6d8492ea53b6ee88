//! Files that runner writes where a user asks for them: reports, figures, bundles.
//!
//! A [`Place`] decides what happens to the path before anything is written:
//!
//! | at the path | what happens |
//! |---|---|
//! | nothing | the file is made |
//! | an earlier output of runner, by its content | it is replaced in one step and keeps its mode |
//! | a symbolic link | the file that it points to is treated by these rules, and the link stays |
//! | a pipe, a character device, an open descriptor (`/dev/stdout`) | the content is written into it |
//! | any other file, or an output that was edited or is write-protected | an error, unless `--force` is given |
//! | a folder, a block device, a socket | an error |
//! | an input of the command, anything in the cache | an error, also with `--force` |

mod inputs;
mod listed;
mod seal;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use tempfile::NamedTempFile;

pub use inputs::Inputs;
pub use seal::Format;

/// Which existing files may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Only earlier outputs of runner.
    Own,
    /// Any file that is no input: `--force`.
    Any,
}

impl Replace {
    /// `Any` with `--force`, otherwise `Own`.
    pub fn by(force: bool) -> Self {
        if force { Self::Any } else { Self::Own }
    }
}

/// Why a file is not written.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum WriteError {
    /// Another file is at the path.
    #[error("{path} exists, and is not an unchanged output of runner")]
    #[diagnostic(help("choose another name, or replace it with `--force`"))]
    NotOurs {
        /// Where it is.
        path: String,
    },
    /// The path is an input of the command.
    #[error("{path} is an input of this command, and is never replaced")]
    #[diagnostic(help("choose another name"))]
    Input {
        /// Where it is.
        path: String,
    },
    /// The path lies in the cache.
    #[error("{path} lies in the cache, where only results are written")]
    #[diagnostic(help("choose a place outside of the cache"))]
    InCache {
        /// Where it would be.
        path: String,
    },
    /// A folder, a socket or another thing that a file cannot replace is at the path.
    #[error("{path} is {what}, and is not replaced by a file")]
    #[diagnostic(help("choose another name"))]
    NoFile {
        /// Where it is.
        path: String,
        /// What it is, in words.
        what: &'static str,
    },
    /// The system call failed.
    #[error("{path} cannot be written")]
    Io {
        /// Where it should go.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl WriteError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }
}

/// A path that may be written.
#[derive(Debug)]
pub struct Place {
    /// The path that the user gave.
    asked: PathBuf,
    /// The path with the links at its end resolved.
    path: PathBuf,
    there: There,
}

/// What is at the path.
#[derive(Debug)]
enum There {
    Nothing,
    File(fs::Metadata),
    /// A pipe or device: content is written into it, and it is never replaced.
    Stream,
}

impl Place {
    /// Looks at `asked`. An existing file may be replaced if `is_ours` recognises its content, or with
    /// `--force`.
    ///
    /// # Errors
    /// The path may not be written: see the table of this module.
    pub fn find(
        asked: &Path,
        is_ours: &dyn Fn(&mut File, &Path) -> io::Result<bool>,
        replace: Replace,
        inputs: &Inputs,
    ) -> Result<Self, WriteError> {
        let shown = || asked.display().to_string();
        let no_file = |what| Err(WriteError::NoFile { path: shown(), what });
        let (path, descriptor) = followed(asked).map_err(WriteError::io(asked))?;
        if inputs.hold(&path) {
            return Err(WriteError::InCache { path: shown() });
        }
        let place = |there| Self { asked: asked.to_owned(), path: path.clone(), there };
        let found = match path.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return if path.file_name().is_some() {
                    Ok(place(There::Nothing))
                } else {
                    no_file("no name")
                };
            }
            Err(error) => return Err(WriteError::io(asked)(error)),
        };
        if inputs.are(&path, &found) {
            return Err(WriteError::Input { path: shown() });
        }
        if found.is_dir() {
            return no_file("a folder");
        }
        if descriptor || is_stream(&found) {
            return Ok(place(There::Stream));
        }
        if !found.is_file() {
            return no_file("a special file");
        }
        if replace == Replace::Own {
            let ours = || Ok(!found.permissions().readonly() && is_ours(&mut File::open(&path)?, &path)?);
            if !ours().map_err(WriteError::io(asked))? {
                return Err(WriteError::NotOurs { path: shown() });
            }
        }
        Ok(place(There::File(found)))
    }

    /// As [`Self::find`], for a file of this format.
    ///
    /// # Errors
    /// See [`Self::find`].
    pub fn of(asked: &Path, format: Format, replace: Replace, inputs: &Inputs) -> Result<Self, WriteError> {
        Self::find(asked, &|file, path| format.is_ours(file, path), replace, inputs)
    }

    /// Whether a file would be replaced.
    pub fn is_taken(&self) -> bool {
        matches!(self.there, There::File(_))
    }

    /// Whether the content is written into a pipe, a device or an open descriptor.
    pub fn is_stream(&self) -> bool {
        matches!(self.there, There::Stream)
    }

    /// Writes `content` with the seal of its format, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written. An existing file is unchanged.
    pub fn write(self, format: Format, content: &[u8]) -> Result<(), WriteError> {
        let table = (format == Format::Csv && !self.is_stream()).then(|| self.path.clone());
        let mut draft = self.draft()?;
        draft.write_all(&format.sealed(content)).map_err(WriteError::io(&draft.asked))?;
        draft.finish()?;
        match table {
            Some(path) => listed::note(&path, content).map_err(WriteError::io(&path)),
            None => Ok(()),
        }
    }

    /// Begins the file, and makes its folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn draft(self) -> Result<Draft, WriteError> {
        let Self { asked, path, there } = self;
        let begin = || {
            Ok(match &there {
                There::Stream => To::Stream(OpenOptions::new().append(true).open(&path)?),
                There::Nothing => To::File(temporary(&path)?),
                There::File(found) => {
                    let file = temporary(&path)?;
                    keep_mode(file.as_file(), found)?;
                    To::File(file)
                }
            })
        };
        let to = begin().map_err(WriteError::io(&asked))?;
        Ok(Draft { asked, path, there, to })
    }
}

/// A file that has no name yet.
#[derive(Debug)]
pub struct Draft {
    asked: PathBuf,
    path: PathBuf,
    there: There,
    to: To,
}

#[derive(Debug)]
enum To {
    File(NamedTempFile),
    Stream(File),
}

impl Draft {
    /// Gives the file its name. On an error, an existing file is unchanged.
    ///
    /// # Errors
    /// The disk refuses, or another file has taken the name.
    pub fn finish(self) -> Result<(), WriteError> {
        let Self { asked, path, there, to } = self;
        let To::File(file) = to else { return Ok(()) };
        let name = || {
            file.as_file().sync_all()?;
            match &there {
                There::File(before) if !is_same(before, &path.metadata()?) => {
                    return Err(io::Error::other("it was changed in the meantime"));
                }
                There::File(_) => file.persist(&path)?,
                There::Nothing | There::Stream => file.persist_noclobber(&path)?,
            };
            sync(above(&path))
        };
        name().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => WriteError::NotOurs { path: asked.display().to_string() },
            _ => WriteError::io(&asked)(error),
        })
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::File(file) => file.write(bytes),
            To::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::File(file) => file.flush(),
            To::Stream(file) => file.flush(),
        }
    }
}

/// Checks that a folder may be filled with new files.
///
/// # Errors
/// It lies in the cache.
pub fn check_folder(asked: &Path, inputs: &Inputs) -> Result<(), WriteError> {
    let (path, _) = followed(asked).map_err(WriteError::io(asked))?;
    match inputs.hold(&path) {
        true => Err(WriteError::InCache { path: asked.display().to_string() }),
        false => Ok(()),
    }
}

/// The folder that a path lies in.
pub(crate) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Resolves the links at the end of a path, which need not exist. Also returns whether the path is an open
/// descriptor (`/dev/stdout`).
///
/// # Errors
/// Links that go round in a circle.
pub(crate) fn followed(asked: &Path) -> io::Result<(PathBuf, bool)> {
    /// The limit of Linux.
    const LINKS: u32 = 40;
    let mut path = asked.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = path.read_link() else { return Ok((path, false)) };
        // The target of an open descriptor's link is not always a path (`pipe:[123]`).
        if above(&path)
            .canonicalize()
            .is_ok_and(|above| above.starts_with("/proc") || above.ends_with("dev/fd"))
        {
            return Ok((path, true));
        }
        path = above(&path).join(target);
    }
    Err(io::Error::other("its links go round in a circle"))
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    fs::create_dir_all(above(path))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".runner-");
    #[cfg(unix)]
    {
        // The mode of any other new file: the umask applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(above(path))
}

#[cfg(unix)]
fn keep_mode(file: &File, before: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    // Only root can change an owner. For other users the new file is theirs, which is no error.
    let _ = std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()));
    file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o777))
}

#[cfg(not(unix))]
fn keep_mode(_file: &File, _before: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_stream(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_fifo() || found.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_stream(_found: &fs::Metadata) -> bool {
    false
}

/// Whether the file is unchanged between two looks.
fn is_same(before: &fs::Metadata, now: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (before.dev(), before.ino()) != (now.dev(), now.ino()) {
            return false;
        }
    }
    before.len() == now.len() && before.modified().ok() == now.modified().ok()
}

fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder)?.sync_all() {
        // Some file systems cannot flush folders; the file's content is on the disk already.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
        synced => synced?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
