//! A file on its way: `NAME.part`, and beside it `NAME.part.version`, the address and the version of the file that it
//! is a part of.
//!
//! Bytes go to the file as they come, so whatever ends the program, what came stays and the next call goes on from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::check::sum;
use super::error::FetchError;
use super::http::Version;
use super::published::PublishedFile;
use crate::shown::without_passwords;

/// Where what came of a file is kept.
pub(super) fn path(folder: &Path, of: &PublishedFile) -> PathBuf {
    folder.join(format!("{}.part", of.name))
}

/// The bytes of a file that are here.
pub(super) struct Part {
    path: PathBuf,
    version_path: PathBuf,
    file: File,
    length: u64,
}

impl Part {
    /// Opens what is here of a file, or begins it.
    pub(super) fn open(folder: &Path, of: &PublishedFile) -> Result<Self, FetchError> {
        let path = path(folder, of);
        let version_path = folder.join(format!("{}.part.version", of.name));
        let open = || {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(FetchError::io("open", &path))?;
        let mut part = Self { path, version_path, file, length };
        part.forget_passwords()?;
        if part.length > of.size {
            part.clear()?;
        }
        Ok(part)
    }

    /// Earlier versions of runner kept addresses as they were given.
    fn forget_passwords(&self) -> Result<(), FetchError> {
        let Ok(origin) = fs::read_to_string(&self.version_path) else { return Ok(()) };
        match without_passwords(&origin) {
            masked if masked == origin => Ok(()),
            masked => {
                fs::write(&self.version_path, masked).map_err(FetchError::io("write", &self.version_path))
            }
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The version that the bytes are of, where they came from `url` and the server named one. Another server's names
    /// mean nothing to this one; whether its bytes fit, the checksum tells.
    pub(super) fn version(&self, url: &str) -> Option<Version> {
        let origin = fs::read_to_string(&self.version_path).ok()?;
        let (from, version) = origin.split_once('\n')?;
        (from == without_passwords(url) && !version.is_empty()).then(|| version.to_owned())
    }

    /// Drops all bytes.
    pub(super) fn clear(&mut self) -> Result<(), FetchError> {
        let empty = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0)).map(drop)
        };
        empty(&mut self.file).map_err(FetchError::io("write", &self.path))?;
        self.length = 0;
        Ok(())
    }

    /// Drops all bytes, to begin anew with this version of what is at `url`.
    pub(super) fn begin(&mut self, url: &str, version: Option<&Version>) -> Result<(), FetchError> {
        // Bytes of one version never stand beside the name of another: the file is empty when the name is written.
        self.clear()?;
        let origin = format!("{}\n{}", without_passwords(url), version.map_or("", String::as_str));
        fs::write(&self.version_path, origin).map_err(FetchError::io("write", &self.version_path))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        if let Err(error) = self.file.write_all(bytes) {
            // Some of the bytes may have been written, which is no harm: they are right.
            self.length = self.file.stream_position().unwrap_or(self.length);
            return Err(FetchError::io("write", &self.path)(error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn md5(&mut self) -> Result<String, FetchError> {
        let mut md5 = || -> io::Result<String> {
            self.file.seek(SeekFrom::Start(0))?;
            sum(&mut self.file)
        };
        md5().map_err(FetchError::io("read", &self.path))
    }

    /// Gives the file another name, in place of what has it.
    pub(super) fn settle(self, to: &Path) -> Result<(), FetchError> {
        settle(&self.file, &self.path, to)?;
        self.forget_version();
        Ok(())
    }

    /// The file's bytes, for unpacking.
    pub(super) fn reader(&mut self) -> Result<&mut File, FetchError> {
        self.file.seek(SeekFrom::Start(0)).map_err(FetchError::io("read", &self.path))?;
        Ok(&mut self.file)
    }

    /// Removes it: it is needed no more.
    pub(super) fn remove(self) {
        // One that cannot be removed takes room, and nothing else.
        let _ = fs::remove_file(&self.path);
        self.forget_version();
    }

    fn forget_version(&self) {
        let _ = fs::remove_file(&self.version_path);
    }
}

/// Flushes a file to the disk, then lets it appear under its name, whole.
pub(super) fn settle(file: &File, from: &Path, to: &Path) -> Result<(), FetchError> {
    let settled = || -> io::Result<()> {
        file.sync_all()?;
        fs::rename(from, to)?;
        // The name lives in the folder, which is flushed as well; Windows has no such call.
        #[cfg(unix)]
        File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    };
    settled().map_err(FetchError::io("put in place", to))
}

/// Moves what a user may have made aside, and says where to.
pub(super) fn put_aside(path: &Path) -> Result<PathBuf, FetchError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut target = path.with_file_name(format!("{name}.aside"));
    let mut number = 1;
    while target.exists() {
        target = path.with_file_name(format!("{name}.aside.{number}"));
        number += 1;
    }
    fs::rename(path, &target).map_err(FetchError::io("move aside", path))?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_an_address_is_kept_and_its_version_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = PublishedFile { name: "x.gz".to_owned(), size: 10, md5: String::new() };
        let kept = folder.path().join("x.gz.part.version");
        let url = "https://user:s3cr3t@mirror.example.org/x.gz";
        fs::write(&kept, format!("{url}\n\"v1\"")).unwrap();
        let shown = || fs::read_to_string(&kept).unwrap();
        let mut part = Part::open(folder.path(), &file).unwrap();
        assert_eq!(shown(), "https://***********@mirror.example.org/x.gz\n\"v1\"");
        assert_eq!(part.version(url).as_deref(), Some("\"v1\""));
        part.begin(url, Some(&"\"v2\"".to_owned())).unwrap();
        assert!(!shown().contains("s3cr3t") && shown().ends_with("\"v2\""), "{}", shown());
        assert_eq!(part.version("https://mirror.example.org/x.gz"), None);
    }
}
