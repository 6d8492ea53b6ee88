//! What each file of a cache is, told by its place alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use walkdir::WalkDir;

use super::durable::list;
use super::faults::{Operation, before};
use super::runs::{RUN_LOCK, is_run_id};
use super::site::{MARKER, is_temporary};
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
    /// The marker of the cache, a word to people or to git, or what a file system adds to a folder.
    Note,
    /// Something else (a link, a folder, a pipe) that has the name of a file or a folder of the cache.
    Impostor,
    /// Nothing that runner puts there.
    Foreign,
}

/// The folders of a cache, beside `tmp`.
const ROOMS: [&str; 10] =
    ["objects", "records", "partial", "last", "pins", "runs", "manifests", "logs", "locks", "quarantine"];

/// Names of files in `tmp`: how they begin and end, and how many letters and digits stand between.
pub(super) const TEMPORARY: (&str, &str, usize) = ("runner-", ".tmp", 12);

/// Whether a folder of this name belongs to a cache.
pub(super) fn is_room(name: &str) -> bool {
    ROOMS.contains(&name)
}

/// Whether a file of this name is a word to people or to git.
pub(super) fn is_note(name: &str) -> bool {
    matches!(name, "README.md" | ".gitignore" | ".gitkeep")
}

/// Whether a file system or a file manager puts this into any folder.
pub(super) fn is_dust(name: &str) -> bool {
    matches!(name, "lost+found" | ".DS_Store")
}

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
        let tops: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut tops = tops.map_err(StoreError::io("read the folder", root))?;
        tops.sort();
        for top in tops {
            let name = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_room = is_room(&name) || name == "tmp";
            if is_room && leads_to_folder(&top).map_err(StoreError::io("look at", &top))? {
                room(&top, &name, &mut found)?;
                continue;
            }
            let metadata = match top.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("look at", &top)(error)),
            };
            let place = match name.as_str() {
                "data-hashes.json" => Place::Memo,
                _ if is_room => Place::Impostor,
                MARKER => Place::Note,
                name if is_dust(name) || is_note(name) && metadata.is_file() => Place::Note,
                _ => Place::Foreign,
            };
            found.push(Found::new(top, name, place, &metadata));
        }
        Ok(found)
    }
}

impl Found {
    fn new(path: PathBuf, room: String, place: Place, metadata: &fs::Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let is_file = metadata.is_file();
        // A link or a folder in the place of a file is no file of ours, whatever its name.
        let place = match place {
            Place::Quarantined | Place::Foreign | Place::Note => place,
            _ if is_file => place,
            _ => Place::Impostor,
        };
        let bytes = if is_file { metadata.len() } else { 0 };
        Self { path, room, place, bytes, modified: modified.unwrap_or_default(), is_file }
    }
}

/// Whether a path leads to a folder. That it cannot be looked at does not mean that it does not.
fn leads_to_folder(path: &Path) -> io::Result<bool> {
    match path.metadata() {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // A link to itself.
        Err(_)
            if path.symlink_metadata()?.is_symlink()
                && fs::read_link(path)?.file_name() == path.file_name() =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
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

pub(super) fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether a folder within a room is one that runner makes.
pub(super) fn is_shelf(room: &str, inner: &Path) -> bool {
    let name = inner.to_str().unwrap_or_default();
    match room {
        "objects" | "records" => name.len() == 2 && is_hexadecimal(name),
        "last" => is_pipeline(name),
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
            ("last", [pipeline, name]) if is_pipeline(pipeline) && name.ends_with(".json") => Place::Last,
            ("pins", [name]) => Place::Pin(named(name.strip_suffix(".json")?)?),
            ("runs", [name]) => named::<Fingerprint>(name.strip_suffix(".json")?).map(|_| Place::Run)?,
            ("manifests", [name]) if name.strip_suffix(".json").is_some_and(is_run_id) => Place::Manifest,
            ("logs", [name]) => Place::Log(named(name.strip_suffix(".jsonl")?)?),
            ("locks", ["writing" | "visits" | "data-hashes"]) => Place::Lock,
            ("locks", [name]) if name.strip_prefix(RUN_LOCK).is_some_and(is_run_id) => Place::Lock,
            ("locks", [name]) => named::<Fingerprint>(name).map(|_| Place::Lock)?,
            ("tmp", [name]) if is_temporary(name) => Place::Temporary,
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

/// Whether a name is the identity of a pipeline file: the short form of a hash.
fn is_pipeline(name: &str) -> bool {
    name.len() == 12 && is_hexadecimal(name)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
