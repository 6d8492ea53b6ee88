//! Hashes of data files, remembered, so that unchanged files are not read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::files::{self, Half};
use super::params::DataParams;
use super::survey::HalfSurvey;

/// A file that was changed less than this before we look may be changed again without its time of change
/// moving on: file systems count time in steps, of up to two seconds.
const GRANULARITY: Duration = Duration::from_secs(2);

/// Hashes of files by their paths, each with what tells an unchanged file from a changed one without reading it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHashes {
    files: BTreeMap<String, Known>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    stamp: String,
    #[serde(flatten)]
    survey: HalfSurvey,
}

impl KnownHashes {
    /// Adds those of `other`, in place of older ones of the same files; and forgets others beyond `limit`.
    pub fn merge(&mut self, other: &Self, limit: usize) {
        let mut files = other.files.clone();
        for (path, known) in std::mem::take(&mut self.files) {
            if files.len() >= limit {
                break;
            }
            files.entry(path).or_insert(known);
        }
        self.files = files;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What is known of files that are still what they were.
    pub(super) fn get(&self, identity: &Identity) -> Option<&HalfSurvey> {
        let known = self.files.get(&identity.paths).filter(|known| known.stamp == identity.stamp);
        // Earlier versions kept the hash of all files alone.
        known.map(|known| &known.survey).filter(|survey| !survey.files.is_empty())
    }

    /// Remembers what files hold, unless a later change of theirs could go unseen.
    pub(super) fn insert(&mut self, identity: Identity, survey: HalfSurvey) {
        if identity.is_settled {
            self.files.insert(identity.paths, Known { stamp: identity.stamp, survey });
        }
    }
}

/// What tells unchanged files from changed ones without reading them.
pub(super) struct Identity {
    paths: String,
    stamp: String,
    /// Whether a later change is sure to show in the stamp.
    is_settled: bool,
}

impl Identity {
    /// Of one half of a data set.
    pub(super) fn of(params: &DataParams, half: Half) -> Result<Self, DataError> {
        let names = files::names(params.set, half);
        let found: Vec<PathBuf> =
            names.iter().map(|name| files::find(params, name)).collect::<Result<_, _>>()?;
        let now = SystemTime::now();
        let (mut paths, mut stamps, mut is_settled) = (Vec::new(), Vec::new(), true);
        for path in &found {
            let failed = |source| DataError::Io { path: path.clone(), source };
            let found = path.metadata().map_err(failed)?;
            let changed = found.modified().map_err(failed)?;
            is_settled &= now.duration_since(changed).is_ok_and(|age| age >= GRANULARITY);
            let nanoseconds = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            paths.push(absolute(path));
            stamps.push(format!("{}:{nanoseconds}:{}", found.len(), inode(&found)));
        }
        Ok(Self { paths: paths.join("|"), stamp: stamps.join("|"), is_settled })
    }
}

fn absolute(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The inode, and when that was changed: a tool that sets the time of change back, as copying ones do, cannot set this.
#[cfg(unix)]
fn inode(found: &std::fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("{}:{}.{}", found.ino(), found.ctime(), found.ctime_nsec())
}

#[cfg(not(unix))]
fn inode(_found: &std::fs::Metadata) -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::super::files::all_names;
    use super::super::params::DataSetName;
    use super::super::survey::survey;
    use super::*;
    use crate::fingerprint::Fingerprint;

    /// A file of one image whose bytes are all `value`.
    fn content(value: u8) -> Vec<u8> {
        vec![value; 3074]
    }

    /// A data set whose files hold one image of this value and were changed `age` ago.
    fn data(folder: &Path, value: u8, age: Duration) -> DataParams {
        for name in all_names(DataSetName::Cifar100) {
            let path = folder.join(name);
            fs::write(&path, content(value)).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        }
        DataParams { set: DataSetName::Cifar100, dir: Some(folder.to_owned()), ..DataParams::default() }
    }

    const LONG_AGO: Duration = Duration::from_secs(1000);

    #[test]
    fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let params = data(folder.path(), 1, LONG_AGO);
        let mut known = KnownHashes::default();
        let first = survey(&params, &KnownHashes::default(), &mut known).unwrap();
        // A wrong hash in the memo shows whether it is asked.
        let wrong = Fingerprint::from_bytes([7; 32]);
        known.files.values_mut().for_each(|known| known.survey.hash = wrong);
        let mut learnt = KnownHashes::default();
        assert_eq!(survey(&params, &known, &mut learnt).unwrap().train.hash, wrong);
        assert!(learnt.is_empty());
        data(folder.path(), 2, LONG_AGO / 2);
        let changed = survey(&params, &known, &mut learnt).unwrap();
        assert_ne!(changed.train.hash, wrong);
        assert_ne!(changed, first);
    }

    #[test]
    fn a_file_that_was_changed_a_moment_ago_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let params = data(folder.path(), 1, Duration::ZERO);
        let mut learnt = KnownHashes::default();
        survey(&params, &KnownHashes::default(), &mut learnt).unwrap();
        assert!(learnt.is_empty());
    }

    #[test]
    fn a_file_from_the_future_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let params = data(folder.path(), 1, Duration::ZERO);
        for name in all_names(DataSetName::Cifar100) {
            let file = File::options().write(true).open(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() + LONG_AGO).unwrap();
        }
        let mut learnt = KnownHashes::default();
        survey(&params, &KnownHashes::default(), &mut learnt).unwrap();
        assert!(learnt.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_changed_and_given_its_old_time_again_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let params = data(folder.path(), 1, LONG_AGO);
        let mut known = KnownHashes::default();
        let first = survey(&params, &KnownHashes::default(), &mut known).unwrap();
        for name in all_names(DataSetName::Cifar100) {
            let path = folder.path().join(name);
            let before = path.metadata().unwrap().modified().unwrap();
            fs::write(&path, content(2)).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        }
        let now = survey(&params, &known, &mut KnownHashes::default()).unwrap();
        assert_ne!(now, first);
    }

    #[test]
    fn a_changed_file_takes_the_place_of_what_was_known_of_it_and_the_memo_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = KnownHashes::default();
        for round in 0..5 {
            let params = data(folder.path(), round, LONG_AGO - Duration::from_secs(round.into()));
            let mut learnt = KnownHashes::default();
            survey(&params, &KnownHashes::default(), &mut learnt).unwrap();
            all.merge(&learnt, 100);
        }
        assert_eq!(all.files.len(), 2);
        for number in 0..200 {
            let hash = Fingerprint::from_bytes([0; 32]);
            let survey = HalfSurvey { hash, files: vec![hash], classes: vec![1] };
            let known = Known { stamp: String::new(), survey };
            let one = KnownHashes { files: BTreeMap::from([(number.to_string(), known)]) };
            all.merge(&one, 100);
            assert!(all.files.contains_key(&number.to_string()));
        }
        assert_eq!(all.files.len(), 100);
    }
}
