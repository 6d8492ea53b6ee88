//! Arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

/// Where results are kept.
#[derive(Debug, Clone, Args)]
pub struct CacheArgs {
    /// The cache folder
    #[arg(long, value_name = "DIR", env = "RUNNER_CACHE", default_value = "cache")]
    pub cache: PathBuf,
}

/// A pipeline file with changes to it.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pub pipeline: PathBuf,
    #[command(flatten)]
    pub changes: ChangeArgs,
}

/// Changes to a pipeline file.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Change a value of the file for this call: STAGE.KEY=VALUE, data.KEY=VALUE or seed=N (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Sweep a value: a point for each of KEY=A,B,C, of the integers seed=1..3 (both ends included) or of
    /// KEY="0.1..0.9 step 0.1" (repeatable: a point for each combination)
    #[arg(long = "over", value_name = "KEY=VALUES")]
    pub over: Vec<String>,
}

/// Which stages are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectionArgs {
    /// Run this stage alone; what it needs must be in the cache (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub only: Vec<String>,

    /// Run this stage and all that it needs, and nothing after it (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub until: Vec<String>,

    /// Run this stage even if its result is in the cache (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub force: Vec<String>,
}

impl From<&SelectionArgs> for crate::plan::Selection {
    fn from(args: &SelectionArgs) -> Self {
        Self { only: args.only.clone(), until: args.until.clone(), force: args.force.clone() }
    }
}
