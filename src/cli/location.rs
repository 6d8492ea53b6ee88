//! Where the cache of a command is.
//!
//! By default results lie beside the pipeline's project, so that a command finds them from any folder: in
//! `cache/` of the nearest folder upward from the pipeline file that has a cache there, a `.git` or a
//! `runner.toml`, else beside the file. A command without a pipeline looks upward from the current folder.
//! `--cache` and `RUNNER_CACHE` name another.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::Result;

use super::style::{FAINT, paint};
use crate::store::{Site, Store, project};

/// The name of the folder.
const CACHE: &str = "cache";
/// Names another one.
const VARIABLE: &str = "RUNNER_CACHE";

/// Where results are kept.
#[derive(Debug, Clone, Default, Args)]
pub struct CacheArgs {
    /// The cache, if not the project's [env: RUNNER_CACHE]
    #[arg(long = "cache", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl CacheArgs {
    /// This folder and no other.
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// The folder that the command line or the environment names. An empty variable names none.
    pub fn given(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.folder.clone().or_else(variable)
    }

    /// The cache of a pipeline file.
    pub fn of(&self, pipeline: &Path) -> PathBuf {
        self.given().unwrap_or_else(|| {
            let file = pipeline.canonicalize().unwrap_or_else(|_| pipeline.to_owned());
            let folder = file.parent().unwrap_or(Path::new("."));
            brief(project(folder).unwrap_or(folder).join(CACHE))
        })
    }

    /// The cache of a command without a pipeline.
    pub fn here(&self) -> PathBuf {
        self.given().unwrap_or_else(|| {
            let here = std::env::current_dir().unwrap_or_default();
            brief(project(&here).unwrap_or(&here).join(CACHE))
        })
    }

    /// Opens the cache of a command without a pipeline, which must be there.
    ///
    /// # Errors
    /// There is none.
    pub fn open_here(&self) -> Result<Store> {
        Ok(Store::existing(&self.here())?)
    }

    /// As [`Self::open_here`], for a command that only adds to what it shows what the cache tells: `None` where there is none.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn open_if_there(&self) -> Result<Option<Store>> {
        let folder = self.here();
        Ok(if Site::is_cache(&folder) { Some(Store::open(&folder)?) } else { None })
    }
}

/// A path from the current folder, where it lies below that.
fn brief(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)) {
        Some(inner) if inner.as_os_str().is_empty() => PathBuf::from("."),
        Some(inner) => inner,
        None => path,
    }
}

/// The line that names the cache of a pipeline.
///
/// # Errors
/// Its folder cannot be read.
pub fn line(store: &Store) -> Result<String> {
    let new = if store.exists()? { "" } else { " (new)" };
    Ok(paint(FAINT, format!("cache: {}{new}", store.root().display())))
}
