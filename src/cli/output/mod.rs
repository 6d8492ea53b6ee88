//! The two streams: results on standard output, progress and errors on standard error.
//!
//! Everything that is printed goes through here. A terminal gets no commands but the colours of
//! [`paint`](super::style::paint): whatever else a name, a record or a server's answer holds of them is shown
//! in words. A stream that is closed or full ends nothing: standard error is given up silently, and [`end`]
//! says at the end of the program that results were lost. A command that works for long asks [`lost`] whether
//! somebody still reads.

mod errors;

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use super::style::{colours, only_colours};
pub use errors::install as install_error_hook;

/// As `println!`, without its panic and for everybody's words: see [`write`].
macro_rules! say {
    () => { $crate::cli::output::write(format_args!("\n")) };
    ($($what:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($what)*))) };
}

/// As `print!`, without its panic and for everybody's words.
macro_rules! say_all {
    ($($what:tt)*) => { $crate::cli::output::write(format_args!($($what)*)) };
}

/// As `eprintln!`, without its panic and for everybody's words: see [`write_error`].
macro_rules! tell {
    ($($what:tt)*) => { $crate::cli::output::write_error(format_args!("{}\n", format_args!($($what)*))) };
}

/// As `eprint!`, without its panic and for everybody's words.
macro_rules! tell_all {
    ($($what:tt)*) => { $crate::cli::output::write_error(format_args!($($what)*)) };
}

/// Why standard output takes nothing any more.
#[derive(Debug)]
pub enum Lost {
    /// Its reader has gone (`| head`).
    Reader,
    /// The disk is full, the terminal has gone; in the system's words.
    Failed(String),
}

static LOST: OnceLock<Lost> = OnceLock::new();

/// Why standard output takes nothing any more, if that is so.
pub fn lost() -> Option<&'static Lost> {
    LOST.get()
}

/// Writes to standard output, with colours where it is a terminal that wants them.
pub fn write(what: Arguments<'_>) {
    put(colours(&what.to_string()).as_bytes());
}

/// Writes the content of a file (CSV, SVG, a schema) to standard output: unchanged, but for a terminal.
pub fn write_file(content: &str) {
    if std::io::stdout().is_terminal() {
        write(format_args!("{content}"));
    } else {
        put(content.as_bytes());
    }
}

fn put(bytes: &[u8]) {
    if lost().is_some() {
        return;
    }
    let mut out = anstream::stdout().lock();
    let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) else { return };
    let why = match error.kind() {
        ErrorKind::BrokenPipe => Lost::Reader,
        _ => Lost::Failed(error.to_string()),
    };
    let _ = LOST.set(why);
}

/// Writes to standard error. If it takes nothing, there is nobody to say it to.
pub fn write_error(what: Arguments<'_>) {
    put_error(&colours(&what.to_string()));
}

/// Writes what clap has drawn to standard output: of commands to the terminal, only colours pass.
pub fn write_styled(text: &str) {
    put(only_colours(text).as_bytes());
}

/// As [`write_styled`], to standard error.
pub fn write_styled_error(text: &str) {
    put_error(&only_colours(text));
}

/// Writes an error as the hook draws it.
pub fn write_report(report: &miette::Report) {
    put_error(&only_colours(&format!("{report:?}\n")));
}

fn put_error(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A text for a terminal that something else writes to, a bar or a screen.
pub fn for_terminal(text: &str, stream: &impl anstream::stream::RawStream) -> String {
    let text = colours(text);
    match anstream::AutoStream::choice(stream) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(&text).to_string(),
        _ => text.into_owned(),
    }
}

/// Lets bars have colours where all else on standard error has them.
pub fn agree_on_colours() {
    let choice = anstream::AutoStream::choice(&std::io::stderr());
    console::set_colors_enabled_stderr(choice != anstream::ColorChoice::Never);
}

/// The exit code of a command that would end with `code`: a reader that has gone has what it wanted, but
/// results that a full disk did not take are missing.
pub fn end(code: ExitCode) -> ExitCode {
    match lost() {
        Some(Lost::Failed(why)) => {
            write_error(format_args!("standard output cannot be written: {why}\n"));
            if code == ExitCode::SUCCESS { ExitCode::from(super::FAILURE) } else { code }
        }
        Some(Lost::Reader) | None => code,
    }
}

/// A name in one line, for a place that is not printed from here.
pub fn name(text: &str) -> Cow<'_, str> {
    crate::shown::line(text)
}
