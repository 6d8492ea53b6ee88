//! Standard output, which may be closed by whoever reads it, or full.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// As `println!`, without its panic: see [`write`].
macro_rules! say {
    () => { $crate::cli::output::write(format_args!("\n")) };
    ($($what:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($what)*))) };
}

/// As `print!`, without its panic.
macro_rules! say_all {
    ($($what:tt)*) => { $crate::cli::output::write(format_args!($($what)*)) };
}

/// Writes to standard output, with colours where it is a terminal that wants them. A reader that has gone (`| head`) ends
/// the program without a word; any other failure ends it with one.
pub fn write(what: Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    let Err(error) = out.write_fmt(what).and_then(|()| out.flush()) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    anstream::eprintln!("standard output cannot be written: {error}");
    std::process::exit(super::FAILURE.into());
}
