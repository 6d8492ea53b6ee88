//! `runner repeat`: a run once more, from what was kept of it.

use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use super::args::{CacheArgs, HowArgs, SelectionArgs};
use super::open::Opened;
use super::run::{self, exit_code};
use super::runs::{chosen, tell_killed, version};
use super::style::{BAD, Cell, FAINT, GOOD, STAGE, STALE, columns, paint};
use super::{FAILURE, runs};
use crate::report::format::{minute, plural};
use crate::report::repeated::{Compared, Verdict, compare};
use crate::state::{RunState, StageState};
use crate::store::{RunRecord, Store};

/// Run the points of a run again, from what was kept of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner repeat last                       runs only what is not there any more
  runner repeat 20260102-030405-4711 --check    computes all anew, and compares
  runner repeat last --check --into fresh       the same into a cache that stays

The pipeline is the run's own, with its --set and --over, also where the file was
changed or deleted since. What is otherwise now (version, machine) is said first.

Exit codes: 0 all as it was, 1 an error, a failed stage or another result, 129 to
143 as of `runner run`.")]
pub struct RepeatArgs {
    /// The run: its id, the start of it, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    cache: CacheArgs,
    /// Compute everything anew in a cache of its own, and compare every output with the run's
    #[arg(long)]
    check: bool,
    /// The cache to compute in, with --check; by default one that is thrown away
    #[arg(long, value_name = "DIR", requires = "check")]
    into: Option<std::path::PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

/// Repeats the run.
pub fn run(args: &RepeatArgs) -> Result<ExitCode> {
    let mut how = args.how.clone();
    if args.check {
        how.sharing = how.sharing.off();
    }
    let how = &how;
    run::start_pool(how)?;
    let store = args.cache.open_here()?;
    let mut all = store.runs()?;
    let (id, mut run) = all.swap_remove(chosen(&all, &args.run)?);
    tell_killed(&store, &id, &mut run)?;
    let is_silent = how.json || how.quiet;
    let throw_away = if args.check && args.into.is_none() {
        Some(tempfile::Builder::new().prefix("runner-repeat-").tempdir().into_diagnostic()?)
    } else {
        None
    };
    let into = args.into.as_deref().or(throw_away.as_ref().map(tempfile::TempDir::path));
    let cache = CacheArgs::at(into.unwrap_or(store.root()));
    let mut opened = Opened::of_run(&id, &run, Store::open(into.unwrap_or(store.root()))?)?;
    if !is_silent {
        tell_all!("{}", head(&id, &run));
    }
    let request = run.request.clone().unwrap_or_default();
    // In the run's own cache, what it made anew is there already.
    let force = if args.check { request.force } else { Vec::new() };
    let selection = SelectionArgs { only: request.only, until: request.until, force };
    let (done, stop) = run::go(&mut opened, &selection, how)?;
    let code = exit_code(&done, &stop);
    let (status, records) = (done.status, done.records.clone());
    if status != RunState::Done {
        return run::end(&opened, &cache, how, done, &stop);
    }
    let (ran, cached) = (done.count(StageState::Ran), done.count(StageState::Cached));
    let found = compare(&run, &opened.graph, &records);
    if how.json {
        let line =
            json!({"event": "repeat-compared", "run": id, "ran": ran, "cached": cached, "compared": found});
        say!("{line}");
    } else if !how.quiet {
        say_all!("{}", told(&found, args.check, ran));
    }
    Ok(ExitCode::from(if found.is_same() { code } else { FAILURE }))
}

/// The run, and what is otherwise now.
fn head(id: &str, run: &RunRecord) -> String {
    let mut text =
        format!("{} of {}: {}\n", paint(STAGE, id), minute(run.started), paint(FAINT, runs::command(run)));
    let here = gethostname::gethostname().to_string_lossy().into_owned();
    let commit = option_env!("RUNNER_COMMIT").map(str::to_owned);
    let now = RunRecord {
        runner_version: env!("CARGO_PKG_VERSION").to_owned(),
        runner_commit: commit,
        ..run.clone()
    };
    let folder = std::env::current_dir().unwrap_or_default().display().to_string();
    let facts = [
        ("runner", version(run), version(&now)),
        ("machine", run.host.clone(), here),
        ("folder", run.folder.clone(), folder),
        ("file", run.file.clone(), file_now(run)),
    ];
    let mut rows = Vec::new();
    for (name, then, now) in facts {
        if then != now {
            let words = match name {
                "file" if now.is_empty() => "it is not there any more; the run's own is used".to_owned(),
                "file" => "it was changed since; the run's own is used".to_owned(),
                _ => format!("{then} then, {now} now"),
            };
            rows.push(vec![Cell::left(name).style(FAINT), Cell::left(words).style(STALE)]);
        }
    }
    if run.status != RunState::Done {
        let words = format!("it was {}: its outputs are known as far as it came", run.status);
        rows.push(vec![Cell::left("status").style(FAINT), Cell::left(words).style(STALE)]);
    }
    if rows.is_empty() {
        rows.push(vec![Cell::left("version, machine, folder and file are as they were").style(FAINT)]);
    }
    text += &columns(&rows);
    text
}

/// The file where the run had it, as it is now; empty if it is gone.
fn file_now(run: &RunRecord) -> String {
    let path = run.request.as_ref().map_or("", |request| request.path.as_str());
    let text = std::fs::read_to_string(std::path::Path::new(&run.folder).join(path)).unwrap_or_default();
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

fn told(found: &Compared, check: bool, ran: usize) -> String {
    let mut text = String::new();
    for stage in found.stages.iter().filter(|stage| stage.verdict.is_told()) {
        let point = if stage.point.is_empty() { String::new() } else { format!(" {}", stage.point) };
        let (style, words) = match &stage.verdict {
            Verdict::Differs { outputs } => (BAD, format!("differs: {}", outputs.join(", "))),
            Verdict::Otherwise { why } => (BAD, format!("is other work now: {why}")),
            Verdict::Missing => (BAD, "gave nothing".to_owned()),
            Verdict::Unknown => (STALE, "is not known of the run".to_owned()),
            Verdict::Same { .. } => continue,
        };
        text += &format!("  {}{point} {}\n", paint(STAGE, &stage.stage), paint(style, words));
    }
    let (same, all) = (found.outputs_same, found.outputs);
    if all == 0 {
        return text
            + &format!("{} the run has no outputs that are known\n", paint(STALE, "nothing to compare:"));
    }
    if !check && ran == 0 && found.is_same() {
        text += &format!(
            "{} everything was in the cache: {} of {}; `--check` computes them anew\n",
            paint(GOOD, "identical:"),
            same,
            plural(all, "output")
        );
    } else if found.is_same() {
        text += &format!("{} {same} of {}\n", paint(GOOD, "identical:"), plural(all, "output"));
    } else {
        text +=
            &format!("{} only {same} of {} are identical\n", paint(BAD, "differs:"), plural(all, "output"));
    }
    text
}
