//! A run that was repeated, beside what was kept of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::Graph;
use crate::store::{Record, RunRecord, RunStage};

/// What a repetition came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Every stage that the run has a result of.
    pub stages: Vec<StageCompared>,
    /// Outputs that the run is known to have given.
    pub outputs: usize,
    /// How many of them are the same bytes.
    pub outputs_same: usize,
}

impl Compared {
    /// Whether every output that is known is the same bytes, and some are.
    pub fn is_same(&self) -> bool {
        self.outputs == self.outputs_same
            && self.outputs > 0
            && self
                .stages
                .iter()
                .all(|stage| matches!(stage.verdict, Verdict::Same { .. } | Verdict::Unknown))
    }
}

/// One stage of a repetition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageCompared {
    /// The stage.
    pub stage: String,
    /// The first point that it belongs to.
    pub point: String,
    /// What was found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How a stage compares.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The same bytes.
    Same {
        /// How many outputs.
        outputs: usize,
    },
    /// The same work gave other bytes.
    Differs {
        /// In these outputs.
        outputs: Vec<String>,
    },
    /// It is other work than it was.
    Otherwise {
        /// Why.
        why: String,
    },
    /// It has no result.
    Missing,
    /// The run did not come to it.
    Unknown,
}

impl Verdict {
    /// Whether it is worth a word.
    pub fn is_told(&self) -> bool {
        !matches!(self, Self::Same { .. })
    }
}

/// Compares the records of a repetition with what was kept of the run.
pub fn compare(run: &RunRecord, graph: &Graph, records: &[Option<Record>]) -> Compared {
    let name = |stage: &RunStage| {
        let point = stage.points.first().and_then(|at| run.points.get(*at)).cloned();
        (stage.stage.clone(), point.unwrap_or_default())
    };
    let then: BTreeMap<(String, String), &RunStage> =
        run.stages.iter().map(|stage| (name(stage), stage)).collect();
    let mut found = Compared { stages: Vec::new(), outputs: 0, outputs_same: 0 };
    for ((_, node), record) in graph.iter().zip(records) {
        let point = node.uses.first().map_or(String::new(), |usage| graph.points[usage.point].name());
        let key = (node.name.clone(), point);
        let Some(then) = then.get(&key).copied() else { continue };
        found.outputs += then.outputs.len();
        let verdict = verdict(then, record.as_ref(), &mut found.outputs_same);
        if then.outputs.is_empty() && record.is_none() {
            continue;
        }
        let (stage, point) = key;
        let point = if graph.points.len() == 1 { String::new() } else { point };
        found.stages.push(StageCompared { stage, point, verdict });
    }
    found
}

fn verdict(then: &RunStage, now: Option<&Record>, same: &mut usize) -> Verdict {
    let had_result = then.state.has_result();
    let Some(now) = now else {
        return if had_result { Verdict::Missing } else { Verdict::Unknown };
    };
    if !had_result {
        return Verdict::Unknown;
    }
    let is_same = |output: &String| {
        now.outputs.get(output).map(|entry| entry.object) == then.outputs.get(output).copied()
    };
    *same += then.outputs.keys().filter(|output| is_same(output)).count();
    if then.fingerprint.is_some_and(|fingerprint| fingerprint != now.fingerprint) {
        let why = if then.version.is_some_and(|version| version != now.version) {
            format!("version {} of {} then, {} now", then.version.unwrap_or_default(), now.kind, now.version)
        } else if then.images != now.provenance.data {
            "the images are others".to_owned()
        } else {
            "its inputs are others".to_owned()
        };
        return Verdict::Otherwise { why };
    }
    let differ: Vec<String> = then.outputs.keys().filter(|output| !is_same(output)).cloned().collect();
    if differ.is_empty() {
        Verdict::Same { outputs: then.outputs.len() }
    } else {
        Verdict::Differs { outputs: differ }
    }
}
