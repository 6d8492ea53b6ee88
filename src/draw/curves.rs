//! Training curves.

use kuva::plot::LineStyle;
use kuva::plot::legend::LegendShape;
use kuva::prelude::{LegendEntry, LinePlot, Plot};

use super::chart::{Axes, Range, chart};
use super::panel::Panel;
use super::theme::series;
use crate::report::Mean;
use crate::report::figures::{Curve, Curves, EpochMeans, label};
use crate::train::EpochRecord;

/// So many points of a sweep share a panel; more would hide each other.
const TOGETHER: usize = 4;

/// What a panel shows of an epoch.
struct Quantity {
    name: &'static str,
    axis: &'static str,
    percent: bool,
    train: fn(&EpochMeans) -> Option<Mean>,
    validation: fn(&EpochMeans) -> Option<Mean>,
    of_run: fn(&EpochRecord) -> Option<f64>,
    of_run_train: fn(&EpochRecord) -> f64,
}

const QUANTITIES: [Quantity; 2] = [
    Quantity {
        name: "accuracy",
        axis: "accuracy",
        percent: true,
        train: |means| means.train_accuracy,
        validation: |means| means.validation_accuracy,
        of_run: |record| record.validation_accuracy,
        of_run_train: |record| record.train_accuracy,
    },
    Quantity {
        name: "loss",
        axis: "loss",
        percent: false,
        train: |means| means.train_loss,
        validation: |means| means.validation_loss,
        of_run: |record| record.validation_loss,
        of_run_train: |record| record.train_loss,
    },
];

/// Draws the figure: accuracy and loss of every stage.
pub fn panels(found: &Curves, width: f64) -> Vec<Panel> {
    let stages = found.by_stage();
    let chunks = stages.iter().flat_map(|curves| curves.chunks(TOGETHER));
    chunks.flat_map(|curves| QUANTITIES.iter().map(move |quantity| panel(curves, quantity, width))).collect()
}

fn panel(curves: &[Curve], quantity: &Quantity, width: f64) -> Panel {
    let scale = if quantity.percent { 100.0 } else { 1.0 };
    let mut plots: Vec<Plot> = Vec::new();
    let mut heights = Vec::new();
    let mut legend = Vec::new();
    for (at, curve) in curves.iter().enumerate() {
        let colour = series(at);
        let means = curve.means();
        let validated = means.iter().any(|epoch| (quantity.validation)(epoch).is_some());
        let mut add = |points: Vec<(f64, f64)>, wide: f64, style: LineStyle| {
            heights.extend(points.iter().map(|point| point.1));
            if !points.is_empty() {
                let line = LinePlot::new().with_data(points).with_color(colour).with_stroke_width(wide);
                plots.push(line.with_line_style(style).into());
            }
        };
        if curve.runs.len() > 1 {
            for (_, run) in &curve.runs {
                let of_run = |record: &EpochRecord| {
                    let value = (quantity.of_run)(record);
                    value.or((!validated).then_some((quantity.of_run_train)(record)))
                };
                let points =
                    run.iter().filter_map(|record| Some((record.epoch as f64, of_run(record)? * scale)));
                add(points.filter(finite).collect(), 0.6, LineStyle::Solid);
            }
        }
        let mean = |value: fn(&EpochMeans) -> Option<Mean>| -> Vec<(f64, f64)> {
            means.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?.mean * scale))).collect()
        };
        let train = if validated { LineStyle::Custom("1.5 2.5".to_owned()) } else { LineStyle::Solid };
        add(mean(quantity.train), if validated { 1.4 } else { 2.0 }, train);
        add(mean(quantity.validation), 2.0, LineStyle::Solid);
        let name = label::words(&curve.label);
        if !name.is_empty() {
            legend.push(entry(&name, colour, None));
        }
        if at + 1 == curves.len() {
            let ink = if curves.len() == 1 { colour } else { super::theme::FAINT.light };
            if validated {
                legend.push(entry("validation", ink, None));
                legend.push(entry("training", ink, Some("1.5 2.5")));
            } else {
                legend.push(entry("training", ink, None));
            }
        }
    }
    let last =
        curves.iter().flat_map(|curve| &curve.runs).flat_map(|(_, run)| run).map(|record| record.epoch).max();
    let limits = if quantity.percent { (0.0, 100.0) } else { (f64::NEG_INFINITY, f64::INFINITY) };
    let stage = curves.first().map_or("", |curve| &curve.stage);
    chart(
        plots,
        Axes {
            title: format!("{stage}: {}", quantity.name),
            x: "epoch",
            y: quantity.axis,
            size: (width, (width * 0.74).clamp(230.0, 340.0)),
            // A single epoch needs some width to stand in.
            x_range: Range::whole(if last == Some(1) { 0 } else { 1 }, last.unwrap_or(1)),
            y_range: Range::around(heights.into_iter(), limits),
            percent: (false, quantity.percent),
            lines: vec![],
            legend,
        },
    )
}

fn finite(point: &(f64, f64)) -> bool {
    point.1.is_finite()
}

fn entry(label: &str, colour: &str, dash: Option<&str>) -> LegendEntry {
    LegendEntry {
        label: label.to_owned(),
        color: colour.to_owned(),
        shape: LegendShape::Line,
        dasharray: dash.map(str::to_owned),
    }
}
