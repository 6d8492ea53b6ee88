//! `runner data fetch`: downloads a data set.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic, Result, miette};

use super::set_name;
use crate::cli::FAILURE;
use crate::cli::output;
use crate::cli::style::{BAD, GOOD, STALE, paint};
use crate::data::fetch::{self, FetchEvent, FetchOptions};
use crate::data::{DataParams, DataSetName};
use crate::engine::{StopFlag, StopReason};
use crate::report::format::{bytes, duration, percent};

/// Download a data set and check it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner data fetch cifar10
  runner data fetch cifar10 --dir /scratch/cifar10      then set data.dir in the pipeline
  runner data fetch mnist --from https://mirror.example.org/mnist

A download that breaks off, or is stopped with Ctrl-C, goes on where it was when the same command is given again.
The variable RUNNER_MIRROR names a mirror that is asked first; it has a folder for each set ($RUNNER_MIRROR/mnist, ...).
HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are respected.

Exit codes: 0 all there and whole, 1 an error, 129 the terminal was closed (Linux), 130 interrupted
(Ctrl-C), 143 terminated.")]
pub struct FetchArgs {
    /// The data set
    #[arg(value_name = "SET", value_parser = set_name())]
    set: DataSetName,
    /// The folder for its files, by default where a pipeline looks: data/SET, or $RUNNER_DATA/SET
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The address of a folder that has the files, instead of the published ones
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// How often it is looked whether we were asked to stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// The least time between two lines about a file.
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// Downloads the set.
pub fn run(args: &FetchArgs) -> Result<ExitCode> {
    let set = args.set;
    let mut wanted = fetch::published(set);
    if wanted.downloads.is_empty() {
        tell!("{} ships with runner: there is nothing to fetch", set.name());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(from) = &args.from {
        wanted.sources = vec![from.clone()];
    } else if let Some(mirror) = mirror()? {
        wanted.sources.insert(0, format!("{}/{}", mirror.trim_end_matches('/'), set.name()));
    }
    let params = DataParams { set, dir: args.dir.clone(), ..DataParams::default() };
    let mut lines = Lines::new(args.quiet, std::io::stderr().is_terminal());
    leave_when_asked(lines.bar.clone())?;
    let fetched = fetch::fetch(&params, &wanted, &FetchOptions::default(), &mut |event| lines.tell(event));
    lines.bar.finish_and_clear();
    fetched?;
    let folder = params.folder().display().to_string();
    lines.line(&format!("{} {} is in {folder}", paint(GOOD, "done:"), set.name()));
    if args.dir.is_some() {
        lines.line(&format!("a pipeline finds it with `dir = {folder:?}` under `[data]`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The mirror of the environment; a variable that is empty is none.
fn mirror() -> Result<Option<String>> {
    let Some(mirror) = std::env::var_os("RUNNER_MIRROR").filter(|mirror| !mirror.is_empty()) else {
        return Ok(None);
    };
    let text = mirror.into_string().map_err(|mirror| {
        miette!(
            help = "give the address of a folder, such as https://mirror.example.org",
            "RUNNER_MIRROR is not valid UTF-8: {}",
            mirror.display()
        )
    })?;
    Ok(Some(text))
}

/// Ends the program when a signal asks for it. What came of a file is on the disk at every moment, so nothing needs to
/// be saved, and a connection that says nothing does not keep us.
fn leave_when_asked(bar: ProgressBar) -> Result<()> {
    let stop = StopFlag::on_signals().into_diagnostic()?;
    std::thread::spawn(move || {
        while !stop.is_raised() {
            std::thread::sleep(STOP_POLL);
        }
        bar.finish_and_clear();
        tell!("{}; what came is kept, and the same command goes on from there", paint(BAD, "interrupted"));
        std::process::exit(stop.reason().map_or(FAILURE, StopReason::exit_code).into());
    });
    Ok(())
}

/// A bar on a terminal, lines elsewhere.
struct Lines {
    quiet: bool,
    terminal: bool,
    bar: ProgressBar,
    /// When bytes began to come, and how many were there.
    began: (Instant, u64),
    /// The tenths of the file that were told of, and when.
    told: (u64, Instant),
}

impl Lines {
    fn new(quiet: bool, terminal: bool) -> Self {
        let bar = ProgressBar::hidden();
        let now = Instant::now();
        Self { quiet, terminal: terminal && !quiet, bar, began: (now, 0), told: (0, now) }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            match self.terminal && !self.bar.is_hidden() && !self.bar.is_finished() {
                true => self.bar.println(output::for_terminal(text, &std::io::stderr())),
                false => tell!("{text}"),
            }
        }
    }

    fn warn(&self, text: &str) {
        self.line(&format!("  {}", paint(STALE, text)));
    }

    fn tell(&mut self, event: &FetchEvent) {
        match event {
            FetchEvent::Waiting { folder } => {
                self.warn(&format!("another runner fetches into {}: waiting for it", folder.display()));
            }
            FetchEvent::AlreadyHere { path } => self.line(&format!("  {} is here and whole", path.display())),
            FetchEvent::Started { file, url, at, size } => self.started(file, url, *at, *size),
            FetchEvent::Received { file, at, size } => self.received(file, *at, *size),
            FetchEvent::Retrying { file, reason, wait } => {
                self.warn(&format!("{file}: {reason}; trying again in {}", duration(*wait)));
            }
            FetchEvent::Restarted { file, reason } => {
                self.warn(&format!("{file}: {reason}; fetching it from its beginning"));
            }
            FetchEvent::NextSource { reason } => self.warn(&format!("{reason}; trying the next source")),
            FetchEvent::Checked { file } => {
                self.bar.finish_and_clear();
                self.line(&format!("  {file}: MD5 sum as published"));
            }
            FetchEvent::PutAside { path, moved_to, difference } => {
                let (path, moved_to) = (path.display(), moved_to.display());
                self.warn(&format!("{path} was not the published file ({difference}): it is now {moved_to}"));
            }
            FetchEvent::Installed { paths } => {
                for path in paths {
                    self.line(&format!("  {} is in place", path.display()));
                }
            }
        }
    }

    fn started(&mut self, file: &str, url: &str, at: u64, size: u64) {
        let on = if at > 0 { format!(", goes on at {}", bytes(at)) } else { String::new() };
        self.line(&format!("  {file} ({}) from {url}{on}", bytes(size)));
        self.began = (Instant::now(), at);
        self.told = (10 * at / size.max(1), self.began.0);
        if self.terminal {
            let style =
                "  {prefix} {bar:24} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}";
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar.reset();
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            self.bar.set_style(style);
            self.bar.set_prefix(file.to_owned());
            self.bar.set_length(size);
            self.bar.set_position(at);
            // The speed is that of now, not of what was here.
            self.bar.reset_eta();
        }
    }

    fn received(&mut self, file: &str, at: u64, size: u64) {
        if self.terminal {
            self.bar.set_position(at);
            return;
        }
        let tenths = 10 * at / size.max(1);
        if tenths > self.told.0 && self.told.1.elapsed() >= LINE_PAUSE {
            self.told = (tenths, Instant::now());
            let seconds = self.began.0.elapsed().as_secs_f64().max(1e-3);
            let speed = (at - self.began.1) as f64 / seconds;
            let left = Duration::from_secs_f64((size - at) as f64 / speed.max(1.0));
            let share = percent(at as f64 / size.max(1) as f64);
            let speed = bytes(speed as u64);
            self.line(&format!("  {file}: {share} at {speed}/s, {} left", duration(left)));
        }
    }
}
