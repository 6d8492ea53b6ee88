//! The content of a data set, hashed; and remembered, so that unchanged files are not read again.
//!
//! Files are hashed unpacked: whether one lies there plain or gzipped, and how well it was packed, changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::params::{DataParams, DataSetName};
use super::set::{self, DataError, embedded, files, find};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};

/// The hash of each half's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHash {
    /// Of the training files.
    pub train: Fingerprint,
    /// Of the test files.
    pub test: Fingerprint,
}

/// Hashes the files of a data set. `memo` keeps hashes by path, size, time of change and inode.
///
/// # Errors
/// Files that are missing, unreadable or cannot be unpacked.
pub fn content_hash(params: &DataParams, memo: Option<&Path>) -> Result<DataHash, DataError> {
    let mut known = memo.map(read).unwrap_or_default();
    let before = known.clone();
    let train = half(params, 0, &mut known)?;
    let test = half(params, 1, &mut known)?;
    if let Some(memo) = memo.filter(|_| known != before) {
        write(memo, &known);
    }
    Ok(DataHash { train, test })
}

fn half(
    params: &DataParams,
    half: usize,
    known: &mut BTreeMap<String, Fingerprint>,
) -> Result<Fingerprint, DataError> {
    let key = match params.set {
        DataSetName::FashionMnistMini => None,
        _ => Some(identity(params, half)?),
    };
    if let Some(found) = key.as_ref().and_then(|key| known.get(key)) {
        return Ok(*found);
    }
    let mut encoder = Encoder::new("data-contents");
    let mut add = |content: &[u8]| {
        Fingerprint::from_bytes(*blake3::hash(content).as_bytes()).content_hash(&mut encoder);
    };
    if key.is_none() {
        // The sample is the same in every copy of runner: unpacking it for its hash would cost each plan time.
        embedded(half).iter().for_each(|packed| add(packed));
    } else {
        for name in &files(params.set)[half] {
            add(&set::read(params, name)?.bytes);
        }
    }
    let hash = encoder.finish();
    if let Some(key) = key {
        known.insert(key, hash);
    }
    Ok(hash)
}

/// What tells an unchanged file from a changed one without reading it.
fn identity(params: &DataParams, half: usize) -> Result<String, DataError> {
    let mut parts = vec!["unpacked".to_owned()];
    for name in &files(params.set)[half] {
        let path = find(params, name)?;
        let found = path.metadata().map_err(|source| DataError::Io { path: path.clone(), source })?;
        let changed = found.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let nanoseconds = changed.map_or(0, |time| time.as_nanos());
        let path = path.canonicalize().unwrap_or(path);
        parts.push(format!("{}:{}:{nanoseconds}:{}", path.display(), found.len(), inode(&found)));
    }
    Ok(parts.join("|"))
}

#[cfg(unix)]
fn inode(found: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_found: &std::fs::Metadata) -> u64 {
    0
}

fn read(memo: &Path) -> BTreeMap<String, Fingerprint> {
    // A memo that cannot be read costs time, nothing else.
    let content = std::fs::read(memo).unwrap_or_default();
    serde_json::from_slice(&content).unwrap_or_default()
}

fn write(memo: &Path, known: &BTreeMap<String, Fingerprint>) {
    let folder = memo.parent().unwrap_or(Path::new("."));
    // As above: not remembering is no failure. The rename keeps readers from half a file.
    let _ = serde_json::to_vec(known).map_err(std::io::Error::other).and_then(|content| {
        let file = tempfile::NamedTempFile::new_in(folder)?;
        std::fs::write(file.path(), content)?;
        file.persist(memo)?;
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_hashes_the_same_plain_and_gzipped() {
        let folder = tempfile::tempdir().unwrap();
        let params = DataParams {
            set: DataSetName::Cifar100,
            dir: Some(folder.path().to_owned()),
            ..DataParams::default()
        };
        let [train, test] = ["train.bin", "test.bin"].map(|name| folder.path().join(name));
        std::fs::write(&train, [1; 3074]).unwrap();
        std::fs::write(&test, [2; 3074]).unwrap();
        let memo = folder.path().join("memo.json");
        let plain = content_hash(&params, Some(&memo)).unwrap();
        assert_eq!(content_hash(&params, Some(&memo)).unwrap(), plain);

        let packed = std::fs::File::create(folder.path().join("train.bin.gz")).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
        encoder.write_all(&[1; 3074]).unwrap();
        encoder.finish().unwrap();
        std::fs::remove_file(&train).unwrap();
        assert_eq!(content_hash(&params, Some(&memo)).unwrap(), plain);

        std::fs::write(&train, [3; 3074]).unwrap();
        let changed = content_hash(&params, Some(&memo)).unwrap();
        assert_ne!(changed.train, plain.train);
        assert_eq!(changed.test, plain.test);
    }
}
