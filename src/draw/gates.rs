//! Histograms of scores, with the thresholds.

use super::chart::Chart;
use super::legend::{Entry, Symbol};
use super::panel::Panel;
use super::range::{Axis, Range};
use super::shapes::{line, rectangle};
use super::theme::{BARS, DASHES, TEXT};
use crate::report::figures::label::{self, Label};
use crate::report::figures::{Gates, Histogram};
use crate::report::format::number;

/// So many thresholds are drawn; those between are left out.
const CUTS: usize = DASHES.len();

/// Draws the figure: a histogram for each artifact.
pub(super) fn panels(found: &Gates, width: f64) -> Vec<Panel> {
    found.histograms.iter().map(|histogram| panel(histogram, width)).collect()
}

fn panel(found: &Histogram, width: f64) -> Panel {
    let step = found.thresholds.len().div_ceil(CUTS).max(1);
    let cuts = || found.thresholds.iter().step_by(step).enumerate();
    let mut legend = vec![Entry::new(Symbol::Band(BARS.light), "channels of all layers")];
    legend.extend(cuts().map(|(at, cut)| {
        let ratio = cut.wanted.map(|wanted| format!(" for {}% of the FLOPs", number(100.0 * wanted)));
        let words = format!("threshold{}: {}", ratio.unwrap_or_default(), number(cut.value));
        Entry::new(Symbol::Line(TEXT.light, DASHES[at], 1.8), words)
    }));
    let drawn = cuts().count();
    if drawn < found.thresholds.len() {
        if let Some(last) = legend.last_mut() {
            last.text += &format!(" ({drawn} of {} thresholds)", found.thresholds.len());
        }
    }
    let reach = found.edges.iter().copied().chain(found.thresholds.iter().map(|cut| cut.value));
    let highest = found.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let chart = Chart {
        title: title(found),
        x: Axis {
            name: "score of a channel",
            range: Range::around(reach, (f64::NEG_INFINITY, f64::INFINITY)),
            unit: "",
        },
        y: Axis {
            name: "channels",
            range: Range::around([0.0, highest].into_iter(), (0.0, f64::INFINITY)),
            unit: "",
        },
        width,
        height: (width * 0.46).clamp(140.0, 220.0),
        legend,
    };
    chart.panel(|plane, scene| {
        for (count, edges) in found.counts.iter().zip(found.edges.windows(2)) {
            let (left, top) = plane.at((edges[0], *count as f64));
            let (wide, high) = (plane.x(edges[1]) - left, plane.y(0.0) - top);
            if *count > 0 {
                scene.add(rectangle(left, top, (wide - 0.6).max(0.6), high, BARS.light));
            }
        }
        for (at, cut) in cuts() {
            let x = plane.x(cut.value);
            let (from, to) = ((x, plane.top), (x, plane.top + plane.height));
            scene.add(line(from, to, TEXT.light, 1.8, DASHES[at]));
        }
    })
}

/// The artifact's stage, and what its point has beside the stage's name.
fn title(found: &Histogram) -> String {
    let rest: Label = found.label.iter().filter(|(_, value)| *value != found.source).cloned().collect();
    let words = label::budget(&rest);
    let comma = if words.is_empty() { "" } else { ", " };
    format!("{}{comma}{words}", found.source)
}
