//! `runner cache du`: how much room the cache takes.

use std::collections::BTreeMap;

use clap::Args;
use miette::{IntoDiagnostic, Result};
use serde::Serialize;
use serde_json::json;

use super::tell_unreadable;
use crate::cli::args::CacheArgs;
use crate::cli::style::{Cell, FAINT, STAGE, columns, paint};
use crate::report::format::{bytes, plural};
use crate::store::{Inventory, Room, objects};

/// Show how much room the cache takes, and what for
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner cache du
  runner cache du --json

An object that several results share counts once, for the kind of the one that made it first. What
no result names is left by killed runs and by forced ones; `runner cache gc` clears it.")]
pub struct DuArgs {
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the results of a kind take.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Share {
    results: usize,
    objects: usize,
    bytes: u64,
}

/// Prints the sizes.
pub fn run(args: &DuArgs) -> Result<()> {
    let inventory = args.cache.open_here()?.inventory()?;
    let (kinds, unnamed) = shares(&inventory);
    if args.json {
        let whole = json!({
            "bytes": inventory.bytes(),
            "rooms": inventory.rooms,
            "kinds": kinds,
            "unnamed": { "objects": unnamed.objects, "bytes": unnamed.bytes },
        });
        say!("{}", serde_json::to_string_pretty(&whole).into_diagnostic()?);
    } else {
        say_all!("{}", text(&inventory, &kinds, unnamed));
    }
    tell_unreadable(&inventory);
    Ok(())
}

/// The objects by the kind that made them first, and those that no record names.
fn shares(inventory: &Inventory) -> (BTreeMap<String, Share>, Share) {
    let mut kinds: BTreeMap<String, Share> = BTreeMap::new();
    for work in inventory.work.values() {
        kinds.entry(work.record.kind.clone()).or_default().results += 1;
    }
    let (makers, mut unnamed) = (inventory.makers(), Share::default());
    for (object, held) in &inventory.objects {
        let first = makers.get(object).and_then(|makers| inventory.work.get(makers.first()?));
        let share = match first {
            Some(work) => kinds.entry(work.record.kind.clone()).or_default(),
            None => &mut unnamed,
        };
        share.objects += 1;
        share.bytes += held.bytes;
    }
    (kinds, unnamed)
}

fn text(inventory: &Inventory, kinds: &BTreeMap<String, Share>, unnamed: Share) -> String {
    let files: usize = inventory.rooms.values().map(|room| room.files).sum();
    let mut text = format!("{} in {}\n", bytes(inventory.bytes()), plural(files, "file"));
    let mut rooms: Vec<(&String, &Room)> =
        inventory.rooms.iter().filter(|(_, room)| room.files > 0).collect();
    rooms.sort_by_key(|(_, room)| std::cmp::Reverse(room.bytes));
    let row = |name: &str, size: u64, what: String| {
        vec![Cell::left(name).style(STAGE), Cell::right(bytes(size)), Cell::left(what)]
    };
    let rows = rooms.iter().map(|(name, room)| row(name, room.bytes, plural(room.files, "file")));
    text += &columns(&rows.collect::<Vec<_>>());
    let mut by_size: Vec<(&String, &Share)> = kinds.iter().collect();
    by_size.sort_by_key(|(_, share)| std::cmp::Reverse(share.bytes));
    let what =
        |share: &Share| format!("{}, {}", plural(share.results, "result"), plural(share.objects, "object"));
    let mut rows: Vec<Vec<Cell>> =
        by_size.iter().map(|(kind, share)| row(kind, share.bytes, what(share))).collect();
    if unnamed.objects > 0 {
        rows.push(row("no result", unnamed.bytes, plural(unnamed.objects, "object")));
    }
    if !rows.is_empty() {
        text += &format!("\n{}\n{}", paint(FAINT, "objects by kind, shared ones once"), columns(&rows));
    }
    let shared: usize = inventory.work.values().map(|work| objects(&work.record).len()).sum();
    let named = inventory.objects.len() - unnamed.objects;
    if shared > named {
        text += &format!("\n{} stand for {shared} outputs\n", plural(named, "object"));
    }
    text
}
