//! States that interrupted stages left, and that a run with other parameters does not go on from.

use std::collections::BTreeSet;

use super::assess::{Plan, Verdict};
use super::graph::{Graph, Node};
use super::reason::{Reason, differences};
use crate::fingerprint::Fingerprint;
use crate::store::{SavedFor, Store};

/// Adds to the reasons of a stage that a state with other parameters is there. Where several are, the one
/// that differs least. A state of a stage that is part of the plan itself belongs to another point, and is no
/// news.
pub(super) fn tell_of_others(graph: &Graph, store: &Store, pipeline: &str, plan: &mut Plan) {
    let begins = |verdict: &Verdict| matches!(verdict, Verdict::Run { resumes: false, .. });
    if !plan.entries.iter().any(|entry| begins(&entry.verdict)) {
        return;
    }
    let planned: BTreeSet<Fingerprint> = plan.entries.iter().filter_map(|entry| entry.fingerprint).collect();
    let states: Vec<SavedFor> = store
        .saved_states()
        .into_iter()
        .filter(|(fingerprint, _)| !planned.contains(fingerprint))
        .filter_map(|(_, history)| history.of.map(|of| *of))
        .filter(|of| of.pipeline == pipeline)
        .collect();
    if states.is_empty() {
        return;
    }
    for ((_, node), entry) in graph.iter().zip(&mut plan.entries) {
        let is_known = entry.fingerprint.is_some();
        let Verdict::Run { reasons, resumes: false } = &mut entry.verdict else { continue };
        if let Some(other) = nearest(node, &states, is_known) {
            reasons.retain(|reason| *reason != Reason::NeverRun);
            reasons.push(other);
        }
    }
}

fn nearest(node: &Node, states: &[SavedFor], is_known: bool) -> Option<Reason> {
    let same = |of: &&SavedFor| {
        of.work.kind == node.stage.kind.name && node.uses.iter().any(|usage| of.stages.contains(&usage.stage))
    };
    let differing = states.iter().filter(same).map(|of| {
        let mut had: Vec<(String, String)> = differences(&of.work.parameters, &node.stage.parameters)
            .into_iter()
            .filter(|(key, ..)| key != "seed")
            .map(|(key, was, _)| (key, was))
            .collect();
        if let Some(seed) = of.work.seed.filter(|seed| Some(*seed) != node.seed) {
            had.push(("seed".to_owned(), seed.to_string()));
        }
        had
    });
    let had = differing.min_by_key(Vec::len)?;
    // While its inputs are to be made, a state with the same parameters may still fit.
    (is_known || !had.is_empty()).then_some(Reason::OtherState { had })
}
