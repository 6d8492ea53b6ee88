//! Colours and columns. Colours follow `NO_COLOR`, `CLICOLOR` and whether the output is a terminal.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::shown;

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
        // A line end in a name would tear the row apart.
        let text = shown::line(&text.into()).into_owned();
        Self { text, style: Style::new(), right: false }
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
            *width = (*width).max(cell.text.width());
        }
    }
    let mut out = String::new();
    for row in rows {
        // What is empty at the end leaves no blanks behind.
        let length = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        for (at, (cell, width)) in row[..length].iter().zip(&widths).enumerate() {
            let blanks = " ".repeat(width - cell.text.width());
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
    if whole.lines().all(|line| columns_of(line) <= width) {
        return whole;
    }
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let head = |row: &Vec<Cell>, details: usize| row[..row.len().saturating_sub(details)].to_vec();
    // On a narrow terminal more cells stand below.
    let fits = |details: &usize| {
        let heads: Vec<Vec<Cell>> = rows.iter().map(|row| head(row, *details)).collect();
        columns(&heads).lines().all(|line| columns_of(line) <= width)
    };
    let details = (details..most).find(fits).unwrap_or_else(|| most.saturating_sub(1));
    let heads: Vec<Vec<Cell>> = rows.iter().map(|row| head(row, details)).collect();
    let mut out = String::new();
    for (head, row) in columns(&heads).lines().zip(rows) {
        out += head;
        out.push('\n');
        for cell in row[row.len().saturating_sub(details)..].iter().filter(|cell| !cell.text.is_empty()) {
            let room = width.saturating_sub(BELOW.len()).max(1);
            for line in folded(&cell.text, 0, room).lines() {
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

/// A text, which may have styles, as lines of at most `width` columns. A line is broken between words alone,
/// and the lines after the first begin at column `hang`. A word that is wider than a line stands on one of
/// its own.
pub fn folded(text: &str, hang: usize, width: usize) -> String {
    let mut out = String::new();
    let (mut column, mut gap) = (0, 0);
    for (at, word) in text.split(' ').enumerate() {
        gap += usize::from(at > 0);
        if word.is_empty() {
            continue;
        }
        let long = columns_of(word);
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
        2 + cells.map(|cell| columns_of(&cell.text)).max().unwrap_or(0)
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

/// `text` in a style, for the [streams](super::output) alone: they take the marks of this process, which no
/// text from outside can have, for colours.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    if style.is_plain() {
        return text.to_string();
    }
    let marked = |style: String| style.replace(BEGIN, mark());
    format!("{}{text}{}", marked(style.render().to_string()), marked(style.render_reset().to_string()))
}

/// What a colour begins with on a terminal.
const BEGIN: &str = "\x1b[";

/// What a colour begins with until it is printed. It has the form of a colour with one number more, so that
/// whatever measures a text takes it for one.
fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("{BEGIN}{};", RandomState::new().hash_one(0)))
}

/// A text for a terminal: with the colours of [`paint`], and without commands of others.
pub fn colours(text: &str) -> Cow<'_, str> {
    with_colours(text, mark())
}

/// A text of a library that draws with colours and knows nothing of [`paint`].
pub fn only_colours(text: &str) -> Cow<'_, str> {
    with_colours(text, BEGIN)
}

/// A text without commands but colours that begin with `mark`.
fn with_colours<'t>(text: &'t str, mark: &str) -> Cow<'t, str> {
    if text.chars().all(shown::is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = rest.strip_prefix(mark).and_then(|inner| inner.split_once('m'));
        match colour.filter(|(numbers, _)| numbers.bytes().all(|b| b.is_ascii_digit() || b == b';')) {
            Some((numbers, after)) => {
                out += &format!("{BEGIN}{numbers}m");
                rest = after;
            }
            None => {
                if shown::is_plain(c) {
                    out.push(c);
                } else {
                    shown::push_escaped(&mut out, c);
                }
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Cow::Owned(out)
}

/// Columns that a text takes on a terminal, colours aside.
pub fn columns_of(text: &str) -> usize {
    anstream::adapter::strip_str(text).map(UnicodeWidthStr::width).sum()
}

/// `text` with blanks up to `width` columns.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns_of(text))))
}

/// As much of `text` as fits into `width` columns.
pub fn beginning(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_ours_alone() {
        let text = format!("{} \x1b[31mred\x1b[0m \u{9b}2J", paint(BAD, "bad"));
        assert_eq!(colours(&text), "\x1b[1m\x1b[31mbad\x1b[0m \\u001b[31mred\\u001b[0m \\u009b2J");
        assert_eq!(colours(&format!("{}31", mark())), format!("\\u001b{}31", &mark()[1..]));
    }

    #[test]
    fn columns_line_up_by_what_a_terminal_shows() {
        let row = |name: &str| vec![Cell::left(name), Cell::right("1")];
        let lines = columns(&[row("剪枝"), row("abcd"), row("e\u{301}"), row("a\nb")]);
        assert_eq!(lines, "  剪枝  1\n  abcd  1\n  e\u{301}     1\n  a\\nb  1\n");
    }

    #[test]
    fn lines_break_between_words_and_hang() {
        let pieces = [
            (STAGE, "  retrain"),
            (Style::new(), ", 9 times: optimizer.weight_decay changed 0.0001 -> 0.0005"),
            (FAINT, "  (seed=1)"),
        ];
        for width in [40, 60, 80] {
            let text = anstream::adapter::strip_str(&wrapped(&pieces, 4, width)).to_string();
            assert!(text.lines().all(|line| line.len() <= width), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("    ") && !line.starts_with("     ")));
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(
                words(&text),
                words("retrain, 9 times: optimizer.weight_decay changed 0.0001 -> 0.0005 (seed=1)")
            );
        }
        assert_eq!(wrapped(&[(Style::new(), "abc  bcdefghij k")], 2, 6), "abc\n  bcdefghij\n  k");
    }
}
