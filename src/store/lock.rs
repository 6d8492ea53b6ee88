//! One runner for each piece of work, over all processes on a cache.
//!
//! The lock is the operating system's on an open file, so it ends with its holder, however that dies.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use fs4::FileExt;

use super::{Store, StoreError};
use crate::fingerprint::Fingerprint;

/// How often a waiting runner tries again.
const RETRY: Duration = Duration::from_millis(100);

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
    _file: File,
}

impl Store {
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
        let folder = self.root.join("locks");
        std::fs::create_dir_all(&folder).map_err(StoreError::io("make the folder", &folder))?;
        let path = folder.join(fingerprint.to_string());
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open().map_err(StoreError::io("open the lock", &path))?;
        loop {
            match FileExt::try_lock(&file) {
                Ok(()) => break,
                Err(fs4::TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // Only for the message; the holder may be writing it this moment.
                    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut holder));
                    if on_wait(&Holder(holder.trim().to_owned())).is_break() {
                        return Ok(None);
                    }
                    std::thread::sleep(RETRY);
                }
                Err(fs4::TryLockError::Error(error)) => {
                    return Err(StoreError::io("take the lock", &path)(error));
                }
            }
        }
        let host = gethostname::gethostname();
        let note = format!("process {} on {}", std::process::id(), host.to_string_lossy());
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(note.as_bytes()));
        written.map_err(StoreError::io("write the lock", &path))?;
        Ok(Some(StageLock { _file: file }))
    }
}
