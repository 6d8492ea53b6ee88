//! From arguments to a graph of work and a store: the first steps of most commands.

use std::path::Path;

use miette::{IntoDiagnostic, Result, WrapErr};

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use crate::fingerprint::{ContentHash, Encoder};
use crate::pipeline;
use crate::plan::{self, DataIdentities, Graph, Plan};
use crate::stages;
use crate::store::Store;

/// A pipeline, read and checked, with the store that has its results.
pub struct Opened {
    /// The pipeline's name.
    pub name: String,
    /// The identity of the file, under which its last runs are remembered.
    pub identity: String,
    /// The file as it is.
    pub file: String,
    /// All its work.
    pub graph: Graph,
    /// The results.
    pub store: Store,
    /// Hashes of data sets.
    pub data: DataIdentities,
}

impl Opened {
    /// Reads the pipeline and opens the store.
    ///
    /// # Errors
    /// Mistakes in the file, all of them; a cache that cannot be opened.
    pub fn new(pipeline: &PipelineArgs, cache: &CacheArgs) -> Result<Self> {
        let loaded = pipeline::load(&pipeline.pipeline, &pipeline.changes.set, stages::catalog())?;
        let points = loaded.points(&pipeline.changes.over)?;
        let graph = Graph::new(&points)?;
        let store = Store::open(&cache.cache)?;
        let data = DataIdentities::new(Some(store.data_memo()));
        let identity = identity(&pipeline.pipeline)?;
        let file = loaded.text().to_owned();
        Ok(Self { name: loaded.name, identity, file, graph, store, data })
    }

    /// Compares the graph with the store.
    ///
    /// # Errors
    /// See [`plan::assess`].
    pub fn plan(&mut self, selection: &SelectionArgs) -> Result<Plan> {
        Ok(plan::assess(&self.graph, &self.store, &mut self.data, &self.identity, &selection.into())?)
    }
}

/// A name for the file at `path` that does not depend on the current folder.
fn identity(path: &Path) -> Result<String> {
    let path = path
        .canonicalize()
        .into_diagnostic()
        .wrap_err_with(|| format!("the pipeline file {} cannot be found", path.display()))?;
    let mut encoder = Encoder::new("pipeline-path");
    path.to_string_lossy().as_ref().content_hash(&mut encoder);
    Ok(encoder.finish().short())
}
