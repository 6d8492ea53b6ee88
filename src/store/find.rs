//! Looking things up by what a person has of them: the beginning of a hash, or an object whose maker is asked for.

use std::ffi::OsStr;
use std::path::Path;

use walkdir::WalkDir;

use super::rooms::is_gone;
use super::{Lookup, ObjectHash, Record, Store, StoreError};
use crate::fingerprint::Fingerprint;

impl Store {
    /// The objects whose hashes begin with `prefix`.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn objects_like(&self, prefix: &str) -> Result<Vec<ObjectHash>, StoreError> {
        let names = names(&self.disk.root().join("objects"), prefix)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The pieces of work with a record whose fingerprints begin with `prefix`.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn records_like(&self, prefix: &str) -> Result<Vec<Fingerprint>, StoreError> {
        let names = names(&self.disk.root().join("records"), prefix)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The records of all work that gave an object, the oldest first.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn makers(&self, object: &ObjectHash) -> Result<Vec<Record>, StoreError> {
        self.all_records(|record| record.outputs.values().any(|entry| entry.object == *object))
    }

    /// The records of all work that was given an object, the oldest first.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn takers(&self, object: &ObjectHash) -> Result<Vec<Record>, StoreError> {
        self.all_records(|record| record.provenance.inputs.values().any(|input| input == object))
    }

    fn all_records(&self, wanted: impl Fn(&Record) -> bool) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        for fingerprint in self.records_like("")? {
            if let Lookup::Present(record) = self.lookup(&fingerprint)? {
                if wanted(&record) {
                    found.push(record);
                }
            }
        }
        found.sort_by_key(|record| record.provenance.finished);
        Ok(found)
    }
}

/// The names, without their endings, of the files under `folder` that begin with `prefix`.
fn names(folder: &Path, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in WalkDir::new(folder).min_depth(2).max_depth(2).sort_by_file_name() {
        match entry {
            Ok(entry) => {
                let stem =
                    entry.path().file_stem().and_then(OsStr::to_str).filter(|stem| stem.starts_with(prefix));
                names.extend(stem.map(str::to_owned));
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(StoreError::io("read the folder", folder)(error.into())),
        }
    }
    Ok(names)
}
