//! Reads one file and compares it with what it should be.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{Damage, Found, LastRun, Look, ObjectHash, Pin, Place, Record, RunNote, RunRecord};
use crate::fingerprint::Fingerprint;
use crate::store::durable::{is_wrong, open, patiently, read};
use crate::store::error::forbidden;
use crate::store::partial::is_whole;
use crate::store::sealed::{self, Flaw};

/// How much is read at once: enough to keep all threads busy, little enough to stay in the processor's cache.
const CHUNK: usize = 2 << 20;

/// Looks at one file. Only what was read as a whole and is wrong is damaged; what cannot be read is asked for
/// again, and is then a finding of its own.
pub fn look(found: &Found) -> Look {
    patiently(|| once(found)).unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Look::Gone,
        _ if is_wrong(&error) => Look::Damaged(Damage::TooLarge { bytes: found.bytes }),
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
        Place::Foreign | Place::Impostor => Ok(foreign(&found.path)),
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
    Ok(if is_whole(path)? { Look::Whole } else { Look::Damaged(Damage::State) })
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    read(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The longest line of a log that is looked at.
const LINE: u64 = 16 << 20;

/// Looks through a log line by line. A line that was cut (by a full disk, by a kill) is told apart from one
/// that was changed; the last line may be one that is being written.
fn log(path: &Path) -> io::Result<Look> {
    let mut content = BufReader::new(open(path)?);
    let (mut line, mut number, mut torn) = (Vec::new(), 0, None);
    loop {
        line.clear();
        let read = content.by_ref().take(LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        number += 1;
        let is_ended = line.pop_if(|last| *last == b'\n').is_some();
        match shape(&line) {
            Shape::Event => {}
            Shape::Torn => torn = torn.or(Some(number)),
            Shape::Other if !is_ended && (read as u64) < LINE => torn = torn.or(Some(number)),
            Shape::Other => return Ok(Look::Damaged(Damage::Line { line: number })),
        }
    }
    Ok(torn.map_or(Look::Whole, |line| Look::Damaged(Damage::Torn { line })))
}

/// What a line of a log is.
enum Shape {
    Event,
    /// The beginning of one or more events, with or without another event after it.
    Torn,
    Other,
}

fn shape(line: &[u8]) -> Shape {
    type Event = serde_json::Map<String, serde_json::Value>;
    let is_start = |line: &[u8]| serde_json::from_slice::<Event>(line).is_err_and(|error| error.is_eof());
    match serde_json::from_slice::<Event>(line) {
        Ok(_) => return Shape::Event,
        Err(error) if error.is_eof() => return Shape::Torn,
        Err(_) => {}
    }
    // An older runner wrote its next event right behind a cut one.
    let mut starts = line.windows(2).enumerate().skip(1).filter(|(_, two)| *two == b"{\"").map(|(at, _)| at);
    let is_glued = starts.any(|at| {
        let (before, after) = line.split_at(at);
        is_start(before) && (is_start(after) || serde_json::from_slice::<Event>(after).is_ok())
    });
    if is_glued { Shape::Torn } else { Shape::Other }
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
pub fn hash_file(file: &mut (impl Read + Send)) -> io::Result<blake3::Hash> {
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
