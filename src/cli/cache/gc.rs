//! `runner cache gc`: results that nobody asked to keep make room.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Result, miette};

use super::units::{age, ago, size};
use crate::cli::args::{CacheArgs, ChangeArgs, PipelineArgs, SelectionArgs};
use crate::cli::open::Opened;
use crate::cli::style::{Cell, FAINT, GOOD, STAGE, columns, paint};
use crate::report::format::{bytes, plural};
use crate::store::{Alone, GcPlan, Holder, Keep, Policy, Store};

/// How many of the last runs are kept where nothing else is said.
const RUNS: usize = 5;
/// Up to this many results are listed one by one.
const LISTED: usize = 40;

/// Remove results that nobody asked to keep
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner cache gc --dry-run                            what would go, and why the rest would not
  runner cache gc                                      all that is not kept
  runner cache gc --older-than 30d                     of that, what was not used for 30 days
  runner cache gc --max-size 20G                       of that, the longest unused, until it fits
  runner cache gc --keep a.toml --keep b.toml          keep what these pipelines use as they are now
  runner cache gc --all                                keep what is pinned, and nothing else

Always kept: what is pinned; what each pipeline last used (or, with --keep, what those pipelines use
now), but for what it ran without for 90 days; what the last runs used; and all that led to these. A result was used when it
was made, imported or part of a run. --older-than and --max-size may go together: what either
wants removed is.

Runners that are at work are waited for, and wait in turn. Killed half-way, it leaves a valid
cache.")]
pub struct GcArgs {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep what this pipeline file uses now, instead of what the last run of each pipeline used (repeatable)
    #[arg(long, value_name = "PIPELINE")]
    keep: Vec<PathBuf>,
    /// Keep nothing but what is pinned
    #[arg(long, conflicts_with_all = ["keep", "runs"])]
    all: bool,
    /// Keep what the last N runs used; runs that used the same count once [default: 5, with --keep 0]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Keep states of interrupted stages that were saved less than this ago
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "30d")]
    partials: Duration,
    /// Remove only what was not used for this long: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Remove only until the cache is not larger: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Do not wait for runners: fail if there are any
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

/// Plans, prints the plan, and carries it out.
pub fn run(args: &GcArgs) -> Result<()> {
    let store = args.cache.open_here()?;
    let alone = if args.dry_run { None } else { Some(alone(args, &store)?) };
    let plan = store.plan_gc(&policy(args, &store)?, Timestamp::now())?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&plan).into_diagnostic()?);
    } else {
        say_all!("{}", text(&plan, args, Timestamp::now()));
    }
    if let Some(alone) = alone {
        store.collect(&plan, &alone)?;
        if !args.json {
            let freed = bytes(plan.before - plan.after);
            say!("{} {freed} freed, {} left", paint(GOOD, "done:"), bytes(plan.after));
        }
    }
    Ok(())
}

fn alone(args: &GcArgs, store: &Store) -> Result<Alone> {
    let (mut told, mut busy) = (None, String::new());
    let alone = store.alone(&mut |holders| {
        if told.as_deref() != Some(holders) {
            busy = names(holders);
            if !args.no_wait {
                tell!("waiting for {busy}");
            }
            told = Some(holders.to_vec());
        }
        if args.no_wait { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    alone.ok_or_else(|| {
        miette!(
            help = "without `--no-wait` it waits; `--dry-run` only looks, at any time",
            "the cache is in use by {busy}"
        )
    })
}

fn names(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "another command".to_owned();
    }
    holders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn policy(args: &GcArgs, store: &Store) -> Result<Policy> {
    let keep = if args.keep.is_empty() && !args.all {
        Keep::LastOfEach
    } else {
        let mut work = BTreeSet::new();
        for pipeline in &args.keep {
            let changes = ChangeArgs { set: Vec::new(), over: Vec::new() };
            let pipeline = PipelineArgs { pipeline: pipeline.clone(), changes };
            let mut opened = Opened::new(&pipeline, &CacheArgs::at(store.root()))?;
            let plan = opened.plan(&SelectionArgs::default())?;
            work.extend(plan.entries.iter().filter_map(|entry| entry.fingerprint));
        }
        Keep::These(work)
    };
    let runs = args.runs.unwrap_or(if args.all || !args.keep.is_empty() { 0 } else { RUNS });
    let GcArgs { partials, older_than, max_size, .. } = *args;
    Ok(Policy { keep, runs, partials, older_than, max_size })
}

fn text(plan: &GcPlan, args: &GcArgs, now: Timestamp) -> String {
    let kept: Vec<String> =
        plan.kept.iter().map(|kept| format!("{} {}", plural(kept.results, "result"), kept.why)).collect();
    let mut text = match kept.as_slice() {
        [] => String::new(),
        kept => format!("kept: {}\n", kept.join(", ")),
    };
    let goes = if args.dry_run { "would go" } else { "goes" };
    if plan.is_empty() {
        text += "nothing to remove\n";
    } else {
        let unnamed = plan.objects.iter().filter(|old| !old.named).count();
        let counts = [
            (plan.work.len(), "result", "results"),
            (unnamed, "object without a result", "objects without a result"),
            (plan.partials.len(), "saved state", "saved states"),
            (plan.remains.len(), "log or note", "logs and notes"),
        ];
        let counts = counts.iter().filter(|(count, ..)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
            .collect();
        let freed = bytes(plan.before - plan.after);
        text += &format!("{goes}: {}: {freed} of {}\n", counts.join(", "), bytes(plan.before));
    }
    let row = |old: &crate::store::OldWork| {
        vec![
            Cell::left(old.fingerprint.short()).style(FAINT),
            Cell::left(&old.kind),
            Cell::left(&old.stage).style(STAGE),
            Cell::left(&old.pipeline),
            Cell::left(format!("used {} ago", ago(old.used, now))),
            Cell::right(bytes(old.bytes)),
        ]
    };
    text += &columns(&plan.work.iter().take(LISTED).map(row).collect::<Vec<_>>());
    if plan.work.len() > LISTED {
        text += &format!("  and {} more: `--json` has them all\n", plan.work.len() - LISTED);
    }
    if let Some(most) = args.max_size.filter(|most| plan.after > *most) {
        text += &format!(
            "what is kept takes {}, which is more than {}: keep less with `--keep`, `--runs` or `cache unpin`\n",
            bytes(plan.after),
            bytes(most)
        );
    }
    text
}
