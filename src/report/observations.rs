//! Evaluated networks of a study, from its records: what tables, figures and reports average.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::Value;

use super::figures::label::Label;
use super::table::Metric;
use crate::fingerprint::Fingerprint;
use crate::plan::{Graph, NodeId, PointNodes};
use crate::store::{ObjectHash, Record};
use crate::train::{Machine, Timing};

/// One evaluated network of one point.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The swept parameters of its point.
    pub label: Label,
    /// The stage that trained it.
    pub stage: String,
    /// Which of the stage's networks: `best`, `last`, ...
    pub output: String,
    /// The network itself. Points may share one.
    pub network: ObjectHash,
    /// The evaluation that measured it. Points may share one as well.
    pub evaluation: Fingerprint,
    /// Whether no channel was removed.
    pub unpruned: bool,
    /// Its figures, those that are known.
    pub figures: BTreeMap<Metric, f64>,
    /// Where its latency was measured, if it was.
    pub measured: Option<Measured>,
}

/// Where a latency was measured, and whether it says much.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Measured {
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
    /// Whether the passes took too unequal times: see [`Timing::is_noisy`].
    pub noisy: bool,
}

/// Every evaluated network of every point, from the records that are there.
pub fn observations(graph: &Graph, records: &[Option<Record>]) -> Vec<Observation> {
    let mut found = Vec::new();
    for point in &graph.points {
        for (_, id) in &point.stages {
            let Some(record) = records[id.0].as_ref().filter(|record| record.kind == "eval") else {
                continue;
            };
            for edge in &graph.node(*id).inputs {
                let seconds = seconds(graph, records, edge.from);
                let wanted = wanted(graph, records, edge.from);
                for output in &edge.outputs {
                    let giver = records[edge.from.0].as_ref().and_then(|giver| giver.outputs.get(output));
                    let mut figures = figures(&record.metrics["networks"][output.as_str()]);
                    figures.extend(giver.map(|giver| (Metric::Bytes, giver.bytes as f64)));
                    figures.extend(wanted.map(|wanted| (Metric::FlopsWanted, wanted)));
                    figures.extend(seconds.map(|seconds| (Metric::Seconds, seconds)));
                    let metrics = &record.metrics["networks"][output.as_str()];
                    found.push(Observation {
                        label: point.label.clone(),
                        stage: stage_name(graph, point, edge.from),
                        output: output.clone(),
                        network: network(record, &edge.role, output),
                        evaluation: record.fingerprint,
                        unpruned: metrics["channels"].is_array()
                            && metrics["channels"] == metrics["plain_channels"],
                        figures,
                        measured: measured(metrics),
                    });
                }
            }
        }
    }
    found
}

/// The figures of an evaluated network that stand in its evaluation.
fn figures(metrics: &Value) -> BTreeMap<Metric, f64> {
    let number = |key: &str| metrics[key].as_f64();
    let ratio = number("macs").zip(number("plain_macs").filter(|plain| *plain > 0.0));
    let latency = |batch: &str| metrics["latency"][batch]["median_ms"].as_f64();
    let all = [
        (Metric::Accuracy, number("accuracy")),
        (Metric::Loss, number("loss")),
        (Metric::Macs, number("macs")),
        (Metric::FlopsRatio, ratio.map(|(macs, plain)| macs / plain)),
        (Metric::Parameters, number("parameters")),
        (Metric::Latency1, latency("1")),
        (Metric::Latency64, latency("64")),
    ];
    all.into_iter().filter_map(|(metric, value)| Some((metric, value?))).collect()
}

/// Where the latency of an evaluated network was measured.
pub fn measured(metrics: &Value) -> Option<Measured> {
    let latency = metrics.get("latency")?.as_object()?;
    let machine = serde_json::from_value(latency.get("machine")?.clone()).ok()?;
    let timings = latency.values().filter_map(|value| serde_json::from_value::<Timing>(value.clone()).ok());
    Some(Measured { machine, noisy: timings.into_iter().any(|timing| timing.is_noisy()) })
}

/// The object that an evaluation was given.
fn network(evaluation: &Record, role: &str, output: &str) -> ObjectHash {
    let inputs = &evaluation.provenance.inputs;
    let known = inputs.get(&format!("{role}.{output}")).or_else(|| inputs.get(role));
    // A record that does not say stands for networks of its own.
    known
        .copied()
        .unwrap_or_else(|| ObjectHash::of(format!("{} {output}", evaluation.fingerprint).as_bytes()))
}

fn stage_name(graph: &Graph, point: &PointNodes, id: NodeId) -> String {
    let own = point.stages.iter().find(|(_, node)| *node == id);
    own.map_or_else(|| graph.node(id).name.clone(), |(name, _)| name.clone())
}

/// The share of FLOPs that the nearest search above a node was to keep.
fn wanted(graph: &Graph, records: &[Option<Record>], id: NodeId) -> Option<f64> {
    let (mut open, mut seen) = (VecDeque::from([id]), BTreeSet::from([id]));
    while let Some(id) = open.pop_front() {
        let ratio = records[id.0].as_ref().and_then(|record| record.metrics["wanted_ratio"].as_f64());
        if ratio.is_some() {
            return ratio;
        }
        open.extend(graph.node(id).inputs.iter().map(|edge| edge.from).filter(|from| seen.insert(*from)));
    }
    None
}

/// The wall time of a node and of all above it, each once; `None` while one has no record.
fn seconds(graph: &Graph, records: &[Option<Record>], id: NodeId) -> Option<f64> {
    let (mut open, mut seen, mut total) = (vec![id], BTreeSet::from([id]), 0.0);
    while let Some(id) = open.pop() {
        total += records[id.0].as_ref()?.provenance.seconds;
        open.extend(graph.node(id).inputs.iter().map(|edge| edge.from).filter(|from| seen.insert(*from)));
    }
    Some(total)
}
