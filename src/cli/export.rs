//! `runner export`: results as a bundle for another machine.

use std::path::PathBuf;

use clap::Args;
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use super::args::CacheArgs;
use super::cache::{ChosenArgs, visited};
use super::style::{GOOD, paint};
use crate::report::format::{bytes, plural};
use crate::store::Replace;

/// Write results to a bundle that another machine can check and use
#[derive(Debug, Args)]
#[command(
    override_usage = "runner export [OPTIONS] --to <DIR|FILE.tar> <HASH|NAME>\n       runner export [OPTIONS] --to <DIR|FILE.tar> <PIPELINE> [STAGE]",
    after_help = "Examples:
  runner export pipelines/quickstart.toml --to quickstart.tar
  runner export pipelines/quickstart.toml retrain --to retrain/     a stage, and all that led to it
  runner export 3f2a91 --to best.tar                                an object or a piece of work
  runner import quickstart.tar                                      on the other machine

A bundle holds outputs, records and provenance of the results, and a sealed list of them: a tar
archive where the name ends in `.tar`, a compressed one where it ends in `.tar.gz` or `.tgz`, else
a folder. The same results give the same bytes. It
appears whole or not at all."
)]
pub struct ExportArgs {
    #[command(flatten)]
    chosen: ChosenArgs,
    /// Where the bundle goes: an archive if the name ends in `.tar`, `.tar.gz` or `.tgz`, else a folder
    #[arg(long, value_name = "DIR|FILE.tar")]
    to: PathBuf,
    /// Replace a bundle that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exports.
pub fn run(args: &ExportArgs) -> Result<()> {
    let (store, _visit) = visited(&args.cache, Some(&args.chosen.target))?;
    let inventory = store.inventory()?;
    let chosen = args.chosen.find(&args.cache, &inventory)?;
    let work = inventory.reach(chosen.work);
    let replace = if args.force { Replace::Bundle } else { Replace::No };
    let done = store.export(&work, &args.to, replace)?;
    if args.json {
        let whole = json!({ "to": args.to, "work": work, "bytes": done.bytes, "objects": done.objects });
        say!("{}", serde_json::to_string_pretty(&whole).into_diagnostic()?);
        return Ok(());
    }
    let (records, objects) = (plural(done.records, "result"), plural(done.objects, "object"));
    let size = bytes(done.bytes);
    say!("{} {records}, {objects}, {size} to {}", paint(GOOD, "exported:"), args.to.display());
    Ok(())
}
