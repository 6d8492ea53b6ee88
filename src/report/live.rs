//! A run as it goes on, seen from outside: from its cache alone, so from any machine that shares it.
//!
//! Who works on what is in the locks, how far it is in the notes there, what happened in the logs, and what is done in the
//! records. A look costs the same whatever the size of the sweep: beside the locks only as many pieces of work are looked
//! at as may have moved.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::figure::key_figure;
use super::tail::Tail;
use crate::engine::{Event, Stamped};
use crate::fingerprint::Fingerprint;
use crate::plan::{Assessment, DataIdentities, Graph, NodeId, Plan, PlanError};
use crate::state::StageState;
use crate::store::{HeldLock, Lookup, Record, Store, StoreError};
use crate::train::{EpochRecord, Progress};

/// So many pieces of work that are ready are looked at each time, from the first on, where a run goes on; and as many others
/// in turn.
const LOOKED_AT: usize = 64;
/// So many events of one log are taken in by one look.
const MOST_NEWS: usize = 10_000;
/// So many lines of news are kept.
const NEWS: usize = 50;

/// A piece of work that somebody works on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Running {
    /// Who.
    pub holder: String,
    /// When it began or went on.
    pub since: Option<Timestamp>,
    /// The step that it began or went on with.
    pub from_step: u64,
    /// Where it is, and when it said so.
    pub progress: Option<Progress>,
    /// The time of that.
    pub at: Option<Timestamp>,
    /// The last epoch that it finished.
    pub epoch: Option<EpochRecord>,
}

impl Running {
    /// Seconds to its end at its pace up to now, if it is known.
    pub fn seconds_left(&self) -> Option<f64> {
        let (progress, since, at) = (self.progress.as_ref()?, self.since?, self.at?);
        let done = progress.step.checked_sub(self.from_step).filter(|done| *done > 0)?;
        let took = (at - since).total(jiff::Unit::Second).ok()?;
        Some(took / done as f64 * progress.steps.saturating_sub(progress.step) as f64)
    }
}

/// A piece of work, seen from outside.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How it stands: `Cached` where it was done before the run began, `Open` where it waits.
    pub state: StageState,
    /// Why it failed, where it did.
    pub failure: String,
    /// Who works on it, and how far that is.
    pub running: Option<Running>,
    /// What it took, where it is done.
    pub seconds: f64,
    /// What it found, in a few words.
    pub figure: String,
    fingerprint: Option<Fingerprint>,
    tail: Tail,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct News {
    /// The piece of work.
    pub node: NodeId,
    /// What.
    pub event: Stamped,
}

/// A run as it goes on.
pub struct Live<'a> {
    graph: &'a Graph,
    store: &'a Store,
    data: &'a mut DataIdentities,
    /// Every piece of work.
    pub seen: Vec<Seen>,
    /// What happened last, the newest at the end.
    pub news: VecDeque<News>,
    records: Vec<Option<Record>>,
    by_fingerprint: BTreeMap<Fingerprint, Vec<NodeId>>,
    takers: Vec<Vec<NodeId>>,
    /// Neither done nor running, with a known fingerprint.
    ready: BTreeSet<NodeId>,
    running: BTreeSet<NodeId>,
    next: NodeId,
    /// Events before this time are the past.
    since: Timestamp,
}

impl<'a> Live<'a> {
    /// The first look, from what a plan has found. `since` is when the run began.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn new(
        graph: &'a Graph,
        plan: &Plan,
        store: &'a Store,
        data: &'a mut DataIdentities,
        since: Timestamp,
    ) -> Result<Self, PlanError> {
        let mut takers = vec![Vec::new(); graph.nodes.len()];
        for (id, node) in graph.iter() {
            let givers: BTreeSet<NodeId> = node.inputs.iter().map(|edge| edge.from).collect();
            givers.into_iter().for_each(|giver| takers[giver.0].push(id));
        }
        let mut live = Self {
            graph,
            store,
            data,
            seen: Vec::with_capacity(graph.nodes.len()),
            news: VecDeque::new(),
            records: plan.entries.iter().map(|entry| entry.record().cloned()).collect(),
            by_fingerprint: BTreeMap::new(),
            takers,
            ready: BTreeSet::new(),
            running: BTreeSet::new(),
            next: NodeId(0),
            since,
        };
        for ((id, _), entry) in graph.iter().zip(&plan.entries) {
            let record = entry.record();
            let state = match record {
                None => StageState::Open,
                Some(record) if record.provenance.finished < since => StageState::Cached,
                Some(_) => StageState::Ran,
            };
            live.seen.push(Seen {
                state,
                failure: String::new(),
                running: None,
                seconds: record.map_or(0.0, |record| record.provenance.seconds),
                figure: record.map_or(String::new(), |record| key_figure(&record.metrics)),
                fingerprint: entry.fingerprint,
                tail: Tail::default(),
            });
            if let Some(fingerprint) = entry.fingerprint {
                live.by_fingerprint.entry(fingerprint).or_default().push(id);
                if record.is_none() {
                    live.ready.insert(id);
                }
            }
        }
        // What has been done, has failed or was interrupted since the run began; a look sees only what moves.
        let since = |seen: &Seen| seen.state != StageState::Cached;
        let open = live.seen.iter().enumerate().filter(|(_, seen)| seen.fingerprint.is_some() && since(seen));
        let open: Vec<NodeId> = open.map(|(at, _)| NodeId(at)).collect();
        let mut before = Vec::new();
        for id in open.into_iter().rev().take(LOOKED_AT * LOOKED_AT) {
            before.extend(live.read_log(id)?);
        }
        before.sort_by_key(|news| news.event.time);
        live.news.extend(before.into_iter().rev().take(NEWS).rev());
        live.look()?;
        Ok(live)
    }

    /// Looks again; what happened since is returned, in the order in which it did.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn look(&mut self) -> Result<Vec<News>, PlanError> {
        let mut news = Vec::new();
        let mut held: BTreeMap<NodeId, HeldLock> = BTreeMap::new();
        for name in self.store.lock_names()? {
            let Ok(fingerprint) = name.parse::<Fingerprint>() else { continue };
            let Some(nodes) = self.by_fingerprint.get(&fingerprint).cloned() else { continue };
            let Some(lock) = self.store.held(&name)? else { continue };
            for id in nodes {
                held.insert(id, lock.clone());
                self.running.insert(id);
                self.ready.remove(&id);
            }
        }
        let mut moved: Vec<NodeId> = self.running.iter().copied().collect();
        moved.extend(self.ready.iter().take(LOOKED_AT));
        let turn: Vec<NodeId> = self.ready.range(self.next..).take(LOOKED_AT).copied().collect();
        self.next = if turn.len() < LOOKED_AT {
            NodeId(0)
        } else {
            turn.last().map_or(NodeId(0), |id| NodeId(id.0 + 1))
        };
        moved.extend(turn);
        moved.sort();
        moved.dedup();
        // What gets its inputs by this look may be done as well.
        while let Some(id) = moved.pop() {
            news.extend(self.read_log(id)?);
            // After its log, whose last word may be of an earlier run.
            if let Some(lock) = held.get(&id) {
                self.at_work(id, lock);
                continue;
            }
            let was_running = self.running.remove(&id);
            self.seen[id.0].running = None;
            if self.settle(id)? {
                moved.extend(self.unlock(id)?);
            } else {
                if was_running && self.seen[id.0].state == StageState::Running {
                    self.seen[id.0].state = StageState::Open;
                }
                self.ready.insert(id);
            }
        }
        news.sort_by_key(|news| news.event.time);
        self.news.extend(news.iter().cloned());
        while self.news.len() > NEWS {
            self.news.pop_front();
        }
        Ok(news)
    }

    /// Somebody works on it: takes in who, and how far that says it is.
    fn at_work(&mut self, id: NodeId, lock: &HeldLock) {
        let seen = &mut self.seen[id.0];
        seen.state = StageState::Running;
        let running = seen.running.get_or_insert_default();
        running.holder = lock.holder.to_string();
        let note = lock.note.as_deref().and_then(|note| serde_json::from_str::<Stamped>(note).ok());
        if let Some(Stamped { time, event: Event::Progress { progress, .. }, .. }) = note {
            running.at = Some(time);
            running.progress = Some(progress);
        }
    }

    /// Takes in a result that has come; says whether there is one.
    fn settle(&mut self, id: NodeId) -> Result<bool, StoreError> {
        let Some(fingerprint) = self.seen[id.0].fingerprint else { return Ok(false) };
        let Lookup::Present(record) = self.store.lookup(&fingerprint)? else { return Ok(false) };
        let seen = &mut self.seen[id.0];
        if !seen.state.has_result() {
            seen.state = StageState::Ran;
        }
        seen.seconds = record.provenance.seconds;
        seen.figure = key_figure(&record.metrics);
        self.records[id.0] = Some(record);
        self.ready.remove(&id);
        Ok(true)
    }

    /// The takers of a result whose inputs are all there now.
    fn unlock(&mut self, id: NodeId) -> Result<Vec<NodeId>, PlanError> {
        let mut unlocked = Vec::new();
        for taker in self.takers[id.0].clone() {
            if self.seen[taker.0].fingerprint.is_some() {
                continue;
            }
            let node = self.graph.node(taker);
            let Some(found) = Assessment::of(self.graph, node, &self.records, self.data)? else { continue };
            self.seen[taker.0].fingerprint = Some(found.fingerprint);
            self.by_fingerprint.entry(found.fingerprint).or_default().push(taker);
            self.ready.insert(taker);
            unlocked.push(taker);
        }
        Ok(unlocked)
    }

    /// Reads what is new in the log of a piece of work.
    fn read_log(&mut self, id: NodeId) -> Result<Vec<News>, StoreError> {
        let Some(fingerprint) = self.seen[id.0].fingerprint else { return Ok(Vec::new()) };
        let seen = &mut self.seen[id.0];
        let mut news = VecDeque::new();
        let (mut tail, since) = (seen.tail, self.since);
        tail.events(self.store, &fingerprint, &mut |event| {
            let running = seen.running.get_or_insert_default();
            match &event.event {
                Event::StageStarted { .. } => {
                    *running = Running { since: Some(event.time), ..Running::default() };
                }
                Event::StageResumed { progress, .. } => {
                    running.since = Some(event.time);
                    running.from_step = progress.step;
                    running.progress = Some(progress.clone());
                }
                Event::EpochFinished { record, .. } => running.epoch = Some(record.clone()),
                _ => {}
            }
            // How an earlier run ended says nothing of this one.
            if event.time < since {
                return;
            }
            match &event.event {
                Event::StageDownloaded { .. } => seen.state = StageState::Downloaded,
                _ if seen.state.has_result() => {}
                Event::StageStarted { .. } | Event::StageRetried { .. } => seen.state = StageState::Open,
                Event::StageFailed { message, .. } => {
                    seen.state = StageState::Failed;
                    seen.failure.clone_from(message);
                }
                Event::StageInterrupted { .. } => seen.state = StageState::Interrupted,
                _ => {}
            }
            // Of the past of a long log only the end is news.
            if news.len() == MOST_NEWS {
                news.pop_front();
            }
            news.push_back(News { node: id, event });
        })?;
        seen.tail = tail;
        Ok(news.into())
    }

    /// The work as a whole.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// The pieces of work that are running, the first of the graph first.
    pub fn running(&self) -> impl Iterator<Item = (NodeId, &Running)> {
        self.running.iter().filter_map(|id| Some((*id, self.seen[id.0].running.as_ref()?)))
    }

    /// Seconds to the end of all work, from what equal stages took and how many run side by side; unknown while a stage
    /// of some name has never been done.
    pub fn seconds_left(&self) -> Option<f64> {
        let mut took: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
        for ((_, node), seen) in self.graph.iter().zip(&self.seen) {
            if seen.state.has_result() {
                let (sum, count) = took.entry(&node.name).or_default();
                *sum += seen.seconds;
                *count += 1;
            }
        }
        let mean = |name: &str| took.get(name).map(|(sum, count)| sum / *count as f64);
        let (mut left, mut longest) = (0.0, 0.0f64);
        for ((_, node), seen) in self.graph.iter().zip(&self.seen) {
            let own = match seen.state {
                StageState::Ran
                | StageState::Cached
                | StageState::Downloaded
                | StageState::Failed
                | StageState::Skipped
                | StageState::Left => continue,
                StageState::Running => {
                    seen.running.as_ref().and_then(Running::seconds_left).or_else(|| mean(&node.name))?
                }
                StageState::Open | StageState::NeverRun | StageState::Stale | StageState::Interrupted => {
                    mean(&node.name)?
                }
            };
            left += own;
            longest = longest.max(own);
        }
        let jobs = self.running.len().max(1) as f64;
        Some((left / jobs).max(longest))
    }
}
