//! Colours and error rendering. Colours follow `NO_COLOR`, `CLICOLOR` and whether the output is a terminal.

use anstyle::{AnsiColor, Style};

/// Names of stages.
pub const STAGE: Style = Style::new().bold();
/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What was reused.
pub const REUSED: Style = AnsiColor::Cyan.on_default();
/// What will be done.
pub const STALE: Style = AnsiColor::Yellow.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Side remarks.
pub const FAINT: Style = Style::new().dimmed();

/// `text` in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Errors are drawn with their source snippets, and as wide as the terminal up to 100 columns.
pub fn install_error_hook() {
    // Only fails if a hook is there already, which then is as good.
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().width(100).context_lines(1).wrap_lines(true).build())
    }));
}
