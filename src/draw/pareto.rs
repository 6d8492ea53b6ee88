//! Accuracy against FLOPs.

use kuva::plot::LineStyle;
use kuva::plot::legend::LegendShape;
use kuva::prelude::{LegendEntry, LinePlot, Plot, ReferenceLine, ScatterPlot};

use super::chart::{Axes, Range, chart};
use super::panel::Panel;
use super::theme::{BAND, FAINT, line, mark, series};
use crate::report::UNPRUNED;
use crate::report::figures::{Pareto, ParetoPoint, label};
use crate::report::format::percent;

/// Draws the figure.
pub fn panel(found: &Pareto, width: f64) -> Panel {
    let place = |point: &ParetoPoint| (100.0 * point.flops.mean, 100.0 * point.accuracy.mean);
    let spread = |point: &ParetoPoint| 100.0 * point.accuracy.sd.unwrap_or(0.0);
    let mut plots: Vec<Plot> = Vec::new();
    let mut front: Vec<(f64, f64)> = found.points.iter().filter(|point| point.on_front).map(place).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    if front.len() > 1 {
        plots.push(LinePlot::new().with_data(front).with_color(BAND.light).with_stroke_width(7.0).into());
    }
    let mut legend = Vec::new();
    for (at, name) in found.series().into_iter().enumerate() {
        let own: Vec<&ParetoPoint> = found.points.iter().filter(|point| point.series == name).collect();
        let points: Vec<(f64, f64)> = own.iter().map(|point| place(point)).collect();
        let bars: Vec<f64> = own.iter().map(|point| spread(point)).collect();
        let across: Vec<f64> = own.iter().map(|point| 100.0 * point.flops.sd.unwrap_or(0.0)).collect();
        let colour = series(at);
        // Lines before marks, so that marks lie on top.
        let curve = LinePlot::new().with_data(points.clone()).with_color(colour).with_stroke_width(1.6);
        plots.push(curve.with_line_style(line(at)).into());
        let tips = own.iter().map(|point| tip(point));
        let marks =
            ScatterPlot::new().with_data(points).with_color(colour).with_size(4.0).with_marker(mark(at));
        let marks = if bars.iter().any(|bar| *bar > 0.0) { marks.with_y_err(bars) } else { marks };
        // A spread of the cost that cannot be seen only clutters.
        let marks = if across.iter().any(|bar| *bar > 0.2) { marks.with_x_err(across) } else { marks };
        plots.push(marks.with_tooltip_labels(tips).into());
        legend.push(LegendEntry {
            label: name.to_owned(),
            color: colour.to_owned(),
            shape: LegendShape::Marker(mark(at)),
            dasharray: None,
        });
    }
    let mut lines = Vec::new();
    if let Some(full) = found.points.iter().find(|point| point.unpruned) {
        lines.push(
            ReferenceLine::horizontal(100.0 * full.accuracy.mean)
                .with_color(FAINT.light)
                .with_stroke_width(1.0)
                .with_dasharray("2 3"),
        );
        if !found.series().contains(&UNPRUNED) {
            legend.push(LegendEntry {
                label: UNPRUNED.to_owned(),
                color: FAINT.light.to_owned(),
                shape: LegendShape::Line,
                dasharray: LineStyle::Custom("2 3".to_owned()).dasharray(),
            });
        }
    }
    let heights = found.points.iter().flat_map(|point| {
        let (_, middle) = place(point);
        [middle - spread(point), middle + spread(point)]
    });
    let widths = found.points.iter().map(|point| place(point).0);
    chart(
        plots,
        Axes {
            title: "Test accuracy against FLOPs".to_owned(),
            x: "FLOPs, as a share of the plain network's",
            y: "test accuracy",
            size: (width, (width * 0.78).clamp(250.0, 420.0)),
            x_range: Range::around(widths, (0.0, f64::INFINITY)),
            y_range: Range::around(heights, (0.0, 100.0)),
            percent: (true, true),
            lines,
            legend,
        },
    )
}

fn tip(point: &ParetoPoint) -> String {
    let sd = point.accuracy.sd.map_or(String::new(), |sd| format!(" ± {}", percent(sd)));
    let label = label::words(&point.label);
    let label = if label.is_empty() { label } else { format!(" {label}") };
    format!(
        "{}{label}: {}{sd} at {} of the FLOPs, n = {}",
        point.series,
        percent(point.accuracy.mean),
        percent(point.flops.mean),
        point.accuracy.n
    )
}
