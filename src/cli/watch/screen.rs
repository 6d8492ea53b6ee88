//! The terminal while it shows a picture: a screen of its own, which is left as it was found.

use std::io::{IsTerminal, Write};

use console::Term;

use crate::cli::output;

/// Enters the alternate screen and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor and leaves the alternate screen.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// The size of a terminal that does not say it.
const SIZE: (usize, usize) = (24, 80);

/// A terminal that shows a picture until this is dropped.
pub struct Screen {
    term: Term,
}

impl Screen {
    /// The terminal on standard output; `None` where there is none, or one that cannot move its cursor.
    pub fn open() -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !std::io::stdout().is_terminal() {
            return None;
        }
        let screen = Self { term: Term::stdout() };
        screen.write(ENTER);
        Some(screen)
    }

    /// Rows and columns, now.
    pub fn size(&self) -> (usize, usize) {
        self.term.size_checked().map_or(SIZE, |(rows, columns)| (rows.into(), columns.into()))
    }

    /// Draws a picture of one line for each row at most.
    pub fn draw(&self, lines: &[String]) {
        let mut out = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                out += "\r\n";
            }
            // Before the line: after one that fills its row it would take the last character.
            out += "\x1b[2K";
            out += &output::for_terminal(line, &std::io::stdout());
        }
        // What an earlier picture had below.
        out += "\x1b[J";
        self.write(&out);
    }

    /// A terminal that has gone ends nothing.
    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.write(LEAVE);
    }
}
