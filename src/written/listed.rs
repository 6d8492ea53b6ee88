//! Recognises tables that runner wrote. A CSV file has no room for a seal, so the hashes of the tables in a folder
//! stand in a file beside them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{above, temporary};

/// The file with the hashes: names of files and the blake3 hash of each, as JSON.
const LIST: &str = ".runner-tables.json";
/// A longer list is none of ours.
const LONGEST: u64 = 1 << 20;

/// Whether `file` at `path` is as runner wrote it there.
pub(super) fn is_listed(file: &mut File, path: &Path) -> io::Result<bool> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    let list = read(&list_of(path))?.unwrap_or_default();
    Ok(list.get(&name(path)).is_some_and(|hash| *hash == hasher.finalize().to_hex().as_str()))
}

/// Notes that runner wrote `content` at `path`. A list that somebody else made stays as it is, and the table then
/// counts as the user's.
pub(super) fn note(path: &Path, content: &[u8]) -> io::Result<()> {
    let at = list_of(path);
    let Some(mut list) = read(&at)? else { return Ok(()) };
    list.insert(name(path), blake3::hash(content).to_hex().to_string());
    let mut file = temporary(&at)?;
    serde_json::to_writer_pretty(&mut file, &list)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(&at)?;
    Ok(())
}

fn list_of(path: &Path) -> PathBuf {
    above(path).join(LIST)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The hashes by name, none where there is no list; `None` where something else has its name.
fn read(at: &Path) -> io::Result<Option<BTreeMap<String, String>>> {
    match at.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(BTreeMap::new())),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Ok(None),
        Ok(_) => {}
    }
    let mut text = Vec::new();
    File::open(at)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}
