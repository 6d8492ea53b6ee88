//! Time per stage.

use kuva::render::render::{Primitive, TextAnchor};

use super::panel::{Panel, canvas};
use super::shapes::{SMALL, base, heading, line_height, rectangle, words};
use super::text::{widest, wrap};
use super::theme::{BARS, GRID, TEXT};
use crate::report::figures::{StageTime, Time};
use crate::report::format::seconds;

/// A row is at least so high.
const ROW: f64 = 20.0;

/// Draws the figure: a bar for each stage, its time written beside it.
pub(super) fn panel(found: &Time, width: f64) -> Panel {
    let label = |stage: &StageTime| match stage.works.len() {
        1 => stage.stage.clone(),
        many => format!("{} ×{many}", stage.stage),
    };
    let labels: Vec<Vec<String>> =
        found.stages.iter().map(|stage| wrap(&label(stage), SMALL, width * 0.42)).collect();
    let times: Vec<String> = found.stages.iter().map(|stage| seconds(stage.seconds())).collect();
    let left = widest(labels.iter().flatten().map(String::as_str), SMALL) + 14.0;
    let right = widest(times.iter().map(String::as_str), SMALL) + 12.0;
    let room = (width - left - right - 8.0).max(20.0);
    let most = found.stages.iter().map(StageTime::seconds).fold(1e-9, f64::max);
    let mut scene = canvas(width, 0.0);
    let title = format!("Wall time by stage, {} in all", seconds(found.seconds()));
    let mut y = heading(&mut scene, &title, width);
    for ((stage, lines), time) in found.stages.iter().zip(&labels).zip(&times) {
        let high = (line_height(SMALL) * lines.len() as f64 + 4.0).max(ROW);
        let middle = y + high / 2.0;
        let first = middle - line_height(SMALL) * (lines.len() as f64 - 1.0) / 2.0;
        for (row, text) in lines.iter().enumerate() {
            let y = base(first + line_height(SMALL) * row as f64, SMALL);
            scene.add(words(left - 6.0, y, text, SMALL, TextAnchor::End, TEXT.light));
        }
        scene.add(rectangle(left, middle - 7.0, room, 14.0, GRID.light));
        let results = if stage.works.len() == 1 { "result" } else { "results" };
        let tip = format!("{}: {time}, {} {results}", stage.stage, stage.works.len());
        scene.add(Primitive::GroupStart { transform: None, title: Some(tip), extra_attrs: None });
        let long = (room * stage.seconds() / most).max(1.0);
        scene.add(rectangle(left, middle - 7.0, long, 14.0, BARS.light));
        scene.add(Primitive::GroupEnd);
        scene.add(words(width - 6.0, base(middle, SMALL), time, SMALL, TextAnchor::End, TEXT.light));
        y += high;
    }
    scene.height = (y + 8.0).ceil();
    Panel::new("Time per stage", scene)
}
