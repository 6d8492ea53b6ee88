//! Writes a bundle: whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::{NamedTempFile, TempDir};

use super::{BUNDLE, BundleError, Listed, MANIFEST, Manifest, object_name, record_name};
use crate::fingerprint::Fingerprint;
use crate::store::durable::sync_folder;
use crate::store::{Lookup, ObjectHash, Store, StoreError, sealed};

/// What becomes of a bundle that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It stays, and that is an error.
    No,
    /// The new one takes its place.
    Bundle,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Records.
    pub records: usize,
    /// Objects.
    pub objects: usize,
    /// The size of both.
    pub bytes: u64,
}

impl Store {
    /// Writes the results of `work` to `to`: an archive if the name ends in `.tar`, else a folder.
    ///
    /// # Errors
    /// A result is not in the cache or is damaged; there is something in the place; it cannot be written.
    pub fn export(
        &self,
        work: &BTreeSet<Fingerprint>,
        to: &Path,
        replace: Replace,
    ) -> Result<Exported, BundleError> {
        let (manifest, records) = self.manifest(work)?;
        let is_archive = to.extension().is_some_and(|extension| extension == "tar");
        check_place(to, is_archive, replace)?;
        let mut writer = Writer::new(to, is_archive)?;
        let content = sealed::seal(&manifest).map_err(|error| BundleError::io("write", to)(error.into()))?;
        writer.file(MANIFEST, &content)?;
        for (fingerprint, content) in manifest.records.keys().zip(&records) {
            writer.file(&record_name(fingerprint), content)?;
        }
        for object in manifest.objects.keys() {
            writer.file(&object_name(object), &self.get(object)?)?;
        }
        writer.finish(replace)?;
        let records = manifest.records.values().map(|listed| listed.bytes);
        let bytes = records.chain(manifest.objects.values().copied()).sum();
        Ok(Exported { records: manifest.records.len(), objects: manifest.objects.len(), bytes })
    }

    /// What the bundle will hold, and the content of its records.
    fn manifest(&self, work: &BTreeSet<Fingerprint>) -> Result<(Manifest, Vec<Vec<u8>>), StoreError> {
        let mut manifest =
            Manifest { bundle: BUNDLE, records: Default::default(), objects: Default::default() };
        let mut contents = Vec::new();
        for fingerprint in work {
            let Lookup::Present(record) = self.lookup(fingerprint)? else {
                return Err(StoreError::NoResult { fingerprint: *fingerprint });
            };
            let path = self.record_path(fingerprint);
            let content =
                sealed::seal(&record).map_err(|error| StoreError::io("read", &path)(error.into()))?;
            let listed = Listed { hash: ObjectHash::of(&content), bytes: content.len() as u64 };
            manifest.records.insert(*fingerprint, listed);
            manifest.objects.extend(record.outputs.values().map(|entry| (entry.object, entry.bytes)));
            contents.push(content);
        }
        Ok((manifest, contents))
    }
}

/// Only a bundle gives way to a bundle.
fn check_place(to: &Path, is_archive: bool, replace: Replace) -> Result<(), BundleError> {
    let path = to.display().to_string();
    match to.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) if replace == Replace::No => Err(BundleError::Exists { path }),
        Ok(found) if is_archive && found.is_file() => Ok(()),
        Ok(found) if !is_archive && found.is_dir() && to.join(MANIFEST).is_file() => Ok(()),
        Ok(_) => Err(BundleError::NotReplaced { path }),
    }
}

/// Where the files go until all are there.
enum Writer {
    Archive { to: PathBuf, archive: tar::Builder<NamedTempFile> },
    Folder { to: PathBuf, folder: TempDir },
}

impl Writer {
    fn new(to: &Path, is_archive: bool) -> Result<Self, BundleError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".runner-export-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Like any other new file or folder: less the umask.
            let mode = if is_archive { 0o666 } else { 0o777 };
            builder.permissions(fs::Permissions::from_mode(mode));
        }
        let (to, above) = (to.to_owned(), above(to));
        let failed = BundleError::io("write into", above);
        Ok(if is_archive {
            let archive = tar::Builder::new(builder.tempfile_in(above).map_err(failed)?);
            Self::Archive { to, archive }
        } else {
            Self::Folder { to, folder: builder.tempdir_in(above).map_err(failed)? }
        })
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<(), BundleError> {
        match self {
            Self::Archive { to, archive } => {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(0);
                header.set_uid(0);
                header.set_gid(0);
                archive.append_data(&mut header, name, content).map_err(BundleError::io("write", to))
            }
            Self::Folder { folder, .. } => {
                let path = folder.path().join(name);
                let write = || {
                    fs::create_dir_all(above(&path))?;
                    let mut file = File::create_new(&path)?;
                    file.write_all(content)?;
                    file.sync_all()
                };
                write().map_err(BundleError::io("write", &path))
            }
        }
    }

    /// Gives the bundle its name.
    fn finish(self, replace: Replace) -> Result<(), BundleError> {
        let named = match self {
            Self::Archive { to, archive } => {
                let name = |to: &Path| {
                    let file = archive.into_inner()?;
                    file.as_file().sync_all()?;
                    match replace {
                        Replace::No => file.persist_noclobber(to)?,
                        Replace::Bundle => file.persist(to)?,
                    };
                    sync_folder(above(to))
                };
                name(&to).map_err(|error| (to, error))
            }
            Self::Folder { to, folder } => put_folder(folder, &to).map_err(|error| (to, error)),
        };
        named.map_err(|(to, error)| match error.kind() {
            io::ErrorKind::AlreadyExists => BundleError::Exists { path: to.display().to_string() },
            _ => BundleError::io("write", &to)(error),
        })
    }
}

fn put_folder(folder: TempDir, to: &Path) -> io::Result<()> {
    for inner in ["", "records", "objects"] {
        let inner = folder.path().join(inner);
        if inner.is_dir() {
            sync_folder(&inner)?;
        }
    }
    // Folders cannot be exchanged: an earlier one steps aside first, and comes back if anything fails.
    let aside = match to.is_dir() {
        true => Some(tempfile::Builder::new().prefix(".runner-export-").tempdir_in(above(to))?),
        false => None,
    };
    let earlier = aside.as_ref().map(|aside| aside.path().join("earlier"));
    if let Some(earlier) = &earlier {
        fs::rename(to, earlier)?;
    }
    if let Err(error) = fs::rename(folder.path(), to) {
        if let Some(earlier) = &earlier {
            fs::rename(earlier, to)?;
        }
        return Err(error);
    }
    // It has its name, and is not a temporary folder any more.
    let _ = folder.keep();
    sync_folder(above(to))
}

fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}
