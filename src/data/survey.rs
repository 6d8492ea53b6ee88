//! What is known of a data set's files: the hash of their content and the images of every class; remembered,
//! so that unchanged files are not read again.
//!
//! Files are hashed unpacked: whether one lies there plain or gzipped, and how well it was packed, changes
//! nothing. A survey is made when a run is planned. What a stage reads later is hashed again and held against
//! it, so that a result never stands under the hash of other images.

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::files::Half;
use super::known::{Identity, KnownHashes};
use super::params::{DataParams, DataSetName};
use super::read::{self, ReadFile, embedded};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};

/// What is known of the files of one half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfSurvey {
    /// The hash of all of them.
    pub hash: Fingerprint,
    /// The hash of each.
    #[serde(default)]
    pub files: Vec<Fingerprint>,
    /// The images of every class.
    #[serde(default)]
    pub classes: Vec<u64>,
}

/// What is known of a data set's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Of the training files.
    pub train: HalfSurvey,
    /// Of the test files.
    pub test: HalfSurvey,
}

impl Survey {
    /// Of one half.
    pub fn half(&self, half: Half) -> &HalfSurvey {
        match half {
            Half::Train => &self.train,
            Half::Test => &self.test,
        }
    }
}

/// Surveys the files of a data set, but for those that are `known` and unchanged. What was read anew goes to
/// `learnt`.
///
/// # Errors
/// Files that are missing, unreadable, or no proper files of the set.
pub fn survey(
    params: &DataParams,
    known: &KnownHashes,
    learnt: &mut KnownHashes,
) -> Result<Survey, DataError> {
    let mut half = |half| one_half(params, half, known, learnt);
    Ok(Survey { train: half(Half::Train)?, test: half(Half::Test)? })
}

fn one_half(
    params: &DataParams,
    half: Half,
    known: &KnownHashes,
    learnt: &mut KnownHashes,
) -> Result<HalfSurvey, DataError> {
    if params.set == DataSetName::FashionMnistMini {
        return Ok(of_sample(half));
    }
    let identity = Identity::of(params, half)?;
    if let Some(found) = known.get(&identity) {
        return Ok(found.clone());
    }
    let found = read::half(params, half)?;
    let mut classes = vec![0; params.classes()];
    for label in &found.labels {
        classes[usize::from(*label)] += 1;
    }
    let files: Vec<Fingerprint> = found.files.iter().map(|file| file.hash).collect();
    let survey = HalfSurvey { hash: together(&files), files, classes };
    learnt.insert(identity, survey.clone());
    Ok(survey)
}

/// The sample is the same in every copy of runner: unpacking it would cost each plan time, so its packed
/// files are hashed.
fn of_sample(half: Half) -> HalfSurvey {
    let files: Vec<Fingerprint> = embedded(half).iter().map(|packed| read::hash(packed)).collect();
    let each = match half {
        Half::Train => 500,
        Half::Test => 100,
    };
    HalfSurvey { hash: together(&files), files, classes: vec![each; 10] }
}

fn together(files: &[Fingerprint]) -> Fingerprint {
    let mut encoder = Encoder::new("data-contents");
    files.iter().for_each(|file| file.content_hash(&mut encoder));
    encoder.finish()
}

/// Holds files that were read against what is known of them.
///
/// # Errors
/// The first that is another.
pub fn check(expected: &HalfSurvey, found: &[ReadFile]) -> Result<(), DataError> {
    let differs = expected.files.iter().zip(found).find(|(expected, found)| **expected != found.hash);
    match differs {
        None => Ok(()),
        Some((expected, found)) => {
            Err(DataError::Changed { path: found.path.clone(), expected: *expected, found: found.hash })
        }
    }
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
        let survey = || survey(&params, &KnownHashes::default(), &mut KnownHashes::default()).unwrap();
        let plain = survey();
        assert_eq!((plain.train.classes[1], plain.train.classes.iter().sum::<u64>()), (1, 1));

        let packed = std::fs::File::create(folder.path().join("train.bin.gz")).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
        encoder.write_all(&[1; 3074]).unwrap();
        encoder.finish().unwrap();
        std::fs::remove_file(&train).unwrap();
        assert_eq!(survey(), plain);

        std::fs::write(&train, [3; 3074]).unwrap();
        let changed = survey();
        assert_ne!(changed.train, plain.train);
        assert_eq!(changed.test, plain.test);
    }

    #[test]
    fn the_sample_has_the_images_that_its_survey_says() {
        let params = DataParams::default();
        for half in [Half::Train, Half::Test] {
            let mut classes = vec![0; 10];
            read::half(&params, half)
                .unwrap()
                .labels
                .iter()
                .for_each(|label| classes[usize::from(*label)] += 1);
            assert_eq!(of_sample(half).classes, classes);
        }
    }
}
