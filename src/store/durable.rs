//! Files that appear whole or not at all, and stay.
//!
//! The content goes to a temporary file of the same file system, is flushed to the disk, and takes its name by a
//! rename, which is atomic. The rename itself lives in the folder, so the folder is flushed as
//! well: without that, a power cut can forget a file that was reported as written. The same holds for the folder's
//! own entry in the folder above it, up to the root of the cache.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::faults::{Operation, before};
use super::lock::open_lock;

/// How a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It outlives a power cut, and is never written again: nobody may write into it.
    Forever,
    /// It outlives a power cut, and may be replaced.
    Lasting,
    /// It is whole or not there; a power cut may take it. For what only explains or saves time.
    Hint,
}

/// The folder of a cache, as the place where files are made.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    /// Folders whose entry in the folder above was flushed by this process.
    settled: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Disk {
    /// The folder `root`, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), settled: Arc::default() }
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
        let settled = || self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.is_dir() && settled().contains(folder) {
            return Ok(());
        }
        let above = parent(folder);
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
        settled().insert(folder.to_owned());
        Ok(())
    }

    /// Renames a file into another folder of the cache.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make_folder(parent(to))?;
        before(Operation::Rename(from, to))?;
        fs::rename(from, to)?;
        sync_folder(parent(to))?;
        sync_folder(parent(from))
    }

    /// Removes what writers that died have left in `tmp`, and says how many files that were. While any runner is
    /// writing, nothing is removed.
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
            let path = entry?.path();
            if path.symlink_metadata()?.is_file() {
                before(Operation::Remove(&path))?;
                fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Held, shared with other writers, while a temporary file is in use: [`Self::sweep`] takes it alone, so it never
    /// sees the file of a living writer, and needs no clock to tell an old one. `None` where there are no locks.
    fn writing(&self) -> io::Result<Option<File>> {
        let lock = self.open_writing_lock()?;
        match before(Operation::Lock(&self.root)).and_then(|()| lock.lock_shared()) {
            Ok(()) => Ok(Some(lock)),
            Err(error) if super::lock::is_unsupported(&error) => Ok(None),
            Err(error) => Err(error),
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

/// Reads a file; `None` if there is none. One that the disk does not give at once is asked for again.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let once = || {
        let mut content = Vec::new();
        open(path)?.read_to_end(&mut content)?;
        Ok(content)
    };
    let content: io::Result<Vec<u8>> = match once() {
        Err(error) if is_lost(&error) => once(),
        content => content,
    };
    match content {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

/// Whether the content of a file is gone for good: the disk does not give it back, or something else has its name. What is not
/// ours to read and what the system is short of are other matters.
pub fn is_lost(error: &io::Error) -> bool {
    /// EIO, which every Unix knows, and Linux's ENODATA (a broken sector), EBADMSG and EILSEQ (a wrong checksum) and EUCLEAN
    /// (a damaged file system).
    const BROKEN: [i32; 5] = [5, 61, 74, 84, 117];
    let known = if cfg!(target_os = "linux") { 5 } else { usize::from(cfg!(unix)) };
    let is_broken = |code| BROKEN[..known].contains(&code);
    error.kind() == io::ErrorKind::InvalidData || error.raw_os_error().is_some_and(is_broken)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    before(Operation::Remove(path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn parent(path: &Path) -> &Path {
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

/// Flushes a folder's entries to the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    before(Operation::SyncFolder(folder))?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}
