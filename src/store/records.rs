//! Records: what a piece of work gave; and what a named stage last was.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::formats::{FORMAT, LastRun, OutputEntry, Provenance, Record};
use super::{Store, StoreError, durable};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};

/// What the cache has of a piece of work.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Nothing.
    Absent,
    /// A record, but an object of it is gone.
    OutputMissing {
        /// Which output.
        output: String,
    },
    /// The record; its outputs are there.
    Present(Record),
}

impl Record {
    /// A record in the present format.
    pub fn new(
        fingerprint: Fingerprint,
        kind: &str,
        version: u32,
        outputs: BTreeMap<String, OutputEntry>,
        metrics: Value,
        provenance: Provenance,
    ) -> Self {
        Self { format: FORMAT, fingerprint, kind: kind.to_owned(), version, outputs, metrics, provenance }
    }
}

impl Store {
    /// What the cache has of a piece of work.
    ///
    /// # Errors
    /// A record that cannot be read, or is of another format.
    pub fn lookup(&self, fingerprint: &Fingerprint) -> Result<Lookup, StoreError> {
        let path = self.record_path(fingerprint);
        let Some(record) = read_json::<Record>(&path, "record")? else { return Ok(Lookup::Absent) };
        if record.format != FORMAT {
            return Err(StoreError::Format { path: path.display().to_string(), found: record.format });
        }
        // A record under another's name must not stand for it.
        if record.fingerprint != *fingerprint {
            self.quarantine(&path)?;
            return Ok(Lookup::Absent);
        }
        for (output, entry) in &record.outputs {
            if !self.has(&entry.object, entry.bytes) {
                return Ok(Lookup::OutputMissing { output: output.clone() });
            }
        }
        Ok(Lookup::Present(record))
    }

    /// Writes a record. Its objects are there already, so whoever sees the record can read them.
    ///
    /// # Errors
    /// An object is not there, or the record cannot be written.
    pub fn commit(&self, record: &Record) -> Result<(), StoreError> {
        for entry in record.outputs.values() {
            if !self.has(&entry.object, entry.bytes) {
                return Err(StoreError::Missing { hash: entry.object });
            }
        }
        self.write_json(&self.record_path(&record.fingerprint), record)
    }

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
        self.write_json(&self.last_path(pipeline, point, stage), last)
    }

    /// What a named stage last was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn recall(&self, pipeline: &str, point: &str, stage: &str) -> Result<Option<LastRun>, StoreError> {
        // This memory only explains; one that cannot be understood is as good as none.
        match read_json(&self.last_path(pipeline, point, stage), "memory of a stage") {
            Err(StoreError::Unreadable { .. }) => Ok(None),
            other => other,
        }
    }

    /// Adds a line to the log of a piece of work.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append_log(&self, fingerprint: &Fingerprint, line: &str) -> Result<(), StoreError> {
        let path = self.log_path(fingerprint);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(StoreError::io("make the folder", folder))?;
        }
        let append = || {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())
        };
        append().map_err(StoreError::io("write", &path))
    }

    /// The log of a piece of work; empty if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_log(&self, fingerprint: &Fingerprint) -> Result<String, StoreError> {
        let content = durable::read(&self.log_path(fingerprint))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    fn record_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.sharded("records", &fingerprint.to_string(), "json")
    }

    fn log_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.root.join("logs").join(format!("{fingerprint}.jsonl"))
    }

    fn last_path(&self, pipeline: &str, point: &str, stage: &str) -> PathBuf {
        let name = if point.is_empty() {
            stage.to_owned()
        } else {
            let mut encoder = Encoder::new("point");
            point.content_hash(&mut encoder);
            format!("{stage}@{}", encoder.finish().short())
        };
        self.root.join("last").join(pipeline).join(format!("{name}.json"))
    }

    fn write_json(&self, path: &Path, value: &impl serde::Serialize) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(value).map_err(|source| StoreError::Unreadable {
            what: "JSON value",
            path: path.display().to_string(),
            source,
        })?;
        durable::write(&self.tmp(), path, &[&text])
    }
}

fn read_json<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<Option<T>, StoreError> {
    let Some(content) = durable::read(path)? else { return Ok(None) };
    serde_json::from_slice(&content).map(Some).map_err(|source| StoreError::Unreadable {
        what,
        path: path.display().to_string(),
        source,
    })
}
