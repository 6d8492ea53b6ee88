//! Matrices of shaded cells, with words in them where they fit.

use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::chart::{HEAD, SMALL};
use super::panel::{Panel, canvas};
use super::text::{fit, width as measure};
use super::theme::{FAINT, NO_CELL, Scale, TEXT};

/// A cell.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Its value on the scale; `None` leaves it empty.
    pub value: Option<f64>,
    /// What stands in it, where it fits.
    pub text: String,
    /// What is told of it where the mouse rests on it.
    pub tip: String,
}

/// A matrix.
#[derive(Debug)]
pub struct Heat {
    /// What it shows.
    pub title: String,
    /// The name of what lies across.
    pub across: String,
    /// The name of what lies down, where the names of the rows do not say it.
    pub down: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The names of the rows.
    pub rows: Vec<String>,
    /// The cells, row by row.
    pub cells: Vec<Vec<Cell>>,
    /// How values are shaded.
    pub scale: Scale,
    /// Whether cells are as wide as high.
    pub square: bool,
}

/// Words in cells.
const TINY: u32 = 9;

/// Draws a matrix.
pub fn panel(heat: &Heat, width: f64) -> Panel {
    let longest = heat.rows.iter().map(|row| measure(row, SMALL)).fold(0.0, f64::max);
    let down = if heat.down.is_empty() { 0.0 } else { 18.0 };
    let left = longest.min(width * 0.45) + 10.0 + down;
    let count = heat.columns.len().max(1) as f64;
    let across = ((width - left - 8.0) / count).max(4.0);
    let (across, high) =
        if heat.square { (across.min(34.0), across.min(34.0)) } else { (across.min(60.0), 18.0) };
    let top = 48.0;
    let bottom = top + high * heat.rows.len() as f64;
    let mut scene = canvas(width, bottom + 44.0);
    let title = fit(&heat.title, HEAD, width - 16.0);
    scene.add(words(width / 2.0, 18.0, &title, HEAD, TextAnchor::Middle, TEXT.light));
    let half = measure(&heat.across, SMALL) / 2.0 + 2.0;
    let middle = (left + across * count / 2.0).min(width - half).max(half);
    scene.add(words(middle, bottom + 15.0, &heat.across, SMALL, TextAnchor::Middle, FAINT.light));
    key(heat.scale, &mut scene, width, bottom + 26.0);
    if down > 0.0 {
        scene.add(Primitive::Text {
            x: 12.0,
            y: f64::midpoint(top, bottom),
            content: fit(&heat.down, SMALL, bottom - top + 40.0),
            size: SMALL,
            anchor: TextAnchor::Middle,
            rotate: Some(-90.0),
            bold: false,
            color: Some(Color::from(FAINT.light)),
        });
    }
    heads(heat, &mut scene, left, across, top);
    for (at, (name, cells)) in heat.rows.iter().zip(&heat.cells).enumerate() {
        let y = top + high * at as f64;
        let base = y + high / 2.0 + f64::from(SMALL) * 0.36;
        let name = fit(name, SMALL, left - down - 8.0);
        scene.add(words(left - 5.0, base, &name, SMALL, TextAnchor::End, TEXT.light));
        for (column, cell) in cells.iter().enumerate() {
            draw(cell, heat.scale, &mut scene, [left + across * column as f64, y, across, high]);
        }
    }
    Panel::new(heat.title.clone(), scene)
}

/// What shades stand for: a row of them from end to end, with the values of the ends.
fn key(scale: Scale, scene: &mut Scene, width: f64, y: f64) {
    const BOXES: usize = 21;
    const WIDE: f64 = 6.0;
    let (low, ends) = match scale {
        Scale::Sequential => (0.0, ["0%", "100%"]),
        Scale::Diverging => (-1.0, ["−1", "1"]),
    };
    let left = (width - WIDE * BOXES as f64) / 2.0;
    for at in 0..BOXES {
        let value = low + (1.0 - low) * at as f64 / (BOXES - 1) as f64;
        scene.add(rectangle(left + WIDE * at as f64, y, WIDE + 0.3, 9.0, &scale.colour(value)));
    }
    let right = left + WIDE * BOXES as f64;
    scene.add(words(left - 5.0, y + 8.5, ends[0], TINY, TextAnchor::End, FAINT.light));
    scene.add(words(right + 5.0, y + 8.5, ends[1], TINY, TextAnchor::Start, FAINT.light));
}

/// The names of the columns: as many of them as do not touch.
fn heads(heat: &Heat, scene: &mut Scene, left: f64, across: f64, top: f64) {
    let widest = heat.columns.iter().map(|name| measure(name, SMALL)).fold(0.0, f64::max);
    let step = ((widest + 4.0) / across).ceil().max(1.0) as usize;
    for (at, name) in heat.columns.iter().enumerate().step_by(step) {
        let x = left + across * (at as f64 + 0.5);
        scene.add(words(x, top - 6.0, name, SMALL, TextAnchor::Middle, FAINT.light));
    }
}

fn draw(cell: &Cell, scale: Scale, scene: &mut Scene, [x, y, wide, high]: [f64; 4]) {
    let (ground, ink) = match cell.value {
        Some(value) => (scale.colour(value), scale.text(value)),
        None => (NO_CELL.light.to_owned(), FAINT.light),
    };
    scene.add(Primitive::GroupStart { transform: None, title: Some(cell.tip.clone()), extra_attrs: None });
    scene.add(rectangle(x, y, wide - 1.0, high - 1.0, &ground));
    if measure(&cell.text, TINY) <= wide - 3.0 && high >= f64::from(TINY) + 3.0 {
        let base = y + (high - 1.0) / 2.0 + f64::from(TINY) * 0.36;
        scene.add(words(x + (wide - 1.0) / 2.0, base, &cell.text, TINY, TextAnchor::Middle, ink));
    }
    scene.add(Primitive::GroupEnd);
}

/// Words at a place: `y` is their base line.
pub fn words(x: f64, y: f64, text: &str, size: u32, anchor: TextAnchor, ink: &str) -> Primitive {
    let color = Some(Color::from(ink));
    Primitive::Text { x, y, content: text.to_owned(), size, anchor, rotate: None, bold: false, color }
}

/// A filled rectangle.
pub fn rectangle(x: f64, y: f64, width: f64, height: f64, fill: &str) -> Primitive {
    Primitive::Rect {
        x,
        y,
        width,
        height,
        fill: Color::from(fill),
        stroke: None,
        stroke_width: None,
        opacity: None,
    }
}
