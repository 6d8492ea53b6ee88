//! Readers of the event stream: a terminal, JSON lines, TensorBoard, silence.

mod overall;
mod pace;
mod tensorboard;
mod terminal;

pub use overall::Expected;
pub use tensorboard::TensorBoard;
pub use terminal::Terminal;

use crate::cli::output::{self, Lost};
use crate::cli::style::{STALE, paint};
use crate::engine::{Event, Reporter, Stamped, StopFlag, StopReason};

/// One JSON event a line on standard output. A run whose events nobody takes is asked to stop.
#[derive(Debug)]
pub struct Json(pub StopFlag);

impl Reporter for Json {
    fn report(&mut self, event: &Stamped) {
        say!("{}", event.line());
        match output::lost() {
            Some(Lost::Reader) => self.0.raise(StopReason::ReaderGone),
            Some(Lost::Failed(_)) => self.0.raise(StopReason::OutputFailed),
            None => {}
        }
    }
}

/// Nothing but warnings, which no one should miss.
#[derive(Debug)]
pub struct Quiet;

impl Reporter for Quiet {
    fn report(&mut self, event: &Stamped) {
        match &event.event {
            Event::Warning { message } => tell!("{} {message}", paint(STALE, "warning:")),
            Event::StageWarned { stage, message, .. } => {
                tell!("{} {stage}: {message}", paint(STALE, "warning:"));
            }
            _ => {}
        }
    }
}
