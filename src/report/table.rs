//! The table of a study: a row for each network of each point, over seeds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::statistics::{Difference, Mean};
use crate::plan::{Graph, NodeId, PointNodes};
use crate::store::Record;

/// A figure of an evaluated network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of test images classified rightly.
    Accuracy,
    /// Mean cross-entropy on the test images.
    Loss,
    /// Multiply-accumulates over those of the plain network.
    FlopsRatio,
    /// The share of them that the search was to keep.
    FlopsWanted,
    /// Multiply-accumulates of one image.
    Macs,
    /// Trainable parameters.
    Parameters,
    /// Size of the checkpoint.
    Bytes,
    /// Median time of a forward pass of one image, in milliseconds.
    #[serde(rename = "latency_1_ms")]
    Latency1,
    /// The same for 64 images.
    #[serde(rename = "latency_64_ms")]
    Latency64,
    /// Wall time of all stages that led to the network, in seconds, shared ones counted in full.
    Seconds,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Accuracy,
        Self::Loss,
        Self::FlopsRatio,
        Self::FlopsWanted,
        Self::Macs,
        Self::Parameters,
        Self::Bytes,
        Self::Latency1,
        Self::Latency64,
        Self::Seconds,
    ];

    /// The name in CSV, JSON and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
            Self::FlopsRatio => "flops_ratio",
            Self::FlopsWanted => "flops_wanted",
            Self::Macs => "macs",
            Self::Parameters => "parameters",
            Self::Bytes => "bytes",
            Self::Latency1 => "latency_1_ms",
            Self::Latency64 => "latency_64_ms",
            Self::Seconds => "seconds",
        }
    }
}

/// One evaluated network of one point.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The swept parameters of its point.
    pub label: Vec<(String, String)>,
    /// The stage that trained it.
    pub stage: String,
    /// Which of the stage's networks: `best`, `last`, ...
    pub output: String,
    /// Its figures, those that are known.
    pub figures: BTreeMap<Metric, f64>,
}

/// Every evaluated network of every point, from the records that are there.
pub fn observations(graph: &Graph, records: &[Option<Record>]) -> Vec<Observation> {
    let mut found = Vec::new();
    for point in &graph.points {
        for (_, id) in &point.stages {
            let Some(record) = records[id.0].as_ref().filter(|record| record.kind == "eval") else {
                continue;
            };
            let Some(edge) = graph.node(*id).inputs.first() else { continue };
            let seconds = seconds(graph, records, edge.from);
            for output in &edge.outputs {
                let metrics = &record.metrics["networks"][output.as_str()];
                let mut figures = BTreeMap::new();
                let mut put = |metric, value: Option<f64>| value.map(|value| figures.insert(metric, value));
                put(Metric::Accuracy, metrics["accuracy"].as_f64());
                put(Metric::Loss, metrics["loss"].as_f64());
                put(Metric::Macs, metrics["macs"].as_f64());
                let plain = metrics["plain_macs"].as_f64();
                put(
                    Metric::FlopsRatio,
                    metrics["macs"].as_f64().zip(plain).map(|(macs, plain)| macs / plain),
                );
                put(Metric::FlopsWanted, wanted(graph, records, edge.from));
                put(Metric::Parameters, metrics["parameters"].as_f64());
                put(Metric::Latency1, metrics["latency_ms"]["1"].as_f64());
                put(Metric::Latency64, metrics["latency_ms"]["64"].as_f64());
                let giver = records[edge.from.0].as_ref();
                put(Metric::Bytes, giver.and_then(|giver| Some(giver.outputs.get(output)?.bytes as f64)));
                put(Metric::Seconds, seconds);
                let stage = stage_name(graph, point, edge.from);
                found.push(Observation {
                    label: point.label.clone(),
                    stage,
                    output: output.clone(),
                    figures,
                });
            }
        }
    }
    found
}

fn stage_name(graph: &Graph, point: &PointNodes, id: NodeId) -> String {
    let own = point.stages.iter().find(|(_, node)| *node == id);
    own.map_or_else(|| graph.node(id).name.clone(), |(name, _)| name.clone())
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

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The swept parameters that were not averaged over.
    #[serde(rename = "point", serialize_with = "as_map")]
    pub label: Vec<(String, String)>,
    /// The stage that trained the networks.
    pub stage: String,
    /// Which of its networks.
    pub output: String,
    /// Means over what was averaged over.
    #[serde(rename = "figures")]
    pub means: BTreeMap<Metric, Mean>,
    /// Accuracy minus the baseline's, pair by pair.
    pub against_baseline: Option<Difference>,
}

impl Row {
    /// How many networks it stands for.
    pub fn n(&self) -> usize {
        self.means.values().map(|mean| mean.n).max().unwrap_or(0)
    }
}

fn as_map<S: serde::Serializer>(label: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(label.iter().map(|(key, value)| (key, value)))
}

/// What rows are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// The networks of this stage, at the same point.
    Stage(String),
    /// The networks of the same stage, at the point that differs in this swept parameter alone; for points that were
    /// included with other keys, at the one point that has this value and nothing else that they do not share.
    Value {
        /// The parameter.
        key: String,
        /// Its value there.
        value: String,
    },
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(name) => f.write_str(name),
            Self::Value { value, .. } => f.write_str(value),
        }
    }
}

impl Baseline {
    /// Whether a network is of the baseline itself.
    fn is(&self, stage: &str, label: &[(String, String)]) -> bool {
        match self {
            Self::Stage(name) => name == stage,
            Self::Value { key, value } => label.iter().any(|(own, at)| own == key && at == value),
        }
    }

    /// The accuracy that `member` is compared with.
    fn pair_of(&self, member: &Observation, accuracy: &BTreeMap<Key, f64>) -> Option<f64> {
        let (mut label, mut stage) = (member.label.clone(), member.stage.clone());
        let (key, value) = match self {
            Self::Stage(name) => {
                stage.clone_from(name);
                return accuracy.get(&(label, stage, member.output.clone())).copied();
            }
            Self::Value { key, value } => (key, value),
        };
        let own = label.iter_mut().find(|(own, _)| own == key);
        let exact = own.map(|(_, at)| at.clone_from(value)).and_then(|()| {
            let at = (label, stage, member.output.clone());
            accuracy.get(&at).copied()
        });
        // A point that was included with keys of its own: all that the baseline's point says beside the value holds of it.
        let is_shared = |term: &(String, String)| term.0 == *key || member.label.contains(term);
        let mut shared = accuracy.iter().filter(|((label, stage, output), _)| {
            (stage, output) == (&member.stage, &member.output)
                && label.iter().any(|(own, at)| own == key && at == value)
                && label.iter().all(is_shared)
        });
        exact.or_else(|| match (shared.next(), shared.next()) {
            (Some((_, one)), None) => Some(*one),
            _ => None,
        })
    }
}

/// How observations become rows.
#[derive(Debug, Clone, Default)]
pub struct Grouping {
    /// Swept keys that are averaged over.
    pub over: Vec<String>,
    /// The outputs that are shown; empty shows all.
    pub outputs: Vec<String>,
    /// What the others are compared with.
    pub baseline: Option<Baseline>,
}

/// A point or several, a stage, an output.
type Key = (Vec<(String, String)>, String, String);

/// Groups observations, in the order in which they come.
pub fn rows(observations: &[Observation], grouping: &Grouping) -> Vec<Row> {
    let averaged = |key: &str| grouping.over.iter().any(|over| over == key);
    // Points that a sweep includes need not have every key: all rows have, with no value where a point has none.
    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in observations.iter().flat_map(|observation| &observation.label) {
        if !averaged(key) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut order: Vec<Key> = Vec::new();
    let mut groups: BTreeMap<Key, Vec<&Observation>> = BTreeMap::new();
    let shown = |output: &String| grouping.outputs.is_empty() || grouping.outputs.contains(output);
    for observation in observations.iter().filter(|observation| shown(&observation.output)) {
        let value =
            |key| observation.label.iter().find(|(own, _)| own == key).map(|(_, value)| value.clone());
        let label = keys.iter().map(|&key| (key.clone(), value(key).unwrap_or_default())).collect();
        let key = (label, observation.stage.clone(), observation.output.clone());
        if !groups.contains_key(&key) {
            order.push(key.clone());
        }
        groups.entry(key).or_default().push(observation);
    }
    let of = |other: &Observation| (other.label.clone(), other.stage.clone(), other.output.clone());
    let accuracy: BTreeMap<Key, f64> = observations
        .iter()
        .filter_map(|other| Some((of(other), *other.figures.get(&Metric::Accuracy)?)))
        .collect();
    let row = |key: Key| {
        let members = &groups[&key];
        let means = Metric::ALL.into_iter().filter_map(|metric| {
            let values: Vec<f64> =
                members.iter().filter_map(|member| member.figures.get(&metric).copied()).collect();
            Some((metric, Mean::of(&values)?))
        });
        let means = means.collect();
        let against_baseline = grouping
            .baseline
            .as_ref()
            .filter(|baseline| !members.iter().any(|member| baseline.is(&member.stage, &member.label)))
            .and_then(|baseline| Difference::of(&differences(members, baseline, &accuracy)));
        let (label, stage, output) = key;
        Row { label, stage, output, means, against_baseline }
    };
    order.into_iter().map(row).collect()
}

/// The accuracy of each member minus that of its pair in the baseline.
fn differences(members: &[&Observation], baseline: &Baseline, accuracy: &BTreeMap<Key, f64>) -> Vec<f64> {
    let difference = |member: &&Observation| {
        Some(member.figures.get(&Metric::Accuracy)? - baseline.pair_of(member, accuracy)?)
    };
    members.iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(ratio: &str, seed: &str, stage: &str, accuracy: f64) -> Observation {
        Observation {
            label: vec![("flops_ratio".into(), ratio.into()), ("seed".into(), seed.into())],
            stage: stage.into(),
            output: "best".into(),
            figures: BTreeMap::from([(Metric::Accuracy, accuracy)]),
        }
    }

    #[test]
    fn seeds_are_averaged_and_differences_are_paired_by_point() {
        let all = [
            observation("0.3", "1", "gates", 0.80),
            observation("0.3", "1", "uniform", 0.79),
            observation("0.3", "2", "gates", 0.90),
            observation("0.3", "2", "uniform", 0.87),
            observation("0.5", "1", "gates", 0.95),
        ];
        let baseline = Some(Baseline::Stage("uniform".to_owned()));
        let grouping = Grouping { over: vec!["seed".into()], outputs: vec![], baseline };
        let rows = rows(&all, &grouping);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].label, [("flops_ratio".to_owned(), "0.3".to_owned())]);
        let accuracy = rows[0].means[&Metric::Accuracy];
        assert_eq!(accuracy.n, 2);
        assert!((accuracy.mean - 0.85).abs() < 1e-12);
        let difference = rows[0].against_baseline.unwrap();
        assert_eq!(difference.n, 2);
        assert!((difference.mean - 0.02).abs() < 1e-12, "{difference:?}");
        assert_eq!(rows[1].against_baseline, None, "the baseline itself");
        assert_eq!(rows[2].against_baseline, None, "no baseline at this ratio");
    }

    #[test]
    fn a_value_of_a_swept_key_can_be_the_baseline() {
        let all = [
            observation("0.3", "1", "gates", 0.80),
            observation("0.3", "2", "gates", 0.70),
            observation("0.5", "1", "gates", 0.90),
            observation("0.5", "2", "gates", 0.82),
        ];
        let baseline = Some(Baseline::Value { key: "flops_ratio".into(), value: "0.5".into() });
        let grouping = Grouping { over: vec!["seed".into()], outputs: vec![], baseline };
        let rows = rows(&all, &grouping);
        let difference = rows[0].against_baseline.unwrap();
        assert_eq!(difference.n, 2);
        assert!((difference.mean + 0.11).abs() < 1e-12, "{difference:?}");
        assert_eq!(rows[1].against_baseline, None, "the baseline itself");
    }

    #[test]
    fn a_point_that_was_included_is_compared_with_the_one_point_that_it_shares_all_else_with() {
        let of = |terms: &[(&str, &str)], accuracy: f64| {
            let label = terms.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Observation { label, ..observation("", "", "retrain", accuracy) }
        };
        let mut all = vec![
            of(&[("rule", "uniform"), ("seed", "1")], 0.80),
            of(&[("rule", "uniform"), ("seed", "2")], 0.70),
            of(&[("network", "init"), ("seed", "1")], 0.90),
            of(&[("network", "init"), ("seed", "2")], 0.85),
        ];
        let baseline = Some(Baseline::Value { key: "rule".into(), value: "uniform".into() });
        let grouping = Grouping { over: vec!["seed".into()], outputs: vec![], baseline };
        let difference = rows(&all, &grouping)[1].against_baseline.unwrap();
        assert_eq!(difference.n, 2);
        assert!((difference.mean - 0.125).abs() < 1e-12, "{difference:?}");
        // With two ratios of the rule there is not one point that is meant.
        for (ratio, one) in ["0.3", "0.5"].into_iter().zip(&mut all) {
            one.label = vec![
                ("rule".into(), "uniform".into()),
                ("ratio".into(), ratio.into()),
                ("seed".into(), "1".into()),
            ];
        }
        let found = rows(&all, &grouping);
        assert_eq!(found.iter().filter(|row| row.against_baseline.is_some()).count(), 0, "{found:?}");
    }

    #[test]
    fn every_row_has_every_key_also_of_a_point_that_was_included_without_it() {
        let mut full = observation("0.3", "1", "retrain", 0.9);
        full.label = vec![("network".into(), "init".into()), ("seed".into(), "1".into())];
        let all = [observation("0.3", "1", "retrain", 0.8), full];
        let rows = rows(&all, &Grouping { over: vec!["seed".into()], ..Grouping::default() });
        let label = |ratio: &str, network: &str| {
            [("flops_ratio", ratio), ("network", network)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        assert_eq!(rows[0].label, label("0.3", ""));
        assert_eq!(rows[1].label, label("", "init"));
    }

    #[test]
    fn without_averaging_every_point_is_a_row() {
        let all = [observation("0.3", "1", "gates", 0.8), observation("0.3", "2", "gates", 0.9)];
        let rows = rows(&all, &Grouping::default());
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].means[&Metric::Accuracy].sd, None);
    }
}
