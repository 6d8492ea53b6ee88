//! The channels that each search kept, layer by layer.

use super::label::{self, Label};
use super::{Absent, Searched, Study, numbers, sheet};
use crate::report::format::plain;

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// The structures, those of a search together, in the order of the points.
    pub structures: Vec<Structure>,
}

/// What one search kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// The search.
    pub search: String,
    /// Its point, seeds included.
    pub label: Label,
    /// The share of the FLOPs that it was to keep.
    pub wanted: Option<f64>,
    /// Channels kept in each convolution.
    pub kept: Vec<u64>,
    /// Channels that there were.
    pub full: Vec<u64>,
}

impl Structure {
    pub(super) fn of(found: &Searched<'_>) -> Option<Self> {
        let (kept, full) = (numbers(&found.metrics["channels"]), numbers(&found.metrics["channels_full"]));
        let whole = !kept.is_empty() && kept.len() == full.len() && !full.contains(&0);
        whole.then(|| Self {
            search: found.name.to_owned(),
            label: found.label.clone(),
            wanted: found.metrics["wanted_ratio"].as_f64(),
            kept,
            full,
        })
    }

    /// The share of the channels that each convolution keeps.
    pub fn shares(&self) -> Vec<f64> {
        self.kept.iter().zip(&self.full).map(|(kept, full)| *kept as f64 / *full as f64).collect()
    }
}

impl Channels {
    /// From the records of a study.
    ///
    /// # Errors
    /// No search has run.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let mut structures: Vec<Structure> =
            study.searched().filter_map(|found| Structure::of(&found)).collect();
        if structures.is_empty() {
            return Err(Absent::new("no search for channels has run yet"));
        }
        let names: Vec<String> = structures.iter().map(|one| one.search.clone()).collect();
        let place = |name: &str| names.iter().position(|other| other == name);
        structures.sort_by(|a, b| {
            place(&a.search)
                .cmp(&place(&b.search))
                .then_with(|| a.wanted.unwrap_or(0.0).total_cmp(&b.wanted.unwrap_or(0.0)))
        });
        Ok(Self { structures })
    }

    /// The structures of each search.
    pub fn by_search(&self) -> Vec<&[Structure]> {
        self.structures.chunk_by(|a, b| a.search == b.search).collect()
    }

    /// As CSV, a row for each layer of each structure.
    pub fn csv(&self) -> String {
        let rows = self.structures.iter().flat_map(|one| {
            let shares = one.shares();
            (0..one.kept.len()).map(move |layer| {
                vec![
                    one.search.clone(),
                    label::words(&one.label),
                    (layer + 1).to_string(),
                    one.kept[layer].to_string(),
                    one.full[layer].to_string(),
                    plain(shares[layer]),
                ]
            })
        });
        sheet(&["search", "point", "layer", "kept", "full", "share"], rows)
    }
}
