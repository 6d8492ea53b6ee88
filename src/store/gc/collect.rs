//! Carries a plan out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::GcPlan;
use crate::fingerprint::Fingerprint;
use crate::store::durable::{self, sync_folder};
use crate::store::rooms::Place;
use crate::store::runs::{RUN_LOCK, is_run_id};
use crate::store::{Alone, Store, StoreError};

impl Store {
    /// Removes what a plan says, which was made since the cache is held alone; and what killed runners have left in
    /// `locks/` and `tmp/`.
    ///
    /// # Errors
    /// Something cannot be removed. The cache is valid then, and another plan goes on from there.
    pub fn collect(&self, plan: &GcPlan, _alone: &Alone) -> Result<(), StoreError> {
        let remove = |path: &Path| durable::remove(path).map_err(StoreError::io("remove", path));
        // First what nobody could tell from a use to come once its record is gone.
        for old in plan.partials.iter().chain(&plan.remains) {
            remove(&old.path)?;
        }
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for work in &plan.work {
            let path = self.record_path(&work.fingerprint);
            remove(&path)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        // A power cut must not bring a record back whose objects are gone.
        for folder in &folders {
            sync_folder(folder).map_err(StoreError::io("flush", folder))?;
        }
        for old in &plan.objects {
            remove(&self.object_path(&old.object))?;
        }
        for found in self.files()?.iter().filter(|found| found.place == Place::Lock) {
            let name = found.path.file_name().unwrap_or_default().to_string_lossy();
            // Those of the cache itself stay.
            let is_run = name.strip_prefix(RUN_LOCK).is_some_and(is_run_id);
            let is_work = name.parse::<Fingerprint>().is_ok() || is_run;
            if is_work && self.held(&name)?.is_none() {
                remove(&found.path)?;
            }
        }
        self.disk.sweep().map(drop).map_err(StoreError::io("clear", &self.disk.root().join("tmp")))
    }
}
