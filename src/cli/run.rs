//! `runner run`: run what is stale.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{IntoDiagnostic, Result};

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::progress::{Json, Quiet, Terminal};
use super::runs::Kept;
use super::style::{BAD, GOOD, paint};
use super::{FAILURE, summary, sweep};
use crate::engine::{
    DeviceChoice, Event, Options, Place, Reporter, RunSummary, Stamped, Status, StopFlag, execute,
};
use crate::store::StoreError;

/// Run the stages of a pipeline that are stale
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner run pipelines/quickstart.toml
  runner run pipelines/quickstart.toml --set threshold-search.flops_ratio=0.3
  runner run pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7
  runner run pipelines/quickstart.toml --over seed=1..4 --jobs 2 --retries 1
  runner run pipelines/quickstart.toml --until prune --json

A file with a [sweep] runs at all its points. A stage that fails ends the run of a single pipeline;
of a sweep it stops what depends on it, and the other points go on. The end lists what failed, why,
and how to see its log.

Exit codes: 0 all done, 1 an error or a failed stage, 130 interrupted (Ctrl-C), 143 terminated.
An interrupted run goes on where it stopped when the same command is given again.")]
pub struct RunArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Where to compute: auto, cpu, cuda or cuda:N; jobs take several in turn (cuda:0,cuda:1)
    #[arg(long, default_value = "auto", value_delimiter = ',', value_parser = |text: &str| text.parse::<DeviceChoice>())]
    device: Vec<DeviceChoice>,
    /// CPU threads, shared out over the jobs; all by default. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// Run so many stages side by side; by default one for each device. Results do not depend on it
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// After a failure, go on with all that does not depend on it: the default of a sweep
    #[arg(long)]
    keep_going: bool,
    /// End the run at the first failure: the default without a sweep
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
    /// Try a stage that failed so many times more, from its saved state, with the same seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Stop a stage that runs for longer: 90s, 30min, 2h. A stage's own `timeout` goes before it
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// Print nothing but errors
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON event a line on standard output
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    crate::pipeline::duration(text).ok_or_else(|| crate::pipeline::TIME.replace('"', ""))
}

/// Runs the pipeline.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    // First of all: whoever uses the pool before makes one of its own size.
    let threads = args
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().into_diagnostic()?;
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    // From before the plan on: what it finds in the cache must be there when its turn comes.
    let _visit = opened.store.visit(&mut || {
        if !args.quiet {
            anstream::eprintln!("waiting until `runner cache gc` has cleared the cache");
        }
    })?;
    let plan = opened.plan(&args.selection)?;
    let (mut places, mut warnings) = (Vec::new(), Vec::new());
    for choice in &args.device {
        let device = choice.open()?;
        places.push(Place { device: device.device, name: device.name });
        warnings.extend(device.warning);
    }
    let stop = StopFlag::on_signals().into_diagnostic()?;
    let is_sweep = opened.graph.points.len() > 1;
    let options = Options {
        jobs: args.jobs.map_or(places.len(), usize::from),
        places,
        threads,
        keep_going: args.keep_going || (is_sweep && !args.fail_fast),
        retries: args.retries,
        timeout: args.timeout,
        ..Options::new(&opened.identity, &opened.name, stop.clone())
    };
    let mut reporter: Box<dyn Reporter> = if args.json {
        Box::new(Json)
    } else if args.quiet {
        Box::new(Quiet)
    } else {
        Box::new(Terminal::on_stderr())
    };
    for message in warnings {
        reporter.report(&Stamped::now(Event::Warning { message }));
    }
    // A run that finds everything in the cache leaves no trace.
    let kept = if plan.to_run() > 0 { keep(Kept::begin(&opened, &plan), reporter.as_mut()) } else { None };
    let done = execute(&opened.graph, &plan, &opened.store, &mut opened.data, &options, reporter.as_mut());
    if let Some(kept) = kept {
        keep(kept.end(&opened, &done), reporter.as_mut());
    }
    drop(reporter);
    end(args, &opened, done, &stop)
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
fn end(args: &RunArgs, opened: &Opened, mut done: RunSummary, stop: &StopFlag) -> Result<ExitCode> {
    let is_sweep = opened.graph.points.len() > 1;
    let is_silent = args.json || args.quiet;
    // What ends the run at once needs no list.
    let is_alone = done.failures.len() == 1 && done.skipped.is_empty();
    if done.status == Status::Failed && is_alone {
        if let Some(failure) = done.failures.pop_if(|failure| !is_sweep || failure.node.is_none()) {
            return Err(failure.error.into());
        }
    }
    if !is_silent {
        summary::print(&opened.graph, &opened.store, &done.records, &args.pipeline);
    }
    if !done.failures.is_empty() {
        anstream::eprint!("{}", sweep::failures(&opened.graph, &done, &args.pipeline, &args.cache));
    }
    let counts = sweep::counts(&opened.graph, &done);
    match &done.status {
        Status::Done => {
            if !is_silent {
                anstream::eprintln!("{} {counts}", paint(GOOD, "done:"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Status::Interrupted { stages } => {
            let what = match stages.as_slice() {
                [] => String::new(),
                [one] => format!(" in {one}, whose state is saved"),
                many => format!(" in {}, whose states are saved", many.join(", ")),
            };
            anstream::eprintln!("{}{what}; the same command goes on from there", paint(BAD, "interrupted"));
            Ok(ExitCode::from(stop.signal().map_or(FAILURE, crate::engine::Signal::exit_code)))
        }
        Status::Failed => {
            anstream::eprintln!("{} {counts}", paint(BAD, "failed:"));
            Ok(ExitCode::from(FAILURE))
        }
    }
}
