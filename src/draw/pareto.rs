//! Accuracy against FLOPs: a plane, or at one budget a row for each method.

use kuva::render::render::{Primitive, Scene};

use super::chart::{Chart, Plane};
use super::dodge::{Spot, dodge};
use super::dots;
use super::legend::{Entry, Symbol};
use super::panel::Panel;
use super::range::{Axis, Range};
use super::shapes::{error_bar, line, mark, polyline};
use super::theme::{BAND, DASHES, DOTS, FAINT, Style, style};
use crate::report::figures::label::{self, Label};
use crate::report::figures::{Method, Pareto, ParetoPoint, Role};
use crate::report::format::{percent, plural};

/// So many curves share a plane; more would hide each other, and have a row each.
const CURVES: usize = 8;

/// Costs that differ by a smaller part than this are of one budget.
const ONE_BUDGET: f64 = 0.08;

/// The distance of marks that would cover each other, in pixels.
const APART: f64 = 10.0;

/// Draws the figure.
pub(super) fn panels(found: &Pareto, width: f64) -> Vec<Panel> {
    let unpruned: Vec<&ParetoPoint> =
        found.points.iter().filter(|point| point.method.role == Role::Unpruned).collect();
    let budgets = budgets(found);
    if budgets.len() > 1 && curves(found).len() <= CURVES {
        return vec![plane(found, width)];
    }
    if budgets.is_empty() {
        return vec![dots::panel(&unpruned, width)];
    }
    // The unpruned network belongs to every budget, to compare with.
    budgets.into_iter().map(|points| dots::panel(&[points, unpruned.clone()].concat(), width)).collect()
}

/// The points of each budget, the smallest first; the unpruned network is in none.
fn budgets(found: &Pareto) -> Vec<Vec<&ParetoPoint>> {
    let mut costs: Vec<f64> = Vec::new();
    let pruned = || found.points.iter().filter(|point| point.method.role != Role::Unpruned);
    costs.extend(pruned().map(|point| point.flops.mean));
    costs.sort_by(f64::total_cmp);
    let apart = |pair: &[f64]| pair[1] - pair[0] > ONE_BUDGET * pair[1];
    let starts: Vec<f64> = costs.windows(2).filter(|pair| apart(pair)).map(|pair| pair[1]).collect();
    let mut budgets: Vec<Vec<&ParetoPoint>> = vec![Vec::new(); starts.len() + 1];
    for point in pruned() {
        budgets[starts.partition_point(|start| *start <= point.flops.mean)].push(point);
    }
    budgets.retain(|points| !points.is_empty());
    budgets
}

/// A method, and the numbers that its points share: those that are no budget.
struct Curve<'a> {
    method: &'a Method,
    rest: Label,
    dash: &'static str,
    points: Vec<usize>,
}

fn curves(found: &Pareto) -> Vec<Curve<'_>> {
    let mut curves: Vec<Curve<'_>> = Vec::new();
    for (at, point) in found.points.iter().enumerate() {
        let rest: Label =
            point.label.iter().filter(|(key, _)| !key.ends_with("flops_ratio")).cloned().collect();
        match curves.iter_mut().find(|curve| *curve.method == point.method && curve.rest == rest) {
            Some(curve) => curve.points.push(at),
            None => {
                let before = curves.iter().filter(|curve| *curve.method == point.method).count();
                let dash = DASHES[before % DASHES.len()];
                curves.push(Curve { method: &point.method, rest, dash, points: vec![at] });
            }
        }
    }
    curves
}

fn plane(found: &Pareto, width: f64) -> Panel {
    let points = &found.points;
    let curves = curves(found);
    let heights = points.iter().flat_map(|point| [high(point), low(point)]);
    let widths = points.iter().flat_map(|point| {
        let (mean, sd) = (point.flops.mean, point.flops.sd.unwrap_or(0.0));
        [100.0 * (mean - sd), 100.0 * (mean + sd)]
    });
    // Without bars it must be said that there is nothing to draw them from.
    let single = if points.iter().all(|point| point.accuracy.n == 1) { " (one seed)" } else { "" };
    // Only an expanded network has more than all FLOPs.
    let most = if points.iter().all(|point| point.flops.mean <= 1.0) { 100.0 } else { f64::INFINITY };
    let chart = Chart {
        title: format!("Test accuracy against FLOPs{single}"),
        x: Axis {
            name: "FLOPs, share of the unpruned network's",
            range: Range::with_room(widths, (0.0, most)),
            unit: "%",
        },
        y: Axis { name: "test accuracy", range: Range::with_room(heights, (0.0, 100.0)), unit: "%" },
        width,
        height: (width * 0.56).clamp(200.0, 330.0),
        legend: legend(found, &curves),
    };
    chart.panel(|plane, scene| draw(found, &curves, plane, scene))
}

fn draw(found: &Pareto, curves: &[Curve<'_>], plane: &Plane, scene: &mut Scene) {
    let points = &found.points;
    let spots: Vec<Spot> = points
        .iter()
        .map(|point| Spot {
            x: plane.x(100.0 * point.flops.mean),
            top: plane.y(high(point)) - 5.0,
            bottom: plane.y(low(point)) + 5.0,
        })
        .collect();
    let across = dodge(&spots, APART);
    let place = |at: usize| (across[at], plane.y(100.0 * points[at].accuracy.mean));
    let mut front: Vec<usize> = (0..points.len()).filter(|at| points[*at].on_front).collect();
    front.sort_by(|a, b| points[*a].flops.mean.total_cmp(&points[*b].flops.mean).then(a.cmp(b)));
    if front.len() > 1 {
        let front: Vec<(f64, f64)> = front.into_iter().map(place).collect();
        scene.add(polyline(&front, BAND.light, 8.0, ""));
    }
    if let Some(full) = unpruned(points.iter()) {
        let y = plane.y(full);
        scene.add(line((plane.left, y), (plane.left + plane.width, y), FAINT.light, 1.2, DOTS));
    }
    for curve in curves {
        let ink = style(curve.method.role).colour;
        let through: Vec<(f64, f64)> = curve.points.iter().map(|at| place(*at)).collect();
        if through.len() > 1 {
            scene.add(polyline(&through, ink, 1.6, curve.dash));
        }
    }
    // Marks lie on top of all lines.
    for (at, point) in points.iter().enumerate() {
        let Style { colour, mark: shape } = style(point.method.role);
        let (x, y) = place(at);
        scene.add(Primitive::GroupStart { transform: None, title: Some(tip(point)), extra_attrs: None });
        if point.accuracy.sd.is_some() {
            scene.add(error_bar(x, plane.y(low(point)), plane.y(high(point)), 3.0, colour));
        }
        scene.add(mark(x, y, 4.0, shape, colour));
        scene.add(Primitive::GroupEnd);
    }
}

fn legend(found: &Pareto, curves: &[Curve<'_>]) -> Vec<Entry> {
    let mut legend: Vec<Entry> = Vec::new();
    for curve in curves {
        let Style { colour, mark } = style(curve.method.role);
        let numbers = label::budget(&curve.rest);
        let comma = if numbers.is_empty() { "" } else { ", " };
        let symbol = match curve.points.len() {
            1 => Symbol::Mark(colour, mark),
            _ => Symbol::Marked(colour, mark, curve.dash),
        };
        legend.push(Entry::new(symbol, format!("{}{comma}{numbers}", curve.method.name)));
    }
    if found.points.iter().filter(|point| point.on_front).count() > 1 {
        legend.push(Entry::new(Symbol::Band(BAND.light), "Pareto front of the means"));
    }
    if unpruned(found.points.iter()).is_some() {
        legend.push(Entry::new(Symbol::Line(FAINT.light, DOTS, 1.2), "accuracy of the unpruned network"));
    }
    legend.extend(spread_entry(found.points.iter()));
    legend
}

/// The mean accuracy of the unpruned network, in percent.
pub(super) fn unpruned<'a>(mut points: impl Iterator<Item = &'a ParetoPoint>) -> Option<f64> {
    points.find(|point| point.method.role == Role::Unpruned).map(|point| 100.0 * point.accuracy.mean)
}

/// What the bars are, where there are any.
pub(super) fn spread_entry<'a>(points: impl Iterator<Item = &'a ParetoPoint>) -> Option<Entry> {
    let counts: Vec<usize> = points.map(|point| point.accuracy.n).filter(|n| *n > 1).collect();
    let seeds = seeds(counts)?;
    Some(Entry::new(Symbol::Bar(FAINT.light), format!("± 1 sample standard deviation over {seeds}")))
}

/// How many networks means are of: `3 seeds`, `2 to 3 seeds`; `None` where there is no mean of several.
pub(super) fn seeds(counts: impl IntoIterator<Item = usize>) -> Option<String> {
    let counts: Vec<usize> = counts.into_iter().filter(|n| *n > 1).collect();
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    Some(if least == most { plural(*most, "seed") } else { format!("{least} to {most} seeds") })
}

/// The upper end of a point's bar, in percent.
pub(super) fn high(point: &ParetoPoint) -> f64 {
    (100.0 * (point.accuracy.mean + point.accuracy.sd.unwrap_or(0.0))).min(100.0)
}

/// The lower end of a point's bar, in percent.
pub(super) fn low(point: &ParetoPoint) -> f64 {
    (100.0 * (point.accuracy.mean - point.accuracy.sd.unwrap_or(0.0))).max(0.0)
}

/// What is told of a point where the mouse rests on it.
pub(super) fn tip(point: &ParetoPoint) -> String {
    let sd = point.accuracy.sd.map_or(String::new(), |sd| format!(" ± {}", percent(sd)));
    let label = label::words(&point.label);
    let label = if label.is_empty() { label } else { format!(" {label}") };
    format!(
        "{}{label}: {}{sd} at {} of the FLOPs, n = {}",
        point.method.name,
        percent(point.accuracy.mean),
        percent(point.flops.mean),
        point.accuracy.n
    )
}
