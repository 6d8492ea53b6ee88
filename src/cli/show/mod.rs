//! `runner show`: a result with all that is known of it.

mod artifact;
mod record;
mod target;

use std::path::PathBuf;

use clap::Args;
use miette::{IntoDiagnostic, Result};

use super::args::{CacheArgs, ChangeArgs};
pub use target::{File, Target};

/// Show a result: its tensors, structure, metrics and where it came from
#[derive(Debug, Args)]
#[command(
    override_usage = "runner show [OPTIONS] <ARTIFACT>\n       runner show [OPTIONS] <PIPELINE> <STAGE>",
    after_help = "Examples:
  runner show pipelines/quickstart.toml retrain            what a stage gave
  runner show pipelines/quickstart.toml retrain.best       one of its outputs, with its tensors
  runner show study.toml retrain@flops_ratio=0.3,seed=2    at one point of a sweep
  runner show 3f2a91                                       an object or a piece of work, by the start of its hash
  runner show pruned.safetensors                           a file"
)]
pub struct ShowArgs {
    /// The hash of an object or the fingerprint of a piece of work (its first digits are enough), or a
    /// `.safetensors` file; or a pipeline file, with a stage after it
    #[arg(value_name = "ARTIFACT|PIPELINE")]
    target: String,
    /// A stage of the pipeline, or one of its outputs: STAGE.OUTPUT; of a sweep with @KEY=VALUE,...
    #[arg(value_name = "STAGE")]
    stage: Option<String>,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what was asked for.
pub fn run(args: &ShowArgs) -> Result<()> {
    let found = match &args.stage {
        Some(stage) => Target::stage(&PathBuf::from(&args.target), stage, &args.changes, &args.cache)?,
        None => Target::artifact(&args.target, &args.cache)?,
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&found).into_diagnostic()?);
    } else {
        say_all!("{}", found.text());
    }
    Ok(())
}
