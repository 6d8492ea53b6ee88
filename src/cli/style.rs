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
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let head = |row: &Vec<Cell>, details: usize| row[..row.len().saturating_sub(details)].to_vec();
    // On a narrow terminal more cells stand below.
    let fits = |details: &usize| {
        let heads: Vec<Vec<Cell>> = rows.iter().map(|row| head(row, *details)).collect();
        columns(&heads).lines().all(|line| length(line) <= width)
    };
    let details = (details..most).find(fits).unwrap_or_else(|| most.saturating_sub(1));
    let heads: Vec<Vec<Cell>> = rows.iter().map(|row| head(row, details)).collect();
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

/// Texts in their styles, one after the other, as [`folded`] lines.
pub fn wrapped(pieces: &[(Style, &str)], hang: usize, width: usize) -> String {
    let painted = pieces.iter().filter(|(_, text)| !text.is_empty()).map(|(style, text)| paint(*style, text));
    folded(&painted.collect::<String>(), hang, width)
}

/// A text, which may have styles, as lines of at most `width` columns. A line is broken between words alone, and the lines after
/// the first begin at column `hang`. A word that is wider than a line stands on one of its own.
pub fn folded(text: &str, hang: usize, width: usize) -> String {
    let mut out = String::new();
    let (mut column, mut gap) = (0, 0);
    for (at, word) in text.split(' ').enumerate() {
        gap += usize::from(at > 0);
        if word.is_empty() {
            continue;
        }
        let long = console::measure_text_width(word);
        if column > hang && column + gap + long > width {
            out += &format!("\n{}", " ".repeat(hang));
            (column, gap) = (hang, 0);
        }
        out += &" ".repeat(gap);
        out += word;
        column += gap + long;
        gap = 0;
    }
    out
}

/// As [`columns`]. Columns that do not fit into `width` go on below, with the first one again.
pub fn columns_within(rows: &[Vec<Cell>], width: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let size = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        2 + cells.map(|cell| console::measure_text_width(&cell.text)).max().unwrap_or(0)
    };
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for column in 1..count {
        match blocks.last_mut() {
            Some(block) if used + size(column) <= width => {
                block.push(column);
                used += size(column);
            }
            _ => {
                blocks.push(vec![0, column]);
                used = size(0) + size(column);
            }
        }
    }
    let block = |block: &Vec<usize>| {
        let row = |row: &Vec<Cell>| block.iter().filter_map(|column| row.get(*column).cloned()).collect();
        columns(&rows.iter().map(row).collect::<Vec<Vec<Cell>>>())
    };
    blocks.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// What stands before a line below its row.
const BELOW: &str = "      ";

/// Columns of the terminal that standard output goes to; of anything else 80.
pub fn width() -> usize {
    const COLUMNS: usize = 80;
    console::Term::stdout().size_checked().map_or(COLUMNS, |(_, columns)| usize::from(columns).max(1))
}

/// Columns of the terminal that standard error goes to. A line for anything else is never broken.
pub fn error_width() -> usize {
    console::Term::stderr().size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns).max(1))
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
