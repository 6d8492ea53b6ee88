//! What a named stage last was, hashes of data files, and logs.

use std::fs::{OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::durable::{self, Care};
use super::faults::{Operation, before};
use super::formats::LastRun;
use super::lock::{RETRY, open_lock};
use super::sealed;
use super::{Store, StoreError};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};

/// The largest log that is read as a whole: of a stage with a hundred thousand epochs.
const LOG: u64 = 256 << 20;

impl Store {
    /// Remembers what a named stage was, where it differs from what is remembered.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(
        &self,
        pipeline: &str,
        point: &str,
        stage: &str,
        last: &LastRun,
    ) -> Result<(), StoreError> {
        if self.recall(pipeline, point, stage)?.is_some_and(|before| before == *last) {
            return Ok(());
        }
        self.write_sealed(&self.last_path(pipeline, point, stage), last, Care::Lasting)
    }

    /// What a named stage last was. It only explains, so one that cannot be understood is as good as none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn recall(&self, pipeline: &str, point: &str, stage: &str) -> Result<Option<LastRun>, StoreError> {
        let path = self.last_path(pipeline, point, stage);
        let content = match durable::read(&path) {
            Err(error) if durable::is_lost(&error) || durable::is_wrong(&error) => None,
            content => content.map_err(StoreError::io("read", &path))?,
        };
        Ok(content.and_then(|content| sealed::open(&content).ok()))
    }

    /// Where the hashes of data files are remembered.
    pub fn data_memo(&self) -> Memo {
        Memo { store: self.clone(), name: "data-hashes" }
    }

    /// Adds a line to the log of a piece of work. Where the last one was cut, by a full disk or a kill, it is
    /// ended first.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append_log(&self, fingerprint: &Fingerprint, line: &str) -> Result<(), StoreError> {
        let path = self.log_path(fingerprint);
        let append = || {
            self.disk.make_folder(&self.disk.root().join("logs"))?;
            match durable::ordinary(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => found?,
            }
            before(Operation::WriteFile(&path))?;
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let end = if last == [b'\n'] { "" } else { "\n" };
            file.write_all(format!("{end}{line}\n").as_bytes())
        };
        append().map_err(StoreError::io("write", &path))
    }

    /// The log of a piece of work; empty if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_log(&self, fingerprint: &Fingerprint) -> Result<String, StoreError> {
        let path = self.log_path(fingerprint);
        let content =
            durable::read_up_to(&path, LOG).map_err(StoreError::io("read", &path))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    /// Up to `most` bytes of what a log has after its first `offset` bytes; `None` if it is shorter than
    /// that, because it was made anew.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_log_from(
        &self,
        fingerprint: &Fingerprint,
        offset: u64,
        most: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.log_path(fingerprint);
        let read = || {
            let mut file = match durable::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Ok((offset == 0).then(Vec::new));
                }
                Err(error) => return Err(error),
            };
            if file.metadata()?.len() < offset {
                return Ok(None);
            }
            let mut new = Vec::new();
            file.seek(SeekFrom::Start(offset))?;
            file.take(most).read_to_end(&mut new)?;
            Ok(Some(new))
        };
        read().map_err(StoreError::io("read", &path))
    }

    pub(super) fn write_sealed(
        &self,
        path: &Path,
        value: &impl Serialize,
        care: Care,
    ) -> Result<(), StoreError> {
        self.make_way(path)?;
        let write = || self.disk.write(path, &[&sealed::seal(value)?], care);
        write().map_err(StoreError::io("write", path))
    }

    fn log_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.disk.root().join("logs").join(format!("{fingerprint}.jsonl"))
    }

    fn last_path(&self, pipeline: &str, point: &str, stage: &str) -> PathBuf {
        let name = if point.is_empty() {
            stage.to_owned()
        } else {
            let mut encoder = Encoder::new("point");
            point.content_hash(&mut encoder);
            format!("{stage}@{}", encoder.finish().short())
        };
        self.disk.root().join("last").join(pipeline).join(format!("{name}.json"))
    }
}

/// How long an update waits for others that change the same file.
const LONGEST: Duration = Duration::from_secs(5);

/// A file of values that save time. One that cannot be read costs time, nothing else.
#[derive(Debug, Clone)]
pub struct Memo {
    store: Store,
    name: &'static str,
}

impl Memo {
    /// What it holds.
    pub fn read<T: DeserializeOwned + Default>(&self) -> T {
        let content = durable::read(&self.path()).ok().flatten().unwrap_or_default();
        sealed::open(&content).unwrap_or_default()
    }

    /// Changes what it holds. Runners that do so at the same time all have their say.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn update<T: Serialize + DeserializeOwned + Default>(
        &self,
        change: impl FnOnce(&mut T),
    ) -> Result<(), StoreError> {
        let path = self.path();
        let disk = &self.store.disk;
        let locks = disk.root().join("locks");
        disk.make_folder(&locks).map_err(StoreError::io("make the folder", &locks))?;
        let lock = open_lock(&locks.join(self.name)).map_err(StoreError::io("open the lock of", &path))?;
        // Without locks an update may be lost, which costs time; so does one that waits for a process that
        // hangs.
        let since = Instant::now();
        while before(Operation::Lock(&path)).is_ok()
            && matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
            && since.elapsed() < LONGEST
        {
            std::thread::sleep(RETRY);
        }
        let mut held = self.read();
        change(&mut held);
        self.store.write_sealed(&path, &held, Care::Hint)
    }

    fn path(&self) -> PathBuf {
        self.store.disk.root().join(format!("{}.json", self.name))
    }
}
