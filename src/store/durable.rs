//! Files that appear whole or not at all, and stay.
//!
//! The content goes to a temporary file of the same file system, is flushed to the disk, and takes its name by a
//! rename, which is atomic. The rename itself lives in the folder, so the folder is flushed as
//! well: without that, a power cut can forget a file that was reported as written. The same holds for the folder's
//! own entry in the folder above it, up to the root of the cache.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::faults::{Operation, before};
use super::lock::open_lock;
use super::rooms::TEMPORARY;
use super::site::is_temporary;

/// How a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It outlives a power cut, and is never written again: nobody may write into it.
    Forever,
    /// It outlives a power cut, and may be replaced.
    Lasting,
    /// It is whole or not there; a power cut may take it. For what only saves time.
    Hint,
}

/// After a moment of waiting for `locks/writing`, asks whether to wait on. The path is the lock's.
#[derive(Clone)]
pub struct Patience(Arc<dyn Fn(&Path) -> ControlFlow<()> + Send + Sync>);

impl Patience {
    /// `ask` is called again and again while the wait lasts, and may say something or end it.
    pub fn new(ask: impl Fn(&Path) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patience")
    }
}

/// A wait for less than this is not worth a word.
const MOMENT: Duration = Duration::from_secs(1);

/// The folder of a cache, as the place where files are made.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    patience: Option<Patience>,
    /// Folders whose entry in the folder above was flushed by this process.
    settled: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Disk {
    /// The folder `root`, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), patience: None, settled: Arc::default() }
    }

    /// Lets `patience` decide how long writers wait for `locks/writing`.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = Some(patience);
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes `content` to `path`, replacing what is there. On an error, what was there is still there.
    pub fn write(&self, path: &Path, content: &[&[u8]], care: Care) -> io::Result<()> {
        let mut draft = self.draft()?;
        for part in content {
            draft.write(part)?;
        }
        draft.keep(path, care)
    }

    /// Begins a file that has no name yet.
    pub fn draft(&self) -> io::Result<Draft<'_>> {
        let tmp = self.root.join("tmp");
        self.make_folder(&tmp)?;
        let writing = self.writing()?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1).rand_bytes(TEMPORARY.2);
        #[cfg(unix)]
        {
            // Like any other new file: 0666 less the umask, so that a group can share a cache.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(&tmp)?;
        before(Operation::WriteFile(file.path()))?;
        Ok(Draft { disk: self, file, _writing: writing })
    }

    /// Makes sure that a file, which another process may have put there a moment ago, stays.
    pub fn settle(&self, path: &Path) -> io::Result<()> {
        self.make_folder(parent(path))?;
        before(Operation::SyncFile(path))?;
        File::open(path)?.sync_all()?;
        sync_folder(parent(path))
    }

    /// Makes a folder of the cache and those above it, so that they stay.
    ///
    /// A folder that is there already may have been made by another process, which has not flushed it yet. So the
    /// first use of each by this process flushes its entry in any case.
    pub fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() && self.is_settled(folder) {
            return Ok(());
        }
        let above = parent(folder);
        if folder != self.root && folder.starts_with(&self.root) {
            self.claim()?;
        }
        if above != folder {
            self.make_folder(above)?;
        }
        let is_new = !folder.is_dir();
        if is_new {
            before(Operation::MakeFolder(folder))?;
            match fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                made => made?,
            }
        }
        match sync_folder(above) {
            // The folders above the cache may be any, some of which we may pass but not read.
            Err(_) if !is_new && !above.starts_with(&self.root) => {}
            synced => synced?,
        }
        self.settle_entry(folder);
        Ok(())
    }

    /// Whether this process has flushed the entry of `path` in its folder.
    pub(super) fn is_settled(&self, path: &Path) -> bool {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// Notes that the entry of `path` in its folder was flushed.
    pub(super) fn settle_entry(&self, path: &Path) {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }

    /// Renames a file into another folder of the cache.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make_folder(parent(to))?;
        before(Operation::Rename(from, to))?;
        fs::rename(from, to)?;
        sync_folder(parent(to))?;
        sync_folder(parent(from))
    }

    /// Removes what writers that died have left in `tmp`, and says how many files that were: files with the
    /// names that [`Self::draft`] gives, and no others. While any runner is writing, nothing is removed.
    pub fn sweep(&self) -> io::Result<usize> {
        let tmp = self.root.join("tmp");
        if !tmp.is_dir() {
            return Ok(0);
        }
        let lock = self.open_writing_lock()?;
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        let mut removed = 0;
        for entry in list(&tmp)? {
            let entry = entry?;
            let path = entry.path();
            let is_ours = entry.file_name().to_str().is_some_and(is_temporary);
            if is_ours && path.symlink_metadata()?.is_file() {
                before(Operation::Remove(&path))?;
                fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Held, shared with other writers, while a temporary file is in use: [`Self::sweep`] takes it alone, so it never
    /// sees the file of a living writer, and needs no clock to tell an old one. `None` where there are no locks.
    ///
    /// A sweep holds it for a moment. Anyone who may read the cache can hold it for longer, so the wait is
    /// told and can be ended: see [`Patience`].
    fn writing(&self) -> io::Result<Option<File>> {
        let lock = self.open_writing_lock()?;
        let since = Instant::now();
        loop {
            let tried = before(Operation::Lock(&self.root))
                .map_err(TryLockError::Error)
                .and_then(|()| lock.try_lock_shared());
            match tried {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::Error(error)) if super::lock::is_unsupported(&error) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {
                    let path = self.root.join("locks").join("writing");
                    let goes_on = match &self.patience {
                        Some(Patience(ask)) if since.elapsed() >= MOMENT => ask(&path),
                        _ => ControlFlow::Continue(()),
                    };
                    if goes_on.is_break() {
                        let words = format!("stopped while another process holds {}", path.display());
                        return Err(io::Error::new(io::ErrorKind::Interrupted, words));
                    }
                    std::thread::sleep(super::lock::RETRY);
                }
            }
        }
    }

    fn open_writing_lock(&self) -> io::Result<File> {
        let locks = self.root.join("locks");
        self.make_folder(&locks)?;
        open_lock(&locks.join("writing"))
    }
}

/// A file that is being written. Dropped, it is gone.
#[derive(Debug)]
pub struct Draft<'d> {
    disk: &'d Disk,
    file: tempfile::NamedTempFile,
    _writing: Option<File>,
}

impl Draft<'_> {
    /// Adds to it.
    pub fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.file.write_all(part)
    }

    /// Gives it a name that nothing has yet, so that it outlives a power cut.
    ///
    /// # Errors
    /// `AlreadyExists` where something has the name.
    pub fn keep_new(self, path: &Path) -> io::Result<()> {
        let Self { disk, file, _writing } = self;
        disk.make_folder(parent(path))?;
        before(Operation::SyncFile(file.path()))?;
        file.as_file().sync_all()?;
        before(Operation::Rename(file.path(), path))?;
        if let Err(error) = file.persist_noclobber(path) {
            // Some file systems have no rename that replaces nothing.
            if !is_unsupported(&error.error) || path.symlink_metadata().is_ok() {
                return Err(error.error);
            }
            error.file.persist(path)?;
        }
        sync_folder(parent(path))
    }

    /// Gives it its name, in place of what has it.
    pub fn keep(self, path: &Path, care: Care) -> io::Result<()> {
        let Self { disk, file, _writing } = self;
        let folder = parent(path);
        disk.make_folder(folder)?;
        if care == Care::Forever {
            forbid_writing(file.as_file())?;
        }
        if care != Care::Hint {
            before(Operation::SyncFile(file.path()))?;
            file.as_file().sync_all()?;
        }
        before(Operation::Rename(file.path(), path))?;
        file.persist(path)?;
        if care == Care::Hint { Ok(()) } else { sync_folder(folder) }
    }
}

/// The largest JSON file of a cache: a record of thousands of epochs takes a few megabytes.
pub const JSON: u64 = 64 << 20;
/// How often a read that failed is tried in all, and the pause before the next try.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// Reads a JSON file of the cache; `None` if there is none.
///
/// # Errors
/// It cannot be read. It is larger than [`JSON`], or no file at all: see [`is_wrong`].
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_up_to(path, JSON)
}

/// Reads a file of at most `limit` bytes; `None` if there is none. A read that fails is tried again, since
/// many failures pass.
pub fn read_up_to(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let once = || {
        let file = open(path)?;
        // The size first: a file with holes may claim any.
        if file.metadata()?.len() > limit {
            return Err(too_large());
        }
        let mut content = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > limit { Err(too_large()) } else { Ok(content) }
    };
    match patiently(once) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Does something that reads again where it fails in a way that may pass.
pub fn patiently<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 1;
    loop {
        match work() {
            Err(error) if tries < TRIES && may_pass(&error) => std::thread::sleep(PAUSE),
            done => return done,
        }
        tries += 1;
    }
}

fn may_pass(error: &io::Error) -> bool {
    !is_wrong(error) && !super::error::forbidden(error) && error.kind() != io::ErrorKind::NotFound
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is larger than any such file")
}

/// Opens a file to read it. Whatever else has its name is refused: reading a pipe would never end, and a link leads to what
/// anyone may change.
pub fn open(path: &Path) -> io::Result<File> {
    before(Operation::Read(path))?;
    ordinary(path)?;
    File::open(path)
}

/// Refuses what is there and is no file.
pub fn ordinary(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is no ordinary file"))
}

/// The entries of a folder.
pub fn list(folder: &Path) -> io::Result<fs::ReadDir> {
    before(Operation::List(folder))?;
    fs::read_dir(folder)
}

/// Whether what is there is certainly not what runner wrote: no file at all, or one larger than any. Only the
/// store itself makes errors of this kind; the system's errors say that something could not be read, not that
/// it is wrong.
pub fn is_wrong(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

/// Whether the disk says that it does not give the content of a file back. It may do so later (a network file
/// system gives EIO while its server is away), so this is no reason to move or remove the file.
pub fn is_lost(error: &io::Error) -> bool {
    /// EIO, which every Unix knows, and Linux's ENODATA (a broken sector), EBADMSG and EILSEQ (a wrong checksum) and EUCLEAN
    /// (a damaged file system).
    const BROKEN: [i32; 5] = [5, 61, 74, 84, 117];
    let known = if cfg!(target_os = "linux") { 5 } else { usize::from(cfg!(unix)) };
    error.raw_os_error().is_some_and(|code| BROKEN[..known].contains(&code))
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    before(Operation::Remove(path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Deleting a file asks for a writable folder, not for a writable file, so `rm -rf` still does its work.
#[cfg(unix)]
fn forbid_writing(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(fs::Permissions::from_mode(mode & 0o444))
}

/// Elsewhere a read-only file cannot be deleted.
#[cfg(not(unix))]
fn forbid_writing(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Set once a file system has said that it cannot flush folders.
static UNFLUSHED: AtomicBool = AtomicBool::new(false);

/// Whether a file system of this process cannot flush folders, so that a power cut may take what was
/// reported.
pub fn cannot_flush() -> bool {
    UNFLUSHED.load(Ordering::Relaxed)
}

/// Flushes a folder's entries to the disk. Some network and user-space file systems cannot, which is no
/// failure: see [`cannot_flush`].
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let flush = || {
        before(Operation::SyncFolder(folder))?;
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    };
    match flush() {
        Err(error) if is_unsupported(&error) => {
            UNFLUSHED.store(true, Ordering::Relaxed);
            Ok(())
        }
        flushed => flushed,
    }
}

/// Whether a file system says that it does not know an operation: EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
        || cfg!(target_os = "linux") && matches!(error.raw_os_error(), Some(22 | 38 | 95))
}
