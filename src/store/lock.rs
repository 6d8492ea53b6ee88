//! One runner for each piece of work, over all processes on a cache.
//!
//! The lock is the operating system's on an open file, so it ends with its holder, however that dies; a file that
//! merely lies there holds nothing. The holder removes the file before it lets go. Whoever waited for that
//! very file then finds that the name no longer leads to it, and tries anew: the name and the lock always
//! belong together.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::durable::{open, ordinary};
use super::faults::{Operation, before};
use super::{Store, StoreError};
use crate::fingerprint::Fingerprint;

/// How often a waiting runner tries again.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// Where a holder notes how far it is: after who it is, with blanks up to here.
const NOTE: u64 = 256;
/// The length of such a note, with blanks at its end.
const LENGTH: usize = 512;

/// Who holds a lock, as it said itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(String);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "another runner" } else { &self.0 })
    }
}

/// The right to run a stage, until it is dropped.
#[derive(Debug)]
pub struct StageLock {
    path: PathBuf,
    file: Option<File>,
}

impl StageLock {
    /// Whether it keeps others out. Some network file systems know no locks; there it does not.
    pub fn is_exclusive(&self) -> bool {
        self.file.is_some()
    }

    /// Notes how far the work is, in one line in place of the last one, for [`Store::held`]. Only for people, so a
    /// failure is none.
    pub fn note(&self, line: &str) {
        let Some(mut file) = self.file.as_ref() else { return };
        // One write of the same length each time: a reader sees the old line or the new one. What is longer is no note.
        let padded = format!("{line:<LENGTH$}\n");
        let _ = file.seek(SeekFrom::Start(NOTE)).and_then(|_| file.write_all(padded.as_bytes()));
    }
}

impl Drop for StageLock {
    fn drop(&mut self) {
        // Somebody may have removed the file, and another runner have made a new one under this name.
        let is_ours = self.file.as_ref().is_some_and(|file| names(&self.path, file));
        if is_ours && cfg!(unix) {
            // One that stays does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Store {
    /// Who holds the lock of a piece of work at this moment; `None` if nobody does.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn holder(&self, fingerprint: &Fingerprint) -> Result<Option<Holder>, StoreError> {
        Ok(self.held(&fingerprint.to_string())?.map(|held| held.holder))
    }

    /// Who holds the lock of this name, and how far it says that it is; `None` if nobody does.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn held(&self, name: &str) -> Result<Option<HeldLock>, StoreError> {
        let path = self.locks().join(name);
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open the lock", &path)(error)),
        };
        // Shared, so that those who only look do not see each other.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(held(&file))),
            Err(TryLockError::Error(error)) if is_unsupported(&error) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("look at the lock", &path)(error)),
        }
    }

    /// The names of the files of all locks, held or not.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn lock_names(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.locks();
        let failed = StoreError::io("read the folder", &folder);
        match folder.read_dir() {
            Ok(files) => {
                let names = files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
                names.collect::<io::Result<_>>().map_err(failed)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes the lock of a piece of work. While another runner holds it, `on_wait` is called again and again, and may
    /// give up: then there is no lock.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn lock(
        &self,
        fingerprint: &Fingerprint,
        on_wait: &mut dyn FnMut(&Holder) -> ControlFlow<()>,
    ) -> Result<Option<StageLock>, StoreError> {
        self.lock_named(&fingerprint.to_string(), on_wait)
    }

    pub(super) fn lock_named(
        &self,
        name: &str,
        on_wait: &mut dyn FnMut(&Holder) -> ControlFlow<()>,
    ) -> Result<Option<StageLock>, StoreError> {
        let folder = self.locks();
        self.disk.make_folder(&folder).map_err(StoreError::io("make the folder", &folder))?;
        let path = folder.join(name);
        loop {
            let file = open_lock(&path).map_err(StoreError::io("open the lock", &path))?;
            let tried =
                before(Operation::Lock(&path)).map_err(TryLockError::Error).and_then(|()| file.try_lock());
            match tried {
                Ok(()) if names(&path, &file) => {
                    introduce(&file);
                    return Ok(Some(StageLock { path, file: Some(file) }));
                }
                // Its last holder has removed it in this moment.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if on_wait(&held(&file).holder).is_break() {
                        return Ok(None);
                    }
                    std::thread::sleep(RETRY);
                }
                Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                    return Ok(Some(StageLock { path, file: None }));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("take the lock", &path)(error));
                }
            }
        }
    }

    fn locks(&self) -> PathBuf {
        self.disk.root().join("locks")
    }
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// By whom.
    pub holder: Holder,
    /// How far it says that it is: see [`StageLock::note`].
    pub note: Option<String>,
}

/// Opens a lock's file. One of another user, which we may only read, can be locked as well.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    match ordinary(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => found?,
    }
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => open(path),
        opened => opened,
    }
}

/// Whether a file system says that it has no locks.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    const ENOLCK: i32 = 37;
    const EOPNOTSUPP: i32 = 95;
    error.kind() == io::ErrorKind::Unsupported
        || cfg!(target_os = "linux") && matches!(error.raw_os_error(), Some(ENOLCK | EOPNOTSUPP))
}

/// Writes who we are. Only for people, so a failure is none.
fn introduce(mut file: &File) {
    let host = gethostname::gethostname();
    let note = format!("process {} on {}\n", std::process::id(), host.to_string_lossy());
    let _ = file.set_len(0).and_then(|()| file.write_all(note.as_bytes()));
}

/// What a lock's file says; a line without its end is still being written.
fn held(file: &File) -> HeldLock {
    let mut text = Vec::new();
    let _ = file.take(NOTE + LENGTH as u64 + 1).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).collect();
    let holder = Holder(lines.first().map(|line| (*line).to_owned()).unwrap_or_default());
    let note = lines.get(1).map(|line| line.trim_matches(['\0', ' ']).to_owned());
    HeldLock { holder, note: note.filter(|note| !note.is_empty()) }
}

#[cfg(unix)]
fn names(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => identity(named) == identity(open),
        _ => false,
    }
}

/// Elsewhere an open file keeps its name.
#[cfg(not(unix))]
fn names(_path: &Path, _file: &File) -> bool {
    true
}
