//! Estimates how long the stages of a plan will take, from the times of earlier results.
//!
//! A stage is compared with earlier work of the same kind. The time of the nearest ones is scaled by the
//! images that pass through the network (epochs or steps, size of the data set) and by the network's FLOPs.
//! Small networks take longer than their FLOPs suggest, so a scaled time is a range: from the time without
//! scaling by FLOPs to the fully scaled one. Without earlier work of the kind, the time is unknown.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use super::assess::{Plan, Verdict};
use super::graph::{Graph, Node, NodeId};
use super::reason::flat;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::stages;
use crate::store::{Experience, ObjectHash, Record, Store};

/// The most earlier results that one estimate builds on.
const NEAREST: usize = 5;
/// Results whose distance exceeds that of the nearest one by more than this are left out.
const REACH: f64 = 0.3;
/// The distance that one different parameter adds; a factor of e in FLOPs adds 1.
const PARAMETER: f64 = 0.1;
/// The distance that another machine or device adds.
const ELSEWHERE: f64 = 3.0;
/// The least width of a range, as a factor to both sides: repeated work never takes exactly the same time.
const SPREAD: f64 = 1.2;
/// The width for another machine or an unknown size.
const GUESS: f64 = 2.0;

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The most likely time, in seconds.
    pub seconds: f64,
    /// The shortest time that is likely.
    pub low: f64,
    /// The longest time that is likely.
    pub high: f64,
    /// How many earlier results it builds on.
    pub results: usize,
    /// Whether one of them is from another machine or device.
    pub elsewhere: bool,
}

impl Estimate {
    /// The sum of two estimates: one piece of work after the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            low: self.low + other.low,
            high: self.high + other.high,
            results: self.results + other.results,
            elsewhere: self.elsewhere || other.elsewhere,
        }
    }

    fn without(self, done: f64) -> Self {
        let left = |seconds: f64| (seconds - done).max(0.0);
        Self { seconds: left(self.seconds), low: left(self.low), high: left(self.high), ..self }
    }
}

/// Estimates of all stages that a plan runs.
#[derive(Debug, Clone, Default)]
pub struct Estimates {
    stages: Vec<Option<Estimate>>,
}

/// The time of a whole plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Total {
    /// The stages whose time can be estimated, one after the other; `None` without such a stage.
    pub estimate: Option<Estimate>,
    /// The names of stages to run whose time is unknown, each once.
    pub unknown: Vec<String>,
}

impl Estimates {
    /// Estimates every stage that `plan` runs on this machine, on `device`, from the results in `store`.
    pub fn new(graph: &Graph, plan: &Plan, store: &Store, device: &str) -> Self {
        if plan.to_run() == 0 {
            return Self { stages: vec![None; graph.nodes.len()] };
        }
        let past = Past::new(store, device);
        let stage = |(id, node): (NodeId, &Node)| match plan.entry(id).verdict {
            Verdict::Run { resumes, .. } => {
                let whole = past.estimate(&Work::of_node(graph, plan, node))?;
                let saved = plan.entry(id).fingerprint.filter(|_| resumes);
                let done = saved.and_then(|saved| store.saved_state(&saved));
                Some(whole.without(done.map_or(0.0, |done| done.seconds)))
            }
            Verdict::Cached(_) | Verdict::Left => None,
        };
        Self { stages: graph.iter().map(stage).collect() }
    }

    /// Makes a set from ready estimates.
    #[cfg(test)]
    pub fn fixed(stages: Vec<Option<Estimate>>) -> Self {
        Self { stages }
    }

    /// The estimate of a stage; `None` where it does not run or its time is unknown.
    pub fn of(&self, id: NodeId) -> Option<Estimate> {
        self.stages.get(id.0).copied().flatten()
    }

    /// The time of all stages that run.
    pub fn total(&self, graph: &Graph, plan: &Plan) -> Total {
        let mut unknown: Vec<String> = Vec::new();
        for (id, node) in graph.iter().filter(|(id, _)| plan.entry(*id).runs()) {
            if self.of(id).is_none() && !unknown.contains(&node.name) {
                unknown.push(node.name.clone());
            }
        }
        let known = self.stages.iter().flatten().copied();
        Total { estimate: known.reduce(Estimate::and), unknown }
    }
}

/// FLOPs of a network in multiply-accumulates, and those of the network that it was made from.
#[derive(Debug, Clone, Copy)]
struct Cost {
    macs: f64,
    full: f64,
}

impl Cost {
    fn whole(macs: f64) -> Self {
        Self { macs, full: macs }
    }

    fn share(self) -> f64 {
        if self.full > 0.0 { (self.macs / self.full).min(1.0) } else { 1.0 }
    }
}

/// The properties of a piece of work that decide its time.
struct Work {
    kind: String,
    parameters: BTreeMap<String, String>,
    images: Option<f64>,
    macs: Option<f64>,
}

impl Work {
    fn of_node(graph: &Graph, plan: &Plan, node: &Node) -> Self {
        let cost = match &node.structure {
            Some(own) if node.inputs.is_empty() => Some(Cost::whole(own.macs().0 as f64)),
            _ => largest(node.inputs.iter().filter_map(|edge| given(graph, plan, edge.from))),
        };
        let share = cost.map_or(1.0, Cost::share);
        Self {
            kind: node.stage.kind.name.to_owned(),
            parameters: compared(&node.stage.parameters),
            images: node.stage.stage.images(share, &graph.data[node.data]),
            macs: cost.map(|cost| cost.macs),
        }
    }
}

/// The FLOPs of the network that a node outputs or passes on. For a network that is still to be pruned, these
/// are the FLOPs that its search aims at.
fn given(graph: &Graph, plan: &Plan, id: NodeId) -> Option<Cost> {
    let node = graph.node(id);
    let spec = |spec: &NetworkSpec| spec.macs().0 as f64;
    if let Some(known) = &node.structure {
        return Some(Cost::whole(spec(known)));
    }
    let above = largest(node.inputs.iter().filter_map(|edge| given(graph, plan, edge.from)))?;
    let recorded = plan.entry(id).record().and_then(|record: &Record| record.metrics["macs"].as_u64());
    let aim = |edge: &super::graph::Edge| graph.node(edge.from).stage.parameters["flops_ratio"].as_f64();
    let aimed = || node.inputs.iter().find_map(aim).map_or(above.macs, |ratio| ratio * above.full);
    Some(Cost { macs: recorded.map_or_else(aimed, |macs| macs as f64), ..above })
}

fn largest(costs: impl Iterator<Item = Cost>) -> Option<Cost> {
    costs.max_by(|a, b| a.macs.total_cmp(&b.macs))
}

/// The parameters that make two stages of a kind alike. How long they train counts as a scale, and the seed
/// not at all.
fn compared(parameters: &Value) -> BTreeMap<String, String> {
    let mut words = flat(parameters);
    words.retain(|key, _| !["epochs", "steps", "seed"].contains(&key.as_str()));
    words
}

/// Earlier work, by kind.
struct Past {
    work: HashMap<String, Vec<Done>>,
}

/// An earlier result, with its time.
struct Done {
    work: Work,
    seconds: f64,
    elsewhere: bool,
}

impl Past {
    fn new(store: &Store, device: &str) -> Self {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let experience = store.experience();
        let makers: HashMap<ObjectHash, &Experience> = experience
            .iter()
            .flat_map(|done| done.outputs.values().map(move |output| (output.object, done)))
            .collect();
        let images: HashMap<String, DataParams> = store
            .last_runs()
            .into_iter()
            .filter_map(|last| Some((last.data?, serde_json::from_value(last.images).ok()?)))
            .collect();
        let mut work: HashMap<String, Vec<Done>> = HashMap::new();
        for done in &experience {
            let from = &done.provenance;
            if !(from.seconds.is_finite() && from.seconds > 0.0) {
                continue;
            }
            let cost = largest(from.inputs.values().filter_map(|input| cost(&makers, input, DEPTH)));
            let cost = cost.or_else(|| done.macs.map(|macs| Cost::whole(macs as f64)));
            let data = from.data.as_ref().and_then(|data| images.get(data));
            work.entry(done.kind.clone()).or_default().push(Done {
                work: Work {
                    kind: done.kind.clone(),
                    parameters: compared(&from.parameters),
                    images: data.and_then(|data| passed(done, cost, data)),
                    macs: cost.map(|cost| cost.macs),
                },
                seconds: from.seconds,
                elsewhere: from.host != host || from.device != device,
            });
        }
        Self { work }
    }

    fn estimate(&self, wanted: &Work) -> Option<Estimate> {
        let past = self.work.get(&wanted.kind)?;
        let mut near: Vec<(f64, &Done)> = past.iter().map(|done| (distance(wanted, done), done)).collect();
        near.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let reach = near.first()?.0 + REACH;
        let near: Vec<&Done> =
            near.iter().take(NEAREST).take_while(|(far, _)| *far <= reach).map(|(_, done)| *done).collect();
        let guesses: Vec<[f64; 3]> = near.iter().map(|done| scaled(wanted, done)).collect();
        let seconds = guesses.iter().map(|[_, middle, _]| middle).sum::<f64>() / guesses.len() as f64;
        let low = guesses.iter().map(|[low, ..]| *low).fold(f64::INFINITY, f64::min);
        let high = guesses.iter().map(|[.., high]| *high).fold(0.0, f64::max);
        let elsewhere = near.iter().any(|done| done.elsewhere);
        let all = [seconds, low, high].iter().all(|seconds| seconds.is_finite());
        all.then_some(Estimate { seconds, low, high, results: near.len(), elsewhere })
    }
}

/// The most results that the search for a network's FLOPs follows upward.
const DEPTH: usize = 8;

/// The FLOPs of the network in an object, from the record of the stage that made it or of a stage above.
fn cost(makers: &HashMap<ObjectHash, &Experience>, object: &ObjectHash, depth: usize) -> Option<Cost> {
    let maker = makers.get(object).filter(|_| depth > 0)?;
    let above = largest(maker.provenance.inputs.values().filter_map(|input| cost(makers, input, depth - 1)));
    match (maker.macs, above) {
        (Some(macs), above) => {
            let macs = macs as f64;
            Some(Cost { macs, full: above.map_or(macs, |above| above.full.max(macs)) })
        }
        (None, above) => above,
    }
}

/// The images that earlier work passed through its network; `None` where its parameters are not those of this
/// version.
fn passed(done: &Experience, cost: Option<Cost>, data: &DataParams) -> Option<f64> {
    let kind = stages::kind(&done.kind)?;
    let Value::Object(parameters) = &done.provenance.parameters else { return None };
    let written: Map<String, Value> = parameters
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let stage = (kind.parse)(written).ok()?;
    stage.stage.images(cost.map_or(1.0, Cost::share), data)
}

/// The distance between two pieces of work.
fn distance(wanted: &Work, done: &Done) -> f64 {
    let keys = wanted.parameters.keys().chain(done.work.parameters.keys());
    let differing: std::collections::BTreeSet<&String> =
        keys.filter(|key| wanted.parameters.get(*key) != done.work.parameters.get(*key)).collect();
    let apart = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) if a > 0.0 && b > 0.0 => (a / b).ln().abs(),
        (None, None) => 0.0,
        _ => 1.0,
    };
    let elsewhere = if done.elsewhere { ELSEWHERE } else { 0.0 };
    let images = apart(wanted.images, done.work.images) * 0.5;
    elsewhere + PARAMETER * differing.len() as f64 + images + apart(wanted.macs, done.work.macs)
}

/// The shortest, the middle and the longest time of `wanted`, scaled from the time of `done`.
fn scaled(wanted: &Work, done: &Done) -> [f64; 3] {
    let factor = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) if a > 0.0 && b > 0.0 => (a / b, 1.0),
        (None, None) => (1.0, 1.0),
        _ => (1.0, GUESS),
    };
    let (images, no_images) = factor(wanted.images, done.work.images);
    let (macs, no_macs) = factor(wanted.macs, done.work.macs);
    let wide = SPREAD * no_images * no_macs * if done.elsewhere { GUESS } else { 1.0 };
    let seconds = done.seconds * images;
    [seconds * macs.min(1.0) / wide, seconds * macs.sqrt(), seconds * macs.max(1.0) * wide]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(images: Option<f64>, macs: Option<f64>, lr: &str) -> Work {
        let parameters = BTreeMap::from([("optimizer.lr".to_owned(), lr.to_owned())]);
        Work { kind: "retrain".to_owned(), parameters, images, macs }
    }

    fn past(done: Vec<(Work, f64, bool)>) -> Past {
        let done = done.into_iter().map(|(work, seconds, elsewhere)| Done { work, seconds, elsewhere });
        Past { work: HashMap::from([("retrain".to_owned(), done.collect())]) }
    }

    #[test]
    fn twice_the_images_take_twice_as_long() {
        let past = past(vec![(work(Some(100.0), Some(1e6), "0.1"), 10.0, false)]);
        let found = past.estimate(&work(Some(200.0), Some(1e6), "0.1")).unwrap();
        assert!((found.seconds - 20.0).abs() < 1e-9);
        assert!(found.low < 20.0 && found.low > 16.0 && found.high > 20.0 && found.high < 25.0);
    }

    #[test]
    fn a_larger_network_makes_a_range_from_none_to_all_of_its_flops() {
        let past = past(vec![(work(Some(100.0), Some(1e6), "0.1"), 10.0, false)]);
        let found = past.estimate(&work(Some(100.0), Some(4e6), "0.1")).unwrap();
        assert!((found.seconds - 20.0).abs() < 1e-9);
        assert!(found.low < 10.0 && found.high > 40.0);
    }

    #[test]
    fn the_nearest_results_count_and_those_of_other_machines_only_where_there_is_nothing_else() {
        let here = (work(Some(100.0), Some(1e6), "0.1"), 10.0, false);
        let far = (work(Some(100.0), Some(1e6), "0.1"), 99.0, true);
        let wanted = work(Some(100.0), Some(1e6), "0.05");
        let both = past(vec![far, here]).estimate(&wanted).unwrap();
        assert_eq!((both.seconds, both.results, both.elsewhere), (10.0, 1, false));
        let far = past(vec![(work(Some(100.0), Some(1e6), "0.1"), 99.0, true)]).estimate(&wanted).unwrap();
        assert!(far.elsewhere && far.low < 99.0 / 2.0 && far.high > 99.0 * 2.0);
    }

    #[test]
    fn without_earlier_work_of_the_kind_the_time_is_unknown() {
        let other = Work { kind: "eval".to_owned(), ..work(None, None, "0") };
        assert_eq!(past(Vec::new()).estimate(&other), None);
        assert_eq!(past(Vec::new()).estimate(&work(None, None, "0")), None);
    }
}
