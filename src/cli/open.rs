//! From arguments to a graph of work and a store: the first steps of most commands.

use std::path::Path;

use miette::{IntoDiagnostic, Result, WrapErr, miette};

use super::args::{CacheArgs, ChangeArgs, PipelineArgs, SelectionArgs};
use crate::fingerprint::{ContentHash, Encoder};
use crate::pipeline;
use crate::plan::{self, DataIdentities, Graph, MissingData, Plan};
use crate::stages;
use crate::store::{MANIFEST, RemoteUrl, RunRecord, Store};
use crate::written::Inputs;

/// A pipeline, read and checked, with the store that has its results.
pub struct Opened {
    /// The pipeline's name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The identity of the file, under which its last runs are remembered.
    pub identity: String,
    /// Where the file is, and the changes to it.
    pub source: PipelineArgs,
    /// The file as it is.
    pub file: String,
    /// All its work.
    pub graph: Graph,
    /// The results.
    pub store: Store,
    /// The shared cache that the file names.
    pub remote: Option<RemoteUrl>,
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
        let identity = || identity(&pipeline.pipeline);
        let open = || Ok(Store::open(&cache.of(&pipeline.pipeline))?);
        Self::loaded(&loaded, pipeline.clone(), identity, open)
    }

    /// A run's pipeline as it was then, whatever became of its file, with the results of `store`.
    ///
    /// # Errors
    /// A run that does not say what it was asked for; a file that this version cannot read.
    pub fn of_run(id: &str, run: &RunRecord, store: Store) -> Result<Self> {
        let Some(request) = &run.request else {
            return Err(miette!(
                help = format!("its command was: {}", run.command.join(" ")),
                "the run {id} was kept by an older runner ({}), which did not note what was asked for beside the file",
                run.runner_version
            ));
        };
        if run.manifest > MANIFEST {
            return Err(miette!(
                help = "use the version of runner that made it, or a newer one",
                "the run {id} is kept in version {} of its format, and this runner knows versions up to {MANIFEST}",
                run.manifest
            ));
        }
        let changes = ChangeArgs { set: request.set.clone(), over: request.over.clone() };
        let source = PipelineArgs { pipeline: request.path.clone().into(), changes };
        let loaded = pipeline::parse(&request.path, &run.file, &request.set, stages::catalog())
            .map_err(miette::Report::from)
            .wrap_err_with(|| format!("the pipeline of run {id} is none for this version of runner"))?;
        Self::loaded(&loaded, source, || Ok(request.identity.clone()), || Ok(store))
    }

    fn loaded(
        loaded: &pipeline::Pipeline,
        source: PipelineArgs,
        identity: impl Fn() -> Result<String>,
        store: impl FnOnce() -> Result<Store>,
    ) -> Result<Self> {
        let remote = loaded.remote.as_deref().map(RemoteUrl::parse).transpose();
        let remote = remote.map_err(|flaw| loaded.remote_error(flaw.message, flaw.help))?;
        let points = loaded.points(&source.changes.over)?;
        let store = store()?;
        let mut data = DataIdentities::new(Some(store.data_memo()));
        let graph = Graph::new(&points, &mut data)?;
        let (name, file) = (loaded.name.clone(), loaded.text().to_owned());
        let (identity, description) = (identity()?, loaded.description.clone());
        Ok(Self { name, description, identity, source, file, graph, store, remote, data })
    }

    /// What a command on the pipeline reads, and never writes.
    pub fn inputs(&self) -> Inputs {
        let data = self.graph.data.iter().flat_map(crate::data::paths);
        let inputs = Inputs::default().file(&self.source.pipeline).cache(self.store.root());
        data.fold(inputs, Inputs::file)
    }

    /// As [`Self::plan`], for a look ahead: images that are not there yet are a reason to run, not an error.
    ///
    /// # Errors
    /// See [`plan::assess`].
    pub fn outlook(&mut self, selection: &SelectionArgs) -> Result<Plan> {
        let (graph, data, missing) = (&self.graph, &mut self.data, MissingData::Reason);
        Ok(plan::assess_with(graph, &self.store, data, &self.identity, &selection.into(), missing)?)
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
///
/// # Errors
/// There is no such file.
pub fn identity(path: &Path) -> Result<String> {
    let path = path
        .canonicalize()
        .into_diagnostic()
        .wrap_err_with(|| format!("the pipeline file {} cannot be found", path.display()))?;
    let mut encoder = Encoder::new("pipeline-path");
    path.to_string_lossy().as_ref().content_hash(&mut encoder);
    Ok(encoder.finish().short())
}
