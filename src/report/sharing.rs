//! What sharing equal work between the points of a sweep saves.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::plan::Graph;
use crate::store::Record;

/// What it saves that equal work of several points is done once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sharing {
    /// Points of the sweep; 1 without one.
    pub points: usize,
    /// Different pieces of work that have a result.
    pub stages: usize,
    /// The same, counted anew at each point.
    pub stage_uses: usize,
    /// Wall time of the work, each piece once.
    pub seconds: f64,
    /// Wall time if each point did all its work itself.
    pub seconds_alone: f64,
}

impl Sharing {
    /// Of a graph, as far as there are records.
    pub fn of(graph: &Graph, records: &[Option<Record>]) -> Self {
        let mut found =
            Self { points: graph.points.len(), stages: 0, stage_uses: 0, seconds: 0.0, seconds_alone: 0.0 };
        for ((_, node), record) in graph.iter().zip(records) {
            let Some(record) = record else { continue };
            let points: BTreeSet<usize> = node.uses.iter().map(|usage| usage.point).collect();
            found.stages += 1;
            found.stage_uses += points.len();
            found.seconds += record.provenance.seconds;
            found.seconds_alone += record.provenance.seconds * points.len() as f64;
        }
        found
    }

    /// The time that was saved.
    pub fn seconds_saved(&self) -> f64 {
        self.seconds_alone - self.seconds
    }
}
