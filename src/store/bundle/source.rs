//! The files of a bundle one after the other, from an archive or a folder.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};
use walkdir::WalkDir;

use super::{BundleError, MANIFEST};

/// How a gzipped file begins.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How files of other kinds begin, and what made them.
const OTHERS: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[b'7', b'z', 0xbc, 0xaf], "7-Zip"),
];
/// So many bytes tell them apart.
const FIRST: u64 = 8;
/// What to do where another program has packed the files of a bundle.
pub const REPACKED: &str = "; if another program has packed it, unpack it and import the folder";

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
        let unreadable = |error: io::Error| self.refused(format!("it is no whole archive ({error})"));
        let mut archive = Archive::new(self.open()?);
        // Raw: a name that does not fit into a header is none of a bundle, and would be read into memory
        // whatever its size.
        for entry in archive.entries().map_err(unreadable)?.raw(true) {
            let mut entry = entry.map_err(unreadable)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let what = match entry.header().entry_type() {
                EntryType::Regular => None,
                EntryType::Directory => Some("is a folder"),
                EntryType::GNULongName | EntryType::GNULongLink => Some("is a name too long for a bundle"),
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    Some("holds attributes that no export writes")
                }
                _ => Some("is no ordinary file"),
            };
            if let Some(what) = what {
                return Err(self.refused(format!("its entry `{name}` {what}{REPACKED}")));
            }
            let bytes = entry.size();
            look(Member { name, bytes, content: &mut entry })?;
        }
        Ok(())
    }

    /// The archive, unpacked if it is gzipped. Its first bytes say what it is; a name may say anything.
    fn open(&self) -> Result<Box<dyn Read>, BundleError> {
        // A pipe cannot be read twice.
        let mut file = match self.path.metadata() {
            Ok(found) if !found.is_file() => {
                return Err(self.refused("it is no file and no folder".to_owned()));
            }
            _ => File::open(&self.path).map_err(BundleError::io("read", &self.path))?,
        };
        let mut first = Vec::new();
        let begun = file.by_ref().take(FIRST).read_to_end(&mut first).and_then(|_| file.rewind());
        begun.map_err(BundleError::io("read", &self.path))?;
        if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| first.starts_with(magic)) {
            return Err(self.refused(format!("it is packed by {what}: unpack it, and import the folder")));
        }
        let file = BufReader::new(file);
        Ok(if first.starts_with(GZIP) { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
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
