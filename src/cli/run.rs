//! `runner run`: run what is stale.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use miette::{IntoDiagnostic, Result};

use super::args::{CacheArgs, HowArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::progress::{Expected, Json, Quiet, TensorBoard, Terminal};
use super::runs::Kept;
use super::style::{BAD, FAINT, GOOD, STALE, error_width, folded, paint};
use super::{FAILURE, summary, sweep};
use crate::engine::{
    Event, Options, Place, Reporter, RunSummary, Stamped, StopFlag, StopReason, execute, memory,
};
use crate::ops::Vectors;
use crate::plan::{Estimates, Node, NodeId, Plan};
use crate::state::{RunState, StageState};
use crate::store::{Patience, StoreError};
use crate::written::check_folder;

/// Run the stages of a pipeline that are stale
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner run pipelines/quickstart.toml
  runner run pipelines/quickstart.toml --set threshold-search.flops_ratio=0.3
  runner run pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7
  runner run pipelines/quickstart.toml --over seed=1..4 --jobs 2 --retries 1
  runner run pipelines/quickstart.toml --until prune --json
  runner run pipelines/quickstart.toml --tensorboard tb
  runner run pipelines/quickstart.toml --remote read-write --remote-url s3://lab/pruning

A file with a [sweep] runs at all its points. A stage that fails ends the run of a single pipeline;
of a sweep it stops what depends on it, and the other points go on. The end lists what failed, why,
and how to see its log.

Exit codes: 0 all done, 1 an error or a failed stage; 129 the terminal was closed (Linux),
130 interrupted (Ctrl-C), 141 the reader of --json has gone, 143 terminated. In these cases running
stages save their states, and the same command goes on from there. The last lines of a run name the
command that goes on, and of a sweep the one that shows the results.")]
pub struct RunArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// Runs the pipeline.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let how = &args.how;
    start_pool(how)?;
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let (done, stop) = go(&mut opened, &args.selection, how)?;
    end(&opened, &args.cache, how, done, &stop)
}

fn threads(how: &HowArgs) -> usize {
    how.threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from)
}

/// First of all: whoever uses the pool before makes one of its own size.
///
/// # Errors
/// Somebody did; `RUNNER_VECTORS` names no instruction set of this machine.
pub fn start_pool(how: &HowArgs) -> Result<()> {
    // A wrong name is an error before anything runs.
    Vectors::chosen()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads(how)).build_global().into_diagnostic()
}

/// Runs what is stale, and keeps that it did.
///
/// # Errors
/// A plan that cannot be made, a device that is not there. What fails in the run itself is part of the summary.
pub fn go(opened: &mut Opened, selection: &SelectionArgs, how: &HowArgs) -> Result<(RunSummary, StopFlag)> {
    // A visit makes a cache that is not there yet.
    let cache = super::location::line(&opened.store)?;
    // From before the plan on: what it finds in the cache must be there when its turn comes.
    let _visit = opened.store.visit(&mut || {
        if !how.quiet {
            tell!("waiting until `runner cache gc` has cleared the cache");
        }
    })?;
    if !how.quiet && !how.json {
        tell!("{cache}");
    }
    if let Some(folder) = &how.tensorboard {
        check_folder(folder, &opened.inputs())?;
    }
    let wanted = how.sharing.wanted(opened.remote.as_ref())?;
    let plan = opened.plan(selection)?;
    let (mut places, mut warnings) = (Vec::new(), Vec::new());
    for choice in &how.device {
        let device = choice.open()?;
        places.push(Place { device: device.device, name: device.name });
        warnings.extend(device.warning);
    }
    let stop = StopFlag::on_signals().into_diagnostic()?;
    opened.store = opened.store.clone().with_patience(patience(&stop));
    // What is in the cache needs nobody's help.
    let shared = if plan.to_run() > 0 { how.sharing.open(wanted, &mut warnings) } else { None };
    let is_sweep = opened.graph.points.len() > 1;
    let options = Options {
        jobs: how.jobs.map_or(places.len(), usize::from),
        places,
        threads: threads(how),
        keep_going: how.keep_going || (is_sweep && !how.fail_fast),
        retries: how.retries,
        timeout: how.timeout,
        memory: how.memory.or_else(|| memory::available().map(|bytes| bytes / 10 * 9)),
        shared,
        ..Options::new(&opened.identity, &opened.name, stop.clone())
    };
    let mut reporter: Box<dyn Reporter> = if how.json {
        Box::new(Json(stop.clone()))
    } else if how.quiet {
        Box::new(Quiet)
    } else {
        let device = options.places.first().map_or("cpu", |place| place.name.as_str());
        let estimates = Estimates::new(&opened.graph, &plan, &opened.store, device);
        Box::new(Terminal::on_stderr(&expected(opened, &plan, &estimates)))
    };
    if let Some(folder) = &how.tensorboard {
        reporter = Box::new(TensorBoard::new(folder, opened.store.clone(), reporter));
    }
    for message in warnings {
        reporter.report(&Stamped::now(Event::Warning { message }));
    }
    // A run that finds everything in the cache leaves no trace.
    let kept = if plan.to_run() > 0 {
        keep(Kept::begin(opened, &plan, selection, &options), reporter.as_mut())
    } else {
        None
    };
    let done = execute(&opened.graph, &plan, &opened.store, &mut opened.data, &options, reporter.as_mut());
    if let Some(kept) = kept {
        keep(kept.end(opened, &done, exit_code(&done, &stop)), reporter.as_mut());
    }
    Ok((done, stop))
}

/// Says once that a writer waits for a process that holds the cache's lock, and ends the wait when the run is to stop.
fn patience(stop: &StopFlag) -> Patience {
    let (stop, told) = (stop.clone(), AtomicBool::new(false));
    Patience::new(move |lock| {
        if !told.swap(true, Ordering::Relaxed) {
            tell!(
                "{} another process holds {}, which only runner should; waiting until it lets go",
                paint(STALE, "waiting:"),
                lock.display()
            );
        }
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// The stages to run, as events name them, and how long each is expected to take.
fn expected(opened: &Opened, plan: &Plan, estimates: &Estimates) -> Vec<Expected> {
    let runs = opened.graph.iter().filter(|(id, _)| plan.entry(*id).runs());
    let stage = |(id, node): (NodeId, &Node)| Expected {
        stage: node.name.clone(),
        point: opened.graph.common(id),
        seconds: estimates.of(id).map(|estimate| estimate.seconds),
    };
    runs.map(stage).collect()
}

/// What a run ends with.
pub fn exit_code(done: &RunSummary, stop: &StopFlag) -> u8 {
    match done.status {
        RunState::Done => 0,
        RunState::Interrupted => stop.reason().map_or(FAILURE, StopReason::exit_code),
        RunState::Failed | RunState::Running | RunState::Killed => FAILURE,
    }
}

/// A run whose record cannot be kept is a run all the same; a cache that can only be read needs no word.
fn keep<T>(kept: Result<T, StoreError>, reporter: &mut dyn Reporter) -> Option<T> {
    match kept {
        Ok(kept) => Some(kept),
        Err(error) => {
            if !error.is_read_only() {
                let message = format!("the run is not recorded: {}", crate::engine::chain(&error));
                reporter.report(&Stamped::now(Event::Warning { message }));
            }
            None
        }
    }
}

/// What is said at the end, and the exit code.
///
/// # Errors
/// The failure that ended the run, where there is one alone.
pub fn end(
    opened: &Opened,
    cache: &CacheArgs,
    how: &HowArgs,
    mut done: RunSummary,
    stop: &StopFlag,
) -> Result<ExitCode> {
    let is_sweep = opened.graph.points.len() > 1;
    let is_silent = how.json || how.quiet;
    // What ends the run at once needs no list.
    let is_alone = done.failures.len() == 1 && done.skipped.is_empty();
    if done.status == RunState::Failed && is_alone {
        if let Some(failure) = done.failures.pop_if(|failure| !is_sweep || failure.node.is_none()) {
            return Err(failure.error.into());
        }
    }
    if !is_silent {
        summary::print(&opened.graph, &opened.store, &done.records);
    }
    if !done.failures.is_empty() {
        tell_all!("{}", sweep::failures(&opened.graph, &done, &opened.source, cache));
    }
    if !done.not_uploaded.is_empty() && !is_silent {
        let push = sweep::push(&opened.source, cache) + &how.sharing.again();
        tell!("{} {push}", paint(STALE, "to send what is missing:"));
    }
    let counts = sweep::counts(&opened.graph, &done);
    let say = |style, label: &str, words: &str| {
        let text = format!("{} {words}", paint(style, label));
        tell!("{}", folded(&text, 2, error_width()));
    };
    let results = |label| {
        if is_sweep && !is_silent && done.records.iter().any(Option::is_some) {
            say(FAINT, label, &sweep::results(&opened.source, cache));
        }
    };
    match done.status {
        RunState::Done => {
            if !is_silent {
                say(GOOD, "done:", &counts);
            }
            results("results:");
        }
        RunState::Interrupted => {
            let stages = done.those(StageState::Interrupted);
            let stages: Vec<&str> = stages.map(|id| opened.graph.node(id).name.as_str()).collect();
            let what = match stages.as_slice() {
                [] => String::new(),
                [one] => format!(" in {one}, whose state is saved"),
                many => format!(" in {}, whose states are saved", many.join(", ")),
            };
            let why = match stop.reason() {
                Some(StopReason::ReaderGone) => ", as the reader of standard output has gone",
                Some(StopReason::OutputFailed) => ", as standard output cannot be written",
                Some(StopReason::Interrupt | StopReason::Terminate | StopReason::Hangup) | None => "",
            };
            say(BAD, &format!("interrupted{what}{why}:"), &counts);
            say(STALE, "to go on:", &sweep::again());
            results("results so far:");
        }
        RunState::Failed | RunState::Running | RunState::Killed => {
            say(BAD, "failed:", &counts);
            say(STALE, "to try again what failed:", &sweep::again());
            results("results so far:");
        }
    }
    Ok(ExitCode::from(exit_code(&done, stop)))
}
