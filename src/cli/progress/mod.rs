//! Readers of the event stream: a terminal, JSON lines, silence.

mod pace;
mod terminal;

pub use terminal::Terminal;

use crate::engine::{Reporter, Stamped};

/// One JSON event a line on standard output.
#[derive(Debug)]
pub struct Json;

impl Reporter for Json {
    fn report(&mut self, event: &Stamped) {
        say!("{}", event.line());
    }
}

/// Nothing.
#[derive(Debug)]
pub struct Quiet;

impl Reporter for Quiet {
    fn report(&mut self, _event: &Stamped) {}
}
