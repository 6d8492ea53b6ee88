//! `runner cache pin` and `unpin`: what is kept whatever its age.

use clap::Args;
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

use super::chosen::{ChosenArgs, visited};
use crate::cli::args::{CacheArgs, ChangeArgs};
use crate::fingerprint::Fingerprint;
use crate::report::format::plural;
use crate::store::Inventory;

/// Keep results from being collected
#[derive(Debug, Args)]
#[command(
    override_usage = "runner cache pin [OPTIONS] <HASH|NAME>\n       runner cache pin [OPTIONS] <PIPELINE> [STAGE]",
    after_help = "Examples:
  runner cache pin pipelines/quickstart.toml           all its results
  runner cache pin pipelines/quickstart.toml retrain   one, and all that led to it
  runner cache pin 3f2a91                              an object or a piece of work, by the start of its hash
  runner cache pin quickstart                          all that pipelines of this name made, or stages
  runner cache ls --pinned

What led to a pinned result is kept with it."
)]
pub struct PinArgs {
    #[command(flatten)]
    chosen: ChosenArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Take a pin back
#[derive(Debug, Args)]
#[command(
    override_usage = "runner cache unpin [OPTIONS] <HASH|NAME>\n       runner cache unpin [OPTIONS] <PIPELINE> [STAGE]\n       runner cache unpin [OPTIONS] --all",
    after_help = "Examples:
  runner cache unpin pipelines/quickstart.toml retrain
  runner cache unpin 3f2a91
  runner cache unpin --all"
)]
pub struct UnpinArgs {
    /// As for `runner cache pin`
    #[arg(value_name = "PIPELINE|HASH|NAME")]
    target: Option<String>,
    /// A stage of the pipeline
    #[arg(value_name = "STAGE")]
    stage: Option<String>,
    #[command(flatten)]
    changes: ChangeArgs,
    /// Take all pins back
    #[arg(long, conflicts_with = "target", required_unless_present = "target")]
    all: bool,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Pins.
pub fn pin(args: &PinArgs) -> Result<()> {
    let (store, _visit) = visited(&args.cache, Some(&args.chosen.target))?;
    let inventory = store.inventory()?;
    let chosen = args.chosen.find(&args.cache, &inventory)?;
    for fingerprint in &chosen.work {
        if !inventory.pins.contains_key(fingerprint) {
            store.pin(fingerprint)?;
        }
    }
    tell(args.json, "pinned", &chosen.work, &inventory)
}

/// Unpins.
pub fn unpin(args: &UnpinArgs) -> Result<()> {
    let (store, _visit) = visited(&args.cache, args.target.as_deref())?;
    let inventory = store.inventory()?;
    let work: Vec<Fingerprint> = match &args.target {
        Some(target) => {
            let (stage, changes) = (args.stage.clone(), args.changes.clone());
            let chosen = ChosenArgs { target: target.clone(), stage, changes };
            let found = chosen.find(&args.cache, &inventory)?;
            let work: Vec<_> =
                found.work.into_iter().filter(|work| inventory.pins.contains_key(work)).collect();
            if work.is_empty() {
                return Err(miette!(
                    help = "`runner cache ls --pinned` shows what is",
                    "{} is not pinned",
                    found.words
                ));
            }
            work
        }
        None => inventory.pins.keys().copied().collect(),
    };
    for fingerprint in &work {
        store.unpin(fingerprint)?;
    }
    tell(args.json, "unpinned", &work, &inventory)
}

fn tell(json: bool, what: &str, work: &[Fingerprint], inventory: &Inventory) -> Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(&json!({ what: work })).into_diagnostic()?);
        return Ok(());
    }
    say!("{what} {}", plural(work.len(), "result"));
    for fingerprint in work {
        let named = inventory.work.get(fingerprint).map(|work| &work.record.provenance);
        let named = named.map_or("gone".to_owned(), |made| format!("{} of {}", made.stage, made.pipeline));
        say!("  {}  {named}", fingerprint.short());
    }
    Ok(())
}
