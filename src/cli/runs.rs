//! `runner runs`: what was run in a cache, when, where and how.

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Result, miette};

use super::args::CacheArgs;
use super::open::Opened;
use super::style::{BAD, Cell, FAINT, GOOD, STAGE, STALE, columns, paint};
use super::sweep::quoted;
use crate::engine::{RunSummary, Status};
use crate::plan::Plan;
use crate::report::format::{minute, plural, seconds};
use crate::store::{RunRecord, RunStage, Store, StoreError};

/// List the runs of a cache, or show one: command, machine, points, work
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner runs
  runner runs 20260102-030405-4711          one run: its command, machine, versions and work
  runner runs 20260102-030405-4711 --json   the same with the pipeline file as it was

Runs that found everything in the cache leave no trace. A run that stays `running` was killed, or runs now.")]
pub struct RunsArgs {
    /// The run to show
    #[arg(value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the runs.
pub fn run(args: &RunsArgs) -> Result<()> {
    let mut runs = Store::open(&args.cache.cache)?.runs()?;
    if let Some(id) = &args.run {
        runs.retain(|(own, _)| own == id);
        if runs.is_empty() {
            return Err(miette!(help = "`runner runs` lists them", "no run is called `{id}`"));
        }
    }
    if args.json {
        let runs: serde_json::Map<String, serde_json::Value> = runs
            .into_iter()
            .map(|(id, run)| Ok((id, serde_json::to_value(run).into_diagnostic()?)))
            .collect::<Result<_>>()?;
        say!("{}", serde_json::to_string_pretty(&runs).into_diagnostic()?);
    } else if args.run.is_some() {
        runs.iter().for_each(|(id, run)| say_all!("{}", one(id, run)));
    } else {
        say_all!("{}", columns(&runs.iter().map(|(id, run)| row(id, run)).collect::<Vec<_>>()));
    }
    Ok(())
}

fn command(run: &RunRecord) -> String {
    run.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn status(run: &RunRecord) -> Cell {
    let style = match run.status.as_str() {
        "done" => GOOD,
        "failed" => BAD,
        _ => STALE,
    };
    Cell::left(&run.status).style(style)
}

fn row(id: &str, run: &RunRecord) -> Vec<Cell> {
    vec![
        Cell::left(id).style(STAGE),
        Cell::left(minute(run.started)),
        status(run),
        Cell::left(plural(run.points.len(), "point")),
        Cell::left(command(run)).style(FAINT),
    ]
}

fn one(id: &str, run: &RunRecord) -> String {
    let took = run.finished.and_then(|finished| (finished - run.started).total(jiff::Unit::Second).ok());
    // A clock that was set back says nothing of how long it took.
    let took = took.filter(|took| *took >= 0.0);
    let version = match &run.runner_commit {
        Some(commit) => format!("{} ({commit})", run.runner_version),
        None => run.runner_version.clone(),
    };
    let fact = |name: &str, what: Cell| vec![Cell::left(name).style(FAINT), what];
    let mut facts = vec![
        fact("status", status(run)),
        fact("command", Cell::left(command(run))),
        fact("folder", Cell::left(&run.folder)),
        fact("machine", Cell::left(&run.host)),
        fact("runner", Cell::left(version)),
        fact("began", Cell::left(minute(run.started))),
    ];
    facts.extend(took.map(|took| fact("took", Cell::left(seconds(took)))));
    let work = |stage: &RunStage| {
        let points = match stage.points.as_slice() {
            [point] => run.points.get(*point).cloned().unwrap_or_default(),
            all if all.len() == run.points.len() => "all points".to_owned(),
            some => plural(some.len(), "point"),
        };
        let fingerprint = stage.fingerprint.map_or("-".to_owned(), |fingerprint| fingerprint.short());
        vec![
            Cell::left(&stage.stage).style(STAGE),
            Cell::left(&stage.state),
            Cell::left(fingerprint).style(FAINT),
            Cell::left(points).style(FAINT),
        ]
    };
    let work: Vec<Vec<Cell>> = run.stages.iter().map(work).collect();
    format!("{}\n{}\n{}", paint(STAGE, id), columns(&facts), columns(&work))
}

/// A run that is kept from its beginning.
pub struct Kept {
    id: String,
    record: RunRecord,
}

impl Kept {
    /// Keeps a run that begins.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(opened: &Opened, plan: &Plan) -> Result<Self, StoreError> {
        let now = Timestamp::now();
        let id = format!("{}-{}", now.strftime("%Y%m%d-%H%M%S"), std::process::id());
        let graph = &opened.graph;
        let stages = graph.iter().map(|(id, node)| {
            let mut points: Vec<usize> = node.uses.iter().map(|usage| usage.point).collect();
            points.dedup();
            let fingerprint = plan.entry(id).fingerprint;
            RunStage { stage: node.name.clone(), points, fingerprint, state: "open".to_owned() }
        });
        let folder = std::env::current_dir().unwrap_or_default();
        let record = RunRecord {
            status: "running".to_owned(),
            command: std::env::args().collect(),
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
        opened.store.keep_run(&id, &record)?;
        Ok(Self { id, record })
    }

    /// Keeps how it ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self, opened: &Opened, done: &RunSummary) -> Result<(), StoreError> {
        let status = match &done.status {
            Status::Done => "done",
            Status::Interrupted { .. } => "interrupted",
            Status::Failed => "failed",
        };
        self.record.status = status.to_owned();
        self.record.finished = Some(Timestamp::now());
        for ((id, _), stage) in opened.graph.iter().zip(&mut self.record.stages) {
            let record = done.records[id.0].as_ref();
            stage.fingerprint = record.map(|record| record.fingerprint).or(stage.fingerprint);
            let failed = done.failures.iter().any(|failure| failure.node == Some(id));
            stage.state = match record {
                Some(_) if done.ran.binary_search(&id).is_ok() => "ran",
                Some(_) => "cached",
                None if failed => "failed",
                None if done.skipped.contains_key(&id) => "skipped",
                None => "open",
            }
            .to_owned();
        }
        opened.store.keep_run(&self.id, &self.record)
    }
}
