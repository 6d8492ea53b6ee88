//! Histograms of scores, with the thresholds.

use kuva::plot::legend::LegendShape;
use kuva::prelude::{Histogram as Bars, LegendEntry, Plot, ReferenceLine};

use super::chart::{Axes, Range, chart};
use super::panel::Panel;
use super::theme::{BARS, series};
use crate::report::figures::{Gates, Histogram, label};
use crate::report::format::number;

/// So many thresholds are drawn; those between are left out.
const CUTS: usize = 5;

/// Draws the figure: a histogram for each artifact.
pub fn panels(found: &Gates, width: f64) -> Vec<Panel> {
    found.histograms.iter().map(|histogram| panel(histogram, width)).collect()
}

fn panel(found: &Histogram, width: f64) -> Panel {
    let counts: Vec<f64> = found.counts.iter().map(|count| *count as f64).collect();
    let bars = Bars::new().with_precomputed(found.edges.clone(), counts).with_color(BARS.light);
    let step = found.thresholds.len().div_ceil(CUTS).max(1);
    let cuts = found.thresholds.iter().step_by(step).enumerate();
    let (mut lines, mut legend) = (Vec::new(), Vec::new());
    for (at, cut) in cuts {
        // The first colour of series is too near to that of the bars.
        let (colour, dash) = (series(at + 1), ["", "6 3", "2 2", "8 3 2 3", "10 4"][at % CUTS]);
        let line = ReferenceLine::vertical(cut.value).with_color(colour).with_stroke_width(1.8);
        lines.push(line.with_dasharray(dash));
        let wanted =
            cut.wanted.map_or(cut.search.clone(), |wanted| format!("{}% of FLOPs", number(100.0 * wanted)));
        legend.push(LegendEntry {
            label: format!("{wanted}: {}", number(cut.value)),
            color: colour.to_owned(),
            shape: LegendShape::Line,
            dasharray: Some(dash.to_owned()).filter(|dash| !dash.is_empty()),
        });
    }
    let title = format!("{} {}", found.source, label::words(&found.label));
    let reach = found.edges.iter().copied().chain(found.thresholds.iter().map(|cut| cut.value));
    let highest = found.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    chart(
        vec![Plot::from(bars)],
        Axes {
            title: title.trim_end().to_owned(),
            x: "score of a channel",
            y: "channels",
            size: (width, (width * 0.7).clamp(220.0, 320.0)),
            x_range: Range::around(reach, (f64::NEG_INFINITY, f64::INFINITY)),
            y_range: Range::around([0.0, highest].into_iter(), (0.0, f64::INFINITY)),
            percent: (false, false),
            lines,
            legend,
        },
    )
}
