//! The fingerprint of a stage, and the part of the data set in it.

use std::collections::{BTreeMap, HashMap};

use super::graph::Node;
use std::path::PathBuf;

use crate::data::{self, DataError, DataParams, DataSetName, KnownHashes, Survey};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};
use crate::stages::DataUse;
use crate::store::{Memo, ObjectHash, StoreError};

/// How many files' hashes are remembered over all data sets.
const REMEMBERED: usize = 1000;

/// Content hashes of data sets, each computed once; unchanged files are not read again.
#[derive(Debug)]
pub struct DataIdentities {
    memo: Option<Memo>,
    known: KnownHashes,
    learnt: KnownHashes,
    /// By what decides which files are read.
    surveys: HashMap<(DataSetName, PathBuf), Survey>,
}

impl DataIdentities {
    /// Takes the hashes of unchanged files from `memo`, where one is given.
    pub fn new(memo: Option<Memo>) -> Self {
        let known = memo.as_ref().map(Memo::read).unwrap_or_default();
        Self { memo, known, learnt: KnownHashes::default(), surveys: HashMap::new() }
    }

    /// Remembers what was hashed anew.
    ///
    /// # Errors
    /// The memo cannot be written.
    pub fn save(&mut self) -> Result<(), StoreError> {
        let Some(memo) = self.memo.as_ref().filter(|_| !self.learnt.is_empty()) else { return Ok(()) };
        memo.update(|held: &mut KnownHashes| held.merge(&self.learnt, REMEMBERED))?;
        self.learnt = KnownHashes::default();
        Ok(())
    }

    /// The identity of what a stage with this [`DataUse`] sees; `None` if it sees no images.
    ///
    /// # Errors
    /// The files are missing or cannot be read.
    pub fn of(&mut self, params: &DataParams, data_use: DataUse) -> Result<Option<Fingerprint>, DataError> {
        let mut encoder = Encoder::new("data");
        match data_use {
            DataUse::None => return Ok(None),
            DataUse::Shape => return Ok(Some(shape(params))),
            DataUse::Train => {
                self.survey(params)?.train.hash.content_hash(&mut encoder);
                params.validation.content_hash(&mut encoder);
                params.limit_train.content_hash(&mut encoder);
            }
            DataUse::TrainWhole => return self.of(&without_split(params), DataUse::Train),
            DataUse::Test => {
                self.survey(params)?.test.hash.content_hash(&mut encoder);
                params.limit_test.content_hash(&mut encoder);
            }
        }
        shape(params).content_hash(&mut encoder);
        let normalise = params.normalise();
        normalise.mean.content_hash(&mut encoder);
        normalise.std.content_hash(&mut encoder);
        Ok(Some(encoder.finish()))
    }

    /// What is known of a data set's files. They are looked at once, so this is what all fingerprints of a
    /// run are made from.
    ///
    /// # Errors
    /// The files are missing, cannot be read, or are no proper files of the set.
    pub fn survey(&mut self, params: &DataParams) -> Result<&Survey, DataError> {
        let key = (params.set, params.folder());
        if !self.surveys.contains_key(&key) {
            let survey = data::survey(params, &self.known, &mut self.learnt)?;
            self.surveys.insert(key.clone(), survey);
        }
        Ok(&self.surveys[&key])
    }
}

/// The same images for a stage to which no validation images are held out. The share that counts in its identity is the
/// default one, so that results from before the distinction keep theirs.
pub(super) fn without_split(params: &DataParams) -> DataParams {
    DataParams { validation: DataParams::default().validation, ..params.clone() }
}

/// The identity of the images' shape and the number of classes.
pub(super) fn shape(params: &DataParams) -> Fingerprint {
    let shape = params.shape();
    let mut encoder = Encoder::new("data-shape");
    [shape.channels, shape.height, shape.width, params.classes()].content_hash(&mut encoder);
    encoder.finish()
}

/// The fingerprint of a node whose inputs are known.
pub fn fingerprint(
    node: &Node,
    data: Option<Fingerprint>,
    inputs: &BTreeMap<String, Vec<(String, ObjectHash)>>,
) -> Fingerprint {
    let mut encoder = Encoder::new("stage");
    node.stage.hash.content_hash(&mut encoder);
    node.seed.content_hash(&mut encoder);
    data.content_hash(&mut encoder);
    encoder.sequence(inputs.len());
    for (role, artifacts) in inputs {
        role.content_hash(&mut encoder);
        encoder.sequence(artifacts.len());
        for (output, object) in artifacts {
            // Names of outputs matter only where a stage takes several and reports by name.
            if artifacts.len() > 1 {
                output.content_hash(&mut encoder);
            }
            object.content_hash(&mut encoder);
        }
    }
    encoder.finish()
}
