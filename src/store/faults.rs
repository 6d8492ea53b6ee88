//! A seam for tests: every change that the store makes to its folder is announced here first.
//!
//! In a test, a probe of the thread hears of each change and may refuse it, as a full or a broken disk would. The
//! tests of the store use it to let every single operation fail, and to replay what a power cut leaves. In
//! every other build there is nothing here.

use std::io;
use std::path::Path;

/// A change that is about to be made.
#[cfg_attr(not(test), allow(dead_code, reason = "only a test's probe looks at it"))]
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A folder is made.
    MakeFolder(&'a Path),
    /// A temporary file is made and filled.
    WriteFile(&'a Path),
    /// A file's content is flushed to the disk.
    SyncFile(&'a Path),
    /// A file takes its name, in place of what had it.
    Rename(&'a Path, &'a Path),
    /// A folder's entries are flushed to the disk.
    SyncFolder(&'a Path),
    /// A file is removed.
    Remove(&'a Path),
    /// A lock is taken.
    Lock(&'a Path),
}

#[cfg(test)]
impl<'a> Change<'a> {
    /// Where the change is made.
    pub fn path(&self) -> &'a Path {
        match *self {
            Self::MakeFolder(path)
            | Self::WriteFile(path)
            | Self::SyncFile(path)
            | Self::Rename(_, path)
            | Self::SyncFolder(path)
            | Self::Remove(path)
            | Self::Lock(path) => path,
        }
    }
}

#[cfg(not(test))]
#[inline]
pub fn before(_change: Change<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub use probe::{before, with_probe};

#[cfg(test)]
mod probe {
    use super::{Change, io};
    use std::cell::RefCell;

    type Probe = Box<dyn FnMut(Change<'_>) -> io::Result<()>>;

    thread_local! {
        static PROBE: RefCell<Option<Probe>> = const { RefCell::new(None) };
    }

    pub fn before(change: Change<'_>) -> io::Result<()> {
        PROBE.with_borrow_mut(|probe| probe.as_mut().map_or(Ok(()), |probe| probe(change)))
    }

    /// Runs `work` while `probe` hears of every change that this thread makes.
    pub fn with_probe<T>(
        probe: impl FnMut(Change<'_>) -> io::Result<()> + 'static,
        work: impl FnOnce() -> T,
    ) -> T {
        PROBE.set(Some(Box::new(probe)));
        let result = work();
        PROBE.set(None);
        result
    }
}
