//! Writes a bundle: whole or not at all.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::folder::Folder;
use super::import::is_bundle;
use super::source::Source;
use super::{BUNDLE, BundleError, Listed, MANIFEST, Manifest, object_name, record_name};
use crate::fingerprint::Fingerprint;
use crate::store::{Lookup, ObjectHash, Store, StoreError, sealed};
use crate::written::{self, Draft, Inputs, Place, WriteError};

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
    /// Writes the results of `work` to `to`: an archive if the name ends in `.tar`, a compressed one if it
    /// ends in `.tar.gz` or `.tgz`, else a folder.
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
        let inputs = Inputs::default().cache(self.root());
        let mut writer = match Packing::of(to) {
            Packing::Tar => Writer::archive(Stream::Plain(archive(to, replace, &inputs)?)),
            Packing::TarGzip => {
                let draft = archive(to, replace, &inputs)?;
                Writer::archive(Stream::Gzip(GzEncoder::new(draft, Compression::default())))
            }
            Packing::Folder => Writer::Folder(Folder::new(to, replace, &inputs)?),
        };
        let content = sealed::seal(&manifest).map_err(|error| BundleError::io("write", to)(error.into()))?;
        writer.file(to, MANIFEST, &content)?;
        for (fingerprint, content) in manifest.records.keys().zip(&records) {
            writer.file(to, &record_name(fingerprint), content)?;
        }
        for object in manifest.objects.keys() {
            writer.file(to, &object_name(object), &self.get(object)?)?;
        }
        writer.finish(to)?;
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

/// The place of an archive. Only a bundle gives way to a bundle, and that on demand alone.
fn archive(to: &Path, replace: Replace, inputs: &Inputs) -> Result<Draft, BundleError> {
    let is_ours = |_: &mut std::fs::File, _: &std::path::Path| Ok(is_bundle(&Source::new(to)).is_ok());
    let place = match Place::find(to, &is_ours, written::Replace::Own, inputs) {
        Err(WriteError::NotOurs { path } | WriteError::NoFile { path, .. }) => {
            return Err(BundleError::NotReplaced { path });
        }
        found => found?,
    };
    if place.is_taken() && replace == Replace::No {
        return Err(BundleError::Exists { path: to.display().to_string() });
    }
    Ok(place.draft()?)
}

/// Where the files go until all are there.
enum Writer {
    Archive { archive: tar::Builder<Stream> },
    Folder(Folder),
}

/// How the files of a bundle are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Folder,
    Tar,
    TarGzip,
}

impl Packing {
    /// What the name asks for.
    fn of(to: &Path) -> Self {
        let name = to.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match name.as_str() {
            name if name.ends_with(".tar") => Self::Tar,
            name if name.ends_with(".tar.gz") || name.ends_with(".tgz") => Self::TarGzip,
            _ => Self::Folder,
        }
    }
}

/// An archive on its way to its file. A compressed one holds no time and no name, so that the same results
/// give the same bytes.
enum Stream {
    Plain(Draft),
    Gzip(GzEncoder<Draft>),
}

impl Stream {
    fn finish(self) -> io::Result<Draft> {
        let mut draft = match self {
            Self::Plain(draft) => draft,
            Self::Gzip(encoder) => encoder.finish()?,
        };
        draft.flush()?;
        Ok(draft)
    }
}

impl Write for Stream {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(draft) => draft.write(part),
            Self::Gzip(encoder) => encoder.write(part),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(draft) => draft.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}

impl Writer {
    fn archive(stream: Stream) -> Self {
        Self::Archive { archive: tar::Builder::new(stream) }
    }

    fn file(&mut self, to: &Path, name: &str, content: &[u8]) -> Result<(), BundleError> {
        match self {
            Self::Archive { archive } => {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(0);
                header.set_uid(0);
                header.set_gid(0);
                archive.append_data(&mut header, name, content).map_err(BundleError::io("write", to))
            }
            Self::Folder(folder) => folder.file(name, content),
        }
    }

    /// Gives the bundle its name.
    fn finish(self, to: &Path) -> Result<(), BundleError> {
        match self {
            Self::Archive { archive } => {
                let draft = archive.into_inner().and_then(Stream::finish);
                Ok(draft.map_err(BundleError::io("write", to))?.finish()?)
            }
            Self::Folder(folder) => folder.finish(),
        }
    }
}
