//! Events for people: a bar for every running stage on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::pace::Pace;
use crate::cli::output;
use crate::cli::style::{BAD, FAINT, GOOD, REUSED, STAGE, STALE, columns_of, paint};
use crate::engine::{Event, Reporter, Stamped};
use crate::report::format::{bytes, plural, seconds};
use crate::report::key_figure;
use crate::state::RunState;
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
    /// Where bars are drawn; none without a terminal.
    bars: Option<MultiProgress>,
    /// Whether lines go to standard output.
    to_stdout: bool,
    /// The stages that run, by the names they are told by.
    running: BTreeMap<String, Running>,
    /// Whether the points of a sweep are told, and not every stage that is in the cache.
    sweep: bool,
    /// Swept keys whose last part alone says which they are.
    short: Vec<String>,
}

/// A stage that runs.
#[derive(Debug)]
struct Running {
    bar: Option<ProgressBar>,
    pace: Option<Pace>,
    /// Columns of the bar.
    length: usize,
    /// When a plain line last told of a step.
    told: Instant,
}

impl Running {
    fn new() -> Self {
        Self { bar: None, pace: None, length: 0, told: Instant::now() }
    }
}

impl Terminal {
    /// With bars where standard error is a terminal that can move its cursor.
    pub fn on_stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bars = std::io::stderr().is_terminal() && !dumb;
        let bars = bars.then(MultiProgress::new);
        Self { bars, to_stdout: false, running: BTreeMap::new(), sweep: false, short: Vec::new() }
    }

    /// Lines on standard output, for somebody who looks from outside.
    pub fn on_stdout() -> Self {
        Self { bars: None, to_stdout: true, running: BTreeMap::new(), sweep: false, short: Vec::new() }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // A terminal that has gone is no reason to end a run.
            Some(bars) => drop(bars.println(output::for_terminal(text, &std::io::stderr()))),
            None if self.to_stdout => say!("{text}"),
            None => tell!("{text}"),
        }
    }

    /// A stage's name, and of which point it is.
    fn name(&self, stage: &str, point: &str) -> String {
        if point.is_empty() { stage.to_owned() } else { format!("{stage} {}", self.point(point)) }
    }

    /// A point, with short keys: `flops_ratio=0.3 seed=1`.
    fn point(&self, point: &str) -> String {
        let short = |term: &str| match term.split_once('=') {
            Some((key, value)) if self.short.iter().any(|short| short == key) => {
                format!("{}={value}", last(key))
            }
            _ => term.to_owned(),
        };
        point.split(' ').map(short).collect::<Vec<_>>().join(" ")
    }

    fn progress(&mut self, name: &str, progress: &Progress) {
        let now = Instant::now();
        let running = self.running.entry(name.to_owned()).or_insert_with(Running::new);
        let pace = running.pace.get_or_insert_with(|| Pace::new(progress.step, now));
        let left = pace.left(progress.step, progress.steps, now).map(|left| seconds(left.as_secs_f64()));
        let Some(bars) = &self.bars else {
            if running.told.elapsed() >= PLAIN_INTERVAL {
                running.told = now;
                let words = words(progress, left.as_deref(), WIDE);
                self.line(&paint(FAINT, format!("  {name}: {words}")));
            }
            return;
        };
        let width = Term::stderr().size_checked().map_or(COLUMNS, |(_, columns)| columns);
        let words = words(progress, left.as_deref(), width);
        let room = usize::from(width).saturating_sub(columns_of(name) + words.len() + MARGIN);
        let bar = running.bar.get_or_insert_with(|| {
            running.length = 0;
            bars.add(ProgressBar::new(progress.steps).with_prefix(output::name(name).into_owned()))
        });
        // A bar that changed its length with every digit beside it would be restless.
        if running.length == 0 || room < running.length || room >= running.length + 2 * STEP {
            running.length = room.min(LONGEST) / STEP * STEP;
            bar.set_style(style(running.length));
        }
        bar.set_message(words);
        bar.set_position(progress.step);
    }

    fn epoch(&mut self, stage: &str, record: &EpochRecord) {
        if let Some(running) = self.running.get_mut(stage) {
            running.told = Instant::now();
        }
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

    /// A running stage has ended, one way or the other.
    fn ended(&mut self, name: &str) {
        let Some(bar) = self.running.remove(name).and_then(|running| running.bar) else { return };
        bar.finish_and_clear();
        if let Some(bars) = &self.bars {
            bars.remove(&bar);
            // One that only finishes may stay on the screen when nothing is printed after it; the others are drawn again.
            let _ = bars.clear();
        }
    }
}

/// The last part of a key.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
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
        let name = event.event.stage().map_or(String::new(), |stage| self.name(stage, &event.point));
        let told = paint(STAGE, &name);
        match &event.event {
            Event::RunStarted { pipeline, points, stages, to_run, device, threads, jobs, axes } => {
                self.sweep = *points > 1;
                let alone = |key: &&String| axes.iter().filter(|axis| last(axis) == last(key)).count() == 1;
                self.short = axes.iter().filter(alone).cloned().collect();
                let points = if self.sweep { format!("{points} points, ") } else { String::new() };
                let jobs = if *jobs > 1 { format!("{jobs} jobs, ") } else { String::new() };
                let (stages, threads) = (plural(*stages, "stage"), plural(*threads, "thread"));
                self.line(&format!(
                    "{pipeline}: {points}{stages}, {to_run} to run ({jobs}{device}, {threads})"
                ));
            }
            // Of a sweep the points are told.
            Event::StageCached { .. } if self.sweep => {}
            Event::StageCached { .. } => self.line(&format!("  {told} {}", paint(REUSED, "cached"))),
            Event::StageDownloaded { bytes: size, .. } => {
                let words = format!("came from the shared cache ({})", bytes(*size));
                self.line(&format!("  {told} {}", paint(REUSED, words)));
            }
            // The end says how many.
            Event::StageUploaded { .. } => {}
            Event::UploadsWaiting { left, remote } => {
                let words = format!("sending {} to {remote}", plural(*left, "result"));
                self.line(&paint(FAINT, words));
            }
            Event::StageWaiting { holder, .. } => {
                let words = format!("waits for {holder}, which runs it");
                self.line(&format!("  {told} {}", paint(STALE, words)));
            }
            Event::StageStarted { reasons, .. } => {
                self.ended(&name);
                let words = format!("runs: {}", reasons.join(", "));
                self.line(&format!("  {told} {}", paint(STALE, words)));
            }
            Event::StageResumed { progress, .. } => {
                let words = format!("goes on from epoch {}, step {}", progress.epoch, progress.step);
                self.line(&format!("  {told} {}", paint(STALE, words)));
            }
            Event::Progress { progress, .. } => self.progress(&name, progress),
            Event::EpochFinished { record, .. } => self.epoch(&name, record),
            Event::StageFinished { seconds: time, metrics, .. } => {
                self.ended(&name);
                let figure = key_figure(metrics);
                let figure = if figure.is_empty() { figure } else { format!(": {figure}") };
                self.line(&format!("  {told} {} in {}{figure}", paint(GOOD, "done"), seconds(*time)));
            }
            Event::StageFailed { message, .. } => {
                self.ended(&name);
                // Without a sweep the error stands at the end.
                let why = if self.sweep { format!(": {message}") } else { String::new() };
                self.line(&format!("  {told} {}{why}", paint(BAD, "failed")));
            }
            Event::StageRetried { left, pause, .. } => {
                let words = format!("tries again in {} ({left} more tries after that)", seconds(*pause));
                self.line(&format!("  {told} {}", paint(STALE, words)));
            }
            Event::StageSkipped { reason, .. } => {
                self.line(&format!("  {told} {} {reason}", paint(STALE, "skipped:")));
            }
            Event::PointFinished { status, ended, points } => {
                let style = if *status == RunState::Done { GOOD } else { BAD };
                let point = self.point(&event.point);
                self.line(&format!("{} {ended}/{points} {point}", paint(style, format!("point {status}"))));
            }
            Event::Warning { message } => self.line(&format!("  {} {message}", paint(STALE, "warning:"))),
            Event::StageInterrupted { .. } => self.ended(&name),
            Event::RunFinished { .. } => {
                let names: Vec<String> = self.running.keys().cloned().collect();
                names.iter().for_each(|name| self.ended(name));
            }
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
