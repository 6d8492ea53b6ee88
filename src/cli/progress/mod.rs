//! Readers of the event stream: a terminal, JSON lines, TensorBoard, silence.

mod overall;
mod pace;
mod tensorboard;
mod terminal;

pub use overall::Expected;
pub use tensorboard::TensorBoard;
pub use terminal::Terminal;

use crate::cli::style::{STALE, paint};
use crate::engine::{Event, Reporter, Stamped};

/// One JSON event a line on standard output.
#[derive(Debug)]
pub struct Json;

impl Reporter for Json {
    fn report(&mut self, event: &Stamped) {
        say!("{}", event.line());
    }
}

/// Nothing but warnings, which no one should miss.
#[derive(Debug)]
pub struct Quiet;

impl Reporter for Quiet {
    fn report(&mut self, event: &Stamped) {
        if let Event::Warning { message } = &event.event {
            anstream::eprintln!("{} {message}", paint(STALE, "warning:"));
        }
    }
}
