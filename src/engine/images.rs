//! The images of a run, read once however many stages look at them, and held against what was hashed when the
//! run was planned.

use std::sync::{Arc, Mutex, PoisonError};

use crate::data::{self, DataError, DataParams, DataSet, Half, HalfSurvey, Loaded};
use crate::stages::job::DataSource;

/// A data set that is read when it is first asked for.
#[derive(Debug)]
pub struct Images {
    params: DataParams,
    loaded: Mutex<Option<Loaded>>,
}

impl Images {
    /// The images that `params` describe.
    pub fn new(params: DataParams) -> Self {
        Self { params, loaded: Mutex::new(None) }
    }

    /// The images, whose `half` has the content that was `expected`.
    ///
    /// # Errors
    /// The files are missing or damaged, or have another content: the first that has is named. Nothing of
    /// such files is kept, so the next call reads them again.
    fn load(&self, half: Half, expected: &HalfSurvey) -> Result<Arc<DataSet>, DataError> {
        // Whoever comes second waits, and finds them read.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(images) = loaded.as_ref().filter(|images| images.check(half, expected).is_ok()) {
            return Ok(images.set.clone());
        }
        // What is replaced need not lie in memory beside its replacement.
        *loaded = None;
        let images = data::load_hashed(&self.params)?;
        images.check(half, expected)?;
        let set = images.set.clone();
        *loaded = Some(images);
        Ok(set)
    }
}

/// The images as one stage may see them: with the content that is part of its fingerprint.
#[derive(Debug)]
pub struct Bound<'a> {
    images: &'a Images,
    content: Option<(HalfSurvey, Half)>,
}

impl<'a> Bound<'a> {
    /// The images of a stage whose fingerprint has this content of a half, if any.
    pub fn new(images: &'a Images, content: Option<(HalfSurvey, Half)>) -> Self {
        Self { images, content }
    }
}

impl DataSource for Bound<'_> {
    fn params(&self) -> &DataParams {
        &self.images.params
    }

    fn load(&self) -> Result<Arc<DataSet>, DataError> {
        let (expected, half) = self.content.as_ref().ok_or(DataError::Undeclared)?;
        self.images.load(*half, expected)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::{DataSetName, KnownHashes, survey};

    #[test]
    fn images_are_those_that_were_surveyed_or_an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, value: u8| fs::write(folder.path().join(name), [value; 3074]).unwrap();
        write("train.bin", 1);
        write("test.bin", 2);
        let dir = Some(folder.path().to_owned());
        let params = DataParams { set: DataSetName::Cifar100, dir, ..DataParams::default() };
        let planned = survey(&params, &KnownHashes::default(), &mut KnownHashes::default()).unwrap();
        let images = Images::new(params);
        let load = |half: Half| {
            Bound::new(&images, Some((planned.half(half).clone(), half)))
                .load()
                .map(|set| set.train.labels.clone())
        };
        write("test.bin", 3);
        assert_eq!(load(Half::Train).unwrap(), [1], "the training images are as they were");
        let error = load(Half::Test).unwrap_err().to_string();
        assert!(error.contains("test.bin changed after this run was planned"), "{error}");
        // The files are as they were again: nothing of the others was kept.
        write("test.bin", 2);
        write("train.bin", 4);
        assert!(load(Half::Test).is_ok());
        let error = load(Half::Train).unwrap_err().to_string();
        assert!(error.contains("train.bin changed"), "{error}");
        write("train.bin", 1);
        assert!(load(Half::Train).is_ok());
        // What lies in memory needs its files no more.
        fs::remove_file(folder.path().join("train.bin")).unwrap();
        assert!(load(Half::Train).is_ok());
        assert!(matches!(Bound::new(&images, None).load(), Err(DataError::Undeclared)));
    }
}
