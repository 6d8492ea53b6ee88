//! The images of a run, read once however many stages look at them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::data::{self, DataError, DataParams, DataSet};
use crate::stages::job::DataSource;

/// A data set that is read when it is first asked for.
#[derive(Debug)]
pub struct Images {
    params: DataParams,
    loaded: Mutex<Option<Arc<DataSet>>>,
}

impl Images {
    /// The images that `params` describe.
    pub fn new(params: DataParams) -> Self {
        Self { params, loaded: Mutex::new(None) }
    }
}

impl DataSource for Images {
    fn params(&self) -> &DataParams {
        &self.params
    }

    fn load(&self) -> Result<Arc<DataSet>, DataError> {
        // Whoever comes second waits, and finds them read.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(images) = loaded.as_ref() {
            return Ok(images.clone());
        }
        let images = Arc::new(data::load(&self.params)?);
        *loaded = Some(images.clone());
        Ok(images)
    }
}
