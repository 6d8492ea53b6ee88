//! Reads one file and compares it with what it should be.

use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{Damage, Found, LastRun, Look, ObjectHash, Pin, Place, Record, RunNote, RunRecord};
use crate::fingerprint::Fingerprint;
use crate::store::durable::{is_lost, open, read};
use crate::store::error::forbidden;
use crate::store::partial::{HASH, MAGIC};
use crate::store::sealed::{self, Flaw};

/// How much is read at once: enough to keep all threads busy, little enough to stay in the processor's cache.
const CHUNK: usize = 2 << 20;

/// Looks at one file. What the disk does not give at once is asked for again.
pub fn look(found: &Found) -> Look {
    let looked = match once(found) {
        Err(error) if is_lost(&error) => once(found),
        looked => looked,
    };
    looked.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Look::Gone,
        _ if forbidden(&error) => Look::Damaged(Damage::Forbidden { error: error.to_string() }),
        _ => Look::Damaged(Damage::Unreadable { error: error.to_string() }),
    })
}

fn once(found: &Found) -> io::Result<Look> {
    match found.place {
        Place::Object(hash) => object(found, hash),
        Place::Record(fingerprint) => record(&found.path, fingerprint),
        Place::Partial(_) => state(&found.path),
        Place::Last => json::<LastRun>(&found.path, |_| true),
        Place::Pin(fingerprint) => json::<Pin>(&found.path, |pin| pin.fingerprint == fingerprint),
        Place::Run => json::<RunNote>(&found.path, |_| true),
        Place::Manifest => json::<RunRecord>(&found.path, |_| true),
        Place::Memo => json::<serde_json::Value>(&found.path, |_| true),
        Place::Log(_) => log(&found.path),
        Place::Foreign => Ok(foreign(&found.path)),
        Place::Lock | Place::Temporary | Place::Quarantined | Place::Note => Ok(Look::NotRead),
    }
}

/// The outputs of a record as they are on the disk now; `None` if there is no such record.
pub fn outputs(path: &Path, fingerprint: &Fingerprint) -> Option<Vec<(String, ObjectHash, u64)>> {
    match record(path, *fingerprint) {
        Ok(Look::Record(_, outputs)) => Some(outputs),
        _ => None,
    }
}

fn object(found: &Found, hash: ObjectHash) -> io::Result<Look> {
    let now = ObjectHash::from(hash_file(&mut open(&found.path)?)?);
    Ok(if now == hash { Look::Whole } else { Look::Damaged(Damage::Content { found: now }) })
}

fn record(path: &Path, fingerprint: Fingerprint) -> io::Result<Look> {
    Ok(match sealed::open::<Record>(&whole(path)?) {
        Ok(record) if record.fingerprint == fingerprint => {
            let entries = record.outputs.into_iter();
            let outputs = entries.map(|(output, entry)| (output, entry.object, entry.bytes)).collect();
            Look::Record(fingerprint, outputs)
        }
        Ok(_) => Look::Damaged(Damage::Seal),
        Err(flaw) => Look::Damaged(flaw.into()),
    })
}

fn json<T: DeserializeOwned>(path: &Path, fits: impl Fn(&T) -> bool) -> io::Result<Look> {
    Ok(match sealed::open::<T>(&whole(path)?) {
        Ok(value) if fits(&value) => Look::Whole,
        Ok(_) => Look::Damaged(Damage::Seal),
        Err(flaw) => Look::Damaged(flaw.into()),
    })
}

impl From<Flaw> for Damage {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Damaged => Self::Seal,
            Flaw::Format(found) => Self::Format { found },
        }
    }
}

fn state(path: &Path) -> io::Result<Look> {
    let mut file = open(path)?;
    let mut head = [0; MAGIC.len() + HASH];
    let is_whole = match file.read_exact(&mut head) {
        Ok(()) => head.starts_with(MAGIC) && hash_file(&mut file)?.as_bytes() == &head[MAGIC.len()..],
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    Ok(if is_whole { Look::Whole } else { Look::Damaged(Damage::State) })
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    read(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The last line may be one that is being written.
fn log(path: &Path) -> io::Result<Look> {
    let content = whole(path)?;
    let mut lines = content.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    lines.pop();
    let is_event = |line: &&[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok();
    let wrong = lines.iter().position(|line| !is_event(line));
    Ok(wrong.map_or(Look::Whole, |line| Look::Damaged(Damage::Line { line: line + 1 })))
}

fn foreign(path: &Path) -> Look {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Look::Damaged(Damage::Link),
        Ok(_) => Look::Damaged(Damage::Foreign),
        Err(_) => Look::Gone,
    }
}

/// The hash of what follows in a file. While one part is hashed by all threads, the next one is read: so it runs at the
/// pace of whichever is slower. The file is not mapped into memory: a sector that cannot be read would then be
/// the end of the process, instead of a finding.
///
/// # Errors
/// The file cannot be read.
fn hash_file(file: &mut (impl Read + Send)) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let (mut now, mut next) = (Vec::new(), Vec::new());
    fill(file, &mut now)?;
    if now.len() < CHUNK {
        return Ok(hasher.update(&now).finalize());
    }
    while !now.is_empty() {
        let (_, read) = rayon::join(|| hasher.update_rayon(&now).count(), || fill(file, &mut next));
        read?;
        std::mem::swap(&mut now, &mut next);
    }
    Ok(hasher.finalize())
}

fn fill(file: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    file.take(CHUNK as u64).read_to_end(chunk).map(drop)
}
