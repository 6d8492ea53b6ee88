//! Time per stage.

use kuva::render::render::{Primitive, TextAnchor};

use super::chart::{HEAD, SMALL};
use super::heat::{rectangle, words};
use super::panel::{Panel, canvas};
use super::text::{fit, width as measure};
use super::theme::{FAINT, GRID, TEXT, series};
use crate::report::figures::Time;
use crate::report::format::{plural, seconds};

const ROW: f64 = 20.0;

/// Draws the figure: a bar for each stage, its time written beside it.
pub fn panel(found: &Time, width: f64) -> Panel {
    let longest = |texts: &mut dyn Iterator<Item = f64>| texts.fold(0.0, f64::max);
    let label = |stage: &crate::report::figures::StageTime| match stage.works.len() {
        1 => stage.stage.clone(),
        many => format!("{} ×{many}", stage.stage),
    };
    let left =
        longest(&mut found.stages.iter().map(|stage| measure(&label(stage), SMALL))).min(width * 0.42) + 8.0;
    let right =
        longest(&mut found.stages.iter().map(|stage| measure(&seconds(stage.seconds()), SMALL))) + 8.0;
    let room = (width - left - right - 8.0).max(20.0);
    let most = found.stages.iter().map(crate::report::figures::StageTime::seconds).fold(1e-9, f64::max);
    let top = 30.0;
    let mut scene = canvas(width, top + ROW * found.stages.len() as f64 + 8.0);
    let title = format!("{} in all", seconds(found.seconds()));
    scene.add(words(width / 2.0, 18.0, &title, HEAD, TextAnchor::Middle, TEXT.light));
    for (at, stage) in found.stages.iter().enumerate() {
        let y = top + ROW * at as f64;
        let base = y + ROW / 2.0 + f64::from(SMALL) * 0.36;
        scene.add(words(
            left - 6.0,
            base,
            &fit(&label(stage), SMALL, left - 8.0),
            SMALL,
            TextAnchor::End,
            TEXT.light,
        ));
        scene.add(rectangle(left, y + 3.0, room, ROW - 6.0, GRID.light));
        let tip = format!(
            "{}: {} over {}",
            stage.stage,
            seconds(stage.seconds()),
            plural(stage.works.len(), "piece of work")
        );
        let tip = tip.replace("piece of works", "pieces of work");
        scene.add(Primitive::GroupStart { transform: None, title: Some(tip), extra_attrs: None });
        scene.add(rectangle(left, y + 3.0, (room * stage.seconds() / most).max(1.0), ROW - 6.0, series(0)));
        scene.add(Primitive::GroupEnd);
        scene.add(words(
            left + room + 6.0,
            base,
            &seconds(stage.seconds()),
            SMALL,
            TextAnchor::Start,
            FAINT.light,
        ));
    }
    Panel::new("Time per stage", scene)
}
