//! A seam for tests: every operation of the store on its folder is announced here first.
//!
//! In a test, a probe of the thread hears of each operation and may refuse it, as a full or a broken disk would. The
//! tests of the store use it to let every single one fail, and to replay what a power cut leaves. In
//! every other build there is nothing here.

use std::io;
use std::path::Path;

/// What is about to be done.
#[cfg_attr(not(test), allow(dead_code, reason = "only a test's probe looks at it"))]
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// A folder is made.
    MakeFolder(&'a Path),
    /// A file is filled, or added to.
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
    /// A file is read.
    Read(&'a Path),
    /// A folder is listed.
    List(&'a Path),
}

#[cfg(test)]
impl<'a> Operation<'a> {
    /// Where it is done.
    pub fn path(&self) -> &'a Path {
        match *self {
            Self::MakeFolder(path)
            | Self::WriteFile(path)
            | Self::SyncFile(path)
            | Self::Rename(_, path)
            | Self::SyncFolder(path)
            | Self::Remove(path)
            | Self::Lock(path)
            | Self::Read(path)
            | Self::List(path) => path,
        }
    }

    /// Whether it puts nothing onto the disk.
    pub fn looks(&self) -> bool {
        matches!(self, Self::Read(_) | Self::List(_) | Self::Lock(_))
    }
}

#[cfg(not(test))]
#[inline]
pub fn before(_operation: Operation<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub use probe::{before, with_probe};

#[cfg(test)]
mod probe {
    use super::{Operation, io};
    use std::cell::RefCell;

    type Probe = Box<dyn FnMut(Operation<'_>) -> io::Result<()>>;

    thread_local! {
        static PROBE: RefCell<Option<Probe>> = const { RefCell::new(None) };
    }

    pub fn before(operation: Operation<'_>) -> io::Result<()> {
        PROBE.with_borrow_mut(|probe| probe.as_mut().map_or(Ok(()), |probe| probe(operation)))
    }

    /// Runs `work` while `probe` hears of every operation of this thread.
    pub fn with_probe<T>(
        probe: impl FnMut(Operation<'_>) -> io::Result<()> + 'static,
        work: impl FnOnce() -> T,
    ) -> T {
        PROBE.set(Some(Box::new(probe)));
        let result = work();
        PROBE.set(None);
        result
    }
}
