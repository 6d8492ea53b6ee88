//! What is always kept, and what runs used.

use std::path::PathBuf;

use jiff::Timestamp;

use super::durable::{self, Care};
use super::formats::{Pin, RunNote};
use super::{Store, StoreError};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};

impl Store {
    /// Keeps a piece of work and all that led to it from being collected.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn pin(&self, fingerprint: &Fingerprint) -> Result<(), StoreError> {
        let pin = Pin { fingerprint: *fingerprint, pinned: Timestamp::now() };
        self.write_sealed(&self.pin_path(fingerprint), &pin, Care::Lasting)
    }

    /// Takes a pin back.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn unpin(&self, fingerprint: &Fingerprint) -> Result<(), StoreError> {
        let path = self.pin_path(fingerprint);
        durable::remove(&path).map_err(StoreError::io("remove", &path))
    }

    /// Remembers what a run used: that is what it means that a result was used at a time. A run that used the same as an
    /// earlier one takes its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_run(
        &self,
        pipeline: &str,
        name: &str,
        work: impl IntoIterator<Item = Fingerprint>,
    ) -> Result<(), StoreError> {
        let mut work: Vec<Fingerprint> = work.into_iter().collect();
        work.sort_unstable();
        work.dedup();
        if work.is_empty() {
            return Ok(());
        }
        let mut encoder = Encoder::new("run");
        pipeline.content_hash(&mut encoder);
        work.content_hash(&mut encoder);
        let path = self.disk.root().join("runs").join(format!("{}.json", encoder.finish()));
        let (pipeline, name) = (pipeline.to_owned(), name.to_owned());
        let note = RunNote { pipeline, name, finished: Timestamp::now(), work };
        self.write_sealed(&path, &note, Care::Lasting)
    }

    fn pin_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.disk.root().join("pins").join(format!("{fingerprint}.json"))
    }
}
