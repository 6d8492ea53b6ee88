//! Gives the methods of a study one name and one place each, in all figures.
//!
//! Names and places follow from the pipeline alone, so that a method keeps its colour and its mark while
//! results are still missing.

use std::cmp::Ordering;

use super::label::{self, Label};
use super::{Absent, Study, trainer};
use crate::plan::NodeId;
use crate::report::unpruned;

/// The work that a curve or a row of a figure shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A method, by its place in the order of the study.
    Method(usize),
    /// The unpruned network.
    Unpruned,
    /// Work that belongs to several methods, or to no method.
    Shared,
}

/// A method with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Its name in every figure and table.
    pub name: String,
    /// Decides its colour and its mark.
    pub role: Role,
}

/// The key that rows are sorted by: the method, then the budget and other numbers, then the seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    role: Role,
    name: String,
    budgets: Vec<(String, f64)>,
    seeds: Vec<(String, f64)>,
}

impl Order {
    /// The order of a method at a point; `label` may have seeds.
    pub fn of(method: &Method, label: &Label) -> Self {
        let numbers = |label: Label| -> Vec<(String, f64)> {
            label.into_iter().map(|(key, value)| (key, value.parse().unwrap_or(f64::INFINITY))).collect()
        };
        Self {
            role: method.role,
            name: method.name.clone(),
            budgets: numbers(label::without_seeds(label)),
            seeds: numbers(label::seeds(label)),
        }
    }

    /// Compares two keys.
    pub fn compare(&self, other: &Self) -> Ordering {
        let numbers = |a: &[(String, f64)], b: &[(String, f64)]| {
            let pairs = a.iter().zip(b).map(|(a, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        };
        (self.role, &self.name)
            .cmp(&(other.role, &other.name))
            .then_with(|| numbers(&self.budgets, &other.budgets))
            .then_with(|| numbers(&self.seeds, &other.seeds))
    }
}

/// Which methods lie below a node.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Below {
    None,
    One(usize),
    Several,
}

/// The methods of a study.
pub struct Methods {
    /// The names that stages and sweeps give, in the order of the pipeline.
    names: Vec<String>,
    /// Whether stages are part of names.
    several: bool,
    /// The methods that prune nothing.
    unpruned: Vec<usize>,
    /// Other names of methods: in tables, a network that further points train has only what all of these share.
    aliases: Vec<(String, usize)>,
    /// For each node, the methods that use its result.
    below: Vec<Below>,
    /// For each node, the method whose network it trains, and the stage's name in that method.
    trains: Vec<Option<(usize, String)>>,
}

impl Methods {
    /// Finds the methods from the evaluations of a study, whether or not these have run.
    pub fn of(study: &Study<'_>) -> Self {
        let graph = study.graph;
        let evaluations: Vec<(NodeId, NodeId, &str, Label)> = graph
            .iter()
            .filter(|(_, node)| node.stage.kind.name == "eval")
            .flat_map(|(id, node)| {
                let label = label::without_seeds(&graph.common_label(id));
                let inputs = node.inputs.iter();
                inputs.map(move |edge| (id, edge.from, trainer(graph, id, edge.from), label.clone()))
            })
            .collect();
        let several = label::several(evaluations.iter().map(|(_, _, stage, label)| (*stage, label)));
        let mut found = Self {
            names: Vec::new(),
            several,
            unpruned: Vec::new(),
            aliases: Vec::new(),
            below: vec![Below::None; graph.nodes.len()],
            trains: vec![None; graph.nodes.len()],
        };
        for (id, from, stage, label) in &evaluations {
            let (name, _) = label::method(stage, several, label);
            let place = found.names.iter().position(|other| *other == name).unwrap_or_else(|| {
                found.names.push(name);
                found.names.len() - 1
            });
            found.below[id.0] = match found.below[id.0] {
                Below::One(other) if other != place => Below::Several,
                Below::Several => Below::Several,
                _ => Below::One(place),
            };
            found.trains[from.0] = Some((place, (*stage).to_owned()));
            let shared = label::without_seeds(&graph.common_label(*from));
            found.aliases.push((label::method(stage, several, &shared).0, place));
        }
        // Inputs come before their dependents, so in reverse order all dependents of a node are done before
        // it.
        for at in (0..graph.nodes.len()).rev() {
            for edge in &graph.nodes[at].inputs {
                let (own, below) = (found.below[edge.from.0], found.below[at]);
                found.below[edge.from.0] = match (own, below) {
                    (Below::None, other) | (other, Below::None) => other,
                    (Below::One(one), Below::One(other)) if one == other => own,
                    _ => Below::Several,
                };
            }
        }
        let mut whole: Vec<bool> = vec![true; found.names.len()];
        for (at, place) in found.trains.iter().enumerate() {
            // The structure of a pruned network is not known before its search has run.
            let structure = graph.nodes[at].structure.as_ref();
            let keeps_all = structure.is_some_and(|spec| spec.channels == spec.plain().channels);
            if let Some((place, _)) = place {
                whole[*place] &= keeps_all;
            }
        }
        found.unpruned = (0..whole.len()).filter(|place| whole[*place]).collect();
        found
    }

    fn at(&self, place: usize) -> Method {
        let name = &self.names[place];
        if self.unpruned == [place] {
            return Method { name: unpruned(name, true), role: Role::Unpruned };
        }
        let is_unpruned = self.unpruned.contains(&place);
        let name = if is_unpruned { unpruned(name, false) } else { name.clone() };
        // A single unpruned network has its own colour, so it uses up none of the palette.
        let before = usize::from(matches!(self.unpruned[..], [only] if only < place));
        Method { name, role: Role::Method(place - before) }
    }

    /// The method of a network that `stage` trained at a point, and its numbers, such as the budget. Seeds
    /// are no part of either.
    pub fn of_network(&self, stage: &str, label: &Label) -> (Method, Label) {
        let (name, numbers) = label::method(stage, self.several, &label::without_seeds(label));
        let known = self.names.iter().position(|other| *other == name);
        let alias = || self.aliases.iter().find(|(other, _)| *other == name).map(|(_, place)| *place);
        let shared = || Method { name: name.clone(), role: Role::Shared };
        (known.or_else(alias).map_or_else(shared, |place| self.at(place)), numbers)
    }

    /// The method that a search works for, and its numbers.
    pub(super) fn of_search(&self, id: NodeId, stage: &str, label: &Label) -> (Method, Label) {
        let (name, numbers) = label::method(stage, false, &label::without_seeds(label));
        let known = self.names.iter().position(|other| *other == name);
        let method = match (known, self.below[id.0]) {
            (Some(place), _) | (None, Below::One(place)) => self.at(place),
            _ => Method { name, role: Role::Shared },
        };
        (method, numbers)
    }

    /// The name of a training stage, the method whose network it trains, and its numbers. A stage whose
    /// network no evaluation reads keeps its own name.
    pub(super) fn of_training(&self, id: NodeId, stage: &str, label: &Label) -> (String, Method, Label) {
        let (name, numbers) = label::method(stage, false, &label::without_seeds(label));
        match &self.trains[id.0] {
            Some((place, stage)) => (stage.clone(), self.at(*place), numbers),
            None => (stage.to_owned(), Method { name, role: Role::Shared }, numbers),
        }
    }
}

/// Why a figure of networks is absent.
pub(super) fn nothing_evaluated() -> Absent {
    Absent::new("no network was evaluated yet")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(role: Role, terms: &[(&str, &str)]) -> Order {
        let label: Label =
            terms.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Order::of(&Method { name: "m".to_owned(), role }, &label)
    }

    #[test]
    fn rows_are_in_the_order_of_methods_then_budgets_then_seeds_as_numbers() {
        let sorted = [
            order(Role::Method(0), &[("s.flops_ratio", "0.15"), ("seed", "10")]),
            order(Role::Method(0), &[("s.flops_ratio", "0.3"), ("seed", "2")]),
            order(Role::Method(0), &[("s.flops_ratio", "0.3"), ("seed", "10")]),
            order(Role::Method(2), &[("s.flops_ratio", "0.15"), ("seed", "1")]),
            order(Role::Unpruned, &[("seed", "1")]),
        ];
        let mut rows = sorted.to_vec();
        rows.reverse();
        rows.sort_by(Order::compare);
        assert_eq!(rows, sorted);
    }
}
