//! Records: what a piece of work gave.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::durable::{self, Care};
use super::formats::{OutputEntry, Provenance, Record};
use super::sealed::{self, Flaw};
use super::{Store, StoreError};
use crate::fingerprint::Fingerprint;

/// What the cache has of a piece of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// Nothing.
    Absent,
    /// A record that is not what was written, or that was written for other work. It is still in its place.
    Damaged,
    /// A record that the disk does not give back. It may do so later; until then its work can be done again,
    /// and the new record takes its place.
    Unreadable,
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
        Self { fingerprint, kind: kind.to_owned(), version, outputs, metrics, provenance }
    }
}

impl Store {
    /// What the cache has of a piece of work. Changes nothing.
    ///
    /// # Errors
    /// A record that cannot be read, or is of another format.
    pub fn lookup(&self, fingerprint: &Fingerprint) -> Result<Lookup, StoreError> {
        let path = self.record_path(fingerprint);
        let content = match durable::read(&path) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok(Lookup::Absent),
            // Something else has the record's name.
            Err(error) if durable::is_wrong(&error) => return Ok(Lookup::Damaged),
            Err(error) if durable::is_lost(&error) => return Ok(Lookup::Unreadable),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let record = match sealed::open::<Record>(&content) {
            Ok(record) if record.fingerprint == *fingerprint => record,
            Ok(_) | Err(Flaw::Damaged) => return Ok(Lookup::Damaged),
            Err(Flaw::Format(found)) => {
                return Err(StoreError::Format { path: path.display().to_string(), found });
            }
        };
        for (output, entry) in &record.outputs {
            if !self.has(&entry.object, entry.bytes)? {
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
            if !self.has(&entry.object, entry.bytes)? {
                return Err(StoreError::Missing { hash: entry.object });
            }
        }
        self.write_sealed(&self.record_path(&record.fingerprint), record, Care::Lasting)
    }

    /// Moves a damaged record aside, and says where to. The caller holds the lock of the work, so that no new record
    /// can have taken its place.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_record_aside(&self, fingerprint: &Fingerprint) -> Result<PathBuf, StoreError> {
        self.set_aside(&self.record_path(fingerprint))
    }

    pub(super) fn record_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.sharded("records", &fingerprint.to_string(), "json")
    }
}
