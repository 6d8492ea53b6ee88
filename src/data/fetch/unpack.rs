//! Taking the expected members out of an archive, and nothing else.
//!
//! No path of an archive is ever used to write: members are known by name and go to names of ours, in a folder that
//! is removed unless all went well. An archive that holds anything that a plain unpacking would let out of its
//! folder (absolute paths, `..`, links) is refused whole, since nobody publishes such a data set.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};
use tempfile::TempDir;

use super::error::FetchError;
use super::part;
use super::published::{Download, PublishedFile};

/// What an archive may hold beside its members (descriptions, headers), unpacked.
const BESIDE: u64 = 16 << 20;

/// How the names of folders begin in which archives are unpacked.
pub(super) const STAGING: &str = "unpacking-";

/// Unpacks the members of `download` from `archive` into `folder`, through a folder of its own in `work`.
/// Once all are there, `make_way` is called, and they appear one by one, each whole.
pub(super) fn unpack(
    archive: &mut File,
    download: &Download,
    folder: &Path,
    work: &Path,
    make_way: &mut dyn FnMut() -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    let staging = tempfile::Builder::new()
        .prefix(STAGING)
        .tempdir_in(work)
        .map_err(FetchError::io("make a folder in", work))?;
    let files = read_members(archive, download, &staging)?;
    make_way()?;
    for (number, (member, file)) in download.members.iter().zip(&files).enumerate() {
        let target = folder.join(&member.name);
        let inner = target.parent().unwrap_or(folder);
        fs::create_dir_all(inner).map_err(FetchError::io("make the folder", inner))?;
        part::settle(file, &staging.path().join(number.to_string()), &target)?;
    }
    Ok(())
}

/// Writes the members as `0`, `1`, ... in their order.
fn read_members(archive: &mut File, download: &Download, staging: &TempDir) -> Result<Vec<File>, FetchError> {
    let name = &download.file.name;
    let refused = |reason: String| FetchError::Archive { archive: name.clone(), reason };
    let unreadable = |error: io::Error| refused(format!("it cannot be read: {error}"));
    let limit = download.members.iter().map(|member| member.size).sum::<u64>() + BESIDE;
    let mut files: Vec<Option<File>> = download.members.iter().map(|_| None).collect();
    let mut archive = Archive::new(GzDecoder::new(archive).take(limit));
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        if let Some(reason) = danger(&path, entry.header().entry_type()) {
            return Err(refused(reason));
        }
        let is_this = |member: &&PublishedFile| path == Path::new(&member.name);
        let Some(number) = download.members.iter().position(|member| is_this(&member)) else { continue };
        let member = &download.members[number];
        if entry.size() != member.size || files[number].is_some() {
            let size = entry.size();
            return Err(refused(format!(
                "`{}` comes with {size} bytes{}, {} were expected",
                member.name,
                if files[number].is_some() { " a second time" } else { "" },
                member.size
            )));
        }
        let target = staging.path().join(number.to_string());
        let mut file = File::create_new(&target).map_err(FetchError::io("write", &target))?;
        if copy(&mut entry, &mut file, &target, &unreadable)? != member.size {
            return Err(refused(format!("`{}` ends before its size", member.name)));
        }
        files[number] = Some(file);
    }
    let missing = download.members.iter().zip(&files).find(|(_, file)| file.is_none());
    if let Some((member, _)) = missing {
        return Err(refused(format!("`{}` is not in it", member.name)));
    }
    Ok(files.into_iter().flatten().collect())
}

/// As `io::copy`, but an archive that cannot be read and a disk that cannot be written are different errors.
fn copy(
    from: &mut dyn Read,
    to: &mut dyn io::Write,
    path: &Path,
    unreadable: &dyn Fn(io::Error) -> FetchError,
) -> Result<u64, FetchError> {
    let mut buffer = vec![0; 1 << 16];
    let mut copied = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        to.write_all(&buffer[..count]).map_err(FetchError::io("write", path))?;
        copied += count as u64;
    }
}

/// What makes an entry one that no honest archive of a data set has.
fn danger(path: &Path, kind: EntryType) -> Option<String> {
    let shown = path.display();
    if path.is_absolute() || path.has_root() {
        return Some(format!("`{shown}` is an absolute path"));
    }
    for component in path.components() {
        match component {
            Component::Normal(_) | Component::CurDir => {}
            _ => return Some(format!("`{shown}` would land outside the folder")),
        }
    }
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
        // Says something of what follows; the path is a made-up one.
        EntryType::XGlobalHeader => None,
        EntryType::Symlink | EntryType::Link => Some(format!("`{shown}` is a link")),
        _ => Some(format!("`{shown}` is neither a file nor a folder")),
    }
}
