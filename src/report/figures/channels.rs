//! The channels that each search kept, layer by layer.

use super::label::{self, Label};
use super::{Absent, Method, Methods, Order, Searched, Study, numbers, sheet};
use crate::report::format::plain;

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// The structures, by method, then by budget, then by seed.
    pub structures: Vec<Structure>,
}

/// What one search kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// The search.
    pub search: String,
    /// The method that it works for.
    pub method: Method,
    /// Its point, seeds included.
    pub label: Label,
    /// The budget and other numbers of the point, seeds included.
    pub places: Label,
    /// The share of the FLOPs that it was to keep.
    pub wanted: Option<f64>,
    /// Channels kept in each convolution.
    pub kept: Vec<u64>,
    /// Channels that there were.
    pub full: Vec<u64>,
}

impl Structure {
    fn of(found: &Searched<'_>, methods: &Methods) -> Option<Self> {
        let (kept, full) = (numbers(&found.metrics["channels"]), numbers(&found.metrics["channels_full"]));
        let whole = !kept.is_empty() && kept.len() == full.len() && !full.contains(&0);
        let (method, mut places) = methods.of_search(found.id, found.name, &found.label);
        places.extend(label::seeds(&found.label));
        whole.then(|| Self {
            search: found.name.to_owned(),
            method,
            label: found.label.clone(),
            places,
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
        let methods = Methods::of(study);
        let mut structures: Vec<Structure> =
            study.searched().filter_map(|found| Structure::of(&found, &methods)).collect();
        if structures.is_empty() {
            return Err(Absent::new("no search for channels has run yet"));
        }
        structures.sort_by(|a, b| Order::of(&a.method, &a.places).compare(&Order::of(&b.method, &b.places)));
        Ok(Self { structures })
    }

    /// The structures of networks with the same layers.
    pub fn by_layers(&self) -> Vec<Vec<&Structure>> {
        let mut groups: Vec<Vec<&Structure>> = Vec::new();
        for one in &self.structures {
            match groups.iter_mut().find(|group| group[0].full == one.full) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        groups
    }

    /// As CSV, a row for each layer of each structure.
    pub fn csv(&self) -> String {
        let rows = self.structures.iter().flat_map(|one| {
            let shares = one.shares();
            (0..one.kept.len()).map(move |layer| {
                vec![
                    one.method.name.clone(),
                    one.search.clone(),
                    label::words(&one.label),
                    (layer + 1).to_string(),
                    one.kept[layer].to_string(),
                    one.full[layer].to_string(),
                    plain(shares[layer]),
                ]
            })
        });
        sheet(&["method", "search", "point", "layer", "kept", "full", "share"], rows)
    }
}
