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

pub(super) use content::hash_file;
pub use finding::{Broken, Damage, Finding};

/// Files from this size on are checked one after the other, each by all threads.
const LARGE: u64 = 4 << 20;

/// What becomes of what is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// It stays where it is.
    No,
    /// It is moved to `quarantine/`, so that the next run makes it again. A pin is written anew.
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
type Read<'f> = (&'f Found, Fingerprint, Vec<(String, ObjectHash, u64)>);

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
        let (mut records, mut damaged) = (Vec::<Read<'_>>::new(), BTreeSet::new());
        for (found, look) in looks {
            let damage = match look {
                Look::Gone | Look::NotRead => continue,
                Look::Whole => None,
                Look::Record(fingerprint, outputs) => {
                    records.push((found, fingerprint, outputs));
                    None
                }
                Look::Damaged(damage) => Some(damage),
            };
            checked.files += 1;
            checked.bytes += found.bytes;
            if let Some(damage) = damage {
                // What was seen is sure for an object only once it was read as a whole.
                let is_sure = matches!(damage, Damage::Content { .. } | Damage::Link | Damage::Foreign);
                let Some(finding) = self.finding(found, damage, repair)? else { continue };
                if let (Place::Object(hash), true) = (found.place, is_sure) {
                    damaged.insert(hash);
                }
                checked.findings.push(finding);
            }
        }
        for (found, fingerprint, outputs) in records {
            let mut broken = None;
            for (output, object, bytes) in &outputs {
                let state = match damaged.contains(object) {
                    true => Some(Broken::Damaged),
                    false => self.state(object, *bytes)?,
                };
                if let Some(state) = state {
                    broken = Some(Damage::Output { output: output.clone(), object: *object, state });
                    break;
                }
            }
            // One that was replaced or collected since has nothing to answer for.
            let is_the_same = || content::outputs(&found.path, &fingerprint).as_ref() == Some(&outputs);
            if let Some(damage) = broken.filter(|_| is_the_same()) {
                checked.findings.extend(self.finding(found, damage, repair)?);
            }
        }
        Ok(checked)
    }

    /// What is wrong with an object, by its size.
    fn state(&self, object: &ObjectHash, bytes: u64) -> Result<Option<Broken>, StoreError> {
        Ok(match self.object_found(object)? {
            Some(found) if found.is_file() && found.len() == bytes => None,
            Some(found) if found.is_file() => Some(Broken::Size { expected: bytes, found: found.len() }),
            Some(_) | None => Some(Broken::Missing),
        })
    }

    /// What is told of a file, after it was repaired where that was asked for; `None` if a runner has seen to
    /// it meanwhile.
    fn finding(&self, found: &Found, damage: Damage, repair: Repair) -> Result<Option<Finding>, StoreError> {
        let root = self.disk.root();
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        let mut finding = Finding { path: relative(&found.path), damage, moved_to: None, left: None };
        if repair == Repair::MoveAside {
            match self.mend(found, &finding.damage)? {
                Mended::MovedTo(path) => finding.moved_to = Some(relative(&path)),
                Mended::Left(why) => finding.left = Some(why),
                Mended::Whole => return Ok(None),
            }
        }
        Ok(Some(finding))
    }

    /// Moves a file aside that is certainly not what runner wrote there, and nothing else.
    fn mend(&self, found: &Found, damage: &Damage) -> Result<Mended, StoreError> {
        let left = |why: &str| Ok(Mended::Left(why.to_owned()));
        match damage {
            Damage::Format { .. } | Damage::Forbidden { .. } => {
                return left("it may be of use to another runner or another user");
            }
            Damage::Unreadable { .. } => return left("it was not read as a whole, so it may be whole"),
            Damage::Torn { .. } => return left("the rest of the log stands"),
            Damage::Foreign if found.place == Place::Foreign => return left("it is not runner's"),
            Damage::Link if found.place == Place::Foreign => return left("it is not runner's"),
            _ => {}
        }
        if let Some(pinned) = pinned(found) {
            self.pin(&pinned)?;
            return left("its name says what is pinned, and it was written anew");
        }
        match found.place {
            Place::Object(hash) => match self.get(&hash) {
                Err(StoreError::Damaged { moved_to, .. }) => Ok(Mended::MovedTo(PathBuf::from(moved_to))),
                // Another runner has seen to it.
                Ok(_) | Err(StoreError::Missing { .. }) => Ok(Mended::Whole),
                Err(StoreError::Io { source, .. } | StoreError::Lost { source, .. }) => {
                    Ok(Mended::Left(format!("it cannot be read any more: {source}")))
                }
                Err(error) => Err(error),
            },
            // What a runner is about to replace is its own.
            Place::Record(fingerprint) | Place::Partial(fingerprint) | Place::Log(fingerprint) => {
                let mut holder = None;
                let lock = self.lock(&fingerprint, &mut |found| {
                    holder = Some(found.to_string());
                    std::ops::ControlFlow::Break(())
                })?;
                match lock {
                    Some(_lock) => self.move_aside(found, damage),
                    None => Ok(Mended::Left(format!("{} is using it", holder.unwrap_or_default()))),
                }
            }
            _ => self.move_aside(found, damage),
        }
    }

    /// Looks once more before a file is moved: a runner may have replaced it by a whole one.
    fn move_aside(&self, found: &Found, damage: &Damage) -> Result<Mended, StoreError> {
        let is_still =
            matches!(damage, Damage::Output { .. }) || matches!(content::look(found), Look::Damaged(_));
        Ok(if is_still { Mended::MovedTo(self.set_aside(&found.path)?) } else { Mended::Whole })
    }
}

/// What became of something that was found damaged.
enum Mended {
    /// It was moved.
    MovedTo(PathBuf),
    /// It is still there, for this reason.
    Left(String),
    /// It was whole when it was looked at again, or gone.
    Whole,
}

/// The work that a file pins by its name, whatever it holds.
fn pinned(found: &Found) -> Option<Fingerprint> {
    match (found.place, found.room.as_str()) {
        (Place::Pin(fingerprint), _) => Some(fingerprint),
        (Place::Impostor, "pins") => found.path.file_stem()?.to_str()?.parse().ok(),
        _ => None,
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
