//! Looking things up by what a person has of them: the beginning of a hash, or an object whose maker is asked for.

use std::path::Path;

use walkdir::WalkDir;

use super::{Lookup, ObjectHash, Record, Store, StoreError};
use crate::fingerprint::Fingerprint;

impl Store {
    /// The objects whose hashes begin with `prefix`.
    pub fn objects_like(&self, prefix: &str) -> Vec<ObjectHash> {
        names(&self.disk.root().join("objects"), prefix).iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// The pieces of work with a record whose fingerprints begin with `prefix`.
    pub fn records_like(&self, prefix: &str) -> Vec<Fingerprint> {
        names(&self.disk.root().join("records"), prefix).iter().filter_map(|name| name.parse().ok()).collect()
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
        for fingerprint in self.records_like("") {
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
fn names(folder: &Path, prefix: &str) -> Vec<String> {
    let files = WalkDir::new(folder).min_depth(2).max_depth(2).sort_by_file_name().into_iter().flatten();
    let stems = files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()));
    stems.filter(|stem| stem.starts_with(prefix)).collect()
}
