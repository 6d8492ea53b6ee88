//! `runner run`: run what is stale.

use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Result};

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::progress::{Json, Quiet, Terminal};
use super::style::{BAD, GOOD, paint};
use super::{FAILURE, summary};
use crate::engine::{DeviceChoice, Event, Options, Reporter, Stamped, Status, StopFlag, execute};

/// Run the stages of a pipeline that are stale
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner run pipelines/quickstart.toml
  runner run pipelines/quickstart.toml --set threshold-search.flops_ratio=0.3
  runner run pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7
  runner run pipelines/quickstart.toml --until prune --json

Exit codes: 0 all done, 1 an error, 130 interrupted (Ctrl-C), 143 terminated.
An interrupted run goes on where it stopped when the same command is given again.")]
pub struct RunArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_parser = |text: &str| text.parse::<DeviceChoice>())]
    device: DeviceChoice,
    /// CPU threads; all by default. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// Print nothing but errors
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON event a line on standard output
    #[arg(long)]
    json: bool,
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
    let opened_device = args.device.open()?;
    let stop = StopFlag::on_signals().into_diagnostic()?;
    let options = Options {
        pipeline: opened.identity.clone(),
        name: opened.name.clone(),
        device: opened_device.device,
        device_name: opened_device.name,
        threads,
        stop: stop.clone(),
    };
    let mut reporter: Box<dyn Reporter> = if args.json {
        Box::new(Json)
    } else if args.quiet {
        Box::new(Quiet)
    } else {
        Box::new(Terminal::on_stderr())
    };
    if let Some(message) = opened_device.warning {
        reporter.report(&Stamped::now(Event::Warning { message }));
    }
    let done = execute(&opened.graph, &plan, &opened.store, &mut opened.data, &options, reporter.as_mut());
    drop(reporter);
    match done.status {
        Status::Done => {
            if !args.json && !args.quiet {
                summary::print(&opened.graph, &opened.store, &done.records);
                let time = crate::report::format::duration(done.elapsed);
                let words = format!("{} ran, {} from the cache, {time}", done.ran, done.cached);
                anstream::eprintln!("{} {words}", paint(GOOD, "done:"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Status::Interrupted { stage } => {
            let what = stage.map_or(String::new(), |stage| format!(" in {stage}, whose state is saved"));
            anstream::eprintln!("{}{what}; the same command goes on from there", paint(BAD, "interrupted"));
            Ok(ExitCode::from(stop.signal().map_or(FAILURE, crate::engine::Signal::exit_code)))
        }
        Status::Failed(error) => Err(error.into()),
    }
}
