//! What each file of a cache is, told by its place alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use walkdir::WalkDir;

use super::durable::list;
use super::faults::{Operation, before};
use super::runs::RUN_LOCK;
use super::{ObjectHash, Store, StoreError};
use crate::fingerprint::Fingerprint;

/// What a file is by its place. Whether its content is as it should be is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An object.
    Object(ObjectHash),
    /// A record.
    Record(Fingerprint),
    /// The state of an interrupted stage.
    Partial(Fingerprint),
    /// What a named stage last was.
    Last,
    /// Something that is always kept.
    Pin(Fingerprint),
    /// What a run used.
    Run,
    /// What a run was asked for and what it came to.
    Manifest,
    /// The events of a stage.
    Log(Fingerprint),
    /// A lock.
    Lock,
    /// A file that is being written, or was when its writer died.
    Temporary,
    /// Hashes of data files.
    Memo,
    /// Set aside before.
    Quarantined,
    /// A word to people or to git, which belongs to the folder.
    Note,
    /// Nothing that runner puts there.
    Foreign,
}

/// The folders of a cache.
const ROOMS: [&str; 10] =
    ["objects", "records", "partial", "last", "pins", "runs", "manifests", "logs", "locks", "quarantine"];

/// A file of a cache.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The folder of the cache that it is in, or its own name.
    pub room: String,
    /// What it is by its place.
    pub place: Place,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// Whether it is an ordinary file, no link and no folder.
    pub is_file: bool,
}

impl Store {
    /// All files of the cache in the order of their paths, and the links and folders that do not belong there. What
    /// comes and goes meanwhile may be among them or not.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<Found>, StoreError> {
        let root = self.disk.root();
        let mut found = Vec::new();
        let entries = match list(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(StoreError::io("read the folder", root)(error)),
        };
        let mut tops: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        tops.sort();
        for top in tops {
            let name = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if (ROOMS.contains(&name.as_str()) || name == "tmp") && top.is_dir() {
                room(&top, &name, &mut found)?;
                continue;
            }
            let place = match name.as_str() {
                "data-hashes.json" => Place::Memo,
                "README.md" | ".gitignore" | ".gitkeep" => Place::Note,
                _ => Place::Foreign,
            };
            if let Ok(metadata) = top.symlink_metadata() {
                found.push(Found::new(top, name, place, &metadata));
            }
        }
        Ok(found)
    }
}

impl Found {
    fn new(path: PathBuf, room: String, place: Place, metadata: &fs::Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let is_file = metadata.is_file();
        // A link or a folder in the place of a file is no file of ours, whatever its name.
        let place = if is_file || place == Place::Quarantined { place } else { Place::Foreign };
        let bytes = if is_file { metadata.len() } else { 0 };
        Self { path, room, place, bytes, modified: modified.unwrap_or_default(), is_file }
    }
}

/// A room may be a link to a folder elsewhere on the same file system; nothing in it may.
fn room(folder: &Path, name: &str, found: &mut Vec<Found>) -> Result<(), StoreError> {
    before(Operation::List(folder)).map_err(StoreError::io("read the folder", folder))?;
    let mut walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(StoreError::io("read the folder", folder)(error.into())),
        };
        let inner = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        if entry.file_type().is_dir() && is_shelf(name, inner) {
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(StoreError::io("look at", entry.path())(error.into())),
        };
        if metadata.is_dir() {
            walk.skip_current_dir();
        }
        let place = place(name, inner);
        found.push(Found::new(entry.into_path(), name.to_owned(), place, &metadata));
    }
    Ok(())
}

fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether a folder within a room is one that runner makes.
fn is_shelf(room: &str, inner: &Path) -> bool {
    let name = inner.to_str().unwrap_or_default();
    match room {
        "objects" | "records" => name.len() == 2 && is_hexadecimal(name),
        "last" => inner.components().count() == 1,
        "quarantine" => true,
        _ => false,
    }
}

/// What a file is by its path within a room.
pub(super) fn place(room: &str, inner: &Path) -> Place {
    let known = || {
        let parts: Vec<&str> = inner.to_str()?.split(std::path::MAIN_SEPARATOR).collect();
        Some(match (room, parts.as_slice()) {
            ("objects", [shard, name]) => Place::Object(sharded(shard, name, ".safetensors")?),
            ("records", [shard, name]) => Place::Record(sharded(shard, name, ".json")?),
            ("partial", [name]) => Place::Partial(named(name)?),
            ("last", [_, name]) if name.ends_with(".json") => Place::Last,
            ("pins", [name]) => Place::Pin(named(name.strip_suffix(".json")?)?),
            ("runs", [name]) => named::<Fingerprint>(name.strip_suffix(".json")?).map(|_| Place::Run)?,
            ("manifests", [name]) if name.ends_with(".json") => Place::Manifest,
            ("logs", [name]) => Place::Log(named(name.strip_suffix(".jsonl")?)?),
            ("locks", ["writing" | "visits" | "data-hashes"]) => Place::Lock,
            ("locks", [name]) if name.starts_with(RUN_LOCK) => Place::Lock,
            ("locks", [name]) => named::<Fingerprint>(name).map(|_| Place::Lock)?,
            ("tmp", [_]) => Place::Temporary,
            ("quarantine", _) => Place::Quarantined,
            _ => return None,
        })
    };
    known().unwrap_or(Place::Foreign)
}

fn sharded<T: FromStr + ToString>(shard: &str, name: &str, ending: &str) -> Option<T> {
    let name = name.strip_suffix(ending)?;
    named(name).filter(|_| name.starts_with(shard))
}

/// Names are written in small letters, so that one thing has one name.
fn named<T: FromStr + ToString>(name: &str) -> Option<T> {
    name.parse().ok().filter(|parsed: &T| parsed.to_string() == name)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
