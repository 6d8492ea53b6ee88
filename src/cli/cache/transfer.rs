//! Results that go to or come from the shared cache, several at a time, and what became of them.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use crate::cli::FAILURE;
use crate::cli::args::{CacheArgs, ChangeArgs};
use crate::cli::remote::RemoteArgs;
use crate::cli::style::{BAD, FAINT, GOOD, STALE, paint};
use crate::fingerprint::Fingerprint;
use crate::report::format::{bytes, plural};
use crate::store::{Control, Remote, RemoteError};

/// So many at a time.
const PARALLEL: usize = 8;
/// After so many failures in a row nothing more is tried.
const FAILURES: usize = 3;

/// What `push` and `pull` have in common.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// A stage of the pipeline
    #[arg(value_name = "STAGE")]
    pub stage: Option<String>,
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Say what would be moved, and move nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A result that is to go or come.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The identity of the work.
    pub fingerprint: Fingerprint,
    /// What people call it.
    pub name: String,
}

/// What became of one.
#[derive(Debug)]
pub enum Outcome {
    /// It went or came.
    New {
        /// Objects that moved.
        objects: usize,
        /// Their sizes together.
        bytes: u64,
    },
    /// It was there.
    Known,
    /// It is there with other outputs.
    Different,
    /// It is not there.
    Absent,
    /// A runner is making it.
    Underway,
}

/// A failure.
#[derive(Debug, Serialize)]
struct Failed {
    #[serde(flatten)]
    item: Item,
    reason: String,
}

/// What became of all.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    remote: String,
    /// Whether nothing was to move.
    dry_run: bool,
    new: Vec<Item>,
    known: Vec<Item>,
    different: Vec<Item>,
    absent: Vec<Item>,
    underway: Vec<Item>,
    failed: Vec<Failed>,
    not_tried: Vec<Item>,
    /// Stages whose fingerprint is not known, as results that they need are not there.
    pub unknown: Vec<String>,
    objects: usize,
    bytes: u64,
}

impl Report {
    /// Nothing yet; `remote` is where the shared cache is.
    pub fn new(remote: &Remote, dry_run: bool) -> Self {
        Self { remote: remote.url().to_string(), dry_run, ..Self::default() }
    }

    /// Does `work` with every item, and keeps what became of it. The answers come in the order of the items.
    pub fn each<T: Send>(
        &mut self,
        items: &[Item],
        work: impl Fn(&Item, &Control<'_>) -> Result<(Outcome, T), RemoteError> + Sync,
    ) -> Vec<Option<T>> {
        let bar = Bar::new(items.len());
        let (next, in_a_row) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ended: Mutex<Vec<Option<Result<(Outcome, T), RemoteError>>>> =
            Mutex::new(items.iter().map(|_| None).collect());
        let one_by_one = || {
            // What is left then was not tried.
            while in_a_row.load(Ordering::Relaxed) < FAILURES {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                let done = work(item, &Control { stop: &|| false, moved: &|moved| bar.moved(moved) });
                match &done {
                    Ok(_) | Err(RemoteError::Wrong { .. }) => in_a_row.store(0, Ordering::Relaxed),
                    Err(_) => drop(in_a_row.fetch_add(1, Ordering::Relaxed)),
                }
                bar.ended();
                ended.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(done);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..PARALLEL.min(items.len()) {
                scope.spawn(one_by_one);
            }
        });
        drop(bar);
        let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        items.iter().zip(ended).map(|(item, done)| self.keep(item.clone(), done)).collect()
    }

    fn keep<T>(&mut self, item: Item, done: Option<Result<(Outcome, T), RemoteError>>) -> Option<T> {
        let (list, value) = match done {
            Some(Ok((outcome, value))) => {
                let list = match outcome {
                    Outcome::New { objects, bytes } => {
                        self.objects += objects;
                        self.bytes += bytes;
                        &mut self.new
                    }
                    Outcome::Known => &mut self.known,
                    Outcome::Different => &mut self.different,
                    Outcome::Absent => &mut self.absent,
                    Outcome::Underway => &mut self.underway,
                };
                (list, Some(value))
            }
            Some(Err(error)) => {
                self.failed.push(Failed { item, reason: crate::engine::chain(&error) });
                return None;
            }
            None => (&mut self.not_tried, None),
        };
        list.push(item);
        value
    }

    /// Prints it, and gives the exit code. `moved` is the word for what went or came.
    ///
    /// # Errors
    /// None for what it holds.
    pub fn tell(&self, moved: &str, json: bool) -> Result<ExitCode> {
        let good = self.failed.is_empty() && self.not_tried.is_empty();
        if json {
            say!("{}", serde_json::to_string_pretty(self).into_diagnostic()?);
        } else {
            self.words(moved);
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
    }

    fn words(&self, moved: &str) {
        let head = if self.dry_run { format!("would be {moved}:") } else { format!("{moved}:") };
        let size = if self.objects > 0 {
            format!(" with {}, {}", plural(self.objects, "object"), bytes(self.bytes))
        } else {
            String::new()
        };
        let there = self.known.len();
        say!("{} {}{size}; {there} there already", paint(GOOD, head), plural(self.new.len(), "result"));
        say!("{}", paint(FAINT, format!("shared cache {}", self.remote)));
        let also = |items: &[Item], what: &str| {
            for item in items {
                tell!("{} {} ({}) {what}", paint(STALE, "warning:"), item.name, item.fingerprint.short());
            }
        };
        also(&self.different, "is there with other outputs: both stay as they are");
        also(&self.underway, "is being made by a runner at this moment and was left to it");
        let missing = self.absent.len() + self.unknown.len();
        if missing > 0 {
            say!("{} not there", plural(missing, "result"));
        }
        for Failed { item, reason } in &self.failed {
            let name = format!("{} ({})", item.name, item.fingerprint.short());
            tell!("{} {name}: {reason}", paint(BAD, "failed:"));
        }
        if !self.not_tried.is_empty() {
            let words = format!("{} not tried after these failures", plural(self.not_tried.len(), "result"));
            tell!("{}", paint(BAD, words));
        }
    }
}

/// A bar on a terminal, and nothing elsewhere.
struct Bar {
    bar: ProgressBar,
    moved: AtomicU64,
}

impl Bar {
    fn new(count: usize) -> Self {
        let bar = ProgressBar::new(count as u64);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("  {bar:30.cyan/dim}  {pos}/{len} results  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        Self { bar, moved: AtomicU64::new(0) }
    }

    fn moved(&self, more: u64) {
        let all = self.moved.fetch_add(more, Ordering::Relaxed) + more;
        self.bar.set_message(bytes(all));
    }

    fn ended(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
