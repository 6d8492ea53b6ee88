//! Charts with axes, in the sizes and colours of all figures.

use std::sync::Arc;

use kuva::TickFormat;
use kuva::prelude::{Layout, LegendEntry, LegendPosition, Plot, ReferenceLine, Theme};
use kuva::render::render::render_multiple;
use kuva::AxisLabelOverlap;

use super::panel::Panel;
use super::text::fit;
use super::theme::{AXIS, GRID, TEXT};

/// Words along axes and in legends.
pub const SMALL: u32 = 11;
/// Names of axes.
const LABEL: u32 = 12;
/// Headings.
pub const HEAD: u32 = 13;

/// What surrounds what is drawn.
#[derive(Default)]
pub struct Axes {
    /// What it shows.
    pub title: String,
    /// The name of the horizontal axis.
    pub x: &'static str,
    /// The name of the vertical axis.
    pub y: &'static str,
    /// Width and height in pixels, the legend included.
    pub size: (f64, f64),
    /// The range of the horizontal axis, where the data do not say it.
    pub x_range: Option<(f64, f64)>,
    /// The range of the vertical axis.
    pub y_range: Option<(f64, f64)>,
    /// Whether values are percentages: across, and up.
    pub percent: (bool, bool),
    /// Lines through the whole chart.
    pub lines: Vec<ReferenceLine>,
    /// What stands for what.
    pub legend: Vec<LegendEntry>,
}

/// Draws a chart.
pub fn chart(plots: Vec<Plot>, axes: Axes) -> Panel {
    let (width, height) = axes.size;
    let longest = axes.legend.iter().map(|entry| super::text::width(&entry.label, SMALL)).fold(0.0, f64::max);
    let columns = ((width - 40.0) / (longest + 48.0)).floor().max(1.0);
    let rows = (axes.legend.len() as f64 / columns).ceil();
    let mut layout = Layout::auto_from_plots(&plots)
        .with_width(width)
        .with_height(height + rows * 16.0)
        .with_title(fit(&axes.title, HEAD, width - 24.0))
        .with_title_size(HEAD)
        .with_x_label(axes.x)
        .with_y_label(axes.y)
        .with_label_size(LABEL)
        .with_tick_size(SMALL)
        .with_body_size(SMALL)
        .with_ticks(5)
        .with_theme(theme())
        .with_x_label_overlap(AxisLabelOverlap::Thin)
        .with_legend_box(false);
    if axes.legend.is_empty() {
        layout.show_legend = false;
    } else {
        let legend = axes.legend.into_iter().map(|entry| LegendEntry {
            label: fit(&entry.label, SMALL, width - 80.0),
            ..entry
        });
        layout = layout
            .with_legend_entries(legend.collect())
            .with_legend_position(LegendPosition::OutsideBottomColumns)
            .with_legend_col_limit(columns as usize);
    }
    if let Some((low, high)) = axes.x_range {
        layout = layout.with_x_axis_min(low).with_x_axis_max(high);
    }
    if let Some((low, high)) = axes.y_range {
        layout = layout.with_y_axis_min(low).with_y_axis_max(high);
    }
    let percent = || TickFormat::Custom(Arc::new(|value| format!("{}%", crate::report::format::number(value))));
    if axes.percent.0 {
        layout = layout.with_x_tick_format(percent());
    }
    if axes.percent.1 {
        layout = layout.with_y_tick_format(percent());
    }
    for line in axes.lines {
        layout = layout.with_reference_line(line);
    }
    Panel::new(axes.title, render_multiple(plots, layout))
}

fn theme() -> Theme {
    Theme {
        background: "none".to_owned(),
        axis_color: AXIS.light.to_owned(),
        grid_color: GRID.light.to_owned(),
        tick_color: AXIS.light.to_owned(),
        text_color: TEXT.light.to_owned(),
        ..Theme::light()
    }
}

/// A range around `values` with some room, within `limits`; `None` without values.
pub fn around(values: impl Iterator<Item = f64>, limits: (f64, f64)) -> Option<(f64, f64)> {
    let (low, high) = values.filter(|value| value.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
        (range.0.min(value), range.1.max(value))
    });
    if low > high {
        return None;
    }
    let room = ((high - low) * 0.08).max((high.abs() * 0.01).max(1e-6));
    Some(((low - room).max(limits.0), (high + room).min(limits.1)))
}
