//! Files that appear whole or not at all, and stay.
//!
//! The content goes to a temporary file of the same file system, is flushed to the disk, and takes its name by a
//! rename, which is atomic. The rename itself lives in the folder, so the folder is flushed as
//! well: without that, a power cut can forget a file that was reported as written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::StoreError;

/// Writes `content` to `path`, replacing what is there.
pub fn write(tmp: &Path, path: &Path, content: &[&[u8]]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    for folder in [tmp, folder] {
        fs::create_dir_all(folder).map_err(StoreError::io("make the folder", folder))?;
    }
    let written: io::Result<()> = (|| {
        let mut file = tempfile::NamedTempFile::new_in(tmp)?;
        for part in content {
            file.write_all(part)?;
        }
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_folder(folder)
    })();
    written.map_err(StoreError::io("write", path))
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Reads a file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("remove", path)(error)),
    }
}
