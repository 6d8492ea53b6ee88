//! From the shared cache into this one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Control, Remote, RemoteError, object_name};
use crate::fingerprint::Fingerprint;
use crate::store::durable::Care;
use crate::store::{Lookup, ObjectHash, OutputEntry, Record, Store, StoreError};

/// What became of a result that was asked for.
#[derive(Debug)]
pub enum Pulled {
    /// The shared cache does not have it.
    Absent,
    /// It is here now.
    New {
        /// Its record.
        record: Box<Record>,
        /// Objects that came.
        objects: usize,
        /// Their sizes together.
        bytes: u64,
    },
    /// It was here.
    Known(Box<Record>),
    /// A runner is making it here at this moment.
    Underway,
}

/// Who says whether a result can be what it claims to be. The cache knows bytes and hashes; what a stage
/// gives, others know.
#[derive(Clone, Copy)]
pub struct Acceptance<'a> {
    /// Looks at a record before anything of it comes; what is wrong with it, in words.
    pub record: &'a (dyn Fn(&Record) -> Result<(), String> + Sync),
    /// Looks at the content of an output before the record is written.
    pub output: &'a (dyn Fn(&OutputEntry, &[u8]) -> Result<(), String> + Sync),
}

impl Acceptance<'_> {
    /// Accepts everything.
    pub const ALL: Acceptance<'static> = Acceptance { record: &|_| Ok(()), output: &|_, _| Ok(()) };
}

impl Store {
    /// Takes the result of a piece of work from the shared cache, unless it is here or is being made here.
    ///
    /// # Errors
    /// The shared cache does not answer, or what it has is not what it should be: then nothing of it is here. This cache
    /// cannot be written.
    pub fn pull(
        &self,
        remote: &Remote,
        fingerprint: &Fingerprint,
        acceptance: Acceptance<'_>,
        control: &Control<'_>,
    ) -> Result<Pulled, RemoteError> {
        if let Lookup::Present(record) = self.lookup(fingerprint)? {
            return Ok(Pulled::Known(Box::new(record)));
        }
        let lock = self.lock(fingerprint, &mut |_| ControlFlow::Break(()))?;
        if lock.is_none() {
            return Ok(Pulled::Underway);
        }
        match self.lookup(fingerprint)? {
            Lookup::Present(record) => return Ok(Pulled::Known(Box::new(record))),
            Lookup::Damaged => drop(self.set_record_aside(fingerprint)?),
            Lookup::Absent | Lookup::Unreadable | Lookup::OutputMissing { .. } => {}
        }
        self.download(remote, fingerprint, acceptance, control)
    }

    /// As [`Self::pull`], by whoever holds the lock of the work and has found no result of it.
    ///
    /// # Errors
    /// As those of [`Self::pull`].
    pub fn download(
        &self,
        remote: &Remote,
        fingerprint: &Fingerprint,
        acceptance: Acceptance<'_>,
        control: &Control<'_>,
    ) -> Result<Pulled, RemoteError> {
        let Some(record) = remote.record(fingerprint, control)? else { return Ok(Pulled::Absent) };
        let lies = |reason: String| remote.wrong(&super::record_name(fingerprint), reason);
        (acceptance.record)(&record).map_err(lies)?;
        let mut wanted: BTreeMap<ObjectHash, u64> = BTreeMap::new();
        for entry in record.outputs.values() {
            if *wanted.entry(entry.object).or_insert(entry.bytes) != entry.bytes {
                return Err(lies("it lists two sizes for one object".to_owned()));
            }
        }
        let (mut objects, mut bytes) = (0, 0);
        for (object, size) in wanted {
            if self.has_whole(&object, size)? {
                continue;
            }
            self.receive(remote, object, size, control)?;
            objects += 1;
            bytes += size;
        }
        for (name, entry) in &record.outputs {
            let content = self.get(&entry.object)?;
            let accepted = (acceptance.output)(entry, &content);
            accepted.map_err(|reason| lies(format!("its output `{name}` {reason}")))?;
        }
        self.commit(&record)?;
        Ok(Pulled::New { record: Box::new(record), objects, bytes })
    }

    /// Whether an object is here and whole, and will stay.
    fn has_whole(&self, object: &ObjectHash, bytes: u64) -> Result<bool, StoreError> {
        if !self.has(object, bytes)? {
            return Ok(false);
        }
        match self.get(object) {
            Ok(_) => {
                let path = self.object_path(object);
                self.disk.settle(&path).map_err(StoreError::io("flush", &path))?;
                Ok(true)
            }
            // What comes takes the place of one that cannot be read.
            Err(StoreError::Damaged { .. } | StoreError::Missing { .. } | StoreError::Lost { .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes an object in: written to `tmp/` and hashed on the way, and named only if it is what its name says.
    fn receive(
        &self,
        remote: &Remote,
        object: ObjectHash,
        bytes: u64,
        control: &Control<'_>,
    ) -> Result<(), RemoteError> {
        let name = object_name(&object);
        let wrong = |reason: String| RemoteError::Wrong {
            url: remote.url.to_string(),
            name: name.clone(),
            reason,
            object: Some(object),
        };
        let Some(mut body) = remote.client.get(&name, control.stop).map_err(remote.fault("be read"))? else {
            return Err(wrong("it is missing, and a record names it".to_owned()));
        };
        if body.bytes != bytes {
            let found = body.bytes;
            return Err(wrong(format!("it has {found} bytes, and its record says {bytes}")));
        }
        let path = self.object_path(&object);
        let mut draft = self.draft_object(&path)?;
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
        while let Some(part) = body.next(control.stop).map_err(remote.fault("be read"))? {
            length += part.len() as u64;
            if length > bytes {
                return Err(wrong(format!("it is longer than the {bytes} bytes that its record says")));
            }
            hasher.update(&part);
            draft.write(&part).map_err(StoreError::io("write", &path))?;
            (control.moved)(part.len() as u64);
        }
        if length < bytes {
            return Err(wrong(format!("it ends after {length} of {bytes} bytes")));
        }
        if ObjectHash::from(hasher.finalize()) != object {
            return Err(wrong("its content is not what its name says".to_owned()));
        }
        draft.keep(&path, Care::Forever).map_err(StoreError::io("write", &path))?;
        Ok(())
    }
}
