//! Events for people: a bar for every running stage on a terminal, plain lines elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::overall::{Expected, Overall};
use super::pace::Pace;
use crate::cli::output;
use crate::cli::plan::time::rough;
use crate::cli::style::{BAD, FAINT, GOOD, REUSED, STAGE, STALE, columns_of, folded, paint};
use crate::engine::{Event, Reporter, Stamped};
use crate::report::format::{bytes, plural, seconds};
use crate::report::key_figure;
use crate::state::RunState;
use crate::train::{EpochRecord, Progress};

/// Without bars, a long epoch tells where it is this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(60);
/// The blanks around the stage's name, the bar and the words, and a little air at the end.
const MARGIN: usize = 9;
/// The blanks around the stage's name and the words, without a bar.
const BLANKS: usize = 5;
/// A name is not cut shorter than this.
const TIGHT: usize = 12;
/// The lines after the first of a message that is broken begin here.
const HANG: usize = 4;
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
    /// The bar of the whole run, below the others.
    whole: Option<ProgressBar>,
    overall: Overall,
    /// When the progress of the whole run was last told without a bar.
    told: Instant,
    /// Whether lines go to standard output.
    to_stdout: bool,
    /// The stages that run, by the names they are told by.
    running: BTreeMap<String, Running>,
    /// Whether the points of a sweep are told, and not every stage that is in the cache.
    sweep: bool,
    /// Swept keys whose last part alone says which they are.
    short: Vec<String>,
    /// Warnings about stages that were told.
    warned: BTreeSet<String>,
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
    /// With bars where standard error is a terminal that can move its cursor. `expected` are the stages to
    /// run.
    pub fn on_stderr(expected: &[Expected]) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bars = std::io::stderr().is_terminal() && !dumb;
        Self {
            bars: bars.then(MultiProgress::new),
            overall: Overall::new(expected),
            ..Self::on_stdout(false)
        }
    }

    /// Lines on standard output, for somebody who looks from outside.
    pub fn from_outside() -> Self {
        Self::on_stdout(true)
    }

    fn on_stdout(to_stdout: bool) -> Self {
        Self {
            bars: None,
            whole: None,
            overall: Overall::default(),
            told: Instant::now(),
            to_stdout,
            running: BTreeMap::new(),
            sweep: false,
            short: Vec::new(),
            warned: BTreeSet::new(),
        }
    }

    /// Prints a line. On a terminal it is broken between words; in a file it stays whole.
    fn line(&self, text: &str) {
        match &self.bars {
            // A terminal that has gone is no reason to end a run.
            Some(bars) => {
                let text = folded(text, HANG, usize::from(columns()));
                drop(bars.println(output::for_terminal(&text, &std::io::stderr())));
            }
            None if self.to_stdout => say!("{text}"),
            None => tell!("{text}"),
        }
    }

    /// Brings the bar of the whole run up to date.
    fn whole(&mut self) {
        let Some(bars) = self.bars.as_ref().filter(|_| self.overall.is_worth_telling()) else { return };
        let (all, done) = self.overall.stages();
        let bar = self.whole.get_or_insert_with(|| bars.add(ProgressBar::new(all as u64).with_prefix("run")));
        let words = self.overall.words(Instant::now());
        let room = usize::from(columns()).saturating_sub("run".len() + columns_of(&words) + MARGIN);
        bar.set_style(style(room.min(LONGEST) / STEP * STEP));
        bar.set_message(words);
        bar.set_position(done as u64);
    }

    /// Without bars, tells how far the whole run is, but not too often.
    fn tell_whole(&mut self) {
        let (all, done) = self.overall.stages();
        let is_due = self.told.elapsed() >= PLAIN_INTERVAL && done < all;
        if self.bars.is_none() && self.overall.is_worth_telling() && is_due {
            self.told = Instant::now();
            let words = self.overall.words(Instant::now());
            self.line(&paint(FAINT, format!("run: {words}")));
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

    fn progress(&mut self, (stage, point): (&str, &str), progress: &Progress) {
        let name = &self.name(stage, point);
        let now = Instant::now();
        let running = self.running.entry(name.to_owned()).or_insert_with(Running::new);
        let pace = running.pace.get_or_insert_with(|| Pace::new(progress.step, now));
        let left = pace.left(progress.step, progress.steps, now);
        self.overall.steps_say(stage, point, left, now);
        let left = left.map(|left| seconds(left.as_secs_f64()));
        let Some(bars) = &self.bars else {
            if running.told.elapsed() >= PLAIN_INTERVAL {
                running.told = now;
                let words = words(progress, left.as_deref(), WIDE);
                self.line(&paint(FAINT, format!("  {name}: {words}")));
            }
            return;
        };
        let width = columns();
        let (name, words) = fitting(name, progress, left.as_deref(), width);
        let used = columns_of(&name) + columns_of(&words) + MARGIN;
        let room = usize::from(width).saturating_sub(used);
        let bar = running.bar.get_or_insert_with(|| {
            running.length = 0;
            let bar = ProgressBar::new(progress.steps);
            match &self.whole {
                Some(whole) => bars.insert_before(whole, bar),
                None => bars.add(bar),
            }
        });
        bar.set_prefix(output::name(&name).into_owned());
        // A bar that changed its length with every digit beside it would be restless.
        if running.length == 0 || room < running.length || room >= running.length + 2 * STEP {
            running.length = room.min(LONGEST) / STEP * STEP;
            bar.set_style(style(running.length));
        }
        bar.set_message(words);
        bar.set_position(progress.step);
        self.whole();
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
        self.clear(&bar);
    }

    fn clear(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        if let Some(bars) = &self.bars {
            bars.remove(bar);
            // One that only finishes may stay on the screen when nothing is printed after it; the others are drawn again.
            let _ = bars.clear();
        }
    }
}

fn tries(left: u32) -> String {
    if left == 1 { "1 more try".to_owned() } else { format!("{left} more tries") }
}

/// Columns of the terminal.
fn columns() -> u16 {
    Term::stderr().size_checked().map_or(COLUMNS, |(_, columns)| columns)
}

/// The name of a stage and the words beside its bar, as much of both as fits into `width` columns.
fn fitting(name: &str, progress: &Progress, left: Option<&str>, width: u16) -> (String, String) {
    let columns = usize::from(width);
    let name = console::truncate_str(name, (columns / 2).max(TIGHT), "…").into_owned();
    let fits = |words: &String| columns_of(&name) + columns_of(words) + BLANKS <= columns;
    let long = words(progress, left, width);
    let middle = || words(progress, left, NARROW - 1);
    let short = || {
        let left = left.map_or(String::new(), |left| format!("  {left} left"));
        format!("epoch {}/{}{left}", progress.epoch, progress.epochs)
    };
    let words = [Some(long), Some(middle()), Some(short())].into_iter().flatten().find(fits);
    (name, words.unwrap_or_else(|| format!("epoch {}", progress.epoch)))
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

impl Terminal {
    /// Takes in what an event says of the whole run.
    fn account(&mut self, event: &Stamped) {
        let (overall, point) = (&mut self.overall, event.point.as_str());
        match &event.event {
            Event::RunStarted { points, jobs, .. } => overall.run_begins(*points, *jobs),
            Event::StageStarted { stage, .. } => overall.begins(stage, point, Instant::now()),
            Event::StageFinished { stage, seconds, .. } => overall.ends(stage, point, Some(*seconds)),
            Event::StageCached { stage, .. }
            | Event::StageDownloaded { stage, .. }
            | Event::StageFailed { stage, .. }
            | Event::StageSkipped { stage, .. } => overall.ends(stage, point, None),
            Event::StageRetried { stage, .. } => overall.again(stage, point),
            Event::PointFinished { ended, .. } => overall.point_ends(*ended),
            _ => {}
        }
    }
}

impl Reporter for Terminal {
    fn report(&mut self, event: &Stamped) {
        self.account(event);
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
                let left = self.overall.left(Instant::now()).filter(|left| !left.is_zero());
                let time =
                    left.map_or(String::new(), |left| format!(", about {}", rough(left.as_secs_f64())));
                self.line(&format!(
                    "{pipeline}: {points}{stages}, {to_run} to run{time} ({jobs}{device}, {threads})"
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
            Event::Progress { stage, progress } => self.progress((stage, &event.point), progress),
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
                let words = format!("tries again in {} ({} left after that)", seconds(*pause), tries(*left));
                self.line(&format!("  {told} {}", paint(STALE, words)));
            }
            Event::StageSkipped { reason, .. } => {
                self.line(&format!("  {told} {} {reason}", paint(STALE, "skipped:")));
            }
            Event::PointFinished { status, ended, points } => {
                let style = if *status == RunState::Done { GOOD } else { BAD };
                let point = self.point(&event.point);
                // On a terminal the bar says it.
                let is_last = ended == points;
                let whole = if self.bars.is_some() || is_last {
                    String::new()
                } else {
                    self.overall.words(Instant::now())
                };
                let whole = if self.overall.is_worth_telling() && !whole.is_empty() {
                    paint(FAINT, format!("  ({whole})"))
                } else {
                    String::new()
                };
                self.told = Instant::now();
                self.line(&format!(
                    "{} {ended}/{points} {point}{whole}",
                    paint(style, format!("point {status}"))
                ));
            }
            Event::Warning { message } => self.line(&format!("  {} {message}", paint(STALE, "warning:"))),
            Event::StageWarned { stage, message, .. } => {
                // The points of a sweep share most of their warnings: each is worth one line.
                let words = format!("{stage}: {message}");
                if self.warned.insert(words.clone()) {
                    self.line(&format!("  {} {words}", paint(STALE, "warning:")));
                }
            }
            Event::StageInterrupted { .. } => self.ended(&name),
            Event::RunFinished { .. } => {
                let names: Vec<String> = self.running.keys().cloned().collect();
                names.iter().for_each(|name| self.ended(name));
                if let Some(whole) = self.whole.take() {
                    self.clear(&whole);
                }
                return;
            }
            Event::CheckpointSaved { .. } => {}
        }
        self.tell_whole();
        self.whole();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_with_a_long_name_fits_into_every_terminal() {
        let progress = Progress {
            epoch: 12,
            epochs: 160,
            step: 4_200,
            steps: 56_320,
            loss: 1.5,
            accuracy: 0.5,
            images_per_second: 345.6,
            lr: 0.1,
        };
        for width in [40, 60, 80, 120] {
            let long =
                "retrain threshold-search.flops_ratio=0.30 retrain.optimizer.weight_decay=0.0005 seed=1";
            for name in ["eval", long] {
                let (name, words) = fitting(name, &progress, Some("3 h 12 min"), width);
                assert!(2 + name.chars().count() + 2 + words.len() <= usize::from(width), "{name}  {words}");
                assert!(words.starts_with("epoch 12"), "{words}");
            }
        }
    }

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
