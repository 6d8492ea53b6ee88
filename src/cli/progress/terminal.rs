//! Events for people: a bar for the running stage on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::style::{BAD, FAINT, GOOD, REUSED, STAGE, STALE, paint};
use crate::engine::{Event, Reporter, Stamped};
use crate::report::format::{percent, seconds};
use crate::train::{EpochRecord, Progress};

/// A terminal, or a file in its place.
#[derive(Debug)]
pub struct Terminal {
    bars: bool,
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// With bars on a terminal, without elsewhere.
    pub fn new(bars: bool) -> Self {
        Self { bars, bar: None }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
            None => anstream::eprintln!("{text}"),
        }
    }

    fn progress(&mut self, stage: &str, progress: &Progress) {
        if !self.bars {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("  {prefix:16} {bar:24} {msg}  ETA {eta}");
            ProgressBar::new(progress.steps)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_prefix(stage.to_owned());
        bar.set_position(progress.step);
        bar.set_message(format!(
            "epoch {}/{}  step {}/{}  loss {:.3}  acc {}  {:.0} img/s",
            progress.epoch,
            progress.epochs,
            progress.step,
            progress.steps,
            progress.loss,
            percent(progress.accuracy),
            progress.images_per_second
        ));
    }

    fn epoch(&self, stage: &str, record: &EpochRecord) {
        let mut text = format!(
            "  {stage}: epoch {}  loss {:.3}  acc {}",
            record.epoch,
            record.train_loss,
            percent(record.train_accuracy)
        );
        if let Some(accuracy) = record.validation_accuracy {
            text += &format!("  validation {}", percent(accuracy));
        }
        if let (Some(open), Some(mean)) = (record.sparsity, record.mean_gate) {
            text += &format!("  mean gate {mean:.3}  open {}", percent(open));
        }
        self.line(&paint(FAINT, text));
    }
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
                let words = format!("runs: {}", reasons.join(", "));
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(STALE, words)));
            }
            Event::StageResumed { stage, progress } => {
                let words = format!("goes on from epoch {}, step {}", progress.epoch, progress.step);
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(STALE, words)));
            }
            Event::Progress { stage, progress } => self.progress(stage, progress),
            Event::EpochFinished { stage, record } => self.epoch(stage, record),
            Event::StageFinished { stage, seconds: time, .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                self.line(&format!(
                    "  {} {} in {}",
                    paint(STAGE, stage),
                    paint(GOOD, "done"),
                    seconds(*time)
                ));
            }
            Event::StageFailed { stage, .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                self.line(&format!("  {} {}", paint(STAGE, stage), paint(BAD, "failed")));
            }
            Event::Warning { message } => self.line(&format!("  {} {message}", paint(STALE, "warning:"))),
            Event::StageInterrupted { .. } | Event::RunFinished { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
            Event::CheckpointSaved { .. } => {}
        }
    }
}
