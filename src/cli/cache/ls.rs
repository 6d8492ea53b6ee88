//! `runner cache ls`: the results in the cache.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use super::tell_unreadable;
use super::units::{age, ago, before};
use crate::cli::args::CacheArgs;
use crate::cli::style::{Cell, FAINT, STAGE, columns};
use crate::report::format::{bytes, minute, plural};
use crate::store::{Inventory, Work, objects};

/// List the results in the cache
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner cache ls
  runner cache ls --kind retrain --pipeline quickstart
  runner cache ls --older-than 30d --json
  runner cache ls --pinned

Stage and pipeline are the names at the time. A result's size is that of its outputs; outputs that
several results share count for each of them here, and once in `runner cache du`. It was used when
it was made, imported or part of a run.")]
pub struct LsArgs {
    /// Only results of this kind of stage
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only results that a pipeline of this name made
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Only results that were not used for this long: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Only what is pinned, be it by itself or through what was made of it
    #[arg(long)]
    pinned: bool,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the list, what was used last first.
pub fn run(args: &LsArgs) -> Result<()> {
    let inventory = args.cache.open_here()?.inventory()?;
    let now = Timestamp::now();
    let pinned = inventory.reach(inventory.pins.keys().copied());
    let is_asked_for = |work: &&Work| {
        let Work { record, used, .. } = work;
        args.kind.as_ref().is_none_or(|kind| *kind == record.kind)
            && args.pipeline.as_ref().is_none_or(|name| *name == record.provenance.pipeline)
            && args.older_than.is_none_or(|age| *used < before(now, age))
            && (!args.pinned || pinned.contains(&record.fingerprint))
    };
    let mut listed: Vec<&Work> = inventory.work.values().filter(is_asked_for).collect();
    listed.sort_by_key(|work| (work.record.provenance.finished, work.record.fingerprint));
    listed.reverse();
    if args.json {
        let pin = |work: &Work| match work.record.fingerprint {
            itself if inventory.pins.contains_key(&itself) => Some("itself"),
            through if pinned.contains(&through) => Some("through"),
            _ => None,
        };
        let whole: Vec<_> = listed.iter().map(|work| as_json(&inventory, work, pin(work))).collect();
        say!("{}", serde_json::to_string_pretty(&whole).into_diagnostic()?);
    } else {
        say_all!("{}", text(&inventory, &listed, now));
    }
    tell_unreadable(&inventory);
    Ok(())
}

fn text(inventory: &Inventory, listed: &[&Work], now: Timestamp) -> String {
    let pinned = inventory.reach(inventory.pins.keys().copied());
    let heads = ["fingerprint", "kind", "stage", "pipeline", "made", "used", "size", "outputs", ""];
    let mut rows: Vec<Vec<Cell>> = vec![heads.map(|head| Cell::left(head).style(FAINT)).into()];
    for Work { record, used, .. } in listed.iter().copied() {
        let made = &record.provenance;
        let outputs: Vec<&str> = record.outputs.keys().map(String::as_str).collect();
        let outputs = if outputs.is_empty() { "-".to_owned() } else { outputs.join(", ") };
        let pin = match record.fingerprint {
            itself if inventory.pins.contains_key(&itself) => "pinned",
            through if pinned.contains(&through) => "kept by a pin",
            _ => "",
        };
        rows.push(vec![
            Cell::left(record.fingerprint.short()).style(FAINT),
            Cell::left(&record.kind),
            Cell::left(&made.stage).style(STAGE),
            Cell::left(&made.pipeline),
            Cell::left(minute(made.finished)),
            Cell::right(ago(*used, now)),
            Cell::right(bytes(size(inventory, record))),
            Cell::left(outputs),
            Cell::left(pin),
        ]);
    }
    let table = if listed.is_empty() { String::new() } else { columns(&rows) };
    format!("{}\n{table}", plural(listed.len(), "result"))
}

/// The size of a record's outputs, each once.
fn size(inventory: &Inventory, record: &crate::store::Record) -> u64 {
    objects(record).iter().filter_map(|object| inventory.objects.get(object)).map(|held| held.bytes).sum()
}

fn as_json(inventory: &Inventory, work: &Work, pinned: Option<&str>) -> serde_json::Value {
    let record = &work.record;
    json!({
        "fingerprint": record.fingerprint,
        "kind": record.kind,
        "stage": record.provenance.stage,
        "pipeline": record.provenance.pipeline,
        "made": record.provenance.finished,
        "used": work.used,
        "host": record.provenance.host,
        "bytes": size(inventory, record),
        "outputs": record.outputs,
        "pinned": pinned,
    })
}
