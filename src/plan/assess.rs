//! Fresh or stale: the graph compared with the store.

use std::collections::{BTreeMap, BTreeSet};

use super::PlanError;
use super::graph::{Graph, Node, NodeId};
use super::identity::{DataIdentities, fingerprint};
use super::reason::{Current, Reason, images, reasons};
use super::saved;
use crate::data::{DataError, HalfSurvey, SplitSizes};
use crate::fingerprint::Fingerprint;
use crate::stages::{Outlook, Warning, warning};
use crate::state::StageState;
use crate::store::{LastRun, Lookup, ObjectHash, Record, Store};

/// Which stages of the pipeline are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these stages; what they need must be in the cache.
    pub only: Vec<String>,
    /// These stages and all that they need.
    pub until: Vec<String>,
    /// Run these even if their results are in the cache.
    pub force: Vec<String>,
}

/// What happens to a node, and why.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Its result is in the cache.
    Cached(Box<Record>),
    /// It must run.
    Run {
        /// Why. Never empty.
        reasons: Vec<Reason>,
        /// An interrupted run left a state to go on from.
        resumes: bool,
    },
    /// Not selected.
    Left,
}

impl Verdict {
    /// How the node stands.
    pub fn state(&self) -> StageState {
        match self {
            Self::Cached(_) => StageState::Cached,
            Self::Run { resumes: true, .. } => StageState::Interrupted,
            Self::Run { reasons, .. } if reasons.contains(&Reason::NeverRun) => StageState::NeverRun,
            Self::Run { .. } => StageState::Stale,
            Self::Left => StageState::Left,
        }
    }
}

/// A node's place in the plan.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its fingerprint, where all its inputs are known.
    pub fingerprint: Option<Fingerprint>,
    /// What happens to it.
    pub verdict: Verdict,
    /// What it asks for and probably does not mean; and what was noticed when its result was made.
    pub warnings: Vec<Warning>,
}

impl Entry {
    /// The record, if the result is in the cache.
    pub fn record(&self) -> Option<&Record> {
        match &self.verdict {
            Verdict::Cached(record) => Some(record),
            Verdict::Run { .. } | Verdict::Left => None,
        }
    }

    /// Whether the node will run.
    pub fn runs(&self) -> bool {
        matches!(self.verdict, Verdict::Run { .. })
    }
}

/// What must run, and why.
#[derive(Debug)]
pub struct Plan {
    /// One entry for each node of the graph, in its order.
    pub entries: Vec<Entry>,
}

impl Plan {
    /// The entry of a node.
    pub fn entry(&self, id: NodeId) -> &Entry {
        &self.entries[id.0]
    }

    /// How many nodes will run.
    pub fn to_run(&self) -> usize {
        self.entries.iter().filter(|entry| entry.runs()).count()
    }
}

/// What is known of a node when it is its turn.
#[derive(Debug)]
pub struct Assessment {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The objects in its roles.
    pub inputs: BTreeMap<String, Vec<(String, ObjectHash)>>,
    /// The identity of its images.
    pub data: Option<Fingerprint>,
    /// The files that these are read from, as they were hashed for it.
    pub content: Option<HalfSurvey>,
}

/// What a data set that is not there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingData {
    /// An error: nothing can run.
    Error,
    /// A reason for which a stage is stale, which is enough for a look ahead.
    Reason,
}

/// Compares `graph` with `store`.
///
/// # Errors
/// A selection that names no stage, data that is missing, a cache that cannot be read.
pub fn assess(
    graph: &Graph,
    store: &Store,
    data: &mut DataIdentities,
    pipeline: &str,
    selection: &Selection,
) -> Result<Plan, PlanError> {
    assess_with(graph, store, data, pipeline, selection, MissingData::Error)
}

/// As [`assess`], and says what missing data is.
///
/// # Errors
/// Those of [`assess`].
pub fn assess_with(
    graph: &Graph,
    store: &Store,
    data: &mut DataIdentities,
    pipeline: &str,
    selection: &Selection,
    missing: MissingData,
) -> Result<Plan, PlanError> {
    let selected = selected(graph, selection)?;
    let forced = named(graph, "--force", &selection.force)?;
    if let Some(id) = forced.iter().find(|id| !selected.contains(id)) {
        return Err(PlanError::ForcedUnselected { name: graph.node(*id).name.clone() });
    }
    let mut plan = Plan { entries: Vec::with_capacity(graph.nodes.len()) };
    for (id, node) in graph.iter() {
        let entry = match entry(graph, store, data, pipeline, node, &plan, forced.contains(&id)) {
            Err(PlanError::Data(DataError::Missing { data, .. })) if missing == MissingData::Reason => {
                let (set, command) = (data.set.name().to_owned(), data.fetch_command());
                let reasons = vec![Reason::DataMissing { set, command }];
                let verdict = Verdict::Run { reasons, resumes: false };
                Entry { fingerprint: None, verdict, warnings: warnings_of(graph, node, None) }
            }
            entry => entry?,
        };
        let left = !selected.contains(&id) && entry.runs();
        plan.entries.push(if left { Entry { verdict: Verdict::Left, ..entry } } else { entry });
    }
    saved::tell_of_others(graph, store, pipeline, &mut plan);
    Ok(plan)
}

fn entry(
    graph: &Graph,
    store: &Store,
    data: &mut DataIdentities,
    pipeline: &str,
    node: &Node,
    plan: &Plan,
    forced: bool,
) -> Result<Entry, PlanError> {
    let params = &graph.data[node.data];
    let data_use = node.stage.stage.data_use();
    let images = match data_use.reads() {
        Some(_) => Some(params.split_sizes(&data.survey(params)?.train.classes)),
        None => None,
    };
    let mut warnings = warnings_of(graph, node, images);
    let data = data.of(params, data_use)?;
    let inputs = objects(node, |giver| plan.entry(giver).record());
    let mut givers = BTreeMap::new();
    let mut found = if forced { vec![Reason::Forced] } else { Vec::new() };
    for edge in &node.inputs {
        let giver = graph.node(edge.from).name.clone();
        if !inputs.contains_key(&edge.role) {
            let stage = giver.clone();
            let left = matches!(plan.entry(edge.from).verdict, Verdict::Left);
            found.push(if left { Reason::InputLeft { stage } } else { Reason::InputRuns { stage } });
        }
        givers.insert(edge.role.clone(), giver);
    }
    let known = inputs.len() == node.inputs.len();
    let fingerprint = known.then(|| fingerprint(node, data, &inputs));
    let mut missing = None;
    let mut last = None;
    if let Some(fingerprint) = fingerprint {
        match store.lookup(&fingerprint)? {
            Lookup::Present(record) if !forced => {
                warnings.extend(warning::recorded(&record.metrics));
                let verdict = Verdict::Cached(Box::new(record));
                return Ok(Entry { fingerprint: Some(fingerprint), verdict, warnings });
            }
            Lookup::Present(record) => last = Some(record),
            Lookup::Absent => {}
            Lookup::OutputMissing { output } => missing = Some(Reason::OutputMissing { output }),
            Lookup::Damaged => missing = Some(Reason::RecordDamaged),
            Lookup::Unreadable => missing = Some(Reason::RecordUnreadable),
        }
    }
    let current = Current { node, images: params, data, inputs: &inputs, givers: &givers };
    let more = why(graph, store, pipeline, &current, missing, &found)?;
    if more == [Reason::NeverRun] {
        // That its inputs are new as well is no further reason.
        found.retain(|reason| matches!(reason, Reason::Forced | Reason::InputLeft { .. }));
    }
    found.extend(more);
    let resumes = match fingerprint {
        Some(fingerprint) => store.goes_on(&fingerprint, last.as_ref())?,
        None => false,
    };
    Ok(Entry { fingerprint, verdict: Verdict::Run { reasons: found, resumes }, warnings })
}

/// The warnings of a node before it runs; `images` are the sizes of its training images, where the files are
/// here.
fn warnings_of(graph: &Graph, node: &Node, images: Option<SplitSizes>) -> Vec<Warning> {
    let structure = |role: &str| {
        let edge = node.inputs.iter().find(|edge| edge.role == role)?;
        graph.node(edge.from).structure.clone()
    };
    let outlook = Outlook { inputs: &structure, data: &graph.data[node.data], images };
    warning::warnings(&*node.stage.stage, &outlook)
}

/// The reasons that the last run of the same stage tells.
fn why(
    graph: &Graph,
    store: &Store,
    pipeline: &str,
    current: &Current<'_>,
    missing: Option<Reason>,
    already: &[Reason],
) -> Result<Vec<Reason>, PlanError> {
    if let Some(missing) = missing {
        return Ok(vec![missing]);
    }
    let mut last = None;
    for usage in &current.node.uses {
        last = store.recall(pipeline, &graph.points[usage.point].name(), &usage.stage)?;
        if last.is_some() {
            break;
        }
    }
    let Some(last) = last else { return Ok(vec![Reason::NeverRun]) };
    let found = reasons(&last, current);
    if found.is_empty() && already.is_empty() {
        return Ok(vec![Reason::ResultGone]);
    }
    Ok(found)
}

/// The objects in a node's roles, outputs in the order asked for; without the roles whose giver has no record.
fn objects<'a>(
    node: &Node,
    record: impl Fn(NodeId) -> Option<&'a Record>,
) -> BTreeMap<String, Vec<(String, ObjectHash)>> {
    let of = |record: &Record, outputs: &[String]| {
        let entry = |output: &String| Some((output.clone(), record.outputs.get(output)?.object));
        outputs.iter().filter_map(entry).collect()
    };
    let given = node.inputs.iter().filter_map(|edge| Some((edge, record(edge.from)?)));
    given.map(|(edge, record)| (edge.role.clone(), of(record, &edge.outputs))).collect()
}

impl Assessment {
    /// Assesses one node from the records of its inputs; `None` while one of them is missing.
    ///
    /// # Errors
    /// The data set's files are missing or cannot be read.
    pub fn of(
        graph: &Graph,
        node: &Node,
        records: &[Option<Record>],
        data: &mut DataIdentities,
    ) -> Result<Option<Self>, PlanError> {
        let (params, data_use) = (&graph.data[node.data], node.stage.stage.data_use());
        let content = match data_use.reads() {
            Some(half) => Some(data.survey(params)?.half(half).clone()),
            None => None,
        };
        let data = data.of(params, data_use)?;
        let inputs = objects(node, |giver| records[giver.0].as_ref());
        if inputs.len() < node.inputs.len() {
            return Ok(None);
        }
        let fingerprint = fingerprint(node, data, &inputs);
        Ok(Some(Self { fingerprint, inputs, data, content }))
    }

    /// The node as it is now, to be remembered: later plans compare themselves with it.
    pub fn last_run(&self, graph: &Graph, node: &Node) -> LastRun {
        let objects =
            |artifacts: &[(String, ObjectHash)]| artifacts.iter().map(|(_, object)| *object).collect();
        LastRun {
            fingerprint: self.fingerprint,
            kind: node.stage.kind.name.to_owned(),
            version: node.stage.kind.version,
            parameters: node.stage.parameters.clone(),
            seed: node.seed,
            data: self.data.map(|data| data.to_string()),
            images: self.data.map(|_| images(&graph.data[node.data])).unwrap_or_default(),
            inputs: self.inputs.iter().map(|(role, artifacts)| (role.clone(), objects(artifacts))).collect(),
        }
    }
}

fn selected(graph: &Graph, selection: &Selection) -> Result<BTreeSet<NodeId>, PlanError> {
    if selection.only.is_empty() && selection.until.is_empty() {
        return Ok(graph.iter().map(|(id, _)| id).collect());
    }
    let mut chosen = named(graph, "--only", &selection.only)?;
    let mut open: Vec<NodeId> = named(graph, "--until", &selection.until)?.into_iter().collect();
    while let Some(id) = open.pop() {
        if chosen.insert(id) {
            open.extend(graph.node(id).inputs.iter().map(|edge| edge.from));
        }
    }
    Ok(chosen)
}

/// The nodes that stages of these names stand for; `option` is who asks.
///
/// # Errors
/// A name that the pipeline does not have.
pub fn named(graph: &Graph, option: &'static str, names: &[String]) -> Result<BTreeSet<NodeId>, PlanError> {
    let mut found = BTreeSet::new();
    for name in names {
        let mut nodes = graph.points.iter().filter_map(|point| point.node(name)).peekable();
        if nodes.peek().is_none() {
            let stages = graph.points.iter().flat_map(|point| &point.stages).map(|(name, _)| name.as_str());
            let help = crate::pipeline::nearest(name, stages);
            return Err(PlanError::UnknownStage { option, name: name.clone(), help });
        }
        found.extend(nodes);
    }
    Ok(found)
}
