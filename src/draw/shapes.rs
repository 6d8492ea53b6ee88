//! What figures consist of: words, lines, boxes and marks on a canvas.

use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::text::wrap;
use super::theme::{Mark, TEXT};

/// Words along axes, in rows and in legends.
pub(super) const SMALL: u32 = 11;
/// Names of axes.
pub(super) const LABEL: u32 = 12;
/// Headings.
pub(super) const HEAD: u32 = 13;
/// Words in the cells of matrices.
pub(super) const TINY: u32 = 9;

/// The height of a line of words, in pixels.
pub(super) fn line_height(size: u32) -> f64 {
    (f64::from(size) * 1.3).ceil()
}

/// Words at a place: `y` is their base line.
pub(super) fn words(x: f64, y: f64, text: &str, size: u32, anchor: TextAnchor, ink: &str) -> Primitive {
    let color = Some(Color::from(ink));
    Primitive::Text { x, y, content: text.to_owned(), size, anchor, rotate: None, bold: false, color }
}

/// Words that run upwards; `x` is their base line.
pub(super) fn upwards(x: f64, y: f64, text: &str, size: u32, anchor: TextAnchor, ink: &str) -> Primitive {
    let color = Some(Color::from(ink));
    let (content, rotate) = (text.to_owned(), Some(-90.0));
    Primitive::Text { x, y, content, size, anchor, rotate, bold: false, color }
}

/// The base line of words whose middle is at `y`.
pub(super) fn base(y: f64, size: u32) -> f64 {
    y + f64::from(size) * 0.36
}

/// A heading in the middle of `width`, in as many lines as it needs. Returns where it ends.
pub(super) fn heading(scene: &mut Scene, title: &str, width: f64) -> f64 {
    let mut y = 4.0;
    for line in wrap(title, HEAD, width - 16.0) {
        y += line_height(HEAD);
        scene.add(words(width / 2.0, y - 3.0, &line, HEAD, TextAnchor::Middle, TEXT.light));
    }
    y + 6.0
}

/// A filled rectangle.
pub(super) fn rectangle(x: f64, y: f64, width: f64, height: f64, fill: &str) -> Primitive {
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

/// A line from one place to another; an empty `dash` is a solid line.
pub(super) fn line(from: (f64, f64), to: (f64, f64), ink: &str, wide: f64, dash: &str) -> Primitive {
    polyline(&[from, to], ink, wide, dash)
}

/// A line through places.
pub(super) fn polyline(points: &[(f64, f64)], ink: &str, wide: f64, dash: &str) -> Primitive {
    let mut d = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        d += &format!("{}{x:.2} {y:.2}", if at == 0 { "M" } else { " L" });
    }
    let dash = Some(dash.to_owned()).filter(|dash| !dash.is_empty());
    path(d, "none", ink, wide, dash, None)
}

/// A filled shape without a frame.
pub(super) fn area(points: &[(f64, f64)], ink: &str, opacity: f64) -> Primitive {
    let mut d = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        d += &format!("{}{x:.2} {y:.2}", if at == 0 { "M" } else { " L" });
    }
    path(d + " Z", ink, "none", 0.0, None, Some(opacity))
}

/// A path of SVG.
pub(super) fn path(
    d: String,
    fill: &str,
    stroke: &str,
    stroke_width: f64,
    stroke_dasharray: Option<String>,
    opacity: Option<f64>,
) -> Primitive {
    Primitive::Path(Box::new(PathData {
        d,
        fill: Some(Color::from(fill)),
        stroke: Color::from(stroke),
        stroke_width,
        opacity,
        stroke_dasharray,
    }))
}

/// A vertical bar from `low` to `high` with short ends, as wide as `cap` to both sides.
pub(super) fn error_bar(x: f64, low: f64, high: f64, cap: f64, ink: &str) -> Primitive {
    let d = format!(
        "M{x:.2} {low:.2} L{x:.2} {high:.2} M{a:.2} {low:.2} L{b:.2} {low:.2} M{a:.2} {high:.2} L{b:.2} {high:.2}",
        a = x - cap,
        b = x + cap,
    );
    path(d, "none", ink, 1.3, None, None)
}

/// A horizontal bar from `low` to `high` with short ends.
pub(super) fn error_bar_across(y: f64, low: f64, high: f64, cap: f64, ink: &str) -> Primitive {
    let d = format!(
        "M{low:.2} {y:.2} L{high:.2} {y:.2} M{low:.2} {a:.2} L{low:.2} {b:.2} M{high:.2} {a:.2} L{high:.2} {b:.2}",
        a = y - cap,
        b = y + cap,
    );
    path(d, "none", ink, 1.3, None, None)
}

/// A mark around a place; all marks of one `radius` look about as large.
pub(super) fn mark(x: f64, y: f64, radius: f64, mark: Mark, ink: &str) -> Primitive {
    let corners = |count: usize, start: f64, radius: f64| -> Vec<(f64, f64)> {
        let corner = |at: usize| {
            let angle = (start + 360.0 * at as f64 / count as f64).to_radians();
            (x + radius * angle.cos(), y + radius * angle.sin())
        };
        (0..count).map(corner).collect()
    };
    let strokes = |angle: f64| {
        let ends = corners(4, angle, radius * 1.15);
        let d = format!(
            "M{:.2} {:.2} L{:.2} {:.2} M{:.2} {:.2} L{:.2} {:.2}",
            ends[0].0, ends[0].1, ends[2].0, ends[2].1, ends[1].0, ends[1].1, ends[3].0, ends[3].1
        );
        path(d, "none", ink, (radius * 0.55).max(1.2), None, None)
    };
    match mark {
        Mark::Circle => Primitive::Circle {
            cx: x,
            cy: y,
            r: radius,
            fill: Color::from(ink),
            fill_opacity: None,
            stroke: None,
            stroke_width: None,
        },
        Mark::Square => rectangle(x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8, ink),
        Mark::Triangle => area(&corners(3, -90.0, radius * 1.3), ink, 1.0),
        Mark::TriangleDown => area(&corners(3, 90.0, radius * 1.3), ink, 1.0),
        Mark::Diamond => area(&corners(4, -90.0, radius * 1.25), ink, 1.0),
        Mark::Pentagon => area(&corners(5, -90.0, radius * 1.15), ink, 1.0),
        Mark::Star => {
            let (outer, inner) = (corners(5, -90.0, radius * 1.4), corners(5, -54.0, radius * 0.6));
            let points: Vec<(f64, f64)> = outer.into_iter().zip(inner).flat_map(|(a, b)| [a, b]).collect();
            area(&points, ink, 1.0)
        }
        Mark::Plus => strokes(0.0),
        Mark::Cross => strokes(45.0),
    }
}
