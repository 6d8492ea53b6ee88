//! What the rows of a table are compared with, pair by pair, and which pairs are independent samples.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::figures::label::{self, Label};
use super::observations::Observation;
use super::statistics::{Mean, Pair};
use super::table::{Metric, UNPRUNED};
use crate::fingerprint::Fingerprint;
use crate::store::ObjectHash;

/// What rows are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// The networks of this stage, at the same point.
    Stage(String),
    /// The networks of the same stage, at the point that differs in this swept parameter alone; for points
    /// that were included with other keys, at the one point that has this value and nothing else that they do
    /// not share.
    Value {
        /// The parameter.
        key: String,
        /// Its value there.
        value: String,
    },
    /// The network of which no channel was removed, of the same seed.
    Unpruned,
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(name) => f.write_str(name),
            Self::Value { value, .. } => f.write_str(value),
            Self::Unpruned => f.write_str(UNPRUNED),
        }
    }
}

/// Observations by point, stage and output.
pub(super) type Index<'a> = BTreeMap<Key, &'a Observation>;

impl Baseline {
    /// Whether a network is of the baseline itself.
    pub(super) fn is(&self, one: &Observation) -> bool {
        match self {
            Self::Stage(name) => *name == one.stage,
            Self::Value { key, value } => one.label.iter().any(|(own, at)| own == key && at == value),
            Self::Unpruned => one.unpruned,
        }
    }

    /// The network that `member` is compared with.
    fn pair_of<'a>(&self, member: &Observation, all: &Index<'a>) -> Option<&'a Observation> {
        let (mut label, mut stage) = (member.label.clone(), member.stage.clone());
        let (key, value) =
            match self {
                Self::Stage(name) => {
                    stage.clone_from(name);
                    return all.get(&(label, stage, member.output.clone())).copied();
                }
                Self::Unpruned => {
                    let own = (label::seeds(&member.label), &member.output);
                    return only(all.values().copied().filter(|other| {
                        other.unpruned && (label::seeds(&other.label), &other.output) == own
                    }));
                }
                Self::Value { key, value } => (key, value),
            };
        let own = label.iter_mut().find(|(own, _)| own == key);
        let exact = own.map(|(_, at)| at.clone_from(value)).and_then(|()| {
            let at = (label, stage, member.output.clone());
            all.get(&at).copied()
        });
        // A point that was included with keys of its own: all that the baseline's point says beside the value
        // holds of it.
        let is_shared = |term: &(String, String)| term.0 == *key || member.label.contains(term);
        exact.or_else(|| {
            only(all.values().copied().filter(|other| {
                (&other.stage, &other.output) == (&member.stage, &member.output)
                    && other.label.iter().any(|(own, at)| own == key && at == value)
                    && other.label.iter().all(is_shared)
            }))
        })
    }
}

/// The one network that all of these are.
fn only<'a>(mut candidates: impl Iterator<Item = &'a Observation>) -> Option<&'a Observation> {
    let first = candidates.next()?;
    candidates.all(|other| other.network == first.network).then_some(first)
}

/// A point or several, a stage, an output.
pub(super) type Key = (Label, String, String);

/// The accuracy of each member minus that of its pair in the baseline, each pair of networks once.
pub(super) fn pairs(members: &[&Observation], baseline: &Baseline, all: &Index<'_>) -> Vec<Pair> {
    let mut found: BTreeMap<(ObjectHash, ObjectHash), Vec<f64>> = BTreeMap::new();
    let mut seen: BTreeSet<[Fingerprint; 2]> = BTreeSet::new();
    let mut clusters = Clusters::default();
    for member in members {
        let Some(other) = baseline.pair_of(member, all) else { continue };
        let at = Metric::Accuracy;
        let Some((own, base)) = member.figures.get(&at).zip(other.figures.get(&at)) else { continue };
        let seed = clusters.place(Token::Seed(replicate(&member.label)));
        for network in [member.network, other.network] {
            let network = clusters.place(Token::Network(network));
            clusters.join(seed, network);
        }
        let differences = found.entry((member.network, other.network)).or_default();
        if seen.insert([member.evaluation, other.evaluation]) {
            differences.push(own - base);
        }
    }
    let pair = |((network, _), differences): ((ObjectHash, ObjectHash), Vec<f64>)| {
        let cluster = clusters.place(Token::Network(network));
        Some(Pair { difference: Mean::of(&differences)?.mean, cluster: clusters.root(cluster) })
    };
    found.into_iter().filter_map(pair).collect()
}

/// The seed that tells samples apart: the pipeline's where it was swept, as all stages follow it, else those
/// of stages.
fn replicate(label: &Label) -> Label {
    let seeds = label::seeds(label);
    let whole = seeds.iter().find(|(key, _)| key == "seed").cloned();
    whole.map_or(seeds, |term| vec![term])
}

/// What pairs have in common that are no independent samples.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Seed(Label),
    Network(ObjectHash),
}

/// Sets of what is connected.
#[derive(Default)]
struct Clusters {
    places: BTreeMap<Token, usize>,
    parents: Vec<usize>,
}

impl Clusters {
    fn place(&mut self, token: Token) -> usize {
        let next = self.parents.len();
        let place = *self.places.entry(token).or_insert(next);
        if place == next {
            self.parents.push(next);
        }
        place
    }

    fn root(&self, mut place: usize) -> usize {
        while self.parents[place] != place {
            place = self.parents[place];
        }
        place
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[b] = a;
    }
}
