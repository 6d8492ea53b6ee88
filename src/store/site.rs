//! Tells a cache from other folders by its marker file.
//!
//! ```text
//! cache/.runner-cache     the marker, made before anything else
//! ```
//!
//! Runner clears `tmp/`, moves damaged files aside and collects results. In another folder these could be a
//! user's files, so a folder that holds files but no marker is refused. Two exceptions: older versions wrote
//! no marker, so a folder that holds only files of runner is a cache and gets one; and a marker that a crash
//! cut short counts as missing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use walkdir::WalkDir;

use super::durable::{Disk, list, sync_folder};
use super::faults::{Operation, before};
use super::rooms::{Place, TEMPORARY, is_dust, is_note, is_room, is_shelf, place};
use super::{Store, StoreError};

/// The name of the marker.
pub(super) const MARKER: &str = ".runner-cache";
/// Its first line: what the folder is, and the version of its layout.
const HEAD: &str = "runner cache 1\n";
/// The rest of it, for people.
const WORDS: &str = "This folder is a cache of `runner`, a workflow runner: results by the hash of their content.\n\
    `runner cache --help` lists, checks and clears it. Without this file runner does not use the folder.\n";
/// The most bytes of a marker that are read.
const LONGEST: u64 = 4096;

/// The state of a folder that is to be a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// Nothing yet, or an empty folder: a cache is made there when something is written.
    Free,
    /// A cache.
    Cache,
    /// A cache of an older runner, which made no marker. It gets one when something is written.
    Unmarked,
    /// A folder that is not a cache.
    Foreign {
        /// A file in it that is not runner's, or `None` if only its marker is wrong.
        example: Option<String>,
    },
    /// A cache with a layout that this version does not know.
    Newer {
        /// The first line of its marker.
        head: String,
    },
}

/// What a marker says.
enum Marker {
    Absent,
    Whole,
    Newer(String),
    Foreign,
}

impl Site {
    /// Looks at a folder and changes nothing.
    ///
    /// # Errors
    /// It is no folder, or cannot be read.
    pub fn at(root: &Path) -> Result<Self, StoreError> {
        let shown = || root.display().to_string();
        match root.metadata() {
            Ok(found) if !found.is_dir() => return Err(StoreError::NotAFolder { path: shown() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match root.symlink_metadata() {
                    Ok(_) => Err(StoreError::DanglingLink { path: shown() }),
                    Err(_) => Ok(Self::Free),
                };
            }
            Err(error) => return Err(StoreError::io("open the cache folder", root)(error)),
        }
        look(root).map_err(StoreError::io("look at the cache folder", root))
    }

    /// Whether a cache is at `root`. False for a folder that cannot be read.
    pub fn is_cache(root: &Path) -> bool {
        matches!(Self::at(root), Ok(Self::Cache | Self::Unmarked))
    }

    /// Refuses a folder that is not a cache and cannot become one.
    pub(super) fn usable(self, root: &Path) -> Result<Self, StoreError> {
        let path = root.display().to_string();
        match self {
            Self::Foreign { example } => Err(StoreError::NotACache {
                path,
                why: match example {
                    Some(name) => format!("it holds `{name}` and no marker file `{MARKER}`"),
                    None => format!("its `{MARKER}` is not a marker that runner wrote"),
                },
            }),
            Self::Newer { head } => Err(StoreError::Layout { path, head }),
            usable => Ok(usable),
        }
    }
}

fn look(root: &Path) -> io::Result<Site> {
    match marker(root)? {
        Marker::Whole => return Ok(Site::Cache),
        Marker::Newer(head) => return Ok(Site::Newer { head }),
        Marker::Foreign => return Ok(Site::Foreign { example: None }),
        Marker::Absent => {}
    }
    let mut inside = Inside::default();
    let mut tops = Vec::new();
    for entry in list(root)? {
        tops.push(entry?.path());
    }
    tops.sort();
    for top in &tops {
        let name = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.as_str() {
            MARKER => {}
            "data-hashes.json" if top.symlink_metadata()?.is_file() => inside.ours += 1,
            name if is_dust(name) => {}
            name if is_note(name) => inside.notes.push(name.to_owned()),
            name if (is_room(name) || name == "tmp") && top.is_dir() => {
                inside.rooms += 1;
                if let Some(foreign) = inside.room(top, name)? {
                    return Ok(Site::Foreign { example: Some(foreign) });
                }
            }
            _ => return Ok(Site::Foreign { example: Some(name) }),
        }
    }
    Ok(inside.site())
}

/// The content of a folder without foreign files.
#[derive(Default)]
struct Inside {
    rooms: usize,
    /// Files that only runner makes.
    ours: usize,
    /// Files whose names other programs use as well: half-written and quarantined ones.
    others: Vec<String>,
    notes: Vec<String>,
}

impl Inside {
    /// Looks through a room, and returns a file in it that runner does not make, if there is one.
    fn room(&mut self, folder: &Path, name: &str) -> io::Result<Option<String>> {
        for entry in WalkDir::new(folder).min_depth(1) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let inner = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let told = format!("{name}/{}", inner.display());
            let is_file = entry.file_type().is_file();
            match place(name, inner) {
                _ if entry.file_type().is_dir() && is_shelf(name, inner) => {}
                Place::Quarantined => self.others.push(told),
                Place::Foreign if name == "tmp" && is_file && is_older_temporary(inner) => {
                    self.others.push(told);
                }
                Place::Foreign => return Ok(Some(told)),
                _ if is_file => self.ours += 1,
                _ => return Ok(Some(told)),
            }
        }
        Ok(None)
    }

    fn site(mut self) -> Site {
        if self.ours > 0 {
            return Site::Unmarked;
        }
        // A runner that was killed at its first step leaves empty folders with these names.
        self.others.extend(self.notes.into_iter().filter(|name| self.rooms > 0 || !name.starts_with(".git")));
        match self.others.pop() {
            Some(example) => Site::Foreign { example: Some(example) },
            None if self.rooms > 0 => Site::Unmarked,
            None => Site::Free,
        }
    }
}

/// Whether a file has the name of an older runner's temporary file. Other programs use these names as well.
fn is_older_temporary(inner: &Path) -> bool {
    let random = inner.to_str().and_then(|name| name.strip_prefix(".tmp"));
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether `name` is one of the temporary files that [`Disk::draft`] makes.
pub(super) fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY.0).and_then(|name| name.strip_suffix(TEMPORARY.1));
    random.is_some_and(|random| {
        random.len() == TEMPORARY.2 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn marker(root: &Path) -> io::Result<Marker> {
    let path = root.join(MARKER);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Marker::Absent),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Ok(Marker::Foreign),
        Ok(_) => {}
    }
    before(Operation::Read(&path))?;
    let mut content = Vec::new();
    File::open(&path)?.take(LONGEST).read_to_end(&mut content)?;
    let whole = format!("{HEAD}{WORDS}");
    let is_torn = whole.as_bytes().starts_with(&content) && content.len() < HEAD.len()
        || content.iter().all(|byte| *byte == 0);
    Ok(match content.iter().position(|byte| *byte == b'\n') {
        _ if is_torn => Marker::Absent,
        _ if content.starts_with(HEAD.as_bytes()) => Marker::Whole,
        Some(end) if content.starts_with(b"runner cache ") && end < 40 => {
            Marker::Newer(String::from_utf8_lossy(&content[..end]).into_owned())
        }
        _ => Marker::Foreign,
    })
}

impl Disk {
    /// Writes the marker, durably, if it is missing. Must come before any other write to the folder.
    ///
    /// Runners that do so at the same moment write the same bytes, and none of them replaces the file.
    pub(super) fn claim(&self) -> io::Result<()> {
        let root = self.root();
        let path = root.join(MARKER);
        if self.is_settled(&path) {
            return Ok(());
        }
        self.make_folder(root)?;
        match look(root)? {
            Site::Cache => {
                // Another runner may have made it a moment ago. A user who may not flush it did not make it.
                before(Operation::SyncFile(&path))?;
                File::open(&path)?.sync_all()?;
                match sync_folder(root) {
                    Err(error) if super::error::forbidden(&error) => {}
                    synced => synced?,
                }
            }
            Site::Free | Site::Unmarked => {
                before(Operation::WriteFile(&path))?;
                let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
                file.write_all(format!("{HEAD}{WORDS}").as_bytes())?;
                before(Operation::SyncFile(&path))?;
                file.sync_all()?;
                sync_folder(root)?;
            }
            Site::Foreign { .. } | Site::Newer { .. } => {
                let words = "the folder is not a cache: somebody has put something there meanwhile";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
            }
        }
        self.settle_entry(&path);
        Ok(())
    }
}

impl Store {
    /// Whether the cache exists already; otherwise the first write makes it.
    ///
    /// # Errors
    /// Its folder cannot be read.
    pub fn exists(&self) -> Result<bool, StoreError> {
        Ok(Site::at(self.disk.root())? != Site::Free)
    }

    /// Opens an existing cache.
    ///
    /// # Errors
    /// The folder does not exist, or is not a cache.
    pub fn existing(root: &Path) -> Result<Self, StoreError> {
        let store = Self::open(root)?;
        if store.exists()? {
            return Ok(store);
        }
        Err(StoreError::NoCache { path: root.display().to_string(), is_there: root.is_dir() })
    }
}

/// The nearest folder upward from `start`, itself included, that has a cache in its folder `cache/`, a `.git`
/// or a `runner.toml`: the folder of a project.
pub fn project(start: &Path) -> Option<&Path> {
    start.ancestors().find(|folder| {
        let is_there = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
        is_there(".git") || is_there("runner.toml") || Site::is_cache(&folder.join("cache"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::durable::parent;

    fn with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(parent(&path)).unwrap();
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::write(path, b"of somebody").unwrap();
            }
        }
        folder
    }

    fn at(files: &[&str]) -> Site {
        Site::at(with(files).path()).unwrap()
    }

    #[test]
    fn a_folder_with_anything_of_somebody_else_is_no_cache() {
        let record = format!("records/ab/ab{}.json", "0".repeat(62));
        let foreign: [&[&str]; 16] = [
            &["thesis.tex"],
            &["README.md"],
            &["README.md", ".gitignore"],
            &["tmp/notes.txt"],
            &["tmp/.tmpAbCdEf"],
            &["tmp/.tmpAbCdEf", "locks/"],
            &["quarantine/notes.txt"],
            &["objects/readme.txt"],
            &["records/ab/x.json"],
            &["logs/today.jsonl"],
            &["last/2024/summary.json"],
            &["manifests/app.json"],
            &[&record, "thesis.tex"],
            &[&record, "tmp/notes.txt"],
            &[&record, "objects/ab/x"],
            &["locks/", "README.md"],
        ];
        for files in foreign {
            assert!(matches!(at(files), Site::Foreign { .. }), "{files:?}: {:?}", at(files));
        }
    }

    #[test]
    fn an_empty_folder_is_free_and_an_older_cache_is_known_by_what_only_runner_makes() {
        let record = format!("records/ab/ab{}.json", "0".repeat(62));
        let free: [&[&str]; 3] = [&[], &[".gitkeep", ".gitignore"], &["lost+found/"]];
        for files in free {
            assert_eq!(at(files), Site::Free, "{files:?}");
        }
        let older: [&[&str]; 4] = [
            &[&record, "README.md", ".gitignore", "tmp/.tmpAbCdEf", "quarantine/anything"],
            &["locks/writing", "tmp/"],
            &["tmp/"],
            &["locks/visits", "manifests/20260102-030405-4711.json", "last/0123456789ab/retrain@0123.json"],
        ];
        for files in older {
            assert_eq!(at(files), Site::Unmarked, "{files:?}");
        }
    }

    #[test]
    fn a_marker_counts_as_whole_torn_newer_or_foreign() {
        let whole = format!("{HEAD}{WORDS}");
        let with_marker = |content: &[u8], more: &[&str]| {
            let folder = with(more);
            fs::write(folder.path().join(MARKER), content).unwrap();
            Site::at(folder.path()).unwrap()
        };
        assert_eq!(with_marker(whole.as_bytes(), &["thesis.tex"]), Site::Cache);
        for length in 0..HEAD.len() {
            let torn = &whole.as_bytes()[..length];
            assert_eq!(with_marker(torn, &[]), Site::Free, "{length}");
            assert_eq!(with_marker(torn, &["tmp/"]), Site::Unmarked, "{length}");
            assert!(matches!(with_marker(torn, &["thesis.tex"]), Site::Foreign { .. }), "{length}");
        }
        assert_eq!(with_marker(&vec![0; whole.len()], &[]), Site::Free);
        assert_eq!(with_marker(b"runner cache 2\nnew", &[]), Site::Newer { head: "runner cache 2".into() });
        assert_eq!(with_marker(b"mine", &[]), Site::Foreign { example: None });
    }
}
