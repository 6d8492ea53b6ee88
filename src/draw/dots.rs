//! A row for each method, its accuracy from left to right.

use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::chart::{BELOW, Plane, axis_below};
use super::dodge::{Spot, dodge};
use super::legend::{self, Entry, Symbol};
use super::panel::{Panel, canvas};
use super::pareto::{high, low, seeds, spread_entry, tip, unpruned};
use super::range::{Axis, Range};
use super::shapes::{SMALL, area, base, error_bar_across, heading, line, line_height, mark, words};
use super::text::{widest, wrap};
use super::theme::{AXIS, DOTS, FAINT, GRID, Mark, Style, TEXT, style};
use crate::report::figures::{ParetoPoint, Role, label};

/// A row is at least so high.
const ROW: f64 = 24.0;

/// Draws the points of one budget.
pub(super) fn panel(points: &[&ParetoPoint], width: f64) -> Panel {
    let title = title(points);
    let mut scene = canvas(width, 0.0);
    let names: Vec<String> = points.iter().map(|point| name(point, points)).collect();
    let room = width * 0.36;
    let lines: Vec<Vec<String>> = names.iter().map(|name| wrap(name, SMALL, room)).collect();
    let left = widest(lines.iter().flatten().map(String::as_str), SMALL) + 14.0;
    let costs: Vec<String> = points.iter().map(|point| format!("{:.1}%", 100.0 * point.flops.mean)).collect();
    let column = widest(costs.iter().map(String::as_str).chain(["FLOPs"]), SMALL);
    let top = heading(&mut scene, &title, width) + line_height(SMALL);
    let heights: Vec<f64> =
        lines.iter().map(|lines| (line_height(SMALL) * lines.len() as f64 + 6.0).max(ROW)).collect();
    let values = points
        .iter()
        .flat_map(|point| point.runs.iter().map(|run| 100.0 * run).chain([low(point), high(point)]));
    let axis = Axis { name: "test accuracy", range: Range::with_room(values, (0.0, 100.0)), unit: "%" };
    let across = width - left - column - 24.0;
    let plane = Plane::across(axis, left, top, across, heights.iter().sum());
    let (right, bottom) = (left + across, top + plane.height);
    axis_below(&plane, &mut scene);
    scene.add(words(width - 6.0, top - 5.0, "FLOPs", SMALL, TextAnchor::End, FAINT.light));
    if let Some(full) = unpruned(points.iter().copied()) {
        scene.add(line((plane.x(full), top), (plane.x(full), bottom), FAINT.light, 1.2, DOTS));
    }
    let mut y = top;
    for (at, point) in points.iter().enumerate() {
        let middle = y + heights[at] / 2.0;
        scene.add(line((left, middle), (right, middle), GRID.light, 1.0, ""));
        let first = middle - line_height(SMALL) * (lines[at].len() as f64 - 1.0) / 2.0;
        for (row, text) in lines[at].iter().enumerate() {
            let y = base(first + line_height(SMALL) * row as f64, SMALL);
            scene.add(words(left - 8.0, y, text, SMALL, TextAnchor::End, TEXT.light));
        }
        draw(point, &plane, &mut scene, middle);
        let y_base = base(middle, SMALL);
        scene.add(words(width - 6.0, y_base, &costs[at], SMALL, TextAnchor::End, FAINT.light));
        y += heights[at];
    }
    scene.add(line((left, top), (left, bottom), AXIS.light, 1.2, ""));
    scene.add(line((left, bottom), (right, bottom), AXIS.light, 1.2, ""));
    let end = legend::draw(&legend(points), &mut scene, 14.0, width - 6.0, bottom + BELOW + 4.0);
    scene.height = (end + 6.0).ceil();
    Panel::new(title, scene)
}

/// The budget that the pruned networks reached.
fn title(points: &[&ParetoPoint]) -> String {
    let costs = points.iter().filter(|point| point.method.role != Role::Unpruned);
    let costs: Vec<f64> = costs.map(|point| 100.0 * point.flops.mean).collect();
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = costs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (format!("{least:.1}"), format!("{most:.1}"));
    // Without bars it must be said that there is nothing to draw them from.
    let single = if points.iter().all(|point| point.accuracy.n == 1) { " (one seed)" } else { "" };
    match costs.len() {
        0 => format!("Test accuracy{single}"),
        _ if low == high => format!("Test accuracy at {low}% of the FLOPs{single}"),
        _ => format!("Test accuracy at {low}% to {high}% of the FLOPs{single}"),
    }
}

/// The method, and its numbers where it has several rows.
fn name(point: &ParetoPoint, points: &[&ParetoPoint]) -> String {
    let several = points.iter().filter(|other| other.method == point.method).count() > 1;
    let numbers = if several { label::budget(&point.label) } else { String::new() };
    let comma = if numbers.is_empty() { "" } else { ", " };
    format!("{}{comma}{numbers}", point.method.name)
}

fn draw(point: &ParetoPoint, plane: &Plane, scene: &mut Scene, y: f64) {
    let Style { colour, mark: shape } = style(point.method.role);
    scene.add(Primitive::GroupStart { transform: None, title: Some(tip(point)), extra_attrs: None });
    let x = plane.x(100.0 * point.accuracy.mean);
    if point.accuracy.sd.is_some() {
        scene.add(error_bar_across(y, plane.x(low(point)), plane.x(high(point)), 4.0, colour));
        let seeds: Vec<f64> = point.runs.iter().map(|run| plane.x(100.0 * run)).collect();
        // Turned by a right angle: seeds of nearly one accuracy stand above each other.
        let spots: Vec<Spot> = seeds.iter().map(|x| Spot { x: y, top: x - 2.0, bottom: x + 2.0 }).collect();
        for (x, y) in seeds.iter().zip(dodge(&spots, 4.0)) {
            scene.add(seed(*x, y, colour));
        }
    }
    scene.add(mark(x, y, 4.5, shape, colour));
    scene.add(Primitive::GroupEnd);
}

/// A single seed: a small pale square.
pub(super) fn seed(x: f64, y: f64, ink: &str) -> Primitive {
    let r = 2.0;
    area(&[(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)], ink, 0.55)
}

fn legend(points: &[&ParetoPoint]) -> Vec<Entry> {
    let mut legend = Vec::new();
    if let Some(seeds) = seeds(points.iter().map(|point| point.accuracy.n)) {
        legend.push(Entry::new(Symbol::Mark(FAINT.light, Mark::Circle), format!("mean over {seeds}")));
        legend.push(Entry::new(Symbol::Seed(FAINT.light), "a single seed"));
    }
    legend.extend(spread_entry(points.iter().copied()));
    if unpruned(points.iter().copied()).is_some() {
        legend.push(Entry::new(Symbol::Line(FAINT.light, DOTS, 1.2), "accuracy of the unpruned network"));
    }
    legend
}
