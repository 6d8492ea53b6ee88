//! The graph of stages: a stage stands once, however many points have work for it.

use std::collections::BTreeSet;

use super::sheet;
use crate::plan::{Graph, NodeId, Plan, Verdict};

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct StageGraph {
    /// The stages of all points by name, inputs first.
    pub stages: Vec<Stage>,
}

/// A stage of the file, over all points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Different pieces of work.
    pub works: BTreeSet<NodeId>,
    /// How many of them are in the cache.
    pub cached: usize,
    /// Roles and the stages that fill them.
    pub inputs: BTreeSet<(String, String)>,
}

impl Stage {
    /// Whether all its work is in the cache.
    pub fn is_cached(&self) -> bool {
        self.cached == self.works.len()
    }

    /// `cached`, `run`, or of a sweep `2 of 9 cached`.
    pub fn state(&self) -> String {
        match (self.cached, self.works.len()) {
            (0, 1) => "run".to_owned(),
            (1, 1) => "cached".to_owned(),
            (0, many) => format!("{many} to run"),
            (cached, many) => format!("{cached} of {many} cached"),
        }
    }
}

/// Stages that a later point adds may feed those that are there: each moves behind what feeds it, and no further.
fn inputs_first(mut waiting: Vec<Stage>) -> Vec<Stage> {
    let mut sorted: Vec<Stage> = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |stage: &Stage| {
            stage.inputs.iter().all(|(_, giver)| waiting.iter().all(|other| other.name != *giver))
        };
        // Points that feed each other's stages the other way round have no such order: as they come, then.
        let next = waiting.iter().position(is_ready).unwrap_or(0);
        sorted.push(waiting.remove(next));
    }
    sorted
}

impl StageGraph {
    /// Of a graph and how it stands.
    pub fn of(graph: &Graph, plan: &Plan) -> Self {
        let mut stages: Vec<Stage> = Vec::new();
        for point in &graph.points {
            for (name, id) in &point.stages {
                let at = stages.iter().position(|stage| stage.name == *name).unwrap_or_else(|| {
                    let kind = graph.node(*id).stage.kind.name.to_owned();
                    stages.push(Stage { name: name.clone(), kind, ..Stage::default() });
                    stages.len() - 1
                });
                let stage = &mut stages[at];
                if !stage.works.insert(*id) {
                    continue;
                }
                stage.cached += usize::from(matches!(plan.entry(*id).verdict, Verdict::Cached(_)));
                for edge in &graph.node(*id).inputs {
                    let giver = point.stages.iter().find(|(_, node)| *node == edge.from);
                    let giver = giver.map_or(&graph.node(edge.from).name, |(name, _)| name);
                    stage.inputs.insert((edge.role.clone(), giver.clone()));
                }
            }
        }
        Self { stages: inputs_first(stages) }
    }

    /// As CSV, a row for each input of each stage.
    pub fn csv(&self) -> String {
        let rows = self.stages.iter().flat_map(|stage| {
            let none = stage.inputs.is_empty().then(|| (String::new(), String::new()));
            stage.inputs.iter().cloned().chain(none).map(move |(role, giver)| {
                let (cached, works) = (stage.cached.to_string(), stage.works.len().to_string());
                vec![stage.name.clone(), stage.kind.clone(), works, cached, role, giver]
            })
        });
        sheet(&["stage", "kind", "works", "cached", "input", "from"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_a_later_point_adds_stands_before_what_it_feeds() {
        let stage = |name: &str, givers: &[&str]| Stage {
            name: name.into(),
            inputs: givers.iter().map(|giver| ("network".into(), (*giver).into())).collect(),
            ..Stage::default()
        };
        let found = [stage("init", &[]), stage("search", &["init", "uniform"]), stage("uniform", &["init"])];
        let names = |stages: Vec<Stage>| stages.into_iter().map(|stage| stage.name).collect::<Vec<_>>();
        assert_eq!(names(inputs_first(found.to_vec())), ["init", "uniform", "search"]);
        let circle = vec![stage("a", &["b"]), stage("b", &["a"])];
        assert_eq!(names(inputs_first(circle)), ["a", "b"]);
    }
}
