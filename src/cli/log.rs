//! `runner log`: what happened in a stage, run after run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use miette::{Result, miette};

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::points;
use super::style::{BAD, FAINT, GOOD, STAGE, STALE, folded, paint};
use crate::engine::{Event, Stamped};
use crate::fingerprint::Fingerprint;
use crate::plan::{Node, NodeId, Plan};
use crate::report::format::{bytes, percent, plural, seconds, when};
use crate::report::key_figure;
use crate::report::tail::Tail;
use crate::report::tensorboard::{figures_of, folder, write_log};
use crate::store::Store;
use crate::train::EpochRecord;
use crate::written::check_folder;

/// Show what happened in a stage: epochs, checkpoints, resumes, failures
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner log pipelines/quickstart.toml retrain
  runner log pipelines/quickstart.toml retrain --follow       while it runs
  runner log pipelines/quickstart.toml gate-train --json      one event a line (docs/events.md)
  runner log study.toml retrain@flops_ratio=0.3,seed=1        one point of a sweep
  runner log pipelines/quickstart.toml --tensorboard tb       all stages, for TensorBoard

The newest run stands last. What is shown is the log of the stage as it is now in the file; if that has not run
yet, the log of its last run, and the first line says so.")]
pub struct LogArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// The stage; `STAGE@KEY=VALUE,...` is the stage at a point of a sweep
    #[arg(value_name = "STAGE", required_unless_present = "tensorboard")]
    stage: Option<String>,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print the events as they are kept, one JSON object a line
    #[arg(long)]
    json: bool,
    /// Go on showing events until the running stage ends; Ctrl-C leaves, and disturbs nothing
    #[arg(long, short)]
    follow: bool,
    /// Write the epochs as TensorBoard event files instead, a folder for each stage and point
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "follow"])]
    tensorboard: Option<PathBuf>,
}

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Prints the log.
pub fn run(args: &LogArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let nodes: Vec<NodeId> = match &args.stage {
        Some(stage) => points::nodes(&opened.graph, stage)?.into_iter().collect(),
        None => opened.graph.iter().map(|(id, _)| id).collect(),
    };
    if let Some(root) = &args.tensorboard {
        return tensorboard(&opened, &plan, &nodes, root);
    }
    let stage = points::split(args.stage.as_deref().unwrap_or_default()).0;
    if args.follow && nodes.len() > 1 {
        return Err(miette!(
            help = format!("choose one of them: `{stage}@KEY=VALUE,...`; {}", points::swept(&opened.graph)),
            "`{}` is {} different pieces of work over the points of the sweep, and only one can be followed",
            stage,
            nodes.len()
        ));
    }
    for id in &nodes {
        let node = opened.graph.node(*id);
        if nodes.len() > 1 && !args.json {
            let points = super::plan::points(&opened.graph, node);
            say!("{}{}", paint(STAGE, stage), paint(FAINT, points));
        }
        let Some(work) = work(&opened, &plan, node, plan.entry(*id).fingerprint, args)? else {
            if !args.json {
                say!("{stage} has never run");
            }
            continue;
        };
        Show {
            store: &opened.store,
            work,
            json: args.json,
            writer: Writer::default(),
            tail: Tail::default(),
        }
        .all(args.follow)?;
    }
    Ok(())
}

/// Whose log is shown: that of what the stage is now, else that of its last run.
fn work(
    opened: &Opened,
    plan: &Plan,
    node: &Node,
    now: Option<Fingerprint>,
    args: &LogArgs,
) -> Result<Option<Fingerprint>> {
    if let Some(now) = now {
        if args.follow || Tail::default().next(&opened.store, &now)?.is_some() {
            return Ok(Some(now));
        }
    } else if args.follow {
        let above = node.inputs.iter().find(|edge| plan.entry(edge.from).runs());
        let above = above.map_or("", |edge| opened.graph.node(edge.from).name.as_str());
        return Err(miette!(
            help = "follow that stage first",
            "`{}` cannot be followed yet: its input `{above}` has still to run",
            node.name
        ));
    }
    for usage in &node.uses {
        let point = opened.graph.points[usage.point].name();
        let Some(last) = opened.store.recall(&opened.identity, &point, &usage.stage)? else { continue };
        if Tail::default().next(&opened.store, &last.fingerprint)?.is_some() {
            if !args.json {
                let words = format!(
                    "{} has not run as it is now; this is the log of its last run ({})",
                    node.name,
                    last.fingerprint.short()
                );
                say!("{}", paint(STALE, words));
            }
            return Ok(Some(last.fingerprint));
        }
    }
    Ok(None)
}

/// Writes the logs of what the stages are now.
fn tensorboard(opened: &Opened, plan: &Plan, nodes: &[NodeId], root: &Path) -> Result<()> {
    check_folder(root, &opened.inputs())?;
    let mut written = 0;
    let mut failed = Vec::new();
    for id in nodes {
        let Some(work) = plan.entry(*id).fingerprint else { continue };
        let log = figures_of(&opened.store, &work)?;
        let folder = folder(root, &opened.graph.common(*id), &opened.graph.node(*id).name, &work.to_string());
        match write_log(&folder, &log) {
            Ok(true) => {
                written += 1;
                say!("{}", folder.display());
            }
            Ok(false) => {}
            Err(error) => failed.push(format!("{} cannot be written: {error}", folder.display())),
        }
    }
    if let Some(first) = failed.first() {
        let others = failed.len() - 1;
        let help = if others > 0 {
            format!("{} failed as well", plural(others, "more folder"))
        } else {
            String::new()
        };
        return Err(miette!(help = help, "{first}"));
    }
    if written == 0 {
        return Err(miette!(
            help = "`runner status` says how every stage stands",
            "no stage has a log with figures"
        ));
    }
    Ok(())
}

struct Show<'a> {
    store: &'a Store,
    work: Fingerprint,
    json: bool,
    writer: Writer,
    tail: Tail,
}

impl Show<'_> {
    fn all(mut self, follow: bool) -> Result<()> {
        self.new_events()?;
        let mut worked = self.store.holder(&self.work)?.is_some();
        if follow {
            if !worked && !self.writer.ended {
                tell!("{}", paint(FAINT, "nobody runs it now; waiting (Ctrl-C leaves)"));
            }
            loop {
                // Looked at before the log, so that what a runner wrote last is not missed.
                let holder = self.store.holder(&self.work)?.is_some();
                let news = self.new_events()?;
                if (worked && !holder && !news) || (self.writer.ended && !holder) {
                    break;
                }
                if crate::cli::output::lost().is_some() {
                    return Ok(());
                }
                worked |= holder;
                if !news {
                    self.flush();
                }
                std::thread::sleep(POLL);
            }
        }
        self.flush();
        if !self.json && !self.writer.ended {
            let words = match self.store.holder(&self.work)? {
                Some(holder) => paint(STALE, format!("  running by {holder}")),
                None => paint(BAD, "  ended without a word: killed?"),
            };
            say!("{words}");
        }
        Ok(())
    }

    /// Shows the whole lines that are new, and says whether there were some.
    fn new_events(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(new) = self.tail.next(self.store, &self.work)? {
            any = true;
            for line in &new {
                if self.json {
                    say!("{}", line.text);
                }
                match &line.event {
                    Some(event) => {
                        let lines = self.writer.lines(event);
                        self.print(&lines);
                    }
                    None => self.print(&[paint(FAINT, "  a line that this version cannot read")]),
                }
            }
        }
        Ok(any)
    }

    fn flush(&mut self) {
        let lines = self.writer.flush();
        self.print(&lines);
    }

    fn print(&self, lines: &[String]) {
        if !self.json {
            for line in lines {
                say!("{line}");
            }
        }
    }
}

/// Turns the events of one stage's log into lines.
#[derive(Debug, Default)]
struct Writer {
    runs: usize,
    /// Whether the last run has told its end.
    ended: bool,
    began: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Whether the run's table of epochs has its head.
    headed: bool,
    /// The last epoch, until it is known whether its state was saved.
    epoch: Option<String>,
}

impl Writer {
    fn lines(&mut self, stamped: &Stamped) -> Vec<String> {
        let mut lines = Vec::new();
        let time = stamped.time;
        match (&stamped.event, self.epoch.take()) {
            (Event::CheckpointSaved { .. }, Some(epoch)) => {
                return vec![format!("{epoch}{}", paint(FAINT, " saved"))];
            }
            (_, epoch) => lines.extend(epoch),
        }
        let since = |from: Option<Timestamp>| {
            // A clock that was set back says nothing.
            seconds(from.map_or(0.0, |from| (time - from).total(jiff::Unit::Second).unwrap_or(0.0).max(0.0)))
        };
        match &stamped.event {
            Event::StageStarted { reasons, resumed, fingerprint, .. } => {
                if self.runs > 0 && !self.ended {
                    lines.push(paint(BAD, "  ended without a word: killed?"));
                }
                self.runs += 1;
                (self.ended, self.headed) = (false, false);
                (self.began, self.last) = (Some(time), Some(time));
                let short = fingerprint.get(..12).unwrap_or(fingerprint);
                let resumed = if *resumed { ", from a saved state" } else { "" };
                lines.push(format!(
                    "{} {}: {}{resumed} {}",
                    paint(STAGE, format!("run {}", self.runs)),
                    when(time),
                    reasons.join(", "),
                    paint(FAINT, format!("({short})"))
                ));
            }
            Event::StageResumed { progress, .. } => {
                let words = format!("  goes on from epoch {}, step {}", progress.epoch, progress.step);
                lines.push(paint(FAINT, words));
            }
            Event::EpochFinished { record, .. } => {
                if !self.headed {
                    self.headed = true;
                    lines.push(paint(FAINT, head(record)));
                }
                self.epoch = Some(format!("{}{:>11}", row(record), since(self.last)));
                self.last = Some(time);
            }
            Event::CheckpointSaved { .. } => {
                lines.push(paint(FAINT, format!("  state saved after {}", since(self.began))));
            }
            Event::StageFinished { seconds: took, metrics, outputs, .. } => {
                self.ended = true;
                let figure = key_figure(metrics);
                let figure = if figure.is_empty() { figure } else { format!(": {figure}") };
                lines.push(format!("  {} in {}{figure}", paint(GOOD, "done"), seconds(*took)));
                for (output, object) in outputs {
                    let short = object.get(..12).unwrap_or(object);
                    lines.push(paint(FAINT, format!("  {output} {short}")));
                }
            }
            Event::StageFailed { message, .. } => {
                self.ended = true;
                let words = format!("failed after {}:", since(self.began));
                lines.push(format!("  {} {message}", paint(BAD, words)));
            }
            Event::StageInterrupted { .. } => {
                self.ended = true;
                let words = format!("interrupted after {}, its state is saved", since(self.began));
                lines.push(format!("  {}", paint(STALE, words)));
            }
            Event::StageDownloaded { bytes: size, seconds: took, .. } => {
                (self.runs, self.ended) = (self.runs.max(1), true);
                let words = format!("{}, {} in {}", when(time), bytes(*size), seconds(*took));
                lines.push(format!("{} {words}", paint(GOOD, "from the shared cache:")));
            }
            Event::StageUploaded { bytes: size, seconds: took, .. } => {
                let words = format!("  given to the shared cache: {} in {}", bytes(*size), seconds(*took));
                lines.push(paint(FAINT, words));
            }
            Event::StageWarned { message, .. } | Event::Warning { message } => {
                let words = format!("  {} {message}", paint(STALE, "warning:"));
                lines.push(folded(&words, 4, super::style::width()));
            }
            Event::StageRetried { left, pause, .. } => {
                let words = format!(
                    "tried again after {}, {} at most",
                    seconds(*pause),
                    plural(*left as usize, "more time")
                );
                lines.push(format!("  {}", paint(STALE, words)));
            }
            Event::StageCached { .. } | Event::StageWaiting { .. } | Event::Progress { .. } => {}
            Event::StageSkipped { .. } | Event::PointFinished { .. } | Event::UploadsWaiting { .. } => {}
            Event::RunStarted { .. } | Event::RunFinished { .. } => {}
        }
        lines
    }

    fn flush(&mut self) -> Vec<String> {
        self.epoch.take().into_iter().collect()
    }
}

/// The columns of an epoch: those that a record of its kind has.
fn cells(record: &EpochRecord) -> Vec<(&'static str, String)> {
    let mut cells = vec![
        ("epoch", record.epoch.to_string()),
        ("loss", format!("{:.4}", record.train_loss)),
        ("acc", percent(record.train_accuracy)),
    ];
    if let Some(loss) = record.validation_loss {
        cells.push(("v.loss", format!("{loss:.4}")));
    }
    if let Some(accuracy) = record.validation_accuracy {
        cells.push(("v.acc", percent(accuracy)));
    }
    if let Some(open) = record.sparsity {
        cells.push(("open", percent(open)));
    }
    if let Some(mean) = record.mean_gate {
        cells.push(("gate", format!("{mean:.4}")));
    }
    cells.push(("rate", crate::report::format::number(record.lr)));
    cells
}

fn head(record: &EpochRecord) -> String {
    let names: String =
        cells(record).iter().map(|(name, _)| format!("{name:>width$}", width = width(name))).collect();
    format!("{names}       time")
}

/// An epoch as a row of the table whose head [`head`] gives.
fn row(record: &EpochRecord) -> String {
    cells(record).iter().map(|(name, value)| format!("{value:>width$}", width = width(name))).collect()
}

/// All columns of an epoch fit into 80: each holds `100.00%` or a loss below 1000 and a blank.
fn width(name: &str) -> usize {
    match name {
        "epoch" => 6,
        "rate" => 9,
        _ => 8,
    }
}
