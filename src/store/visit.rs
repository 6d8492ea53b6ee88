//! Those who use a cache and those who clear it keep out of each other's way.
//!
//! Whoever relies on results that are there (a run, from before it plans to its end; an export; an import) holds
//! `locks/visits` together with others. Collection takes it alone: so it waits for them, and they for it. The lock is the
//! operating system's and ends with its holder.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::durable::{is_lost, is_wrong, list, open};
use super::error::forbidden;
use super::faults::{Operation, before};
use super::lock::{Holder, RETRY, is_unsupported, open_lock};
use super::{Store, StoreError};

/// While it lasts, nothing is collected.
#[derive(Debug)]
pub struct Visit {
    _file: Option<File>,
}

/// The right to collect: nobody relies on the cache while it lasts.
#[derive(Debug)]
pub struct Alone {
    _file: File,
}

impl Store {
    /// Keeps collection away. `on_wait` is called once if something is being collected at this moment; then it waits.
    ///
    /// A cache that can only be read, or whose file system has no locks, is visited without.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn visit(&self, on_wait: &mut dyn FnMut()) -> Result<Visit, StoreError> {
        let path = self.visits();
        let opened = match self.open_visits() {
            Err(error) if forbidden(&error) => existing(&path),
            opened => opened.map(Some),
        };
        share(opened.map_err(StoreError::io("open the lock", &path))?, &path, on_wait)
    }

    /// As [`Self::visit`], and makes nothing: where no lock is there yet, or something else in its place, it goes without.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn look(&self, on_wait: &mut dyn FnMut()) -> Result<Visit, StoreError> {
        let path = self.visits();
        share(existing(&path).map_err(StoreError::io("open the lock", &path))?, &path, on_wait)
    }

    /// As [`Self::visit`], and goes without where the lock is itself what is to be mended: then nothing can be collected
    /// either.
    ///
    /// # Errors
    /// The lock's file cannot be used.
    pub fn visit_to_mend(&self, on_wait: &mut dyn FnMut()) -> Result<Visit, StoreError> {
        match self.visit(on_wait) {
            Err(StoreError::Io { source, .. }) if is_lost(&source) || is_wrong(&source) => self.look(on_wait),
            visited => visited,
        }
    }

    /// Waits until nobody relies on the cache. Meanwhile `on_wait` is called again and again with those who run a
    /// stage, and may give up: then there is no lock.
    ///
    /// # Errors
    /// The lock's file cannot be used; the file system has no locks.
    pub fn alone(
        &self,
        on_wait: &mut dyn FnMut(&[Holder]) -> ControlFlow<()>,
    ) -> Result<Option<Alone>, StoreError> {
        let path = self.visits();
        let file = self.open_visits().map_err(StoreError::io("open the lock", &path))?;
        loop {
            let tried =
                before(Operation::Lock(&path)).map_err(TryLockError::Error).and_then(|()| file.try_lock());
            match tried {
                Ok(()) => return Ok(Some(Alone { _file: file })),
                Err(TryLockError::WouldBlock) => {
                    if on_wait(&self.holders()?).is_break() {
                        return Ok(None);
                    }
                    std::thread::sleep(RETRY);
                }
                Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                    return Err(StoreError::NoLocks { path: self.disk.root().display().to_string() });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("take the lock", &path)(error));
                }
            }
        }
    }

    /// Who runs a stage at this moment, each once.
    fn holders(&self) -> Result<Vec<Holder>, StoreError> {
        let locks = self.disk.root().join("locks");
        let mut holders: Vec<Holder> = Vec::new();
        for entry in list(&locks).map_err(StoreError::io("read the folder", &locks))? {
            let entry = entry.map_err(StoreError::io("read the folder", &locks))?;
            let Ok(fingerprint) = entry.file_name().to_string_lossy().parse() else { continue };
            holders.extend(self.holder(&fingerprint)?.filter(|holder| !holders.contains(holder)));
        }
        Ok(holders)
    }

    fn visits(&self) -> PathBuf {
        self.disk.root().join("locks").join("visits")
    }

    fn open_visits(&self) -> io::Result<File> {
        self.disk.make_folder(&self.disk.root().join("locks"))?;
        open_lock(&self.visits())
    }
}

fn existing(path: &Path) -> io::Result<Option<File>> {
    match open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || forbidden(&error) => Ok(None),
        Err(error) if is_lost(&error) || is_wrong(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn share(file: Option<File>, path: &Path, on_wait: &mut dyn FnMut()) -> Result<Visit, StoreError> {
    let Some(file) = file else { return Ok(Visit { _file: None }) };
    let tried =
        before(Operation::Lock(path)).map_err(TryLockError::Error).and_then(|()| file.try_lock_shared());
    let locked = match tried {
        Err(TryLockError::WouldBlock) => {
            on_wait();
            file.lock_shared()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    match locked {
        Ok(()) => Ok(Visit { _file: Some(file) }),
        Err(error) if is_unsupported(&error) => Ok(Visit { _file: None }),
        Err(error) => Err(StoreError::io("take the lock", path)(error)),
    }
}
