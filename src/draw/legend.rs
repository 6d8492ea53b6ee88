//! What stands for what: symbols and their words, in columns below a chart.

use kuva::render::render::{Scene, TextAnchor};

use super::dots::seed;
use super::shapes::{SMALL, base, error_bar, line, line_height, mark, rectangle, words};
use super::text::{self, wrap};
use super::theme::{Mark, TEXT};

/// What a legend explains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Symbol {
    /// A line with a mark on it.
    Marked(&'static str, Mark, &'static str),
    /// A mark alone.
    Mark(&'static str, Mark),
    /// The mark of a single seed.
    Seed(&'static str),
    /// A line: its colour, its dashes, its width.
    Line(&'static str, &'static str, f64),
    /// A band: its colour.
    Band(&'static str),
    /// A bar with ends: its colour.
    Bar(&'static str),
}

/// A symbol and its words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// What is drawn.
    pub symbol: Symbol,
    /// What it means.
    pub text: String,
}

impl Entry {
    /// This symbol means `text`.
    pub fn new(symbol: Symbol, text: impl Into<String>) -> Self {
        Self { symbol, text: text.into() }
    }
}

/// The width of a symbol with the room beside it.
const SYMBOL: f64 = 34.0;

/// Between entries of a row.
const GAP: f64 = 16.0;

/// Draws the entries from `top` on, between `left` and `right`, as many in a row as fit. Returns where they
/// end.
pub(super) fn draw(entries: &[Entry], scene: &mut Scene, left: f64, right: f64, top: f64) -> f64 {
    let (mut x, mut y, mut lines) = (left, top, 0);
    for entry in entries {
        let texts = wrap(&entry.text, SMALL, right - left - SYMBOL);
        let wide = SYMBOL + text::widest(texts.iter().map(String::as_str), SMALL);
        if x > left && x + wide > right {
            (x, y, lines) = (left, y + row_height(lines), 0);
        }
        symbol(entry.symbol, scene, x, y + line_height(SMALL) / 2.0);
        for (at, text) in texts.iter().enumerate() {
            let middle = y + line_height(SMALL) * (at as f64 + 0.5);
            scene.add(words(x + SYMBOL, base(middle, SMALL), text, SMALL, TextAnchor::Start, TEXT.light));
        }
        lines = lines.max(texts.len());
        x += wide + GAP;
    }
    y + row_height(lines)
}

fn row_height(lines: usize) -> f64 {
    line_height(SMALL) * lines as f64 + 3.0
}

fn symbol(symbol: Symbol, scene: &mut Scene, x: f64, y: f64) {
    let (start, end, middle) = ((x + 2.0, y), (x + 28.0, y), x + 15.0);
    match symbol {
        Symbol::Marked(ink, shape, dash) => {
            scene.add(line(start, end, ink, 1.8, dash));
            scene.add(mark(middle, y, 4.0, shape, ink));
        }
        Symbol::Mark(ink, shape) => scene.add(mark(middle, y, 4.0, shape, ink)),
        Symbol::Seed(ink) => scene.add(seed(middle, y, ink)),
        Symbol::Line(ink, dash, wide) => scene.add(line(start, end, ink, wide, dash)),
        Symbol::Band(ink) => scene.add(rectangle(start.0, y - 4.0, 26.0, 8.0, ink)),
        Symbol::Bar(ink) => scene.add(error_bar(middle, y - 6.0, y + 6.0, 3.0, ink)),
    }
}
