//! Charts with axes, in the sizes and colours of all figures.

use std::sync::Arc;

use kuva::AxisLabelOverlap;
use kuva::TickFormat;
use kuva::prelude::{Layout, LegendEntry, LegendPosition, Plot, ReferenceLine, Theme};
use kuva::render::render::{Primitive, TextAnchor, render_multiple};

use super::panel::Panel;
use super::text::fit;
use super::theme::{AXIS, GRID, TEXT};

/// Words along axes and in legends.
pub const SMALL: u32 = 11;
/// Names of axes.
const LABEL: u32 = 12;
/// Headings.
pub const HEAD: u32 = 13;

/// A line of a legend.
const LINE: f64 = 17.0;

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
    /// The range of the horizontal axis.
    pub x_range: Range,
    /// The range of the vertical axis.
    pub y_range: Range,
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
    // A legend makes the picture higher, not what it explains lower.
    let longest = axes.legend.iter().map(|entry| super::text::width(&entry.label, SMALL)).fold(0.0, f64::max);
    let columns = ((width - 60.0) / (longest + 40.0)).floor().max(1.0);
    let rows = (axes.legend.len() as f64 / columns).ceil();
    let mut layout = Layout::auto_from_plots(&plots)
        .with_width(width)
        .with_height(height + rows * LINE)
        .with_title(fit(&axes.title, HEAD, width - 24.0))
        .with_title_size(HEAD)
        .with_x_label(axes.x)
        .with_label_size(LABEL)
        .with_tick_size(SMALL)
        .with_body_size(SMALL)
        .with_theme(theme())
        .with_x_label_overlap(AxisLabelOverlap::Thin)
        .with_legend_box(false);
    if axes.legend.is_empty() {
        layout.show_legend = false;
    } else {
        let legend = axes
            .legend
            .into_iter()
            .map(|entry| LegendEntry { label: fit(&entry.label, SMALL, width - 80.0), ..entry });
        layout = layout
            .with_legend_entries(legend.collect())
            .with_legend_position(LegendPosition::OutsideBottomColumns)
            .with_legend_col_limit(columns as usize);
    }
    let (x, y) = (axes.x_range, axes.y_range);
    layout = layout.with_x_axis_min(x.low).with_x_axis_max(x.high).with_x_tick_step(x.step);
    layout = layout.with_y_axis_min(y.low).with_y_axis_max(y.high).with_y_tick_step(y.step);
    layout = layout.with_x_tick_format(ticks(axes.percent.0)).with_y_tick_format(ticks(axes.percent.1));
    // The library reckons with numbers of its own format, and would write the axis' name over ours.
    let left = y.widest(axes.percent.1) + 30.0;
    layout = layout.with_force_margins(left, x.widest(axes.percent.0) / 2.0 + 8.0);
    for line in axes.lines {
        layout = layout.with_reference_line(line);
    }
    let mut scene = render_multiple(plots, layout);
    let texts = || {
        scene.elements.iter().filter_map(|element| match element {
            Primitive::Text { y, anchor, .. } => Some((*y, matches!(anchor, TextAnchor::End))),
            _ => None,
        })
    };
    // Below a legend the library leaves room that nothing fills.
    let lowest = texts().map(|(y, _)| y).fold(0.0, f64::max);
    let along = texts().filter(|(_, of_axis)| *of_axis).map(|(y, _)| y);
    let (top, bottom) =
        along.fold((f64::INFINITY, 0.0), |ends: (f64, f64), y| (ends.0.min(y), ends.1.max(y)));
    scene.height = scene.height.min((lowest + 12.0).ceil());
    scene.add(Primitive::Text {
        x: 15.0,
        y: f64::midpoint(top.min(bottom), bottom) - 4.0,
        content: axes.y.to_owned(),
        size: LABEL,
        anchor: TextAnchor::Middle,
        rotate: Some(-90.0),
        bold: false,
        color: None,
    });
    Panel::new(axes.title, scene)
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

/// How numbers stand along an axis.
fn ticks(percent: bool) -> TickFormat {
    TickFormat::Custom(Arc::new(move |value| tick(value, percent)))
}

fn tick(value: f64, percent: bool) -> String {
    // What rounding leaves of zero is zero.
    let value = if value.abs() < 1e-9 { 0.0 } else { value };
    format!("{}{}", crate::report::format::number(value), if percent { "%" } else { "" })
}

/// What an axis spans, from tick to tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Its beginning.
    pub low: f64,
    /// Its end.
    pub high: f64,
    /// From one tick to the next.
    pub step: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { low: 0.0, high: 1.0, step: 0.25 }
    }
}

/// So many steps an axis has at most.
const STEPS: f64 = 5.0;

impl Range {
    /// The range that holds `values`, from one round number to another, within `limits` where they are given.
    pub fn around(values: impl Iterator<Item = f64>, limits: (f64, f64)) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
            (range.0.min(value), range.1.max(value))
        });
        if low > high {
            return Self::default();
        }
        // A single value stands in the middle of some room.
        let room = if high > low { 0.0 } else { (high.abs() * 0.05).max(0.5) };
        let (low, high) = ((low - room).max(limits.0), (high + room).min(limits.1));
        let least = ((high - low) / STEPS).max(f64::MIN_POSITIVE);
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|part| part * power);
        let step = step.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power);
        Self { low: (low / step + 1e-9).floor() * step, high: (high / step - 1e-9).ceil() * step, step }
    }

    /// How wide its widest number is.
    fn widest(self, percent: bool) -> f64 {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 100.0) as usize;
        let number = |at: usize| tick(self.low + self.step * at as f64, percent);
        (0..=count).map(|at| super::text::width(&number(at), SMALL)).fold(0.0, f64::max)
    }

    /// Of whole numbers, such as epochs.
    pub fn whole(low: u64, high: u64) -> Self {
        let high = high.max(low + 1);
        let steps = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000];
        let step =
            steps.into_iter().find(|step| (high - low) <= 8 * step).unwrap_or((high - low).div_ceil(8));
        Self { low: low as f64, high: high as f64, step: step as f64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_holds_its_values_and_has_few_round_steps(values in prop::collection::vec(-1e6f64..1e6, 1..20), scale in -9i32..9) {
            let values: Vec<f64> = values.iter().map(|value| value * 10f64.powi(scale)).collect();
            let range = Range::around(values.iter().copied(), (f64::NEG_INFINITY, f64::INFINITY));
            let slack = range.step * 1e-6;
            prop_assert!(values.iter().all(|value| range.low - slack <= *value && *value <= range.high + slack), "{:?}", range);
            let steps = (range.high - range.low) / range.step;
            prop_assert!((0.5..=STEPS + 2.5).contains(&steps), "{range:?}");
        }
    }

    #[test]
    fn ends_of_ranges_are_round() {
        let around = |values: &[f64]| Range::around(values.iter().copied(), (0.0, 100.0));
        assert_eq!(around(&[0.197, 0.999]), Range { low: 0.0, high: 1.0, step: 0.2 });
        assert_eq!(around(&[39.0, 76.4]), Range { low: 30.0, high: 80.0, step: 10.0 });
        assert_eq!(around(&[50.0]), Range { low: 47.0, high: 53.0, step: 1.0 });
        assert_eq!(around(&[]), Range::default());
        assert_eq!(Range::whole(1, 6), Range { low: 1.0, high: 6.0, step: 1.0 });
        assert_eq!(Range::whole(1, 160), Range { low: 1.0, high: 160.0, step: 20.0 });
    }
}
