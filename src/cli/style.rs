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

/// One cell of [`columns`].
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A cell of plain text, at the left.
    pub fn left(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new(), right: false }
    }

    /// A number, at the right.
    pub fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    /// The same in a style.
    #[must_use]
    pub fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// Rows of cells as aligned lines, two blanks between columns and before the first.
pub fn columns(rows: &[Vec<Cell>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        // What is empty at the end leaves no blanks behind.
        let length = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        for (at, (cell, width)) in row[..length].iter().zip(&widths).enumerate() {
            let blanks = " ".repeat(width - cell.text.chars().count());
            let text = paint(cell.style, &cell.text);
            out += "  ";
            match (cell.right, at + 1 == length) {
                (true, _) => out.extend([blanks.as_str(), &text]),
                (false, true) => out += &text,
                (false, false) => out.extend([text.as_str(), &blanks]),
            }
        }
        out.push('\n');
    }
    out
}

/// As [`columns`]. Where they are wider than `width`, the last `details` cells of every row stand below it, broken into
/// lines.
pub fn columns_or_below(rows: &[Vec<Cell>], details: usize, width: usize) -> String {
    let whole = columns(rows);
    let length = |line: &str| anstream::adapter::strip_str(line).to_string().chars().count();
    if whole.lines().all(|line| length(line) <= width) {
        return whole;
    }
    let heads: Vec<Vec<Cell>> =
        rows.iter().map(|row| row[..row.len().saturating_sub(details)].to_vec()).collect();
    let mut out = String::new();
    for (head, row) in columns(&heads).lines().zip(rows) {
        out += head;
        out.push('\n');
        for cell in row[row.len().saturating_sub(details)..].iter().filter(|cell| !cell.text.is_empty()) {
            let room = width.saturating_sub(BELOW.len()).max(1);
            for line in textwrap::wrap(&cell.text, room) {
                out += &format!("{BELOW}{}\n", paint(cell.style, line));
            }
        }
    }
    out
}

/// Texts in their styles, one after the other, as lines of at most `width` columns. A line is broken between words alone, and the
/// lines after the first begin at column `hang`. A word that is wider than a line stands on one of its own.
pub fn wrapped(pieces: &[(Style, &str)], hang: usize, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (style, text) in pieces {
        let mut run = String::new();
        let mut gap = 0;
        for word in text.split(' ') {
            if word.is_empty() {
                gap += 1;
                continue;
            }
            let long = console::measure_text_width(word);
            if column > hang && column + gap + long > width {
                out += &painted(*style, &run);
                out += &format!("\n{}", " ".repeat(hang));
                run.clear();
                (column, gap) = (hang, 0);
            }
            run += &" ".repeat(gap);
            run += word;
            column += gap + long;
            gap = 1;
        }
        out += &painted(*style, &run);
    }
    out
}

fn painted(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { paint(style, text) }
}

/// What stands before a line below its row.
const BELOW: &str = "      ";

/// Columns of the terminal that standard output goes to; of anything else 80.
pub fn width() -> usize {
    const COLUMNS: usize = 80;
    console::Term::stdout().size_checked().map_or(COLUMNS, |(_, columns)| usize::from(columns).max(1))
}

/// `text` in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    if style.is_plain() { text.to_string() } else { format!("{style}{text}{style:#}") }
}

/// Errors are drawn with their source snippets, and as wide as the terminal up to 100 columns.
pub fn install_error_hook() {
    // Only fails if a hook is there already, which then is as good.
    let _ = miette::set_hook(Box::new(|_| {
        // Commands and names of files are never broken: a person may want to copy them.
        let whole_words = miette::MietteHandlerOpts::new()
            .width(100)
            .context_lines(1)
            .wrap_lines(true)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        Box::new(whole_words.build())
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hang() {
        let pieces = [(STAGE, "  retrain"), (Style::new(), ", 9 times: optimizer.weight_decay changed 0.0001 -> 0.0005"), (FAINT, "  (seed=1)")];
        for width in [40, 60, 80] {
            let text = anstream::adapter::strip_str(&wrapped(&pieces, 4, width)).to_string();
            assert!(text.lines().all(|line| line.len() <= width), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("    ") && !line.starts_with("     ")));
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&text), words("retrain, 9 times: optimizer.weight_decay changed 0.0001 -> 0.0005 (seed=1)"));
        }
        assert_eq!(wrapped(&[(Style::new(), "a  bcdefghij k")], 2, 6), "a\n  bcdefghij\n  k");
    }
}
