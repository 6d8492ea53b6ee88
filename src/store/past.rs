//! What earlier runs tell about later ones: how long work took, and which states were left behind. Only what
//! explains or estimates is read here, so a file that cannot be read is skipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Deserializer};

use super::durable::{self, list};
use super::formats::{LastRun, OutputEntry, Provenance};
use super::partial::{self, History};
use super::{Store, sealed};
use crate::fingerprint::Fingerprint;

/// An estimate reads at most this many records, and as many notes of last runs: the newest ones.
const READ: usize = 2000;

/// A piece of work that was done: the part of a [`super::Record`] that an estimate of time needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Experience {
    /// The stage's kind.
    pub kind: String,
    /// Outputs by name.
    pub outputs: BTreeMap<String, OutputEntry>,
    /// FLOPs of one image through the network that it gave, in multiply-accumulates, where its figures say
    /// so.
    #[serde(rename = "metrics", deserialize_with = "macs")]
    pub macs: Option<u64>,
    /// Parameters, inputs, machine and time.
    pub provenance: Provenance,
}

fn macs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Figures {
        macs: Option<u64>,
    }
    Ok(Figures::deserialize(deserializer)?.macs)
}

impl Store {
    /// The newest pieces of work that were done.
    pub fn experience(&self) -> Vec<Experience> {
        self.newest("records").iter().filter_map(|path| read(path)).collect()
    }

    /// The newest notes of what stages last were.
    pub fn last_runs(&self) -> Vec<LastRun> {
        self.newest("last").iter().filter_map(|path| read(path)).collect()
    }

    /// The states that interrupted stages left, by the work that they belong to. Of each file only the head
    /// is read.
    pub fn saved_states(&self) -> Vec<(Fingerprint, History)> {
        let folder = self.disk.root().join("partial");
        let paths = list(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let state = |path: PathBuf| {
            let fingerprint = path.file_name()?.to_str()?.parse().ok()?;
            Some((fingerprint, self.head(&path)?))
        };
        paths.filter_map(state).collect()
    }

    /// The work that led to a state, from the head of its file.
    pub fn saved_state(&self, fingerprint: &Fingerprint) -> Option<History> {
        self.head(&self.disk.root().join("partial").join(fingerprint.to_string()))
    }

    fn head(&self, path: &Path) -> Option<History> {
        // Something else may have the name: a pipe would never end.
        path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        partial::head(&mut File::open(path).ok()?.take(partial::LONGEST_HEAD))
    }

    /// The newest files of a folder with subfolders.
    fn newest(&self, room: &str) -> Vec<PathBuf> {
        let folders = list(&self.disk.root().join(room)).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| list(&folder.path()).into_iter().flatten().flatten());
        let mut files: Vec<(SystemTime, PathBuf)> = files
            .filter_map(|file| {
                let found = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((found.modified().ok()?, file.path()))
            })
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        files.truncate(READ);
        files.into_iter().map(|(_, path)| path).collect()
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    sealed::open(&durable::read(path).ok()??).ok()
}
