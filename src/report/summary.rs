//! What a run found: networks before and after pruning, from the records of one point.

use serde::Serialize;
use serde_json::Value;

use super::table::{UNPRUNED, unpruned};
use crate::plan::{Graph, NodeId, PointNodes};
use crate::store::{ObjectHash, Record};

/// One network of a point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkRow {
    /// The stage that made it.
    pub stage: String,
    /// Which of the stage's outputs it is: several, if they are the same bytes.
    pub outputs: Vec<String>,
    /// Whether the stage made other networks as well.
    pub one_of_many: bool,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// `macs` over those of the plain network.
    pub macs_share: f64,
    /// Trainable parameters.
    pub parameters: u64,
    /// Size of its file.
    pub bytes: u64,
    /// Share of test images classified rightly; `None` where the network was not evaluated.
    pub accuracy: Option<f64>,
    /// `accuracy` less that of the full network, trained by the same pipeline; `None` where there is none.
    pub difference: Option<f64>,
    /// Mean cross-entropy, where it was evaluated.
    pub loss: Option<f64>,
    /// Channels of every convolution.
    pub channels: Vec<u64>,
    /// The object that holds it.
    pub object: ObjectHash,
}

impl NetworkRow {
    /// The stage, and which of its networks where it has several: `retrain best`; `retrain best=last` if they are the
    /// same.
    pub fn name(&self) -> String {
        self.called(&self.stage)
    }

    fn called(&self, stage: &str) -> String {
        if self.one_of_many { format!("{stage} {}", self.outputs.join("=")) } else { stage.to_owned() }
    }
}

impl PointSummary {
    /// What every network is called in a table: its name, but that those of which no channel was removed are
    /// called so as in every table.
    pub fn titles(&self) -> Vec<String> {
        let is_full = |row: &&NetworkRow| row.channels == self.channels_full;
        let mut stages: Vec<&str> =
            self.networks.iter().filter(is_full).map(|row| row.stage.as_str()).collect();
        stages.dedup();
        let title = |row: &NetworkRow| match is_full(&row) {
            false => row.name(),
            true if stages.len() == 1 => row.called(UNPRUNED),
            true => unpruned(&row.name(), false),
        };
        self.networks.iter().map(title).collect()
    }
}

/// What a threshold search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Search {
    /// The stage.
    pub stage: String,
    /// The share of FLOPs that was asked for.
    pub wanted_ratio: f64,
    /// The share that is kept.
    pub achieved_ratio: f64,
    /// The threshold on the gates.
    pub threshold: f64,
}

/// What one point found.
#[derive(Debug, Clone, Serialize)]
pub struct PointSummary {
    /// The swept parameters and their values.
    pub label: Vec<(String, String)>,
    /// The networks: those of the full structure first.
    pub networks: Vec<NetworkRow>,
    /// Channels of the network before pruning.
    pub channels_full: Vec<u64>,
    /// The threshold searches.
    pub searches: Vec<Search>,
}

/// Summarises a point from the records of its stages.
pub fn summarise(graph: &Graph, point: &PointNodes, records: &[Option<Record>]) -> PointSummary {
    let mut networks: Vec<NetworkRow> = Vec::new();
    let mut searches = Vec::new();
    let mut channels_full = Vec::new();
    for (name, id) in &point.stages {
        let Some(record) = &records[id.0] else { continue };
        match record.kind.as_str() {
            "init" => {
                channels_full = list(&record.metrics["channels"]);
                networks.extend(row(name, "network", &record.metrics, record));
            }
            "threshold-search" => searches.extend(found(name, &record.metrics)),
            "eval" => {
                for found in evaluated(graph, point, *id, records) {
                    networks.retain(|row| (&row.stage, &row.outputs) != (&found.stage, &found.outputs));
                    networks.push(found);
                }
            }
            _ => {}
        }
    }
    let networks = compared(merged(networks), &channels_full);
    PointSummary { label: point.label.clone(), networks, channels_full, searches }
}

/// The networks that an `eval` looked at.
fn evaluated(graph: &Graph, point: &PointNodes, eval: NodeId, records: &[Option<Record>]) -> Vec<NetworkRow> {
    let given = graph.node(eval).inputs.first().and_then(|edge| Some((edge, records[edge.from.0].as_ref()?)));
    let (Some((edge, given)), Some(record)) = (given, &records[eval.0]) else { return Vec::new() };
    let stage = point.stages.iter().find(|(_, node)| *node == edge.from).map(|(name, _)| name.as_str());
    let stage = stage.unwrap_or(&graph.node(edge.from).name);
    let networks = &record.metrics["networks"];
    edge.outputs.iter().filter_map(|output| row(stage, output, &networks[output.as_str()], given)).collect()
}

/// Networks of one stage that are the same bytes are one: the best epoch is often the last one.
fn merged(networks: Vec<NetworkRow>) -> Vec<NetworkRow> {
    let mut merged: Vec<NetworkRow> = Vec::new();
    for row in networks {
        match merged.iter_mut().find(|other| (&other.stage, other.object) == (&row.stage, row.object)) {
            Some(same) => same.outputs.extend(row.outputs),
            None => merged.push(row),
        }
    }
    merged
}

/// Puts the full structure first and compares the others with it. A full network that was never trained says
/// nothing beside one that was.
fn compared(networks: Vec<NetworkRow>, channels_full: &[u64]) -> Vec<NetworkRow> {
    let (mut full, mut slim): (Vec<_>, Vec<_>) =
        networks.into_iter().partition(|row| row.channels == channels_full);
    if full.iter().any(|row| row.accuracy.is_some()) {
        full.retain(|row| row.accuracy.is_some());
    }
    for row in &mut slim {
        // Best is compared with best, last with last, where there are both.
        let same = full.iter().find(|full| full.outputs.iter().any(|output| row.outputs.contains(output)));
        let reference = same.or(full.first()).and_then(|full| full.accuracy);
        row.difference = row.accuracy.zip(reference).map(|(slim, full)| slim - full);
    }
    full.extend(slim);
    full
}

fn found(stage: &str, metrics: &Value) -> Option<Search> {
    Some(Search {
        stage: stage.to_owned(),
        wanted_ratio: metrics["wanted_ratio"].as_f64()?,
        achieved_ratio: metrics["achieved_ratio"].as_f64()?,
        threshold: metrics["threshold"].as_f64()?,
    })
}

fn row(stage: &str, output: &str, metrics: &Value, record: &Record) -> Option<NetworkRow> {
    let macs = metrics["macs"].as_u64()?;
    let plain = metrics["plain_macs"].as_u64().unwrap_or(macs);
    let entry = record.outputs.get(output)?;
    Some(NetworkRow {
        stage: stage.to_owned(),
        outputs: vec![output.to_owned()],
        one_of_many: record.outputs.len() > 1,
        macs,
        macs_share: if plain == 0 { 1.0 } else { macs as f64 / plain as f64 },
        parameters: metrics["parameters"].as_u64()?,
        bytes: entry.bytes,
        accuracy: metrics["accuracy"].as_f64(),
        difference: None,
        loss: metrics["loss"].as_f64(),
        channels: list(&metrics["channels"]),
        object: entry.object,
    })
}

fn list(value: &Value) -> Vec<u64> {
    value.as_array().map(|items| items.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stage: &str, output: &str, channels: &[u64], accuracy: Option<f64>) -> NetworkRow {
        let content = format!("{stage}{accuracy:?}");
        NetworkRow {
            stage: stage.to_owned(),
            outputs: vec![output.to_owned()],
            one_of_many: true,
            macs: 10,
            macs_share: 1.0,
            parameters: 10,
            bytes: 10,
            accuracy,
            difference: None,
            loss: None,
            channels: channels.to_vec(),
            object: ObjectHash::of(content.as_bytes()),
        }
    }

    #[test]
    fn outputs_of_the_same_bytes_are_one_row() {
        let rows = vec![row("retrain", "best", &[1], Some(0.5)), row("retrain", "last", &[1], Some(0.5))];
        let merged = merged(rows);
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].name(), "retrain best=last");
    }

    #[test]
    fn a_slim_network_is_compared_with_the_full_one_of_the_same_output() {
        let rows = vec![
            row("init", "network", &[4], None),
            row("retrain", "best", &[2], Some(0.75)),
            row("retrain", "last", &[2], Some(0.5)),
            row("full", "best", &[4], Some(1.0)),
            row("full", "last", &[4], Some(0.625)),
        ];
        let rows = compared(rows, &[4]);
        let found: Vec<_> = rows.iter().map(|row| (row.name(), row.difference)).collect();
        assert_eq!(
            found,
            [
                ("full best".to_owned(), None),
                ("full last".to_owned(), None),
                ("retrain best".to_owned(), Some(-0.25)),
                ("retrain last".to_owned(), Some(-0.125)),
            ]
        );
    }

    #[test]
    fn without_a_trained_full_network_the_untrained_one_stays_and_nothing_is_compared() {
        let rows = vec![row("init", "network", &[4], None), row("retrain", "best", &[2], Some(0.75))];
        let rows = compared(rows, &[4]);
        assert_eq!((rows.len(), rows[1].difference), (2, None));
    }
}
