//! Looks at every file of a cache and says what is not as it was written.
//!
//! It works beside running runners: files appear and are replaced whole, so what is read is whole or damaged, and what
//! comes and goes meanwhile is no finding.

mod content;
mod finding;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::formats::{LastRun, Pin, Record, RunNote};
use super::rooms::{Found, Place};
use super::runs::RunRecord;
use super::{ObjectHash, Store, StoreError};
use crate::fingerprint::Fingerprint;

pub use finding::{Broken, Damage, Finding};

/// Files from this size on are checked one after the other, each by all threads.
const LARGE: u64 = 4 << 20;

/// What becomes of what is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// It stays where it is.
    No,
    /// It is moved to `quarantine/`, so that the next run makes it again.
    MoveAside,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Checked {
    /// Files that were read.
    pub files: usize,
    /// Their sizes together.
    pub bytes: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A record that was read, with what it says of its outputs.
type Read = (PathBuf, Fingerprint, Vec<(String, ObjectHash, u64)>);

impl Store {
    /// Checks every file: objects against their names, records and other JSON files against their seals, states against
    /// the hash at their head, logs line by line, and records against the objects that they name. What is in
    /// `quarantine/` was found before, and what is in `tmp/` is not yet a file of the cache.
    ///
    /// # Errors
    /// A folder cannot be read; something cannot be moved.
    pub fn verify(&self, repair: Repair) -> Result<Checked, StoreError> {
        let files = self.files()?;
        let (large, small): (Vec<&Found>, Vec<&Found>) = files.iter().partition(|found| found.bytes >= LARGE);
        let mut looks: Vec<(&Found, Look)> =
            small.into_par_iter().map(|found| (found, content::look(found))).collect();
        looks.extend(large.into_iter().map(|found| (found, content::look(found))));
        looks.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        let mut checked = Checked::default();
        let (mut records, mut damaged) = (Vec::<Read>::new(), BTreeSet::new());
        for (found, look) in looks {
            let damage = match look {
                Look::Gone | Look::NotRead => continue,
                Look::Whole => None,
                Look::Record(fingerprint, outputs) => {
                    records.push((found.path.clone(), fingerprint, outputs));
                    None
                }
                Look::Damaged(damage) => Some(damage),
            };
            checked.files += 1;
            checked.bytes += found.bytes;
            if let Some(damage) = damage {
                let finding = self.finding(found.place, &found.path, damage, repair)?;
                // One that was not moved has been made whole by a runner meanwhile.
                let is_damaged = repair == Repair::No || finding.moved_to.is_some() || finding.left.is_some();
                if let (Place::Object(hash), true) = (found.place, is_damaged) {
                    damaged.insert(hash);
                }
                checked.findings.push(finding);
            }
        }
        for (path, fingerprint, outputs) in records {
            let broken = outputs.iter().find_map(|(output, object, bytes)| {
                let state =
                    if damaged.contains(object) { Broken::Damaged } else { self.state(object, *bytes)? };
                Some(Damage::Output { output: output.clone(), object: *object, state })
            });
            // One that was replaced or collected since has nothing to answer for.
            let is_the_same = || content::outputs(&path, &fingerprint).as_ref() == Some(&outputs);
            if let Some(damage) = broken.filter(|_| is_the_same()) {
                checked.findings.push(self.finding(Place::Record(fingerprint), &path, damage, repair)?);
            }
        }
        Ok(checked)
    }

    /// What is wrong with an object, by its size.
    fn state(&self, object: &ObjectHash, bytes: u64) -> Option<Broken> {
        match self.object_path(object).symlink_metadata() {
            Ok(found) if found.is_file() && found.len() == bytes => None,
            Ok(found) if found.is_file() => Some(Broken::Size { expected: bytes, found: found.len() }),
            Ok(_) | Err(_) => Some(Broken::Missing),
        }
    }

    fn finding(
        &self,
        place: Place,
        path: &Path,
        damage: Damage,
        repair: Repair,
    ) -> Result<Finding, StoreError> {
        let root = self.disk.root();
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        let mut finding = Finding { path: relative(path), damage, moved_to: None, left: None };
        if repair == Repair::No {
            return Ok(finding);
        }
        if let Damage::Format { .. } | Damage::Forbidden { .. } = finding.damage {
            finding.left = Some("it may be of use to another runner or another user".to_owned());
            return Ok(finding);
        }
        let moved_to = match place {
            Place::Object(hash) => match self.get(&hash) {
                Err(StoreError::Damaged { moved_to, .. } | StoreError::Lost { moved_to, .. }) => {
                    Some(PathBuf::from(moved_to))
                }
                // Another runner has seen to it.
                Ok(_) | Err(StoreError::Missing { .. }) => None,
                Err(StoreError::Io { .. }) => Some(self.set_aside(path)?),
                Err(error) => return Err(error),
            },
            // What a runner is about to replace is its own.
            Place::Record(fingerprint) | Place::Partial(fingerprint) | Place::Log(fingerprint) => {
                let mut holder = None;
                let lock = self.lock(&fingerprint, &mut |found| {
                    holder = Some(found.to_string());
                    std::ops::ControlFlow::Break(())
                })?;
                if lock.is_none() {
                    finding.left = Some(format!("{} is at it", holder.unwrap_or_default()));
                    return Ok(finding);
                }
                Some(self.set_aside(path)?)
            }
            _ => Some(self.set_aside(path)?),
        };
        finding.moved_to = moved_to.as_deref().map(relative);
        Ok(finding)
    }
}

/// What one file turned out to be.
enum Look {
    /// It was gone when its turn came.
    Gone,
    /// Its content does not matter.
    NotRead,
    /// It is what was written.
    Whole,
    /// A record that is what was written.
    Record(Fingerprint, Vec<(String, ObjectHash, u64)>),
    /// It is not.
    Damaged(Damage),
}
