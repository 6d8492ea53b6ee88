//! Decides what runs next: the node of the earliest point whose inputs are there.
//!
//! Nodes stand in the graph point by point, so taking the first that is ready goes depth-first over the points: what
//! several points share runs first, and the results of a point are there before the next point begins.
//!
//! What is in the cache is settled here; work goes to a free slot, a thread with CPU threads and a device of its own
//! (see [`super::work`]). A stage whose input turns out to be damaged or missing is not the end: the
//! stage that made the input runs again, and the run goes on. As equal work gives equal bytes, nothing below
//! becomes stale by that.

mod slots;
mod uploads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::Scope;
use std::time::Duration;

use uploads::Outbox;

use super::EngineError;
use super::event::{Event, Reporter, Stamped};
use super::execute::{Failure, Run, RunSummary};
use super::host::{News, chain};
use super::memory;
use super::work::{Ended, Halt, Step, Task};
use crate::fingerprint::Fingerprint;
use crate::plan::{Assessment, DataIdentities, Node, NodeId, Plan, Reason, Verdict};
use crate::state::{RunState, StageState};
use crate::store::{Lookup, ObjectHash, Record, StoreError};

/// What is believed of a node's result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// What the plan has found.
    Plan,
    /// Only what the store says now.
    Store,
    /// Nothing: it is made again whatever is there.
    Nothing,
}

/// The next step of a node.
enum Next {
    /// It ends with the result that the cache has, or without one as it was not selected.
    End(StageState),
    /// It ends because this node failed.
    Skip(NodeId),
    /// It goes to a slot.
    Work(Box<Task>),
    /// Equal work is under way; its result will be this node's as well.
    Wait(Fingerprint),
}

pub(super) struct Dispatcher<'s, 'e, 'd> {
    run: &'e Run<'e>,
    plan: &'d Plan,
    data: &'d mut DataIdentities,
    reporter: &'d mut dyn Reporter,
    scope: &'s Scope<'s, 'e>,
    news: Sender<News>,
    /// The executors, each with the way to give it work; made when the first work comes.
    slots: Vec<Sender<Box<Task>>>,
    free: BTreeSet<usize>,
    /// What stages on the CPU may take together.
    budget: Option<u64>,
    /// What those that run take, by slot.
    taken: BTreeMap<usize, u64>,
    /// Whether the first that is ready waits for memory.
    waits: bool,
    prepared: bool,
    /// How many inputs of a node have not ended.
    waiting: Vec<usize>,
    takers: Vec<Vec<NodeId>>,
    ready: BTreeSet<NodeId>,
    /// Fingerprints under way, with the nodes that wait for them.
    under_way: HashMap<Fingerprint, Vec<NodeId>>,
    /// How every node stands.
    states: Vec<StageState>,
    /// Whether a node has ended.
    ended: Vec<bool>,
    /// The nodes that were skipped, and the node whose failure was the reason.
    skipped: BTreeMap<NodeId, NodeId>,
    outbox: Outbox,
    trust: Vec<Trust>,
    /// Nodes that wait for a node to be made again.
    awaiting: BTreeMap<NodeId, Vec<NodeId>>,
    /// Who has found which object broken.
    healed: BTreeSet<(NodeId, ObjectHash)>,
    /// Who could not use what which node gave.
    refused: BTreeSet<(NodeId, NodeId)>,
    records: Vec<Option<Record>>,
    /// How many stages of a point have not ended.
    open: Vec<usize>,
    points_ended: usize,
    told: BTreeSet<NodeId>,
    failures: Vec<Failure>,
}

impl<'s, 'e, 'd> Dispatcher<'s, 'e, 'd> {
    pub fn new(
        run: &'e Run<'e>,
        plan: &'d Plan,
        data: &'d mut DataIdentities,
        reporter: &'d mut dyn Reporter,
        scope: &'s Scope<'s, 'e>,
        news: Sender<News>,
    ) -> Self {
        let graph = run.graph;
        let count = graph.nodes.len();
        let mut takers = vec![Vec::new(); count];
        let mut waiting = vec![0; count];
        for (id, node) in graph.iter() {
            let givers: BTreeSet<NodeId> = node.inputs.iter().map(|edge| edge.from).collect();
            waiting[id.0] = givers.len();
            givers.iter().for_each(|giver| takers[giver.0].push(id));
        }
        let ready = graph.iter().map(|(id, _)| id).filter(|id| waiting[id.0] == 0).collect();
        Self {
            run,
            plan,
            data,
            reporter,
            scope,
            news,
            slots: Vec::new(),
            free: (0..run.options.jobs).collect(),
            budget: run.options.memory.map(|bytes| bytes.saturating_sub(memory::shared(graph))),
            taken: BTreeMap::new(),
            waits: false,
            prepared: false,
            waiting,
            takers,
            ready,
            under_way: HashMap::new(),
            states: vec![StageState::Open; count],
            ended: vec![false; count],
            skipped: BTreeMap::new(),
            outbox: Outbox::default(),
            trust: vec![Trust::Plan; count],
            awaiting: BTreeMap::new(),
            healed: BTreeSet::new(),
            refused: BTreeSet::new(),
            records: vec![None; count],
            open: graph.points.iter().map(|point| point.stages.len()).collect(),
            points_ended: 0,
            told: BTreeSet::new(),
            failures: Vec::new(),
        }
    }

    /// Tells an event that is about no point.
    pub fn tell(&mut self, event: Event) {
        self.reporter.report(&Stamped::now(event));
    }

    fn tell_of(&mut self, id: NodeId, event: Event) {
        self.reporter.report(&Stamped::of(&self.run.graph.common(id), event));
    }

    /// Runs until nothing is left to do, or until the run is stopped and all stages have saved where they were.
    pub fn run(&mut self, heard: &Receiver<News>) {
        loop {
            if let Err(error) = self.start() {
                // Nothing can run: this is not about one stage.
                self.failures.push(Failure { node: None, error });
                self.run.cancel.store(true, Ordering::SeqCst);
            }
            if self.free.len() == self.run.options.jobs {
                break;
            }
            match heard.recv() {
                Ok(News::Told(stamped)) => self.reporter.report(&stamped),
                Ok(News::Ended(ended)) => self.ended(*ended),
                Ok(News::Gave(id, gave)) => self.outbox.heard(id, gave),
                Err(_) => break,
            }
        }
        // Without work the executors leave.
        self.slots.clear();
        self.wait_for_uploads(heard);
        let saved = self.data.save();
        self.check_kept(saved);
        let used = self.records.iter().flatten().map(|record| record.fingerprint);
        let noted = self.run.store.note_run(&self.run.options.pipeline, &self.run.options.name, used);
        self.check_kept(noted);
    }

    /// What the run did; its time is still to be set.
    pub fn summary(&mut self) -> RunSummary {
        let unfinished = self.ended.contains(&false);
        let status = if self.run.options.stop.is_raised() && unfinished {
            RunState::Interrupted
        } else if self.failures.is_empty() {
            RunState::Done
        } else {
            RunState::Failed
        };
        RunSummary {
            status,
            states: std::mem::take(&mut self.states),
            uploaded: self.outbox.sent,
            not_uploaded: std::mem::take(&mut self.outbox.left),
            skipped: std::mem::take(&mut self.skipped),
            records: std::mem::take(&mut self.records),
            failures: std::mem::take(&mut self.failures),
            elapsed: Duration::ZERO,
        }
    }

    /// Settles what is ready, or gives it to free slots.
    fn start(&mut self) -> Result<(), EngineError> {
        while !self.free.is_empty() && !self.waits && !self.is_over() {
            let Some(id) = self.ready.pop_first() else { break };
            match self.next(id) {
                Ok(Next::End(state)) => self.end(id, state),
                Ok(Next::Skip(because)) => self.skip(id, because),
                Ok(Next::Wait(fingerprint)) => self.under_way.entry(fingerprint).or_default().push(id),
                Ok(Next::Work(task)) => self.hand_out(task)?,
                Err(error) => self.fail(id, error),
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.run.options.stop.is_raised() || self.run.cancel.load(Ordering::SeqCst)
    }

    fn next(&mut self, id: NodeId) -> Result<Next, EngineError> {
        let (graph, plan) = (self.run.graph, self.plan);
        let node = graph.node(id);
        let verdict = &plan.entry(id).verdict;
        if let Verdict::Left = verdict {
            return Ok(Next::End(StageState::Left));
        }
        if let Some(because) = self.failed_input(node) {
            return Ok(Next::Skip(because));
        }
        let Some(assessment) = Assessment::of(graph, node, &self.records, self.data)? else {
            let missing = node.inputs.iter().find(|edge| self.records[edge.from.0].is_none());
            let input = missing.map_or(String::new(), |edge| graph.node(edge.from).name.clone());
            return Err(EngineError::InputNotCached { stage: node.name.clone(), input });
        };
        let trust = self.trust[id.0];
        let (mut reasons, mut forced) = (Vec::new(), false);
        match verdict {
            Verdict::Run { reasons: found, .. } => {
                reasons = found.iter().map(ToString::to_string).collect();
                forced = trust == Trust::Nothing || trust == Trust::Plan && found.contains(&Reason::Forced);
            }
            Verdict::Cached(record) if trust == Trust::Plan => {
                if record.fingerprint == assessment.fingerprint {
                    self.reuse(id, &assessment, (**record).clone());
                    return Ok(Next::End(StageState::Cached));
                }
                reasons.push("input changed".to_owned());
            }
            Verdict::Cached(_) | Verdict::Left => {
                forced = trust == Trust::Nothing;
                reasons.push("its result is broken".to_owned());
            }
        }
        if self.under_way.contains_key(&assessment.fingerprint) {
            return Ok(Next::Wait(assessment.fingerprint));
        }
        if !forced {
            if let Lookup::Present(record) = self.run.store.lookup(&assessment.fingerprint)? {
                self.reuse(id, &assessment, record);
                return Ok(Next::End(StageState::Cached));
            }
        }
        let warnings = plan.entry(id).warnings.clone();
        Ok(Next::Work(Box::new(Task { id, assessment, reasons, forced, warnings })))
    }

    fn failed_input(&self, node: &Node) -> Option<NodeId> {
        node.inputs.iter().find_map(|edge| match self.states[edge.from.0] {
            StageState::Failed => Some(edge.from),
            StageState::Skipped => self.skipped.get(&edge.from).copied(),
            StageState::Open
            | StageState::NeverRun
            | StageState::Stale
            | StageState::Left
            | StageState::Running
            | StageState::Interrupted
            | StageState::Ran
            | StageState::Cached
            | StageState::Downloaded => None,
        })
    }

    /// Takes in what a slot did.
    fn ended(&mut self, ended: Ended) {
        let Ended { slot, task, result } = ended;
        self.free.insert(slot);
        self.taken.remove(&slot);
        self.waits = false;
        let waited = self.under_way.remove(&task.assessment.fingerprint).unwrap_or_default();
        self.ready.extend(waited);
        let id = task.id;
        match result {
            Ok(Step::Ran(record)) => {
                self.remember(id, &task.assessment);
                self.give(id, record.fingerprint);
                self.records[id.0] = Some(*record);
                self.end(id, StageState::Ran);
            }
            Ok(Step::Downloaded(record)) => {
                self.remember(id, &task.assessment);
                self.records[id.0] = Some(*record);
                self.end(id, StageState::Downloaded);
            }
            Ok(Step::Reused(record)) => {
                self.reuse(id, &task.assessment, *record);
                self.end(id, StageState::Cached);
            }
            Ok(Step::Interrupted) => self.states[id.0] = StageState::Interrupted,
            Ok(Step::GaveUp) => {}
            Err(Halt::Error(error)) => self.fail(id, *error),
            Err(Halt::UnusableInput { giver, error }) => {
                // What was made anew here and cannot be used either is no matter of the cache.
                if self.states[giver.0] == StageState::Ran || !self.refused.insert((id, giver)) {
                    if error.is_logged() {
                        let stage = self.run.graph.node(id).name.clone();
                        self.tell_of(id, Event::StageFailed { stage, message: chain(&*error) });
                    }
                    self.fail(id, *error);
                    return;
                }
                let maker = &self.run.graph.node(giver).name;
                let message =
                    format!("{}; the result of {maker} is not used, and {maker} runs again", chain(&*error));
                self.tell(Event::Warning { message });
                self.awaiting.entry(giver).or_default().push(id);
                if std::mem::take(&mut self.ended[giver.0]) {
                    self.trust[giver.0] = Trust::Nothing;
                    self.ready.insert(giver);
                }
            }
            Err(Halt::BrokenInput { giver, object, source }) => {
                // What was made anew and is broken again will not get better.
                if !self.healed.insert((id, object)) {
                    self.fail(id, (*source).into());
                    return;
                }
                let maker = &self.run.graph.node(giver).name;
                self.tell(Event::Warning { message: format!("{source}; {maker} runs again") });
                self.awaiting.entry(giver).or_default().push(id);
                // Another taker may have found it broken a moment ago.
                if std::mem::take(&mut self.ended[giver.0]) {
                    // An object that cannot be read is still there, and its record stands.
                    let is_lost = matches!(*source, StoreError::Lost { .. });
                    self.trust[giver.0] = if is_lost { Trust::Nothing } else { Trust::Store };
                    self.ready.insert(giver);
                }
            }
        }
    }

    fn fail(&mut self, id: NodeId, error: EngineError) {
        // What failed while it ran has told so itself, and its log has it.
        if !error.is_logged() {
            let stage = self.run.graph.node(id).name.clone();
            self.tell_of(id, Event::StageFailed { stage, message: chain(&error) });
        }
        self.failures.push(Failure { node: Some(id), error });
        self.end(id, StageState::Failed);
        if !self.run.options.keep_going {
            self.run.cancel.store(true, Ordering::SeqCst);
        }
    }

    /// A node cannot run, as `because` failed.
    fn skip(&mut self, id: NodeId, because: NodeId) {
        let stage = self.run.graph.node(id).name.clone();
        let reason = format!("{} failed", self.run.graph.node(because).name);
        self.tell_of(id, Event::StageSkipped { stage, reason });
        self.skipped.insert(id, because);
        self.end(id, StageState::Skipped);
    }

    /// A node has ended, one way or the other: whoever waits for it may go on.
    fn end(&mut self, id: NodeId, state: StageState) {
        // A node that ends again, as its result was found broken, is still one that this run made or
        // downloaded.
        self.states[id.0] = match (self.states[id.0], state) {
            (StageState::Ran, StageState::Cached | StageState::Downloaded) => StageState::Ran,
            (StageState::Downloaded, StageState::Cached) => StageState::Downloaded,
            (_, state) => state,
        };
        self.ended[id.0] = true;
        self.ready.extend(self.awaiting.remove(&id).unwrap_or_default());
        // A node that was made again has let its takers go before.
        if !self.told.insert(id) {
            return;
        }
        for taker in std::mem::take(&mut self.takers[id.0]) {
            self.waiting[taker.0] -= 1;
            if self.waiting[taker.0] == 0 {
                self.ready.insert(taker);
            }
        }
        let graph = self.run.graph;
        for usage in &graph.node(id).uses {
            self.open[usage.point] -= 1;
            if self.open[usage.point] == 0 && graph.points.len() > 1 {
                self.point_ended(usage.point);
            }
        }
    }

    fn point_ended(&mut self, point: usize) {
        let graph = self.run.graph;
        self.points_ended += 1;
        let bad = |id: &NodeId| matches!(self.states[id.0], StageState::Failed | StageState::Skipped);
        let failed = graph.points[point].stages.iter().any(|(_, id)| bad(id));
        let event = Event::PointFinished {
            status: if failed { RunState::Failed } else { RunState::Done },
            ended: self.points_ended,
            points: graph.points.len(),
        };
        self.reporter.report(&Stamped::of(&graph.points[point].name(), event));
    }

    /// Takes a result that is in the cache.
    fn reuse(&mut self, id: NodeId, assessment: &Assessment, record: Record) {
        let event = Event::StageCached {
            stage: self.run.graph.node(id).name.clone(),
            fingerprint: record.fingerprint.to_string(),
            seconds_saved: record.provenance.seconds,
        };
        self.tell_of(id, event);
        self.remember(id, assessment);
        self.records[id.0] = Some(record);
    }

    /// Remembers what each of the node's stages was, so that the next plan can say what changed.
    fn remember(&mut self, id: NodeId, assessment: &Assessment) {
        let graph = self.run.graph;
        let node = graph.node(id);
        let last = assessment.last_run(graph, node);
        for usage in &node.uses {
            let point = graph.points[usage.point].name();
            let kept = self.run.store.remember(&self.run.options.pipeline, &point, &usage.stage, &last);
            if kept.is_err() {
                self.check_kept(kept);
                break;
            }
        }
    }

    /// Warns of a memory that was not kept, which only explains or saves time. A cache that can only be read needs no
    /// word.
    fn check_kept(&mut self, kept: Result<(), StoreError>) {
        match kept {
            Err(error) if !error.is_read_only() => self.tell(Event::Warning { message: chain(&error) }),
            Ok(()) | Err(_) => {}
        }
    }
}
