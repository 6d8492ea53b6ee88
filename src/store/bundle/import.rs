//! Takes a bundle in: first all of it is checked, then it enters the cache, objects before records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;

use super::source::{Member, REPACKED, Source};
use super::{BUNDLE, BundleError, MANIFEST, Manifest, object_name, record_name};
use crate::fingerprint::Fingerprint;
use crate::store::sealed::{self, Flaw};
use crate::store::{Durability, FORMAT, Lookup, ObjectHash, Record, Store};

/// The largest manifest and the largest record that are read.
const JSON: u64 = 64 << 20;
/// How much of an object is read at once.
const CHUNK: usize = 4 << 20;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Results that are new in this cache.
    pub new: Vec<Fingerprint>,
    /// Results that it had, with the same outputs.
    pub known: Vec<Fingerprint>,
    /// Results that it has with other outputs: its own stay.
    pub different: Vec<Fingerprint>,
    /// Results that a runner is making at this moment.
    pub underway: Vec<Fingerprint>,
    /// Objects of the bundle.
    pub objects: usize,
    /// The size of the objects.
    pub bytes: u64,
    /// Whether a power cut may take them: see [`Durability`].
    #[serde(skip)]
    pub is_unflushed: bool,
}

/// What a file of the bundle must be.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Record(Fingerprint, ObjectHash, u64),
    Object(ObjectHash, u64),
}

/// Reads a whole bundle and compares it with its list.
///
/// # Errors
/// Anything in it is not what an export wrote.
pub fn check_bundle(from: &Path) -> Result<(), BundleError> {
    check(&Source::new(from)).map(drop)
}

impl Store {
    /// Takes the results of a bundle. Those that are there already stay as they are.
    ///
    /// # Errors
    /// Anything in the bundle is not what an export wrote: then nothing was taken. The cache cannot be written.
    pub fn import(&self, from: &Path) -> Result<Imported, BundleError> {
        let source = Source::new(from);
        let (manifest, records) = check(&source)?;
        let durability = self.prepare()?;
        let mut left: BTreeMap<String, ObjectHash> =
            manifest.objects.keys().map(|object| (object_name(object), *object)).collect();
        source.each(&mut |member| {
            let Some(object) = left.remove(&member.name) else { return Ok(()) };
            let mut content = Vec::new();
            let most = manifest.objects.get(&object).copied().unwrap_or_default();
            let read = member.content.take(most).read_to_end(&mut content);
            if read.is_err() || ObjectHash::of(&content) != object {
                return Err(source.refused("it was changed while it was read".to_owned()));
            }
            self.put(&content)?;
            Ok(())
        })?;
        let bytes = manifest.objects.values().sum();
        let is_unflushed = durability == Durability::Unflushed;
        let objects = manifest.objects.len();
        let mut imported = Imported { objects, bytes, is_unflushed, ..Imported::default() };
        for record in records {
            let fingerprint = record.fingerprint;
            self.take(&record, &mut imported)?.push(fingerprint);
        }
        Ok(imported)
    }

    /// Commits a record whose objects are there, unless there is one; where it belongs in the report.
    fn take<'r>(
        &self,
        record: &Record,
        imported: &'r mut Imported,
    ) -> Result<&'r mut Vec<Fingerprint>, BundleError> {
        let lock = self.lock(&record.fingerprint, &mut |_| ControlFlow::Break(()))?;
        if lock.is_none() {
            return Ok(&mut imported.underway);
        }
        match self.lookup(&record.fingerprint)? {
            Lookup::Present(own) if own.outputs == record.outputs => return Ok(&mut imported.known),
            Lookup::Present(_) => return Ok(&mut imported.different),
            Lookup::Damaged => drop(self.set_record_aside(&record.fingerprint)?),
            Lookup::Absent | Lookup::Unreadable | Lookup::OutputMissing { .. } => {}
        }
        self.commit(record)?;
        Ok(&mut imported.new)
    }
}

/// Reads all of a bundle, and returns what it holds if that is what an export wrote.
fn check(source: &Source) -> Result<(Manifest, Vec<Record>), BundleError> {
    let mut manifest: Option<Manifest> = None;
    let mut expected = BTreeMap::new();
    let mut records = Vec::new();
    source.each(&mut |member| {
        let Some(manifest) = &manifest else {
            let read = read_manifest(source, member)?;
            expected = names(&read);
            manifest = Some(read);
            return Ok(());
        };
        let name = member.name.clone();
        match expected.remove(&name) {
            Some(Expected::Record(fingerprint, hash, bytes)) => {
                records.push(read_record(source, member, manifest, fingerprint, hash, bytes)?);
            }
            Some(Expected::Object(hash, bytes)) => {
                let found = member.bytes;
                if found != bytes || hash_of(source, member)? != hash {
                    return Err(source.refused(format!("`{name}` is damaged")));
                }
            }
            None => return Err(source.refused(format!("`{name}` is not in its list, or is there twice"))),
        }
        Ok(())
    })?;
    let Some(manifest) = manifest else { return Err(source.refused("it is empty".to_owned())) };
    if let Some(missing) = expected.keys().next() {
        return Err(source.refused(format!("`{missing}` is missing")));
    }
    let named: BTreeSet<ObjectHash> = records.iter().flat_map(crate::store::objects).collect();
    if let Some(object) = manifest.objects.keys().find(|object| !named.contains(object)) {
        return Err(source.refused(format!("`{}` belongs to no record", object_name(object))));
    }
    Ok((manifest, records))
}

/// Whether an archive is a bundle by its list, and holds nothing else. Contents are not looked at.
pub(super) fn is_bundle(source: &Source) -> Result<(), BundleError> {
    let mut expected = None;
    source.each(&mut |member| {
        let Some(expected) = &mut expected else {
            expected = Some(names(&read_manifest(source, member)?));
            return Ok(());
        };
        match expected.remove(&member.name) {
            Some(_) => Ok(()),
            None => Err(source.refused(format!("`{}` is not in its list", member.name))),
        }
    })?;
    if expected.is_some() { Ok(()) } else { Err(source.refused("it is empty".to_owned())) }
}

/// The list of a bundle that is a folder. What else is in the folder is not looked at.
pub(super) fn manifest(source: &Source, folder: &Path) -> Result<Manifest, BundleError> {
    let path = folder.join(MANIFEST);
    let open = || {
        let file = File::open(&path)?;
        Ok((file.metadata()?.len(), file))
    };
    let (bytes, mut file) = open().map_err(BundleError::io("read", &path))?;
    read_manifest(source, Member { name: MANIFEST.to_owned(), bytes, content: &mut file })
}

fn names(manifest: &Manifest) -> BTreeMap<String, Expected> {
    let records = manifest.records.iter().map(|(fingerprint, listed)| {
        (record_name(fingerprint), Expected::Record(*fingerprint, listed.hash, listed.bytes))
    });
    let objects = manifest.objects.iter();
    let objects = objects.map(|(object, bytes)| (object_name(object), Expected::Object(*object, *bytes)));
    records.chain(objects).collect()
}

fn read_manifest(source: &Source, member: Member<'_>) -> Result<Manifest, BundleError> {
    if member.name != MANIFEST {
        return Err(
            source.refused(format!("it begins with `{}` instead of {MANIFEST}{REPACKED}", member.name))
        );
    }
    let content = read_json(source, member)?;
    let format = |what, found, known| BundleError::Format { path: source.path(), what, found, known };
    // What a later layout holds is not ours to understand; its number is.
    #[derive(serde::Deserialize)]
    struct Layout {
        bundle: u32,
    }
    let layout = sealed::open::<Layout>(&content).map(|layout| layout.bundle);
    match layout {
        Ok(BUNDLE) => {}
        Ok(found) => return Err(format("layout", found, BUNDLE)),
        Err(Flaw::Format(found)) => return Err(format("format", found, FORMAT)),
        Err(Flaw::Damaged) => return Err(source.refused(format!("its {MANIFEST} is damaged"))),
    }
    sealed::open(&content).map_err(|_| source.refused(format!("its {MANIFEST} is damaged")))
}

fn read_record(
    source: &Source,
    member: Member<'_>,
    manifest: &Manifest,
    fingerprint: Fingerprint,
    hash: ObjectHash,
    bytes: u64,
) -> Result<Record, BundleError> {
    let name = member.name.clone();
    let damaged = || source.refused(format!("`{name}` is damaged"));
    if member.bytes != bytes {
        return Err(damaged());
    }
    let content = read_json(source, member)?;
    if ObjectHash::of(&content) != hash {
        return Err(damaged());
    }
    let record: Record = sealed::open(&content).map_err(|_| damaged())?;
    if record.fingerprint != fingerprint {
        return Err(source.refused(format!("`{name}` is the record of other work")));
    }
    for (output, entry) in &record.outputs {
        if manifest.objects.get(&entry.object) != Some(&entry.bytes) {
            return Err(source.refused(format!("the output `{output}` of `{name}` is missing")));
        }
    }
    Ok(record)
}

/// Reads a small file; a size that is only claimed asks for no memory.
fn read_json(source: &Source, member: Member<'_>) -> Result<Vec<u8>, BundleError> {
    let Member { name, bytes, content } = member;
    if bytes > JSON {
        return Err(source.refused(format!("`{name}` is larger than any such file")));
    }
    let mut all = Vec::new();
    let read = content.take(JSON).read_to_end(&mut all);
    read.map_err(|error| source.refused(format!("`{name}` cannot be read ({error})")))?;
    Ok(all)
}

fn hash_of(source: &Source, member: Member<'_>) -> Result<ObjectHash, BundleError> {
    let Member { name, content, .. } = member;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        let read = content.take(CHUNK as u64).read_to_end(&mut chunk);
        read.map_err(|error| source.refused(format!("`{name}` cannot be read ({error})")))?;
        if chunk.is_empty() {
            return Ok(hasher.finalize().into());
        }
        hasher.update_rayon(&chunk);
    }
}
