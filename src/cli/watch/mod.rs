//! `runner watch`: a run as it goes on, from a second shell or another machine.

mod frame;
mod screen;
mod view;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Result};

use super::args::{CacheArgs, ChangeArgs, PipelineArgs, SelectionArgs};
use super::open::{Opened, identity};
use super::progress::{Json, Terminal};
use super::runs::{chosen, tell_killed};
use super::style::{FAINT, paint};
use super::{FAILURE, output, style};
use crate::engine::{Event, Reporter, Stamped, StopFlag, StopReason};
use crate::report::live::Live;
use crate::state::{RunState, StageState};
use crate::store::{RunRecord, Store};
use screen::Screen;
use view::View;

/// Watch a run while it goes on
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner watch pipelines/quickstart.toml   the run of this file that goes on
  runner watch 20260102-030405-4711        a run by its id (`runner runs`)
  runner watch study.toml --once           how it stands now
  runner watch study.toml --json           its events from now on, one a line

Of a pipeline, the run that goes on is watched, with its own --set and --over; if
none does, the last one is shown. It is seen from the cache alone: watching
disturbs nothing, and Ctrl-C ends only the watching. Without a terminal the news
are printed line by line.

The exit code is that of the run; 1 if it was killed, 130 after Ctrl-C.")]
pub struct WatchArgs {
    /// A pipeline file, the id of a run, or `last`
    #[arg(value_name = "PIPELINE|RUN")]
    what: String,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print how it stands now, and end
    #[arg(long)]
    once: bool,
    /// Print the events one a line as they come; with --once, how it stands as one JSON object
    #[arg(long)]
    json: bool,
}

/// How often the cache is looked at.
const LOOK: Duration = Duration::from_millis(1000);
/// How often the picture is drawn, so that a resized window is filled soon.
const DRAW: Duration = Duration::from_millis(200);
/// How often somebody who waits for a run looks for one.
const WAIT: Duration = Duration::from_millis(500);

/// A run that is watched.
struct Watched {
    id: String,
    run: RunRecord,
}

/// Watches.
pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    let is_file = std::path::Path::new(&args.what).extension().is_some_and(|extension| extension == "toml");
    // A run may make the cache of its pipeline after this command has begun to wait for it.
    let store = match is_file {
        true => Store::open(&args.cache.of(std::path::Path::new(&args.what)))?,
        false => args.cache.open_here()?,
    };
    let stop = StopFlag::on_signals().into_diagnostic()?;
    let mut watched = find(args, &store)?;
    if watched.is_none() && is_file && !args.once {
        tell!("{}", paint(FAINT, "no run of it is known; waiting for one (Ctrl-C leaves)"));
        while watched.is_none() && !stop.is_raised() {
            std::thread::sleep(WAIT);
            watched = find(args, &store)?;
        }
    }
    if stop.is_raised() {
        return Ok(left(&stop));
    }
    let mut opened = match &watched {
        Some(watched) => Opened::of_run(&watched.id, &watched.run, store.clone())?,
        None => {
            let changes = ChangeArgs { set: Vec::new(), over: Vec::new() };
            Opened::new(&PipelineArgs { pipeline: args.what.clone().into(), changes }, &args.cache)?
        }
    };
    let plan = opened.plan(&SelectionArgs::default())?;
    let since = watched.as_ref().map_or_else(Timestamp::now, |watched| watched.run.started);
    let mut live = Live::new(&opened.graph, &plan, &opened.store, &mut opened.data, since)?;
    if args.once || watched.as_ref().is_none_or(|watched| watched.run.status != RunState::Running) {
        let view = View::of(&opened.name, watched.as_ref(), &live);
        if args.json && args.once {
            say!("{}", serde_json::to_string_pretty(&view).into_diagnostic()?);
        } else if args.json {
            say!("{}", serde_json::to_string(&view).into_diagnostic()?);
        } else {
            say_all!("{}", frame::whole(&view, style::width()));
        }
        return Ok(code(watched.as_ref().filter(|watched| watched.run.status != RunState::Running)));
    }
    let Some(mut watched) = watched else { return Ok(ExitCode::SUCCESS) };
    let screen = if args.json { None } else { Screen::open() };
    let mut reporter: Option<Box<dyn Reporter>> = match (&screen, args.json) {
        (Some(_), _) => None,
        (None, true) => Some(Box::new(Json(stop.clone()))),
        (None, false) => Some(Box::new(Terminal::from_outside())),
    };
    if let Some(reporter) = &mut reporter {
        reporter.report(&beginning(&opened.name, &watched, &live));
    }
    let mut looked = Instant::now();
    let mut view = View::of(&opened.name, Some(&watched), &live);
    while !stop.is_raised() {
        if let Some(screen) = &screen {
            let (height, width) = screen.size();
            screen.draw(&frame::frame(&view, width, height));
        }
        std::thread::sleep(DRAW);
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        // Before the look, so that what the run did last is seen.
        let goes_on = store.goes_on_now(&watched.id)?;
        for news in live.look()? {
            if let Some(reporter) = &mut reporter {
                reporter.report(&news.event);
            }
        }
        if output::lost().is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        if screen.is_some() {
            view = View::of(&opened.name, Some(&watched), &live);
        }
        if !goes_on {
            if let Some(run) = store.kept_run(&watched.id)? {
                watched.run = run;
            }
            tell_killed(&store, &watched.id, &mut watched.run)?;
            break;
        }
    }
    // The last picture stays where the user's own lines are.
    if screen.is_some() {
        drop(screen);
        say_all!("{}", frame::whole(&View::of(&opened.name, Some(&watched), &live), style::width()));
    }
    if stop.is_raised() {
        return Ok(left(&stop));
    }
    if let Some(reporter) = &mut reporter {
        reporter.report(&ending(&watched));
    }
    Ok(code(Some(&watched)))
}

/// The run that is meant: by its id, or of a pipeline the one that goes on, else the last.
fn find(args: &WatchArgs, store: &Store) -> Result<Option<Watched>> {
    let mut runs = store.runs()?;
    for (id, run) in &mut runs {
        tell_killed(store, id, run)?;
    }
    let path = std::path::Path::new(&args.what);
    if path.extension().is_none_or(|extension| extension != "toml") {
        let (id, run) = runs.swap_remove(chosen(&runs, &args.what)?);
        return Ok(Some(Watched { id, run }));
    }
    let identity = identity(path)?;
    runs.retain(|(_, run)| run.request.as_ref().is_some_and(|request| request.identity == identity));
    let at = runs.iter().rposition(|(_, run)| run.status == RunState::Running);
    let at = at.or(runs.len().checked_sub(1));
    Ok(at.map(|at| runs.swap_remove(at)).map(|(id, run)| Watched { id, run }))
}

fn left(stop: &StopFlag) -> ExitCode {
    ExitCode::from(stop.reason().map_or(FAILURE, StopReason::exit_code))
}

/// The exit code of a run that has ended.
fn code(watched: Option<&Watched>) -> ExitCode {
    let Some(Watched { run, .. }) = watched else { return ExitCode::SUCCESS };
    let by_word = || if run.status == RunState::Done { 0 } else { FAILURE };
    ExitCode::from(run.exit_code.unwrap_or_else(by_word))
}

/// What the run said when it began, as far as it can be told from outside.
fn beginning(name: &str, watched: &Watched, live: &Live<'_>) -> Stamped {
    let request = watched.run.request.clone().unwrap_or_default();
    let graph = live.graph();
    let event = Event::RunStarted {
        pipeline: name.to_owned(),
        points: graph.points.len(),
        stages: graph.nodes.len(),
        to_run: live.seen.iter().filter(|seen| seen.state != StageState::Cached).count(),
        device: request.devices.join(","),
        threads: request.threads,
        jobs: request.jobs,
        axes: graph.axes(),
    };
    Stamped { time: watched.run.started, point: String::new(), event }
}

/// What it says at its end.
fn ending(watched: &Watched) -> Stamped {
    let of = |state| watched.run.stages.iter().filter(|stage| stage.state == state).count();
    let ended = watched.run.finished.unwrap_or_else(Timestamp::now);
    Stamped::now(Event::RunFinished {
        status: watched.run.status,
        ran: of(StageState::Ran),
        cached: of(StageState::Cached),
        downloaded: of(StageState::Downloaded),
        // What was given away is not kept of a run.
        uploaded: 0,
        failed: of(StageState::Failed),
        skipped: of(StageState::Skipped),
        seconds: (ended - watched.run.started).total(jiff::Unit::Second).unwrap_or(0.0),
    })
}
