//! Matrices of coloured cells, with words in them where they fit, and a bar of all colours.

use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::panel::{Panel, canvas};
use super::scale::{NO_VALUE, Scale};
use super::shapes::{SMALL, TINY, base, heading, line, line_height, rectangle, upwards, words};
use super::text::{widest, width as measure, wrap};
use super::theme::{FAINT, MATRIX, TEXT};

/// A cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// Its value on the scale; `None` leaves it grey.
    pub value: Option<f64>,
    /// What stands in it, where it fits.
    pub text: String,
    /// What is told of it where the mouse rests on it.
    pub tip: String,
}

/// What is written before the rows: a head, and a word for each row.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// What the words are.
    pub head: String,
    /// A word for each row.
    pub words: Vec<String>,
    /// Numbers stand at the right, so that their digits are below each other.
    pub numbers: bool,
}

/// A matrix.
#[derive(Debug)]
pub(super) struct Heat {
    /// What it shows.
    pub title: String,
    /// The name of what lies across.
    pub across: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// What is written before the rows, from left to right.
    pub names: Vec<Names>,
    /// The cells, row by row.
    pub cells: Vec<Vec<Cell>>,
    /// How values are coloured.
    pub scale: Scale,
    /// What values are, at the bar of colours.
    pub measure: &'static str,
    /// Whether cells are as wide as high, where rows need no more.
    pub square: bool,
    /// Rows are at least so high, in pixels.
    pub least: f64,
}

/// The names of rows take no more of the width than this; longer ones get letters, and a key below.
const NAMES: f64 = 0.5;

/// Draws a matrix.
pub(super) fn panel(heat: &Heat, width: f64) -> Panel {
    let (names, key) = lettered(&heat.names, width);
    let left = names.iter().map(column_width).sum::<f64>() + 4.0;
    let count = heat.columns.len().max(1) as f64;
    let across = ((width - left - 8.0) / count).max(2.0);
    let (across, high) = if heat.square {
        (across.min(34.0), across.clamp(heat.least, 34.0))
    } else {
        (across.min(60.0), 18.0)
    };
    // Few square cells do not fill the width; then the picture is narrower, and all of it in the middle.
    let width = (left + across * count + 8.0).max(width.min(300.0));
    let mut scene = canvas(width, 0.0);
    let heads = Heads::of(heat, across);
    let top = heading(&mut scene, &heat.title, width) + heads.height() + 4.0;
    heads.draw(&mut scene, left, across, top);
    rows(&names, &mut scene, top, high);
    cells(heat, &mut scene, left, top, across, high);
    let mut y = top + high * heat.cells.len() as f64;
    if !heat.across.is_empty() {
        let half = measure(&heat.across, SMALL) / 2.0 + 2.0;
        let middle = (left + across * count / 2.0).min(width - half).max(half);
        y += line_height(SMALL);
        scene.add(words(middle, y, &heat.across, SMALL, TextAnchor::Middle, FAINT.light));
    }
    y = bar(heat, &mut scene, width, y + 14.0) + 4.0;
    for entry in &key {
        for (at, text) in wrap(entry, SMALL, width - 32.0).iter().enumerate() {
            y += line_height(SMALL);
            let x = if at == 0 { 10.0 } else { 26.0 };
            scene.add(words(x, y, text, SMALL, TextAnchor::Start, TEXT.light));
        }
    }
    scene.height = (y + 10.0).ceil();
    Panel::new(heat.title.clone(), scene)
}

fn column_width(names: &Names) -> f64 {
    widest(names.words.iter().chain([&names.head]).map(String::as_str), SMALL) + 9.0
}

/// The names of rows, and a key where the widest column had to be lettered.
fn lettered(names: &[Names], width: f64) -> (Vec<Names>, Vec<String>) {
    let mut names = names.to_vec();
    let mut key = Vec::new();
    while names.iter().map(column_width).sum::<f64>() > width * NAMES {
        let words =
            names.iter_mut().filter(|names| widest(names.words.iter().map(String::as_str), SMALL) > 30.0);
        let Some(widest) = words.max_by(|a, b| column_width(a).total_cmp(&column_width(b))) else { break };
        let mut known: Vec<String> = Vec::new();
        for word in &mut widest.words {
            if word.is_empty() {
                continue;
            }
            let at = known.iter().position(|other| other == word).unwrap_or_else(|| {
                known.push(word.clone());
                known.len() - 1
            });
            *word = letters(at);
        }
        key.extend(known.iter().enumerate().map(|(at, word)| format!("{} = {word}", letters(at))));
        widest.head = wrap(&widest.head, SMALL, 50.0).into_iter().next().unwrap_or_default();
        widest.numbers = false;
    }
    (names, key)
}

/// `A` to `Z`, then `AA` and so on.
fn letters(at: usize) -> String {
    let letter = char::from(b'A' + (at % 26) as u8);
    if at < 26 { letter.to_string() } else { format!("{}{letter}", letters(at / 26 - 1)) }
}

/// The names of columns: level where all fit side by side; else upwards; else only some, level.
struct Heads<'a> {
    columns: &'a [String],
    upwards: bool,
    each: usize,
}

impl<'a> Heads<'a> {
    fn of(heat: &'a Heat, across: f64) -> Self {
        let longest = widest(heat.columns.iter().map(String::as_str), SMALL);
        let columns = &heat.columns;
        let are_numbers = columns.iter().all(|name| name.parse::<u64>().is_ok());
        if longest + 4.0 <= across || are_numbers {
            let each = ((longest + 4.0) / across).ceil().max(1.0) as usize;
            return Self { columns, upwards: false, each };
        }
        Self { columns, upwards: true, each: (line_height(SMALL) / across).ceil().max(1.0) as usize }
    }

    fn height(&self) -> f64 {
        if self.upwards { widest(self.columns.iter().map(String::as_str), SMALL) } else { line_height(SMALL) }
    }

    fn draw(&self, scene: &mut Scene, left: f64, across: f64, top: f64) {
        for (at, name) in self.columns.iter().enumerate().step_by(self.each) {
            let x = left + across * (at as f64 + 0.5);
            scene.add(if self.upwards {
                upwards(base(x, SMALL), top - 5.0, name, SMALL, TextAnchor::Start, FAINT.light)
            } else {
                words(x, top - 5.0, name, SMALL, TextAnchor::Middle, FAINT.light)
            });
        }
    }
}

/// The names of rows: all where rows are high enough, else as many as do not touch.
fn rows(names: &[Names], scene: &mut Scene, top: f64, high: f64) {
    let each = (line_height(SMALL) * 0.85 / high).ceil().max(1.0) as usize;
    let mut left = 2.0;
    for names in names {
        let right = left + column_width(names) - 6.0;
        let (x, anchor) = if names.numbers { (right, TextAnchor::End) } else { (left, TextAnchor::Start) };
        scene.add(words(x, top - 5.0, &names.head, SMALL, anchor, FAINT.light));
        for (at, word) in names.words.iter().enumerate().step_by(each) {
            let y = base(top + high * (at as f64 + 0.5), SMALL);
            scene.add(words(x, y, word, SMALL, anchor, TEXT.light));
        }
        left += column_width(names);
    }
}

fn cells(heat: &Heat, scene: &mut Scene, left: f64, top: f64, across: f64, high: f64) {
    let attributes = Some(format!("class=\"{MATRIX}\""));
    scene.add(Primitive::GroupStart { transform: None, title: None, extra_attrs: attributes });
    // Small cells have no gaps between them: these would be all that is seen.
    let gap = if across < 8.0 { 0.0 } else { 1.0 };
    for (row, cells) in heat.cells.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let (x, y) = (left + across * column as f64, top + high * row as f64);
            let (ground, ink) = cell.value.map_or((NO_VALUE.to_owned(), "#000000"), |value| {
                (heat.scale.colour(value), heat.scale.words(value))
            });
            let tip = Some(cell.tip.clone());
            scene.add(Primitive::GroupStart { transform: None, title: tip, extra_attrs: None });
            scene.add(rectangle(x, y, across - gap, high - gap, &ground));
            if measure(&cell.text, TINY) <= across - 3.0 && high >= f64::from(TINY) + 3.0 {
                let (middle, y) = (x + (across - gap) / 2.0, base(y + (high - gap) / 2.0, TINY));
                scene.add(words(middle, y, &cell.text, TINY, TextAnchor::Middle, ink));
            }
            scene.add(Primitive::GroupEnd);
        }
    }
    scene.add(Primitive::GroupEnd);
}

/// The bar of colours with its ticks and what they measure. Returns where it ends.
fn bar(heat: &Heat, scene: &mut Scene, width: f64, y: f64) -> f64 {
    const STEPS: usize = 90;
    let wide = (width * 0.55).min(220.0);
    let left = (width - wide) / 2.0;
    let (low, high) = heat.scale.ends();
    // Smooth edges would leave seams between the steps.
    let attributes = Some(format!("class=\"{MATRIX}\" shape-rendering=\"crispEdges\""));
    scene.add(Primitive::GroupStart { transform: None, title: None, extra_attrs: attributes });
    let step = wide / STEPS as f64;
    for at in 0..STEPS {
        let value = low + (high - low) * (at as f64 + 0.5) / STEPS as f64;
        // A little wider than a step, so that no seam is seen between two.
        let over = if at + 1 < STEPS { 0.4 } else { 0.0 };
        scene.add(rectangle(left + step * at as f64, y, step + over, 9.0, &heat.scale.colour(value)));
    }
    scene.add(Primitive::GroupEnd);
    let ticks: &[(f64, &str)] = match heat.scale {
        Scale::Sequential => &[(0.0, "0%"), (0.25, "25%"), (0.5, "50%"), (0.75, "75%"), (1.0, "100%")],
        Scale::Diverging => &[(0.0, "−1"), (0.25, "−0.5"), (0.5, "0"), (0.75, "0.5"), (1.0, "1")],
    };
    for (share, text) in ticks {
        let x = left + wide * share;
        scene.add(line((x, y + 9.0), (x, y + 12.0), FAINT.light, 1.0, ""));
        scene.add(words(x, y + 22.0, text, TINY, TextAnchor::Middle, FAINT.light));
    }
    let y = y + 22.0 + line_height(SMALL);
    scene.add(words(width / 2.0, y, heat.measure, SMALL, TextAnchor::Middle, FAINT.light));
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_get_letters_and_a_key_that_has_them_whole() {
        let long = "a method with a name that leaves no room for its cells";
        let names = Names {
            head: "method".to_owned(),
            words: vec![long.to_owned(), String::new(), "short".to_owned()],
            numbers: false,
        };
        let (found, key) = lettered(&[names], 200.0);
        assert_eq!(found[0].words, ["A", "", "B"]);
        assert_eq!(key, [format!("A = {long}"), "B = short".to_owned()]);
        assert_eq!([0, 25, 26, 27, 701, 702].map(letters), ["A", "Z", "AA", "AB", "ZZ", "AAA"]);
    }
}
