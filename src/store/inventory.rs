//! All that a cache holds, as values: what is listed, measured and collected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::durable;
use super::formats::{LastRun, Pin, Record, RunNote};
use super::rooms::{Found, Place};
use super::sealed::{self, Flaw};
use super::{ObjectHash, Store, StoreError};
use crate::fingerprint::Fingerprint;

/// A file's size and the time of its last change.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// A piece of work that has a record.
#[derive(Debug, Clone)]
pub struct Work {
    /// What it gave.
    pub record: Record,
    /// The record's file.
    pub held: Held,
    /// When it was last used: written, imported, or part of a run.
    pub used: Timestamp,
}

/// The files of a folder of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Room {
    /// How many there are.
    pub files: usize,
    /// Their sizes together.
    pub bytes: u64,
}

/// What a stage of a pipeline last was.
#[derive(Debug, Clone)]
pub struct Last {
    /// The identity of the pipeline file, as in [`RunNote::pipeline`].
    pub pipeline: String,
    /// The identity of the work.
    pub work: Fingerprint,
    /// Where that is remembered.
    pub held: Held,
}

/// A file in quarantine that said what to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Where it is.
    pub path: PathBuf,
    /// What it was.
    pub what: Told,
}

/// What says what to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A pin.
    Pin,
    /// What a named stage last was.
    Last,
    /// What a run used.
    Run,
}

/// All that a cache holds.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Work with a record, by fingerprint.
    pub work: BTreeMap<Fingerprint, Work>,
    /// Objects, whether a record names them or not.
    pub objects: BTreeMap<ObjectHash, Held>,
    /// States of interrupted stages.
    pub partials: BTreeMap<Fingerprint, Held>,
    /// Logs.
    pub logs: BTreeMap<Fingerprint, Held>,
    /// What runs used, the last first.
    pub runs: Vec<(Held, RunNote)>,
    /// What the stages of pipelines last were.
    pub last: Vec<Last>,
    /// What is always kept.
    pub pins: BTreeMap<Fingerprint, Pin>,
    /// Sizes, by folder.
    pub rooms: BTreeMap<String, Room>,
    /// Files with a seal that is broken, and of formats that this version does not know.
    pub unreadable: Vec<(PathBuf, Option<u32>)>,
    /// Files that said what to keep and lie in quarantine.
    pub aside: Vec<Aside>,
}

impl Store {
    /// All that the cache holds. Objects are looked at and not read.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut all = Inventory::default();
        for found in self.files()? {
            let room = all.rooms.entry(found.room.clone()).or_default();
            room.files += usize::from(found.is_file);
            room.bytes += found.bytes;
            let held = || Held { path: found.path.clone(), bytes: found.bytes, modified: found.modified };
            match found.place {
                Place::Object(hash) => drop(all.objects.insert(hash, held())),
                Place::Partial(fingerprint) => drop(all.partials.insert(fingerprint, held())),
                Place::Log(fingerprint) => drop(all.logs.insert(fingerprint, held())),
                Place::Record(fingerprint) => {
                    let is_it = |record: &Record| record.fingerprint == fingerprint;
                    if let Some(record) = all.read(&found, is_it)? {
                        all.work.insert(fingerprint, Work { record, held: held(), used: found.modified });
                    }
                }
                Place::Pin(fingerprint) => {
                    let pin = all.read(&found, |pin: &Pin| pin.fingerprint == fingerprint)?;
                    all.pins.extend(pin.map(|pin| (fingerprint, pin)));
                }
                Place::Run => {
                    let note = all.read(&found, |_: &RunNote| true)?;
                    all.runs.extend(note.map(|note| (held(), note)));
                }
                Place::Last => {
                    let last = all.read(&found, |_: &LastRun| true)?;
                    let pipeline = found.path.parent().and_then(Path::file_name).unwrap_or_default();
                    let pipeline = pipeline.to_string_lossy().into_owned();
                    let fingerprint = last.map(|last| last.fingerprint);
                    all.last.extend(fingerprint.map(|work| Last { pipeline, work, held: held() }));
                }
                Place::Lock
                | Place::Temporary
                | Place::Manifest
                | Place::Memo
                | Place::Note
                | Place::Foreign => {}
                // What it stands for said what to keep, and nobody knows what that was.
                Place::Impostor => {
                    if matches!(found.room.as_str(), "pins" | "last" | "runs") {
                        all.unreadable.push((found.path.clone(), None));
                    }
                }
                Place::Quarantined => {
                    all.aside.extend(told(&found).map(|what| Aside { path: found.path.clone(), what }));
                }
            }
        }
        all.runs.sort_by_key(|(_, note)| std::cmp::Reverse(note.finished));
        for (_, note) in &all.runs {
            for fingerprint in &note.work {
                if let Some(work) = all.work.get_mut(fingerprint) {
                    work.used = work.used.max(note.finished);
                }
            }
        }
        Ok(all)
    }
}

/// What a file in quarantine said of what to keep. It lies there in a folder named after its own; older
/// runners put all files side by side, where only a pin is so small and has the name of its work.
fn told(found: &Found) -> Option<Told> {
    /// No record is so small, and no pin so large.
    const PIN: u64 = 400;
    if !found.is_file {
        return None;
    }
    let mut above = found.path.iter().rev().skip(1).filter_map(|name| name.to_str());
    match above.next() {
        Some("pins") => Some(Told::Pin),
        Some("last") => Some(Told::Last),
        Some("runs") => Some(Told::Run),
        Some("quarantine") => {
            let name = found.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_work =
                name.split_once(".json").is_some_and(|(name, _)| name.parse::<Fingerprint>().is_ok());
            (is_work && found.bytes <= PIN).then_some(Told::Pin)
        }
        _ => None,
    }
}

impl Inventory {
    /// Reads a sealed file; one that came and went is none.
    fn read<T: DeserializeOwned>(
        &mut self,
        found: &Found,
        is_it: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, StoreError> {
        let content = match durable::read(&found.path) {
            Err(error) if durable::is_wrong(&error) => Some(Vec::new()),
            content => content.map_err(StoreError::io("read", &found.path))?,
        };
        let Some(content) = content else { return Ok(None) };
        let format = match sealed::open::<T>(&content) {
            Ok(value) if is_it(&value) => return Ok(Some(value)),
            Ok(_) | Err(Flaw::Damaged) => None,
            Err(Flaw::Format(format)) => Some(format),
        };
        self.unreadable.push((found.path.clone(), format));
        Ok(None)
    }

    /// The work that gave each object, the oldest first.
    pub fn makers(&self) -> BTreeMap<ObjectHash, Vec<Fingerprint>> {
        let mut work: Vec<&Work> = self.work.values().collect();
        work.sort_by_key(|work| (work.record.provenance.finished, work.record.fingerprint));
        let mut makers: BTreeMap<ObjectHash, Vec<Fingerprint>> = BTreeMap::new();
        for Work { record, .. } in work {
            for object in objects(record) {
                makers.entry(object).or_default().push(record.fingerprint);
            }
        }
        makers
    }

    /// Of `roots`, those that have a record, and all that led to them: the makers of their inputs, of the inputs of these,
    /// and so on. Where several gave the same bytes, all of them.
    pub fn reach(&self, roots: impl IntoIterator<Item = Fingerprint>) -> BTreeSet<Fingerprint> {
        let makers = self.makers();
        let mut reached = BTreeSet::new();
        let mut open: Vec<Fingerprint> = roots.into_iter().collect();
        while let Some(fingerprint) = open.pop() {
            let Some(work) = self.work.get(&fingerprint) else { continue };
            if reached.insert(fingerprint) {
                let inputs = work.record.provenance.inputs.values();
                open.extend(inputs.filter_map(|object| makers.get(object)).flatten());
            }
        }
        reached
    }

    /// The size of all files.
    pub fn bytes(&self) -> u64 {
        self.rooms.values().map(|room| room.bytes).sum()
    }
}

/// The objects of a record, each once.
pub fn objects(record: &Record) -> BTreeSet<ObjectHash> {
    record.outputs.values().map(|entry| entry.object).collect()
}
