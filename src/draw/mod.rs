//! Figures as pictures: from the data of [`crate::report::figures`] to SVG and PNG.
//!
//! A figure is one or more [`Panel`]s. A page lays them out by itself; a file has all of them in a [`grid`]. Charts with
//! axes are drawn by the `kuva` library, matrices and graphs on its canvas by the modules here. What is drawn has the
//! colours of [`theme`] only, so that a page can exchange them for dark ones by a style sheet.

mod bars;
mod chart;
mod curves;
mod gates;
mod graph;
mod heat;
mod layered;
mod matrices;
mod panel;
mod pareto;
mod text;
pub mod theme;

pub use panel::{Panel, Unit, grid};

use crate::report::figures::Content;

/// The panels of a figure, each `width` pixels wide, or as wide as it must be. One pixel is 1/96 inch.
pub fn panels(content: &Content, width: f64) -> Vec<Panel> {
    let panels = match content {
        Content::Pareto(found) => vec![pareto::panel(found, width)],
        Content::Channels(found) => matrices::channels(found, width),
        Content::Similarity(found) => matrices::similarity(found, width),
        Content::Confusion(found) => matrices::confusion(found, width),
        Content::Gates(found) => gates::panels(found, width),
        Content::Curves(found) => curves::panels(found, width),
        Content::Graph(found) => vec![graph::panel(found)],
        Content::Time(found) => vec![bars::panel(found, width)],
    };
    // Ids of clips must differ between the panels of one page.
    let name = match content {
        Content::Pareto(_) => "pareto",
        Content::Channels(_) => "channels",
        Content::Similarity(_) => "similarity",
        Content::Confusion(_) => "confusion",
        Content::Gates(_) => "gates",
        Content::Curves(_) => "curves",
        Content::Graph(_) => "graph",
        Content::Time(_) => "time",
    };
    panels.into_iter().enumerate().map(|(at, panel)| panel.named(&format!("{name}-{at}"))).collect()
}
