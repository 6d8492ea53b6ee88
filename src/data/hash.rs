//! The content of a data set, hashed; and remembered, so that unchanged files are not read again.
//!
//! Files are hashed unpacked: whether one lies there plain or gzipped, and how well it was packed, changes nothing.

use super::known::{Identity, KnownHashes};
use super::params::{DataParams, DataSetName};
use super::set::{self, DataError, embedded, files};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};

/// The hash of each half's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHash {
    /// Of the training files.
    pub train: Fingerprint,
    /// Of the test files.
    pub test: Fingerprint,
}

/// Hashes the files of a data set, but for those that are `known` and unchanged. What was hashed anew goes to `learnt`.
///
/// # Errors
/// Files that are missing, unreadable or cannot be unpacked.
pub fn content_hash(
    params: &DataParams,
    known: &KnownHashes,
    learnt: &mut KnownHashes,
) -> Result<DataHash, DataError> {
    Ok(DataHash { train: half(params, 0, known, learnt)?, test: half(params, 1, known, learnt)? })
}

fn half(
    params: &DataParams,
    half: usize,
    known: &KnownHashes,
    learnt: &mut KnownHashes,
) -> Result<Fingerprint, DataError> {
    let identity = match params.set {
        DataSetName::FashionMnistMini => None,
        _ => Some(Identity::of(params, half)?),
    };
    if let Some(found) = identity.as_ref().and_then(|identity| known.get(identity)) {
        return Ok(found);
    }
    let mut encoder = Encoder::new("data-contents");
    let mut add = |content: &[u8]| {
        Fingerprint::from_bytes(*blake3::hash(content).as_bytes()).content_hash(&mut encoder);
    };
    if identity.is_none() {
        // The sample is the same in every copy of runner: unpacking it for its hash would cost each plan time.
        embedded(half).iter().for_each(|packed| add(packed));
    } else {
        for name in &files(params.set)[half] {
            add(&set::read(params, name)?.bytes);
        }
    }
    let hash = encoder.finish();
    if let Some(identity) = identity {
        learnt.insert(identity, hash);
    }
    Ok(hash)
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
        let hash = || content_hash(&params, &KnownHashes::default(), &mut KnownHashes::default()).unwrap();
        let plain = hash();

        let packed = std::fs::File::create(folder.path().join("train.bin.gz")).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
        encoder.write_all(&[1; 3074]).unwrap();
        encoder.finish().unwrap();
        std::fs::remove_file(&train).unwrap();
        assert_eq!(hash(), plain);

        std::fs::write(&train, [3; 3074]).unwrap();
        let changed = hash();
        assert_ne!(changed.train, plain.train);
        assert_eq!(changed.test, plain.test);
    }
}
