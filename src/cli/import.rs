//! `runner import`: a bundle's results into the cache.

use std::path::PathBuf;

use clap::Args;
use miette::{IntoDiagnostic, Result};

use super::args::CacheArgs;
use super::cache::{visit, warn_of};
use super::style::{GOOD, STALE, paint};
use crate::fingerprint::Fingerprint;
use crate::report::format::{bytes, plural};
use crate::store::{Durability, Store, check_bundle};

/// Take the results of a bundle into the cache
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner import quickstart.tar
  runner import retrain/ --cache /scratch/cache

All of the bundle is checked first: every object against its name, every record against its seal,
all of them against the list. If anything is wrong, nothing is taken. What the cache has already
stays as it is. `runner show` tells on which machine a result was made.")]
pub struct ImportArgs {
    /// What `runner export` wrote
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Imports.
pub fn run(args: &ImportArgs) -> Result<()> {
    let store = Store::open(&args.cache.here())?;
    if !store.exists()? {
        // A bundle that is refused leaves no new cache.
        check_bundle(&args.from)?;
    }
    let (store, _visit) = visit(store)?;
    let done = store.import(&args.from)?;
    if done.is_unflushed {
        warn_of(Durability::Unflushed);
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&done).into_diagnostic()?);
        return Ok(());
    }
    let objects = format!("{}, {}", plural(done.objects, "object"), bytes(done.bytes));
    say!(
        "{} {} new, {} there already, with {objects}",
        paint(GOOD, "imported:"),
        plural(done.new.len(), "result"),
        done.known.len()
    );
    warn(&done.different, "is here already with other outputs: the one that is here stays");
    warn(&done.underway, "is being made by a runner at this moment and was left to it");
    Ok(())
}

fn warn(work: &[Fingerprint], what: &str) {
    for fingerprint in work {
        tell!("{} the result of {} {what}", paint(STALE, "warning:"), fingerprint.short());
    }
}
