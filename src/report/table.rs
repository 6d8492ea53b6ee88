//! The table of a study: a row for each network of each point, over seeds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Index, Key, pairs};
use super::figures::label::{self, Label};
use super::observations::{Measured, Observation};
use super::statistics::{Difference, Mean, correct};
use crate::fingerprint::Fingerprint;
use crate::plan::Graph;
use crate::store::ObjectHash;

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

    /// Whether it is a time of the machine that measured it.
    pub fn is_latency(self) -> bool {
        matches!(self, Self::Latency1 | Self::Latency64)
    }

    /// Whether more of it is better.
    pub fn rises(self) -> bool {
        match self {
            Self::Accuracy => true,
            Self::Loss
            | Self::FlopsRatio
            | Self::FlopsWanted
            | Self::Macs
            | Self::Parameters
            | Self::Bytes
            | Self::Latency1
            | Self::Latency64
            | Self::Seconds => false,
        }
    }

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

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The swept parameters that were not averaged over.
    #[serde(rename = "point", serialize_with = "as_map")]
    pub label: Label,
    /// The stage that trained the networks.
    pub stage: String,
    /// Which of its networks.
    pub output: String,
    /// What the networks are called in tables, figures and legends: the rule where rules were swept, else the
    /// stage; [`UNPRUNED`] where nothing was removed.
    pub name: String,
    /// What of `label` the name does not say: where the networks stand on their curve.
    #[serde(skip)]
    pub places: Label,
    /// How many different networks it stands for.
    pub n: usize,
    /// How many points have these networks.
    pub points: usize,
    /// Whether no channel of any of them was removed.
    pub unpruned: bool,
    /// The accuracy of each different network.
    #[serde(skip)]
    pub accuracies: Vec<f64>,
    /// Means over the different networks.
    #[serde(rename = "figures")]
    pub means: BTreeMap<Metric, Mean>,
    /// Accuracy minus the baseline's, pair by pair.
    pub against_baseline: Option<Difference>,
    /// Where latency was measured: more than one machine or number of threads makes its mean meaningless.
    #[serde(rename = "latency_measured_on")]
    pub measured: BTreeSet<Measured>,
}

/// The name of networks of which no channel was removed.
pub const UNPRUNED: &str = "unpruned";

fn as_map<S: serde::Serializer>(label: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(label.iter().map(|(key, value)| (key, value)))
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

/// Groups observations, in the order in which they come.
pub fn rows(observations: &[Observation], grouping: &Grouping) -> Vec<Row> {
    finished(grouped(observations, grouping))
}

/// As [`rows`], with one row for networks that do not depend on a swept key, not one for each value; unless
/// they are compared with others that do.
pub fn merged_rows(graph: &Graph, observations: &[Observation], grouping: &Grouping) -> Vec<Row> {
    finished(merged(graph, grouped(observations, grouping)))
}

fn finished(mut rows: Vec<Row>) -> Vec<Row> {
    correct(rows.iter_mut().filter_map(|row| row.against_baseline.as_mut()));
    name(&mut rows);
    rows
}

fn merged(graph: &Graph, rows: Vec<Row>) -> Vec<Row> {
    let given =
        |row: &Row| -> Label { row.label.iter().filter(|term| !term.1.is_empty()).cloned().collect() };
    let reduced: Vec<Row> = rows
        .iter()
        .map(|row| {
            let label = given(row);
            let own = graph.points.iter().find(|point| label.iter().all(|term| point.label.contains(term)));
            let common = own.and_then(|point| point.node(&row.stage)).map(|id| graph.common_label(id));
            let mut row = row.clone();
            row.label.retain(|term| common.as_ref().is_none_or(|common| common.contains(term)));
            row
        })
        .collect();
    let mut merged: Vec<Row> = Vec::new();
    for (row, short) in rows.into_iter().zip(&reduced) {
        let same = |other: &Row| {
            (&other.stage, &other.output, &other.label) == (&short.stage, &short.output, &short.label)
        };
        let one = reduced.iter().filter(|other| same(other)).all(|other| other == short);
        let row = if one { short.clone() } else { row };
        if !merged.contains(&row) {
            merged.push(row);
        }
    }
    merged
}

fn grouped(observations: &[Observation], grouping: &Grouping) -> Vec<Row> {
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
    let known = |other: &&Observation| other.figures.contains_key(&Metric::Accuracy);
    let index: Index<'_> = observations.iter().filter(known).map(|other| (of(other), other)).collect();
    let row = |key: Key| {
        let members = &groups[&key];
        let networks = networks(members);
        let values = |metric: Metric| -> Vec<f64> {
            networks.iter().filter_map(|network| figure(network, metric)).collect()
        };
        let means = Metric::ALL.into_iter().filter_map(|metric| Some((metric, Mean::of(&values(metric))?)));
        let means = means.collect();
        let against_baseline = grouping
            .baseline
            .as_ref()
            .filter(|baseline| !members.iter().any(|member| baseline.is(member)))
            .and_then(|baseline| Difference::of(&pairs(members, baseline, &index)));
        let (label, stage, output) = key;
        Row {
            label,
            stage,
            output,
            name: String::new(),
            places: Label::new(),
            n: networks.len(),
            points: members.len(),
            unpruned: members.iter().all(|member| member.unpruned),
            accuracies: values(Metric::Accuracy),
            means,
            against_baseline,
            measured: members.iter().filter_map(|member| member.measured.clone()).collect(),
        }
    };
    order.into_iter().map(row).collect()
}

/// Gives every row its name.
fn name(rows: &mut [Row]) {
    let several = label::several(rows.iter().map(|row| (row.stage.as_str(), &row.label)));
    for row in rows.iter_mut() {
        (row.name, row.places) = label::method(&row.stage, several, &row.label);
    }
    let prunes: BTreeSet<String> =
        rows.iter().filter(|row| !row.unpruned).map(|row| row.name.clone()).collect();
    let full = |row: &Row| !prunes.contains(&row.name);
    let names: BTreeSet<String> = rows.iter().filter(|row| full(row)).map(|row| row.name.clone()).collect();
    for row in rows.iter_mut().filter(|row| full(row)) {
        row.name = unpruned(&row.name, names.len() == 1);
    }
}

/// What an unpruned network is called: which one it is stands beside the word where there are several.
pub fn unpruned(name: &str, alone: bool) -> String {
    if alone { UNPRUNED.to_owned() } else { format!("{UNPRUNED} ({name})") }
}

/// The different networks of a group, in the order in which they come, each with its different evaluations.
fn networks<'a>(members: &[&'a Observation]) -> Vec<Vec<&'a Observation>> {
    let mut found: Vec<Vec<&Observation>> = Vec::new();
    let mut places: BTreeMap<ObjectHash, usize> = BTreeMap::new();
    let mut seen: BTreeSet<(ObjectHash, Fingerprint)> = BTreeSet::new();
    for member in members {
        if seen.insert((member.network, member.evaluation)) {
            let place = *places.entry(member.network).or_insert_with(|| {
                found.push(Vec::new());
                found.len() - 1
            });
            found[place].push(member);
        }
    }
    found
}

/// A figure of one network: the mean over its evaluations, where there are several.
fn figure(network: &[&Observation], metric: Metric) -> Option<f64> {
    let values = network.iter().filter_map(|one| one.figures.get(&metric).copied());
    Mean::of(&values.collect::<Vec<_>>()).map(|mean| mean.mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network of its own.
    fn observation(ratio: &str, seed: &str, stage: &str, accuracy: f64) -> Observation {
        let name = format!("{ratio} {seed} {stage} {accuracy}");
        Observation {
            label: vec![("flops_ratio".into(), ratio.into()), ("seed".into(), seed.into())],
            stage: stage.into(),
            output: "best".into(),
            network: ObjectHash::of(name.as_bytes()),
            evaluation: Fingerprint::from_bytes(*blake3::hash(name.as_bytes()).as_bytes()),
            unpruned: false,
            figures: BTreeMap::from([(Metric::Accuracy, accuracy)]),
            measured: None,
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

    #[test]
    fn points_that_share_a_network_count_it_once() {
        // Three sparsities times three seeds, where the sparsity changes nothing: three networks.
        let all: Vec<Observation> = (0..9)
            .map(|at| {
                let seed = (at % 3 + 1).to_string();
                let mut one = observation("", &seed, "retrain", 0.8 + 0.02 * f64::from(at % 3));
                one.label = vec![("sparsity".into(), (at / 3).to_string()), ("seed".into(), seed)];
                one
            })
            .collect();
        let averaged = Grouping { over: vec!["seed".into(), "sparsity".into()], ..Grouping::default() };
        let row = &rows(&all, &averaged)[0];
        assert_eq!((row.n, row.points, row.means[&Metric::Accuracy].n), (3, 9, 3));
        let mean = row.means[&Metric::Accuracy];
        assert!((mean.mean - 0.82).abs() < 1e-12 && (mean.sd.unwrap() - 0.02).abs() < 1e-12, "{mean:?}");
        // A stage with a seed of its own: one network at three seeds.
        let one: Vec<Observation> = ["1", "2", "3"]
            .map(|seed| Observation { network: all[0].network, ..observation("0.3", seed, "own", 0.8) })
            .to_vec();
        let row = &rows(&one, &averaged)[0];
        assert_eq!((row.n, row.means[&Metric::Accuracy].sd), (1, None));
    }

    #[test]
    fn intervals_count_seeds_and_not_the_networks_of_one_seed() {
        let mut all = Vec::new();
        let found = [(1, [0.01, 0.03]), (2, [0.02, 0.05]), (3, [-0.01, 0.02])];
        for (seed, differences) in found {
            for (ratio, difference) in ["0.3", "0.5"].iter().zip(differences) {
                all.push(observation(ratio, &seed.to_string(), "gates", 0.8 + difference));
                all.push(observation(ratio, &seed.to_string(), "uniform", 0.8));
            }
        }
        let over = vec!["seed".into(), "flops_ratio".into()];
        let baseline = Some(Baseline::Stage("uniform".to_owned()));
        let row = &rows(&all, &Grouping { over, outputs: vec![], baseline })[0];
        let difference = row.against_baseline.unwrap();
        assert_eq!((row.n, difference.n, difference.seeds), (6, 6, 3));
        // Means of the seeds are 0.02, 0.035 and 0.005: mean 0.02, sd 0.015; t(0.975, 2) from any printed
        // table.
        let half = 4.302_652_73 * 0.015 / 3f64.sqrt();
        let (low, high) = difference.interval.unwrap();
        assert!((low - (0.02 - half)).abs() < 1e-9 && (high - (0.02 + half)).abs() < 1e-9, "{difference:?}");
    }

    #[test]
    fn a_baseline_that_is_one_network_for_all_seeds_is_one_sample() {
        let mut all = Vec::new();
        for (seed, accuracy) in [("1", 0.80), ("2", 0.82), ("3", 0.90)] {
            all.push(observation("0.3", seed, "gates", accuracy));
            let base = observation("0.3", "own seed", "uniform", 0.79);
            all.push(Observation { label: all[all.len() - 1].label.clone(), ..base });
        }
        let baseline = Some(Baseline::Stage("uniform".to_owned()));
        let row = &rows(&all, &Grouping { over: vec!["seed".into()], outputs: vec![], baseline })[0];
        let difference = row.against_baseline.unwrap();
        assert_eq!((difference.n, difference.seeds, difference.interval), (3, 1, None));
    }

    #[test]
    fn the_unpruned_network_has_one_name_and_can_be_the_baseline() {
        let mut all = Vec::new();
        for (seed, accuracy) in [("1", 0.80), ("2", 0.82)] {
            all.push(observation("0.3", seed, "retrain", accuracy));
            let mut full = observation("", seed, "retrain", accuracy + 0.1);
            full.label = vec![("network".into(), "init".into()), ("seed".into(), seed.into())];
            full.unpruned = true;
            all.push(full);
        }
        let baseline = Some(Baseline::Unpruned);
        let found = rows(&all, &Grouping { over: vec!["seed".into()], outputs: vec![], baseline });
        assert_eq!((found[0].name.as_str(), found[1].name.as_str()), ("retrain", "unpruned"));
        let difference = found[0].against_baseline.unwrap();
        assert!((difference.mean + 0.1).abs() < 1e-12 && difference.n == 2, "{difference:?}");
        assert_eq!(found[1].against_baseline, None, "the baseline itself");
        // Where two methods remove nothing, each says which it is.
        let mut third = all[1].clone();
        third.stage = "full".to_owned();
        third.label = all[0].label.clone();
        all.push(third);
        let names: Vec<String> = rows(&all, &Grouping { over: vec!["seed".into()], ..Grouping::default() })
            .into_iter()
            .map(|row| row.name)
            .collect();
        assert_eq!(names, ["retrain", "unpruned (init)", "unpruned (full)"]);
    }
}
