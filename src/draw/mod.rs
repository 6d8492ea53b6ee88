//! Figures as pictures: from the data of [`crate::report::figures`] to SVG and PNG.
//!
//! A figure is one or more [`Panel`]s. A page lays them out by itself; a file has all of them in a [`grid`].
//! All are drawn on the canvas of the `kuva` library, which writes it as SVG. A title, a name or a value is
//! never cut: it goes on in another line, or stands in a key. What is drawn has the colours of [`theme`] and
//! of the scales of matrices only, so that a page can exchange them for dark ones by a style sheet.

mod bars;
mod chart;
mod curves;
mod dodge;
mod dots;
mod gates;
mod graph;
mod heat;
mod layered;
mod legend;
mod matrices;
mod panel;
mod pareto;
mod range;
mod scale;
mod shapes;
mod text;
pub mod theme;

pub use panel::{Panel, Unit, grid};

use crate::report::figures::Content;

/// The panels of a figure, each `width` pixels wide, or as wide as it must be. One pixel is 1/96 inch.
pub fn panels(content: &Content, width: f64) -> Vec<Panel> {
    match content {
        Content::Pareto(found) => pareto::panels(found, width),
        Content::Channels(found) => matrices::channels(found, width),
        Content::Similarity(found) => matrices::similarity(found, width),
        Content::Confusion(found) => matrices::confusion(found, width),
        Content::Gates(found) => gates::panels(found, width),
        Content::Curves(found) => curves::panels(found, width),
        Content::Graph(found) => vec![graph::panel(found)],
        Content::Time(found) => vec![bars::panel(found, width)],
    }
}
