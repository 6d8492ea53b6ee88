//! Training curves: for each stage a panel for each metric.

use kuva::render::render::Scene;

use super::chart::{Chart, Plane};
use super::legend::{Entry, Symbol};
use super::panel::Panel;
use super::pareto::seeds;
use super::range::{Axis, Range};
use super::shapes::{area, mark, polyline};
use super::theme::{BAND, DASHES, DOTS, FAINT, Style, style};
use crate::report::Mean;
use crate::report::figures::{Curve, Curves, EpochMeans, Role, label};

/// So many curves share a panel with both kinds of images; with more, each kind has a panel of its own.
const BOTH: usize = 3;

/// So many curves share a panel; with more, each budget has a panel of its own.
const TOGETHER: usize = 10;

/// Which images a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Images {
    Training,
    Validation,
}

/// What a panel shows of an epoch.
struct Quantity {
    name: &'static str,
    axis: &'static str,
    percent: bool,
    of: fn(&EpochMeans, Images) -> Option<Mean>,
}

const QUANTITIES: [Quantity; 2] = [
    Quantity {
        name: "accuracy",
        axis: "accuracy",
        percent: true,
        of: |means, images| match images {
            Images::Training => means.train_accuracy,
            Images::Validation => means.validation_accuracy,
        },
    },
    Quantity {
        name: "loss",
        axis: "loss",
        percent: false,
        of: |means, images| match images {
            Images::Training => means.train_loss,
            Images::Validation => means.validation_loss,
        },
    },
];

/// Curves that share a panel, with their means.
struct Group<'a> {
    /// What they have in common beside the stage, in words.
    title: String,
    /// Whether training and validation images share a panel.
    both: bool,
    curves: Vec<(&'a Curve, Vec<EpochMeans>)>,
}

/// Draws the figure.
pub(super) fn panels(found: &Curves, width: f64) -> Vec<Panel> {
    let mut panels = Vec::new();
    for curves in found.by_stage() {
        let groups = groups(curves);
        let validated = groups
            .iter()
            .flat_map(|group| &group.curves)
            .flat_map(|(_, means)| means)
            .any(|epoch| epoch.validation_accuracy.is_some() || epoch.validation_loss.is_some());
        let kinds: &[&[Images]] = match validated {
            false => &[&[Images::Training]],
            true if both(curves) => &[&[Images::Validation, Images::Training]],
            true => &[&[Images::Validation], &[Images::Training]],
        };
        for quantity in &QUANTITIES {
            for images in kinds {
                // Panels beside each other have the same axes, so that they can be compared.
                let axes = axes(&groups, quantity, images);
                panels.extend(groups.iter().map(|group| panel(group, quantity, images, axes, width)));
            }
        }
    }
    panels
}

/// Whether training images have a place beside validation images: few curves, one for each method.
fn both(curves: &[Curve]) -> bool {
    let methods = || curves.iter().map(|curve| &curve.method);
    let distinct = |at: usize| methods().take(at).all(|other| *other != curves[at].method);
    curves.len() <= BOTH && (0..curves.len()).all(distinct)
}

/// The curves of a stage: all together, or those of each budget, or some of them.
fn groups(all: &[Curve]) -> Vec<Group<'_>> {
    let budgets: Vec<Vec<&Curve>> = if all.len() <= TOGETHER {
        vec![all.iter().collect()]
    } else {
        let mut budgets: Vec<Vec<&Curve>> = Vec::new();
        for curve in all {
            match budgets.iter_mut().find(|group| group[0].places == curve.places) {
                Some(group) => group.push(curve),
                None => budgets.push(vec![curve]),
            }
        }
        // One curve a panel is no comparison: the budgets of a method belong together then.
        if budgets.iter().all(|group| group.len() == 1) { vec![budgets.concat()] } else { budgets }
    };
    let several = budgets.len() > 1;
    let mut groups = Vec::new();
    for budget in budgets {
        let common = if several { label::budget(&budget[0].places) } else { String::new() };
        let parts = budget.len().div_ceil(TOGETHER);
        for (part, curves) in budget.chunks(budget.len().div_ceil(parts)).enumerate() {
            let mut title = if common.is_empty() { String::new() } else { format!(", {common}") };
            if parts > 1 {
                title += &format!(" ({} of {parts})", part + 1);
            }
            let curves = curves.iter().map(|curve| (*curve, curve.means())).collect();
            groups.push(Group { title, both: both(all), curves });
        }
    }
    groups
}

fn axes(groups: &[Group<'_>], quantity: &Quantity, images: &[Images]) -> (Axis, Axis) {
    let curves = || groups.iter().flat_map(|group| &group.curves);
    let ends = curves().flat_map(|(_, means)| means).flat_map(|epoch| {
        images.iter().filter_map(|images| (quantity.of)(epoch, *images)).flat_map(|mean| {
            let (low, high) = ends(mean, quantity);
            [low, high]
        })
    });
    let limits = if quantity.percent { (0.0, 100.0) } else { (0.0, f64::INFINITY) };
    let last = curves().flat_map(|(_, means)| means).map(|epoch| epoch.epoch).max().unwrap_or(1);
    // A single epoch needs some width to stand in.
    let epochs = Range::whole(u64::from(last > 1), last);
    let unit = if quantity.percent { "%" } else { "" };
    (
        Axis { name: "epoch", range: epochs, unit: "" },
        Axis { name: quantity.axis, range: Range::around(ends, limits), unit },
    )
}

fn scale(quantity: &Quantity) -> f64 {
    if quantity.percent { 100.0 } else { 1.0 }
}

/// One standard deviation below and above a mean.
fn ends(mean: Mean, quantity: &Quantity) -> (f64, f64) {
    let sd = mean.sd.unwrap_or(0.0);
    let most = if quantity.percent { 1.0 } else { f64::INFINITY };
    (scale(quantity) * (mean.mean - sd).max(0.0), scale(quantity) * (mean.mean + sd).min(most))
}

fn panel(
    group: &Group<'_>,
    quantity: &Quantity,
    images: &[Images],
    (x, y): (Axis, Axis),
    width: f64,
) -> Panel {
    let stage = group.curves.first().map_or("", |(curve, _)| &curve.stage);
    let kind = match images {
        [Images::Validation] => "validation ",
        [Images::Training] => "training ",
        _ => "",
    };
    let chart = Chart {
        title: format!("{stage}{}: {kind}{}", group.title, quantity.name),
        x,
        y,
        width,
        height: (width * 0.5).clamp(150.0, 240.0),
        legend: legend(group, images),
    };
    chart.panel(|plane, scene| {
        for images in images {
            for (at, (curve, means)) in group.curves.iter().enumerate() {
                let line =
                    Line { dash: group.dash(at, *images), ..Line::of(curve, means, quantity, *images) };
                line.draw(plane, scene);
            }
        }
    })
}

impl Group<'_> {
    /// The dashes of a curve: dotted for training images beside others, else another for each budget of a
    /// method.
    fn dash(&self, at: usize, images: Images) -> &'static str {
        let method = &self.curves[at].0.method;
        let before = self.curves[..at].iter().filter(|(curve, _)| curve.method == *method).count();
        match images {
            Images::Training if self.both => DOTS,
            _ => DASHES[before % DASHES.len()],
        }
    }
}

/// A curve as it is drawn.
struct Line {
    style: Style,
    dash: &'static str,
    marked: bool,
    points: Vec<(f64, f64)>,
    low: Vec<(f64, f64)>,
    high: Vec<(f64, f64)>,
}

/// So many marks a curve has at most.
const MARKS: usize = 6;

impl Line {
    fn of(curve: &Curve, means: &[EpochMeans], quantity: &Quantity, images: Images) -> Self {
        let mut line = Self {
            style: style(curve.method.role),
            dash: "",
            marked: curve.method.role != Role::Shared,
            points: Vec::new(),
            low: Vec::new(),
            high: Vec::new(),
        };
        for epoch in means {
            let Some(mean) = (quantity.of)(epoch, images).filter(|mean| mean.mean.is_finite()) else {
                continue;
            };
            let (x, (low, high)) = (epoch.epoch as f64, ends(mean, quantity));
            line.points.push((x, scale(quantity) * mean.mean));
            if mean.sd.is_some() {
                line.low.push((x, low));
                line.high.push((x, high));
            }
        }
        line
    }

    fn draw(&self, plane: &Plane, scene: &mut Scene) {
        let ink = self.style.colour;
        let pixels = |points: &[(f64, f64)]| points.iter().map(|at| plane.at(*at)).collect::<Vec<_>>();
        if self.high.len() > 1 {
            let back = self.low.iter().rev().copied();
            let around: Vec<(f64, f64)> = self.high.iter().copied().chain(back).collect();
            scene.add(area(&pixels(&around), ink, 0.14));
        }
        let points = pixels(&self.points);
        if points.len() > 1 {
            scene.add(polyline(&points, ink, if self.dash == DOTS { 1.5 } else { 1.8 }, self.dash));
        }
        // A single epoch has no line; a mark shows it.
        let each = points.len().div_ceil(MARKS).max(1);
        let shown = points.iter().rev().step_by(each);
        for (x, y) in shown.filter(|_| self.dash != DOTS && (self.marked || points.len() == 1)) {
            scene.add(mark(*x, *y, 3.2, self.style.mark, ink));
        }
    }
}

fn legend(group: &Group<'_>, images: &[Images]) -> Vec<Entry> {
    let mut legend = Vec::new();
    let alone = group.curves.len() == 1;
    for (at, (curve, _)) in group.curves.iter().enumerate() {
        let Style { colour, mark } = style(curve.method.role);
        let dash = group.dash(at, Images::Validation);
        let shared = curve.method.role == Role::Shared;
        let symbol =
            if shared { Symbol::Line(colour, dash, 1.8) } else { Symbol::Marked(colour, mark, dash) };
        let several = group.curves.iter().filter(|(other, _)| other.method == curve.method).count() > 1;
        let numbers = if several { label::budget(&curve.places) } else { String::new() };
        let comma = if numbers.is_empty() { "" } else { ", " };
        // The one curve of a stage that works for several methods is named by the title.
        if !(alone && shared) {
            legend.push(Entry::new(symbol, format!("{}{comma}{numbers}", curve.method.name)));
        }
    }
    if images.len() > 1 {
        legend.push(Entry::new(Symbol::Line(FAINT.light, "", 1.8), "validation images"));
        legend.push(Entry::new(Symbol::Line(FAINT.light, DOTS, 1.5), "training images"));
    } else if alone && images == [Images::Training] {
        legend.push(Entry::new(Symbol::Line(FAINT.light, "", 1.8), "training images"));
    }
    let counts = group.curves.iter().map(|(curve, _)| curve.runs.len());
    if let Some(seeds) = seeds(counts) {
        let words = format!("± 1 sample standard deviation over {seeds}");
        legend.push(Entry::new(Symbol::Band(BAND.light), words));
    }
    legend
}
