//! Whether a result of the shared cache can be what it claims to be.
//!
//! Seals and hashes say that a record and its objects are as they were written, not that a runner wrote them.
//! A record without its output, or with something else in its place, would end every run that takes it. So it
//! is looked at before it enters the cache. That its numbers are right nobody can say without doing the work
//! again.

use crate::network::Checkpoint;
use crate::prune::{Channels, Scores};
use crate::stages::{self, Kind};
use crate::store::{Acceptance, OutputEntry, Record};

/// Accepts what a stage of the kind that a record names can have given.
pub const PLAUSIBLE: Acceptance<'static> = Acceptance { record: &record, output: &output };

/// Whether a record has the outputs of its kind.
pub(super) fn record(record: &Record) -> Result<(), String> {
    let name = &record.kind;
    let kind = stages::kind(name)
        .ok_or_else(|| format!("it is of the kind `{name}`, which this version does not support"))?;
    if record.version > kind.version {
        let (found, known) = (record.version, kind.version);
        return Err(format!("it is of {name} in version {found}, and this runner knows version {known}"));
    }
    outputs(record, kind)
}

/// Whether a record is one of this kind, in this version.
pub(super) fn record_of(record: &Record, kind: &Kind) -> Result<(), String> {
    if (record.kind.as_str(), record.version) != (kind.name, kind.version) {
        return Err(format!(
            "it says that it is of {} in version {}, and its work is of {} in version {}",
            record.kind, record.version, kind.name, kind.version
        ));
    }
    outputs(record, kind)
}

fn outputs(record: &Record, kind: &Kind) -> Result<(), String> {
    for role in kind.outputs {
        match record.outputs.get(role.name) {
            None => return Err(format!("it lacks the output `{}`", role.name)),
            Some(entry) if entry.artifact != role.artifact => {
                return Err(format!("its output `{}` has the type `{}`", role.name, entry.artifact));
            }
            Some(_) => {}
        }
    }
    match record.outputs.keys().find(|name| kind.outputs.iter().all(|role| role.name != **name)) {
        Some(name) => Err(format!("it has an output `{name}`, which {} does not give", kind.name)),
        None => Ok(()),
    }
}

/// Whether the content of an output can be read as what its record says that it is.
pub(super) fn output(entry: &OutputEntry, content: &[u8]) -> Result<(), String> {
    let is_read = match entry.artifact.as_str() {
        "network" => Checkpoint::from_safetensors(content).is_ok(),
        "channels" => Channels::from_safetensors(content).is_ok(),
        "scores" => Scores::from_safetensors(content).is_ok(),
        _ => false,
    };
    if is_read { Ok(()) } else { Err(format!("cannot be read as `{}`", entry.artifact)) }
}
