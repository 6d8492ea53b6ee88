//! A bundle that is a folder: how it takes its name, and the place of an earlier one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use walkdir::WalkDir;

use super::export::Replace;
use super::import::manifest;
use super::source::Source;
use super::{BundleError, MANIFEST, Manifest, object_name, record_name};
use crate::store::durable::sync_folder;
use crate::written::{Inputs, WriteError, above, followed};

/// The folders of a bundle.
const INNER: [&str; 2] = ["records", "objects"];

/// A folder that has no name yet.
pub struct Folder {
    asked: PathBuf,
    /// Without links at its end.
    to: PathBuf,
    new: TempDir,
    /// The files of the bundle that it replaces.
    earlier: Option<BTreeSet<String>>,
}

impl Folder {
    /// A folder that is to be called `asked`.
    ///
    /// # Errors
    /// Something has the name that may not be replaced; it cannot be written.
    pub fn new(asked: &Path, replace: Replace, inputs: &Inputs) -> Result<Self, BundleError> {
        let path = || asked.display().to_string();
        let failed = |error| WriteError::io(asked)(error);
        // A `/` at the end asks for the folder behind a link, which is what is meant in any case.
        let plain: PathBuf = asked.components().collect();
        let (to, _) = followed(&plain).map_err(failed)?;
        if inputs.hold(&to) {
            return Err(WriteError::InCache { path: path() }.into());
        }
        if to.file_name().is_none() {
            return Err(WriteError::NoFile { path: path(), what: "no name of a bundle" }.into());
        }
        let earlier = match to.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error).into()),
            Ok(_) if replace == Replace::No => return Err(BundleError::Exists { path: path() }),
            Ok(found) if found.is_dir() && to.join(MANIFEST).is_file() => Some(earlier(asked, &to)?),
            Ok(_) => return Err(BundleError::NotReplaced { path: path() }),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".runner-export-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Like any other new folder, less the umask; or like the one that it replaces.
            let mode =
                if earlier.is_some() { to.metadata().map_err(failed)?.permissions().mode() } else { 0o777 };
            builder.permissions(fs::Permissions::from_mode(mode & 0o777));
        }
        let new = builder.tempdir_in(above(&to)).map_err(BundleError::io("write into", above(&to)))?;
        Ok(Self { asked: asked.to_owned(), to, new, earlier })
    }

    pub fn file(&mut self, name: &str, content: &[u8]) -> Result<(), BundleError> {
        let path = self.new.path().join(name);
        let write = || {
            fs::create_dir_all(above(&path))?;
            let mut file = File::create_new(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(BundleError::io("write", &path))
    }

    /// Gives the folder its name. At every moment one of both bundles has it.
    pub fn finish(self) -> Result<(), BundleError> {
        let Self { asked, to, new, earlier } = self;
        let name = || {
            for inner in INNER.map(|inner| new.path().join(inner)).iter().filter(|inner| inner.is_dir()) {
                sync_folder(inner)?;
            }
            sync_folder(new.path())?;
            match &earlier {
                None => {
                    place_new(new.path(), &to)?;
                    // It has its name, and is not a temporary folder any more.
                    let _ = new.keep();
                }
                Some(files) => {
                    exchange(new.path(), &to)?;
                    sync_folder(above(&to))?;
                    // From here on it is the earlier one, of which nothing is removed but what an export
                    // wrote.
                    remove(&new.keep(), files)?;
                }
            }
            sync_folder(above(&to))
        };
        name().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                BundleError::Exists { path: asked.display().to_string() }
            }
            _ => BundleError::io("write", &asked)(error),
        })
    }
}

/// The files of the bundle at `to`, if it holds nothing else.
fn earlier(asked: &Path, to: &Path) -> Result<BTreeSet<String>, BundleError> {
    let path = || asked.display().to_string();
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    if here.is_ok_and(|here| to.canonicalize().is_ok_and(|to| here.starts_with(to))) {
        return Err(BundleError::Inside { path: path() });
    }
    let source = Source::new(to);
    let files = match manifest(&source, to) {
        Ok(manifest) => names(&manifest),
        Err(BundleError::Io { action, path, source }) => {
            return Err(BundleError::Io { action, path, source });
        }
        Err(_) => return Err(BundleError::NotReplaced { path: path() }),
    };
    for entry in WalkDir::new(to).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| BundleError::io("read", to)(error.into()))?;
        let name = entry.path().strip_prefix(to).unwrap_or(entry.path()).to_string_lossy().into_owned();
        let is_listed = match entry.file_type() {
            kind if kind.is_dir() => INNER.contains(&name.as_str()),
            kind => kind.is_file() && files.contains(&name),
        };
        if !is_listed {
            return Err(BundleError::HoldsMore { path: path(), name });
        }
    }
    Ok(files)
}

fn names(manifest: &Manifest) -> BTreeSet<String> {
    let records = manifest.records.keys().map(record_name);
    let objects = manifest.objects.keys().map(object_name);
    records.chain(objects).chain([MANIFEST.to_owned()]).collect()
}

/// Removes the files, and the folders that are empty then.
fn remove(folder: &Path, files: &BTreeSet<String>) -> io::Result<()> {
    for name in files {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    for inner in INNER.iter().map(|inner| folder.join(inner)).chain([folder.to_owned()]) {
        match fs::remove_dir(&inner) {
            // Somebody has put something there in the meantime: it stays.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Renames a folder where there is none.
fn place_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(error) if is_unknown(error) => {}
            renamed => return Ok(renamed?),
        }
    }
    // This replaces an empty folder at most.
    fs::rename(from, to)
}

/// Exchanges two folders in one step, where the system can. Elsewhere the earlier one is called
/// `NAME.earlier` for a moment; if the program is killed in it, that folder is whole and is to be renamed by
/// hand.
fn exchange(new: &Path, earlier: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, new, CWD, earlier, RenameFlags::EXCHANGE) {
            Err(error) if is_unknown(error) => {}
            renamed => return Ok(renamed?),
        }
    }
    let mut aside = earlier.as_os_str().to_owned();
    aside.push(".earlier");
    let aside = PathBuf::from(aside);
    place_new(earlier, &aside)?;
    if let Err(error) = fs::rename(new, earlier) {
        fs::rename(&aside, earlier)?;
        return Err(error);
    }
    fs::rename(&aside, new)
}

/// Whether the file system or the kernel lacks the call.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn is_unknown(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}
