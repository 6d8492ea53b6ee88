//! `runner compare`: two results, pipelines or runs side by side.

mod results;
mod sides;
mod studies;

use clap::Args;
use miette::{IntoDiagnostic, Result, miette};

use super::args::{CacheArgs, ChangeArgs};
use sides::Side;

/// Compare two results, pipelines or runs
#[derive(Debug, Args)]
#[command(
    override_usage = "runner compare [OPTIONS] <A> <B>\n       runner compare [OPTIONS] <PIPELINE> <STAGE> <STAGE>\n       runner compare [OPTIONS] <PIPELINE> <STAGE> <PIPELINE> <STAGE>",
    after_help = "Examples:
  runner compare P.toml retrain full                   two stages of a pipeline
  runner compare S.toml retrain@seed=1 retrain@seed=2  at two points of a sweep
  runner compare P.toml retrain.best retrain.last      two outputs
  runner compare 3f2a91 pruned.safetensors             hashes, files
  runner compare a.toml b.toml                         two pipelines
  runner compare 20260102-030405-4711 last             two runs

Results are compared by parameters, structure, metrics, tensors and where they
came from; pipelines and runs (`runner runs` lists them) by the work that differs
and the networks that it led to."
)]
pub struct CompareArgs {
    /// Hashes, `.safetensors` files, pipelines or runs; a pipeline may have a stage after it
    #[arg(value_name = "WHAT", num_args = 2..=4, required = true)]
    what: Vec<String>,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the comparison.
pub fn run(args: &CompareArgs) -> Result<()> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let find = |what: &str, stage: Option<&str>| Side::find(what, stage, &args.changes, &args.cache);
    let (a, b) = match words.as_slice() {
        [a, b] => (find(a, None)?, find(b, None)?),
        [pipeline, a, b] => (find(pipeline, Some(a))?, find(pipeline, Some(b))?),
        [first, a, second, b] => (find(first, Some(a))?, find(second, Some(b))?),
        _ => return Err(miette!("two things are compared, not {}", words.len())),
    };
    let text = match (a, b) {
        (Side::Result(a), Side::Result(b)) => {
            let found = results::compare(&a, &b)?;
            if args.json { json(&found)? } else { results::text(&found) }
        }
        (Side::Study(a), Side::Study(b)) => {
            let found = studies::compare(&a, &b);
            if args.json { json(&found)? } else { studies::text(&found) }
        }
        (Side::Result(_), Side::Study(other)) | (Side::Study(other), Side::Result(_)) => {
            return Err(miette!(
                help = format!("name a stage of it as well: `{} STAGE`", other.name),
                "`{}` is a whole pipeline or run, and the other side is one result",
                other.name
            ));
        }
    };
    say_all!("{text}");
    Ok(())
}

fn json(found: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(found).into_diagnostic()? + "\n")
}
