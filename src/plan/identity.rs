//! The fingerprint of a stage, and the part of the data set in it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::graph::Node;
use crate::data::{self, DataError, DataHash, DataParams};
use crate::fingerprint::{ContentHash, Encoder, Fingerprint};
use crate::stages::DataUse;
use crate::store::ObjectHash;

/// Content hashes of data sets, each computed once; unchanged files are not read again.
#[derive(Debug)]
pub struct DataIdentities {
    memo: Option<PathBuf>,
    hashes: HashMap<String, DataHash>,
}

impl DataIdentities {
    /// Remembers the hashes of files in `memo`, where one is given.
    pub fn new(memo: Option<PathBuf>) -> Self {
        Self { memo, hashes: HashMap::new() }
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
                self.hash(params)?.train.content_hash(&mut encoder);
                params.validation.content_hash(&mut encoder);
                params.limit_train.content_hash(&mut encoder);
            }
            DataUse::Test => {
                self.hash(params)?.test.content_hash(&mut encoder);
                params.limit_test.content_hash(&mut encoder);
            }
        }
        shape(params).content_hash(&mut encoder);
        let normalise = params.normalise();
        normalise.mean.content_hash(&mut encoder);
        normalise.std.content_hash(&mut encoder);
        Ok(Some(encoder.finish()))
    }

    fn hash(&mut self, params: &DataParams) -> Result<&DataHash, DataError> {
        // The folder decides which files are read, so it belongs to the key, not to the hash.
        let key = format!("{params:?}");
        if !self.hashes.contains_key(&key) {
            let hash = data::content_hash(params, self.memo.as_deref())?;
            self.hashes.insert(key.clone(), hash);
        }
        Ok(&self.hashes[&key])
    }
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
