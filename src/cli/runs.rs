//! `runner runs`: what was run in a cache, when, where and how.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Result, miette};

use super::args::{CacheArgs, SelectionArgs};
use super::open::Opened;
use super::style::{BAD, Cell, FAINT, GOOD, STAGE, STALE, columns, paint};
use super::sweep::quoted;
use crate::engine::{Options, RunSummary};
use crate::plan::Plan;
use crate::report::format::{minute, percent, plural, seconds};
use crate::report::key_figure;
use crate::shown::without_passwords;
use crate::state::{RunState, StageState};
use crate::store::{Lookup, MANIFEST, Record, Request, RunLock, RunRecord, RunStage, Store, StoreError};

/// List the runs of a cache, or show one: command, machine, points, work
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner runs
  runner runs 20260102-030405-4711           one run: its command, machine, versions and work
  runner runs last --json                    the last one, with the pipeline file as it was
  runner runs last --bibtex                  an entry to cite it by

Runs that found everything in the cache leave no trace. `runner repeat RUN` runs
one again. A run is cited by the hash of what is kept of it: its file in
`manifests/` of the cache, byte by byte.")]
pub struct RunsArgs {
    /// The run to show: its id, the start of it, or `last`
    #[arg(value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Print an entry for a bibliography
    #[arg(long, requires = "run", conflicts_with = "json")]
    bibtex: bool,
}

/// Prints the runs.
pub fn run(args: &RunsArgs) -> Result<()> {
    let store = args.cache.open_here()?;
    let mut runs = store.runs()?;
    for (id, run) in &mut runs {
        tell_killed(&store, id, run)?;
    }
    let chosen = args.run.as_deref().map(|text| chosen(&runs, text)).transpose()?;
    if args.json {
        let shown = chosen.map_or(runs.as_slice(), |at| &runs[at..=at]);
        let shown: serde_json::Map<String, serde_json::Value> = shown
            .iter()
            .map(|(id, run)| {
                let mut shown = serde_json::to_value(run).into_diagnostic()?;
                shown["best_accuracy"] = best_accuracy(&store, run)?.into();
                Ok((id.clone(), shown))
            })
            .collect::<Result<_>>()?;
        say!("{}", serde_json::to_string_pretty(&shown).into_diagnostic()?);
    } else if let Some(at) = chosen {
        let (id, run) = &runs[at];
        let hash = store.run_hash(id)?.map(|hash| hash.to_string()).unwrap_or_default();
        if args.bibtex {
            say_all!("{}", bibtex(id, run, &hash));
        } else {
            let found = found(&store, run)?;
            say_all!("{}", one(id, run, &hash, &found));
        }
    } else {
        let rows = runs.iter().map(|(id, run)| Ok(row(id, run, best_accuracy(&store, run)?)));
        say_all!("{}", columns(&rows.collect::<Result<Vec<_>>>()?));
    }
    Ok(())
}

/// The run that a person means: its id, the start of it, or `last`.
///
/// # Errors
/// None, or several.
pub fn chosen(runs: &[(String, RunRecord)], text: &str) -> Result<usize> {
    if text == "last" && !runs.is_empty() {
        return Ok(runs.len() - 1);
    }
    if let Some(at) = runs.iter().position(|(id, _)| id == text) {
        return Ok(at);
    }
    let begins = |(_, (id, _)): &(usize, &(String, RunRecord))| !text.is_empty() && id.starts_with(text);
    let found: Vec<usize> = runs.iter().enumerate().filter(begins).map(|(at, _)| at).collect();
    match found.as_slice() {
        [at] => Ok(*at),
        [] => Err(miette!(help = "`runner runs` lists them", "no run is called `{text}`")),
        many => {
            let ids: Vec<&str> = many.iter().map(|at| runs[*at].0.as_str()).collect();
            Err(miette!(
                help = format!("give more of it: {}", ids.join(", ")),
                "`{text}` begins several runs"
            ))
        }
    }
}

/// A run that is said to go on and does not was killed.
///
/// # Errors
/// Its lock cannot be looked at.
pub fn tell_killed(store: &Store, id: &str, run: &mut RunRecord) -> Result<()> {
    // Runs of the first version held no lock.
    if run.status == RunState::Running && run.request.is_some() && !store.goes_on_now(id)? {
        // It may have ended just now.
        match store.kept_run(id)? {
            Some(now) if now.status != RunState::Running => *run = now,
            _ => run.status = RunState::Killed,
        }
    }
    Ok(())
}

/// The command of a run, as a shell would read it.
pub fn command(run: &RunRecord) -> String {
    run.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn status(run: &RunRecord) -> Cell {
    Cell::left(run.status.word()).style(style(run.status))
}

/// The style of a run's state.
pub fn style(state: RunState) -> anstyle::Style {
    match state {
        RunState::Done => GOOD,
        RunState::Failed | RunState::Killed => BAD,
        RunState::Running | RunState::Interrupted => STALE,
    }
}

/// What the stages of a run found, in a few words each, as far as the cache still has their results.
fn found(store: &Store, run: &RunRecord) -> Result<Vec<String>> {
    let figure = |stage: &RunStage| match record(store, stage)? {
        Some(record) => Ok(key_figure(&record.metrics)),
        None => Ok(String::new()),
    };
    run.stages.iter().map(figure).collect()
}

fn record(store: &Store, stage: &RunStage) -> Result<Option<Record>, StoreError> {
    let Some(fingerprint) = stage.fingerprint.filter(|_| stage.state.has_result()) else { return Ok(None) };
    match store.lookup(&fingerprint)? {
        Lookup::Present(record) => Ok(Some(record)),
        Lookup::Absent | Lookup::Damaged | Lookup::Unreadable | Lookup::OutputMissing { .. } => Ok(None),
    }
}

/// The best test accuracy among the networks that a run evaluated; `None` where it evaluated none, or the results are gone.
fn best_accuracy(store: &Store, run: &RunRecord) -> Result<Option<f64>> {
    let mut best: Option<f64> = None;
    // An evaluation has no outputs: the records of other stages need not be read.
    for stage in run.stages.iter().filter(|stage| stage.outputs.is_empty()) {
        let Some(record) = record(store, stage)? else { continue };
        let networks = record.metrics["networks"].as_object();
        let found = networks.into_iter().flat_map(|networks| networks.values());
        let found = found.filter_map(|network| network["accuracy"].as_f64());
        best = found.chain(best).max_by(f64::total_cmp);
    }
    Ok(best)
}

fn row(id: &str, run: &RunRecord, best: Option<f64>) -> Vec<Cell> {
    vec![
        Cell::left(id).style(STAGE),
        Cell::left(minute(run.started)),
        status(run),
        Cell::left(plural(run.points.len(), "point")),
        Cell::right(best.map_or_else(|| "-".to_owned(), |best| format!("best {}", percent(best)))),
        Cell::left(command(run)).style(FAINT),
    ]
}

/// The version of runner that a run was made by.
pub fn version(run: &RunRecord) -> String {
    match &run.runner_commit {
        Some(commit) => format!("{} ({commit})", run.runner_version),
        None => run.runner_version.clone(),
    }
}

fn one(id: &str, run: &RunRecord, hash: &str, found: &[String]) -> String {
    let took = run.finished.and_then(|finished| (finished - run.started).total(jiff::Unit::Second).ok());
    // A clock that was set back says nothing of how long it took.
    let took = took.filter(|took| *took >= 0.0);
    let fact = |name: &str, what: Cell| vec![Cell::left(name).style(FAINT), what];
    let mut facts = vec![
        fact("status", status(run)),
        fact("command", Cell::left(command(run))),
        fact("folder", Cell::left(&run.folder)),
        fact("machine", Cell::left(&run.host)),
        fact("runner", Cell::left(version(run))),
        fact("began", Cell::left(minute(run.started))),
    ];
    facts.extend(took.map(|took| fact("took", Cell::left(seconds(took)))));
    facts.push(fact("hash", Cell::left(hash)));
    let work = |(stage, found): (&RunStage, &String)| {
        let points = match stage.points.as_slice() {
            [point] => run.points.get(*point).cloned().unwrap_or_default(),
            all if all.len() == run.points.len() => "all points".to_owned(),
            some => plural(some.len(), "point"),
        };
        let fingerprint = stage.fingerprint.map_or("-".to_owned(), |fingerprint| fingerprint.short());
        vec![
            Cell::left(&stage.stage).style(STAGE),
            Cell::left(stage.state.word()),
            Cell::left(fingerprint).style(FAINT),
            Cell::left(points).style(FAINT),
            Cell::left(found),
        ]
    };
    let work: Vec<Vec<Cell>> = run.stages.iter().zip(found).map(work).collect();
    format!("{}\n{}\n{}", paint(STAGE, id), columns(&facts), columns(&work))
}

/// An entry for a bibliography. Words of the pipeline's author are escaped as LaTeX needs it.
fn bibtex(id: &str, run: &RunRecord, hash: &str) -> String {
    let day = run.started.strftime("%Y-%m-%d");
    let (year, month) = (run.started.strftime("%Y"), run.started.strftime("%b").to_string().to_lowercase());
    let escaped = super::table::escaped;
    let (name, version) = (escaped(&run.pipeline), escaped(&version(run)));
    let points = plural(run.points.len(), "point");
    format!(
        "@misc{{runner-{id},\n  title = {{{{Run of the pipeline {name}}}}},\n  year = {{{year}}},\n  month = {month},\n  \
         howpublished = {{runner {version}, {day}, {points}}},\n  note = {{blake3:{hash}}}\n}}\n"
    )
}

/// A run that is kept from its beginning.
pub struct Kept {
    id: String,
    record: RunRecord,
    _goes_on: Option<RunLock>,
}

impl Kept {
    /// Keeps a run that begins.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(
        opened: &Opened,
        plan: &Plan,
        selection: &SelectionArgs,
        options: &Options,
    ) -> Result<Self, StoreError> {
        let now = Timestamp::now();
        let graph = &opened.graph;
        let stages = graph.iter().map(|(id, node)| {
            let mut points: Vec<usize> = node.uses.iter().map(|usage| usage.point).collect();
            points.dedup();
            RunStage {
                stage: node.name.clone(),
                points,
                fingerprint: plan.entry(id).fingerprint,
                state: StageState::Open,
                outputs: BTreeMap::new(),
                images: None,
                version: Some(node.stage.kind.version),
            }
        });
        let request = Request {
            path: opened.source.pipeline.display().to_string(),
            identity: opened.identity.clone(),
            set: opened.source.changes.set.clone(),
            over: opened.source.changes.over.clone(),
            only: selection.only.clone(),
            until: selection.until.clone(),
            force: selection.force.clone(),
            devices: options.places.iter().map(|place| place.name.clone()).collect(),
            threads: options.threads,
            jobs: options.jobs,
            process: std::process::id(),
        };
        let folder = std::env::current_dir().unwrap_or_default();
        let record = RunRecord {
            manifest: MANIFEST,
            exit_code: None,
            request: Some(request),
            status: RunState::Running,
            command: std::env::args_os().map(|word| without_passwords(&word.to_string_lossy())).collect(),
            folder: folder.display().to_string(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            runner_version: env!("CARGO_PKG_VERSION").to_owned(),
            runner_commit: option_env!("RUNNER_COMMIT").map(str::to_owned),
            started: now,
            finished: None,
            pipeline: opened.name.clone(),
            file: opened.file.clone(),
            points: graph.points.iter().map(crate::plan::PointNodes::name).collect(),
            stages: stages.collect(),
        };
        let (id, goes_on) = opened.store.begin_run(&record)?;
        Ok(Self { id, record, _goes_on: goes_on })
    }

    /// Keeps how it ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self, opened: &Opened, done: &RunSummary, exit_code: u8) -> Result<(), StoreError> {
        self.record.status = done.status;
        self.record.exit_code = Some(exit_code);
        self.record.finished = Some(Timestamp::now());
        for ((id, _), stage) in opened.graph.iter().zip(&mut self.record.stages) {
            let record = done.records[id.0].as_ref();
            stage.fingerprint = record.map(|record| record.fingerprint).or(stage.fingerprint);
            if let Some(record) = record {
                let outputs = record.outputs.iter().map(|(output, entry)| (output.clone(), entry.object));
                stage.outputs = outputs.collect();
                stage.images.clone_from(&record.provenance.data);
                stage.version = Some(record.version);
            }
            stage.state = done.states[id.0];
        }
        opened.store.keep_run(&self.id, &self.record)
    }
}
