//! From this cache into the shared one.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Control, Remote, RemoteError, object_name, record_name};
use crate::fingerprint::Fingerprint;
use crate::store::{Lookup, ObjectHash, Record, Store, StoreError, sealed};

/// How often a record is put that another machine has put and taken away meanwhile.
const TRIES: usize = 3;

/// What the shared cache has of a result that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing.
    New,
    /// The same outputs.
    Known,
    /// Other outputs. They stay.
    Different,
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// What the shared cache had before.
    pub standing: Standing,
    /// Objects that were sent.
    pub objects: usize,
    /// Their sizes together.
    pub bytes: u64,
}

impl Store {
    /// What the shared cache has of a result that is here.
    ///
    /// # Errors
    /// It does not answer, or has something else under that name. The result is not here.
    pub fn compare(
        &self,
        remote: &Remote,
        fingerprint: &Fingerprint,
        control: &Control<'_>,
    ) -> Result<Standing, RemoteError> {
        standing(remote, &self.present(fingerprint)?, control)
    }

    /// Puts a result into the shared cache: its objects that are not there, then its record. What is there stays, but for
    /// the objects of `mend`, which are known to be damaged there.
    ///
    /// # Errors
    /// The shared cache does not answer, or has something else under a name. The result is not here, or is damaged.
    pub fn push(
        &self,
        remote: &Remote,
        fingerprint: &Fingerprint,
        mend: &BTreeSet<ObjectHash>,
        control: &Control<'_>,
    ) -> Result<Pushed, RemoteError> {
        let record = self.present(fingerprint)?;
        remote.claim(control)?;
        let mut pushed = Pushed { standing: standing(remote, &record, control)?, objects: 0, bytes: 0 };
        if pushed.standing == Standing::Different {
            return Ok(pushed);
        }
        for entry in record.outputs.values() {
            let name = object_name(&entry.object);
            let there = remote.client.size(&name, control.stop).map_err(remote.fault("be read"))?;
            if there == Some(entry.bytes) && !mend.contains(&entry.object) {
                continue;
            }
            let content = self.get(&entry.object)?;
            let sent = remote.client.put(&name, content, control.stop, control.moved);
            sent.map_err(remote.fault("be written"))?;
            pushed.objects += 1;
            pushed.bytes += entry.bytes;
        }
        let name = record_name(fingerprint);
        for _ in 0..TRIES {
            if pushed.standing != Standing::New {
                return Ok(pushed);
            }
            let content = sealed::seal(&record)
                .map_err(|error| StoreError::io("write", &self.record_path(fingerprint))(error.into()))?;
            if remote.client.create(&name, content, control.stop).map_err(remote.fault("be written"))? {
                return Ok(pushed);
            }
            // Another machine was first: what it has put decides.
            pushed.standing = standing(remote, &record, control)?;
        }
        Err(remote.wrong(&name, "it can neither be read nor put".to_owned()))
    }

    fn present(&self, fingerprint: &Fingerprint) -> Result<Record, StoreError> {
        match self.lookup(fingerprint)? {
            Lookup::Present(record) => Ok(record),
            _ => Err(StoreError::NoResult { fingerprint: *fingerprint }),
        }
    }
}

fn standing(remote: &Remote, record: &Record, control: &Control<'_>) -> Result<Standing, RemoteError> {
    Ok(match remote.record(&record.fingerprint, control)? {
        None => Standing::New,
        Some(there) if there.outputs == record.outputs => Standing::Known,
        Some(_) => Standing::Different,
    })
}
