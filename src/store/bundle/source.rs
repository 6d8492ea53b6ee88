//! The files of a bundle one after the other, from an archive or a folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};
use walkdir::WalkDir;

use super::{BundleError, MANIFEST};

/// A bundle as it was found.
pub struct Source {
    path: PathBuf,
}

/// A file of a bundle.
pub struct Member<'a> {
    /// Its name in the bundle: a word to be compared with, never a path.
    pub name: String,
    /// Its size, as the bundle says.
    pub bytes: u64,
    /// Its content, at most so long.
    pub content: &'a mut dyn Read,
}

impl Source {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Shows each file to `look`, the manifest first. Whatever is no file is refused.
    pub fn each(
        &self,
        look: &mut dyn FnMut(Member<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        match self.path.is_dir() {
            true => self.each_of_folder(look),
            false => self.each_of_archive(look),
        }
    }

    fn each_of_archive(
        &self,
        look: &mut dyn FnMut(Member<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        // A pipe cannot be read twice.
        let file = match self.path.metadata() {
            Ok(found) if !found.is_file() => {
                return Err(self.refused("it is no file and no folder".to_owned()));
            }
            _ => File::open(&self.path).map_err(BundleError::io("read", &self.path))?,
        };
        let unreadable = |error: io::Error| self.refused(format!("it is no whole archive ({error})"));
        let mut archive = Archive::new(file);
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if entry.header().entry_type() != EntryType::Regular {
                return Err(self.refused(format!("`{name}` is no ordinary file")));
            }
            let bytes = entry.size();
            look(Member { name, bytes, content: &mut entry })?;
        }
        Ok(())
    }

    fn each_of_folder(
        &self,
        look: &mut dyn FnMut(Member<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        let mut show = |name: &str| {
            let path = self.path.join(name);
            let open = || {
                let found = path.symlink_metadata()?;
                Ok((found.clone(), if found.is_file() { Some(File::open(&path)?) } else { None }))
            };
            let (found, file) = open().map_err(BundleError::io("read", &path))?;
            let Some(file) = file else {
                return Err(self.refused(format!("`{name}` is no ordinary file")));
            };
            let bytes = found.len();
            look(Member { name: name.to_owned(), bytes, content: &mut file.take(bytes) })
        };
        if self.path.join(MANIFEST).symlink_metadata().is_err() {
            return Err(self.refused(format!("it has no {MANIFEST}")));
        }
        show(MANIFEST)?;
        for entry in WalkDir::new(&self.path).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| BundleError::io("read", &self.path)(error.into()))?;
            let name = entry.path().strip_prefix(&self.path).unwrap_or(entry.path());
            let name = name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            if !entry.file_type().is_dir() && name != MANIFEST {
                show(&name)?;
            }
        }
        Ok(())
    }

    pub fn refused(&self, reason: String) -> BundleError {
        BundleError::Refused { path: self.path.display().to_string(), reason }
    }

    pub fn path(&self) -> String {
        self.path.display().to_string()
    }
}
