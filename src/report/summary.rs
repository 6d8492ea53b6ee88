//! What a run found: networks before and after pruning, from the records of one point.

use serde::Serialize;
use serde_json::Value;

use crate::plan::{Graph, PointNodes};
use crate::store::{ObjectHash, Record};

/// One network of a point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkRow {
    /// The stage (and output) that made it.
    pub name: String,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// `macs` over those of the plain network.
    pub macs_share: f64,
    /// Trainable parameters.
    pub parameters: u64,
    /// Size of its file.
    pub bytes: u64,
    /// Share of images classified rightly; `None` where the network was not evaluated.
    pub accuracy: Option<f64>,
    /// Mean cross-entropy, where it was evaluated.
    pub loss: Option<f64>,
    /// Channels of every convolution.
    pub channels: Vec<u64>,
    /// The object that holds it.
    pub object: ObjectHash,
}

/// What one point found.
#[derive(Debug, Clone, Serialize)]
pub struct PointSummary {
    /// The swept parameters and their values.
    pub label: Vec<(String, String)>,
    /// The networks: the plain one first.
    pub networks: Vec<NetworkRow>,
    /// Channels of the network before pruning.
    pub channels_full: Vec<u64>,
    /// The achieved share of FLOPs, if a threshold was searched.
    pub achieved_ratio: Option<f64>,
}

/// Summarises a point from the records of its stages.
pub fn summarise(graph: &Graph, point: &PointNodes, records: &[Option<Record>]) -> PointSummary {
    let mut networks: Vec<NetworkRow> = Vec::new();
    let mut achieved_ratio = None;
    let mut channels_full = Vec::new();
    for (name, id) in &point.stages {
        let Some(record) = &records[id.0] else { continue };
        match record.kind.as_str() {
            "init" => {
                channels_full = list(&record.metrics["channels"]);
                networks.extend(row(name, &record.metrics, record, "network"));
            }
            "threshold-search" => achieved_ratio = record.metrics["achieved_ratio"].as_f64(),
            "eval" => {
                let Some(edge) = graph.node(*id).inputs.first() else { continue };
                let Some(given) = &records[edge.from.0] else { continue };
                let giver = point
                    .stages
                    .iter()
                    .find(|(_, node)| *node == edge.from)
                    .map_or(&graph.node(edge.from).name, |(name, _)| name);
                for output in &edge.outputs {
                    let metrics = &record.metrics["networks"][output.as_str()];
                    let label =
                        if edge.outputs.len() > 1 { format!("{giver} ({output})") } else { giver.clone() };
                    if let Some(found) = row(&label, metrics, given, output) {
                        networks.retain(|row| row.name != found.name);
                        networks.push(found);
                    }
                }
            }
            _ => {}
        }
    }
    PointSummary { label: point.label.clone(), networks, channels_full, achieved_ratio }
}

fn row(name: &str, metrics: &Value, record: &Record, output: &str) -> Option<NetworkRow> {
    let macs = metrics["macs"].as_u64()?;
    let plain = metrics["plain_macs"].as_u64().unwrap_or(macs);
    let entry = record.outputs.get(output)?;
    Some(NetworkRow {
        name: name.to_owned(),
        macs,
        macs_share: if plain == 0 { 1.0 } else { macs as f64 / plain as f64 },
        parameters: metrics["parameters"].as_u64()?,
        bytes: entry.bytes,
        accuracy: metrics["accuracy"].as_f64(),
        loss: metrics["loss"].as_f64(),
        channels: list(&metrics["channels"]),
        object: entry.object,
    })
}

fn list(value: &Value) -> Vec<u64> {
    value.as_array().map(|items| items.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}
