//! Events for people: a bar for the running stage on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::pace::Pace;
use crate::cli::style::{BAD, FAINT, GOOD, REUSED, STAGE, STALE, paint};
use crate::engine::{Event, Reporter, Stamped};
use crate::report::format::seconds;
use crate::report::key_figure;
use crate::train::{EpochRecord, Progress};

/// Without bars, a long epoch tells where it is this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(60);
/// The blanks around the stage's name, the bar and the words, and a little air at the end.
const MARGIN: usize = 9;
/// Bars grow and shrink by so many columns.
const STEP: usize = 4;
/// The longest bar.
const LONGEST: usize = 40;
/// Columns of a terminal that does not say how wide it is.
const COLUMNS: u16 = 80;
/// From this many columns on, a bar has room for its steps.
const WIDE: u16 = 100;
/// With fewer columns than this, it has none for its speed.
const NARROW: u16 = 72;

/// A terminal, or a file in its place.
#[derive(Debug)]
pub struct Terminal {
    bars: bool,
    bar: Option<ProgressBar>,
    pace: Option<Pace>,
    /// Columns of the bar.
    length: usize,
    /// When a plain line last told of a step.
    told: Instant,
}

impl Terminal {
    /// With bars where standard error is a terminal that can move its cursor.
    pub fn on_stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bars = std::io::stderr().is_terminal() && !dumb;
        Self { bars, bar: None, pace: None, length: 0, told: Instant::now() }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
            None => anstream::eprintln!("{text}"),
        }
    }

    fn progress(&mut self, stage: &str, progress: &Progress) {
        let now = Instant::now();
        let pace = self.pace.get_or_insert_with(|| Pace::new(progress.step, now));
        let left = pace.left(progress.step, progress.steps, now).map(|left| seconds(left.as_secs_f64()));
        if !self.bars {
            if self.told.elapsed() >= PLAIN_INTERVAL {
                self.told = now;
                let words = words(progress, left.as_deref(), WIDE);
                self.line(&paint(FAINT, format!("  {stage}: {words}")));
            }
            return;
        }
        let width = Term::stderr().size_checked().map_or(COLUMNS, |(_, columns)| columns);
        let words = words(progress, left.as_deref(), width);
        let room = usize::from(width).saturating_sub(stage.len() + words.len() + MARGIN);
        let bar = self.bar.get_or_insert_with(|| {
            self.length = 0;
            ProgressBar::new(progress.steps).with_prefix(stage.to_owned())
        });
        // A bar that changed its length with every digit beside it would be restless.
        if self.length == 0 || room < self.length || room >= self.length + 2 * STEP {
            self.length = room.min(LONGEST) / STEP * STEP;
            bar.set_style(style(self.length));
        }
        bar.set_message(words);
        bar.set_position(progress.step);
    }

    fn epoch(&mut self, stage: &str, record: &EpochRecord) {
        self.told = Instant::now();
        // One line of 80 columns; `runner log` has every figure.
        let short = |share: f64| format!("{:.1}%", share * 100.0);
        let (loss, accuracy) = (record.train_loss, short(record.train_accuracy));
        let mut text = format!("  {stage}: epoch {}  loss {loss:.3}  accuracy {accuracy}", record.epoch);
        if let Some(accuracy) = record.validation_accuracy {
            text += &format!("  validation {}", short(accuracy));
        }
        if let Some(open) = record.sparsity {
            text += &format!("  open {}", short(open));
        }
        self.line(&paint(FAINT, text));
    }

    /// The running stage has ended, one way or the other.
    fn ended(&mut self) {
        self.pace = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar of so many columns.
fn style(length: usize) -> ProgressStyle {
    let bar = if length > 0 { format!("{{bar:{length}.cyan/dim}}  ") } else { String::new() };
    let style = ProgressStyle::with_template(&format!("  {{prefix:.bold}}  {bar}{{msg}}"));
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

/// Where a run is, in as many words as fit beside a bar into `width` columns.
fn words(progress: &Progress, left: Option<&str>, width: u16) -> String {
    let mut words = vec![format!("epoch {}/{}", progress.epoch, progress.epochs)];
    let accuracy = progress.accuracy * 100.0;
    if width >= WIDE {
        words.push(format!("step {}/{}", progress.step, progress.steps));
        words.extend([format!("loss {:.3}", progress.loss), format!("acc {accuracy:.1}%")]);
    } else {
        words.extend([format!("loss {:.2}", progress.loss), format!("{accuracy:.1}%")]);
    }
    if width >= NARROW {
        words.push(format!("{:.0} img/s", progress.images_per_second));
    }
    words.extend(left.map(|left| format!("{left} left")));
    words.join("  ")
}

impl Reporter for Terminal {
    fn report(&mut self, event: &Stamped) {
        match &event.event {
            Event::RunStarted { pipeline, stages, to_run, device, threads, .. } => {
                self.line(&format!(
                    "{pipeline}: {stages} stages, {to_run} to run ({device}, {threads} threads)"
                ));
            }
            Event::StageCached { stage, .. } => {
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(REUSED, "cached")));
            }
            Event::StageWaiting { stage, holder } => {
                let words = format!("waits for {holder}, which runs it");
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(STALE, words)));
            }
            Event::StageStarted { stage, reasons, .. } => {
                self.ended();
                let words = format!("runs: {}", reasons.join(", "));
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(STALE, words)));
            }
            Event::StageResumed { stage, progress } => {
                let words = format!("goes on from epoch {}, step {}", progress.epoch, progress.step);
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(STALE, words)));
            }
            Event::Progress { stage, progress } => self.progress(stage, progress),
            Event::EpochFinished { stage, record } => self.epoch(stage, record),
            Event::StageFinished { stage, seconds: time, metrics, .. } => {
                self.ended();
                let figure = key_figure(metrics);
                let figure = if figure.is_empty() { figure } else { format!(": {figure}") };
                let done = paint(GOOD, "done");
                self.line(&format!("  {} {done} in {}{figure}", paint(STAGE, stage), seconds(*time)));
            }
            Event::StageFailed { stage, .. } => {
                self.ended();
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(BAD, "failed")));
            }
            Event::Warning { message } => self.line(&format!("  {} {message}", paint(STALE, "warning:"))),
            Event::StageInterrupted { .. } | Event::RunFinished { .. } => self.ended(),
            Event::CheckpointSaved { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_bar_leaves_room_for_the_bar() {
        let progress = Progress {
            epoch: 120,
            epochs: 160,
            step: 42_000,
            steps: 56_320,
            loss: 10.512,
            accuracy: 1.0,
            images_per_second: 12_345.6,
            lr: 0.1,
        };
        let narrow = words(&progress, Some("3 h 12 min"), 80);
        assert_eq!(narrow, "epoch 120/160  loss 10.51  100.0%  12346 img/s  3 h 12 min left");
        // Two blanks, `retrain`, two blanks; what is left of 80 columns is the bar.
        assert!(2 + "retrain".len() + 2 + narrow.len() + 2 <= 80);
        let wide = words(&progress, Some("3 h 12 min"), 120);
        assert!(wide.contains("step 42000/56320") && 2 + "retrain".len() + 2 + wide.len() + 2 <= 120);
    }
}
