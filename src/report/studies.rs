//! Two pipelines or runs side by side: which work differs, and what the networks came to.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compare::{Change, changes};
use super::summary::{NetworkRow, summarise};
use crate::fingerprint::Fingerprint;
use crate::plan::{Graph, Node, NodeId, flat, images};
use crate::stages::DataUse;
use crate::store::Record;

/// One side: all work, and what the cache has of it.
#[derive(Debug, Clone, Copy)]
pub struct Study<'a> {
    /// All work.
    pub graph: &'a Graph,
    /// The fingerprint of each node, where it is known.
    pub fingerprints: &'a [Option<Fingerprint>],
    /// The result of each node.
    pub records: &'a [Option<Record>],
}

/// What two studies have otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct StudiesCompared {
    /// Pieces of work that are the same.
    pub same: usize,
    /// Pieces of work of one name that are not.
    pub differ: Vec<WorkDiffers>,
    /// Pieces of work that only the first has.
    pub only_a: Vec<String>,
    /// Pieces of work that only the second has.
    pub only_b: Vec<String>,
    /// Networks by name and point.
    pub networks: Vec<NetworkPair>,
}

/// Work of one name that differs in one way, over all points where it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkDiffers {
    /// The stage.
    pub stage: String,
    /// The points.
    pub points: Vec<String>,
    /// The parameters that differ; none where only what it is given does.
    pub changes: Vec<Change>,
}

/// A network of both sides.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkPair {
    /// Its point.
    pub point: String,
    /// The stage and the output.
    pub name: String,
    /// The first side's.
    pub a: Option<NetworkRow>,
    /// The second side's.
    pub b: Option<NetworkRow>,
}

/// A stage at a point.
type Name = (String, String);

/// Compares two studies. Points are the same where their names are; two studies of one point each are compared whatever
/// their points are called.
pub fn studies(a: Study<'_>, b: Study<'_>) -> StudiesCompared {
    let single = a.graph.points.len() == 1 && b.graph.points.len() == 1;
    let (left, right) = (work(a.graph, single), work(b.graph, single));
    let mut found = StudiesCompared {
        same: 0,
        differ: Vec::new(),
        only_a: Vec::new(),
        only_b: Vec::new(),
        networks: networks(a, b, single),
    };
    let index: BTreeMap<&Name, NodeId> = right.iter().map(|(name, id)| (name, *id)).collect();
    let told =
        |(point, stage): &Name| if point.is_empty() { stage.clone() } else { format!("{stage} {point}") };
    for (name, id) in &left {
        let Some(other) = index.get(name).copied() else {
            found.only_a.push(told(name));
            continue;
        };
        let (one, two) = (a.graph.node(*id), b.graph.node(other));
        let (prints, others) = (a.fingerprints[id.0], b.fingerprints[other.0]);
        let is_same = match prints.zip(others) {
            Some((print, other)) => print == other,
            None => one.definition == two.definition,
        };
        if is_same {
            found.same += 1;
            continue;
        }
        let changes = changes(&words(a.graph, one), &words(b.graph, two));
        let (point, stage) = name.clone();
        match found.differ.iter_mut().find(|other| other.stage == stage && other.changes == changes) {
            Some(known) => known.points.push(point),
            None => found.differ.push(WorkDiffers { stage, points: vec![point], changes }),
        }
    }
    let known: BTreeSet<&Name> = left.iter().map(|(name, _)| name).collect();
    let alone = right.iter().filter(|(name, _)| !known.contains(name));
    found.only_b = alone.map(|(name, _)| told(name)).collect();
    found
}

fn words(graph: &Graph, node: &Node) -> BTreeMap<String, String> {
    let mut words = flat(&node.stage.parameters);
    if node.stage.stage.data_use() != DataUse::None {
        let images = flat(&images(&graph.data[node.data]));
        words.extend(images.into_iter().map(|(key, value)| (format!("data.{key}"), value)));
    }
    words.insert("kind".to_owned(), node.stage.kind.name.to_owned());
    words.extend(node.seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    words
}

/// Every piece of work once, by the first of its points.
fn work(graph: &Graph, single: bool) -> Vec<(Name, NodeId)> {
    let name = |(id, node): (NodeId, &Node)| {
        let point = if single { String::new() } else { graph.common(id) };
        ((point, node.name.clone()), id)
    };
    graph.iter().map(name).collect()
}

fn networks(a: Study<'_>, b: Study<'_>, single: bool) -> Vec<NetworkPair> {
    let mut pairs: Vec<NetworkPair> = Vec::new();
    let mut places: BTreeMap<Name, usize> = BTreeMap::new();
    for (first, study) in [(true, a), (false, b)] {
        for point in &study.graph.points {
            let name = if single { String::new() } else { point.name() };
            for row in summarise(study.graph, point, study.records).networks {
                let own = row.name();
                let at = *places.entry((name.clone(), own)).or_insert_with_key(|(point, name)| {
                    pairs.push(NetworkPair { point: point.clone(), name: name.clone(), a: None, b: None });
                    pairs.len() - 1
                });
                *(if first { &mut pairs[at].a } else { &mut pairs[at].b }) = Some(row);
            }
        }
    }
    pairs
}
