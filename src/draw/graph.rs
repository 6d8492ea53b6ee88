//! The graph of stages.

use kuva::render::render::{Primitive, TextAnchor};

use super::layered::layout;
use super::panel::{Panel, canvas};
use super::shapes::{LABEL, SMALL, line_height, path, words};
use super::text::{width as measure, wrap};
use super::theme::{AXIS, CACHED, FAINT, Ink, STALE, TEXT};
use crate::report::figures::{Stage, StageGraph};

const BETWEEN: f64 = 34.0;
const MARGIN: f64 = 12.0;
/// A box is not wider than this.
const WIDEST: f64 = 190.0;

/// Draws the graph from top to bottom: a box a stage, its name and how it stands.
pub fn panel(found: &StageGraph) -> Panel {
    let stages = &found.stages;
    let wide = |stage: &Stage| {
        let text = measure(&stage.name, LABEL).max(measure(&below(stage), SMALL));
        (text + 20.0).min(WIDEST)
    };
    // Boxes of one width stand under each other, so that chains are straight.
    let widest = stages.iter().map(wide).fold(0.0, f64::max);
    let widths = vec![widest; stages.len()];
    let place = |name: &str| stages.iter().position(|stage| stage.name == name);
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (to, stage) in stages.iter().enumerate() {
        for (_, giver) in &stage.inputs {
            if let Some(from) = place(giver).filter(|from| *from < to && !edges.contains(&(*from, to))) {
                edges.push((from, to));
            }
        }
    }
    let layout = layout(&widths, &edges);
    // All boxes are as high as the one with the longest words, so that layers lie level.
    let high = stages.iter().map(|stage| Lines::of(stage, widest).height()).fold(0.0, f64::max);
    let height = layout.layers as f64 * (high + BETWEEN) - BETWEEN + 2.0 * MARGIN;
    let mut scene = canvas(layout.width + 2.0 * MARGIN, height.max(2.0 * MARGIN));
    let top = |layer: usize| MARGIN + layer as f64 * (high + BETWEEN);
    for ((from, to), route) in edges.iter().zip(&layout.routes) {
        let role = roles(&stages[*to], &stages[*from].name);
        let title = Some(format!("{} → {}: {role}", stages[*from].name, stages[*to].name));
        scene.add(Primitive::GroupStart { transform: None, title, extra_attrs: None });
        let first = layout.places[*from].0;
        scene.add(path(curve(route, first, high, &top), "none", AXIS.light, 1.2, None, None));
        let (x, y) = (route.last().copied().unwrap_or(0.0) + MARGIN, top(layout.places[*to].0));
        let head = format!("M{x} {y} L{} {} L{} {} Z", x - 3.5, y - 7.0, x + 3.5, y - 7.0);
        scene.add(path(head, AXIS.light, AXIS.light, 0.5, None, None));
        scene.add(Primitive::GroupEnd);
    }
    for ((stage, (layer, x)), wide) in stages.iter().zip(&layout.places).zip(&widths) {
        boxed(stage, &mut scene, [x + MARGIN, top(*layer), *wide, high]);
    }
    Panel::new("The stages, their inputs, and which results are in the cache", scene)
}

/// What the lower stage takes from the upper one.
fn roles(stage: &Stage, giver: &str) -> String {
    let roles: Vec<&str> =
        stage.inputs.iter().filter(|(_, from)| from == giver).map(|(role, _)| role.as_str()).collect();
    roles.join(", ")
}

/// The kind, where the name is another and both fit, and how the stage stands.
fn below(stage: &Stage) -> String {
    let both = format!("{} · {}", stage.kind, stage.state());
    let fits = measure(&both, SMALL) + 20.0 <= WIDEST;
    if stage.kind != stage.name && fits { both } else { stage.state() }
}

/// The words of a box.
struct Lines {
    name: Vec<String>,
    below: Vec<String>,
}

impl Lines {
    fn of(stage: &Stage, wide: f64) -> Self {
        Self { name: wrap(&stage.name, LABEL, wide - 12.0), below: wrap(&below(stage), SMALL, wide - 8.0) }
    }

    fn height(&self) -> f64 {
        line_height(LABEL) * self.name.len() as f64 + line_height(SMALL) * self.below.len() as f64 + 8.0
    }
}

fn boxed(stage: &Stage, scene: &mut kuva::render::render::Scene, [x, y, wide, high]: [f64; 4]) {
    let [ground, frame]: [Ink; 2] = if stage.is_cached() { CACHED } else { STALE };
    // Told apart without colour as well.
    let dash = (!stage.is_cached()).then(|| "4 2".to_owned());
    let title = Some(format!("{} ({}): {}", stage.name, stage.kind, stage.state()));
    scene.add(Primitive::GroupStart { transform: None, title, extra_attrs: None });
    scene.add(path(rounded([x - wide / 2.0, y, wide, high]), ground.light, frame.light, 1.3, dash, None));
    let lines = Lines::of(stage, wide);
    let mut y = y + (high - lines.height()) / 2.0 + 4.0;
    for (texts, size, ink) in [(&lines.name, LABEL, TEXT), (&lines.below, SMALL, FAINT)] {
        for text in texts {
            y += line_height(size);
            scene.add(words(x, y - 3.5, text, size, TextAnchor::Middle, ink.light));
        }
    }
    scene.add(Primitive::GroupEnd);
}

fn rounded([x, y, wide, high]: [f64; 4]) -> String {
    const R: f64 = 6.0;
    let (right, bottom) = (x + wide, y + high);
    format!(
        "M{} {y} L{} {y} A{R} {R} 0 0 1 {right} {} L{right} {} A{R} {R} 0 0 1 {} {bottom} L{} {bottom} A{R} {R} 0 0 1 {x} {} L{x} {} A{R} {R} 0 0 1 {} {y} Z",
        x + R,
        right - R,
        y + R,
        bottom - R,
        right - R,
        x + R,
        bottom - R,
        y + R,
        x + R
    )
}

/// A smooth line down through the middles of a route; it runs straight beside the boxes of the layers between.
fn curve(route: &[f64], first: usize, high: f64, top: &dyn Fn(usize) -> f64) -> String {
    let start = route.first().copied().unwrap_or(0.0) + MARGIN;
    let mut path = format!("M{start} {}", top(first) + high);
    for (step, pair) in route.windows(2).enumerate() {
        let (from, to) = (pair[0] + MARGIN, pair[1] + MARGIN);
        let (above, next) = (top(first + step) + high, top(first + step + 1));
        let middle = f64::midpoint(above, next);
        path += &format!(" C{from} {middle} {to} {middle} {to} {next}");
        if step + 2 < route.len() {
            path += &format!(" L{to} {}", next + high);
        }
    }
    path
}
