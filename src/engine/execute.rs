//! Executes a plan: one stage after the other, each at most once over all runners on a cache.
//!
//! A stage whose input turns out to be damaged or missing is not the end: the stage that made the input runs again,
//! and the run goes on. As equal work gives equal bytes, nothing below becomes stale by that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use candle_core::Device;

use super::EngineError;
use super::event::{Event, Reporter};
use super::host::{Teller, chain};
use super::images::Images;
use super::provenance::Origin;
use super::signals::StopFlag;
use super::work::{Halt, Step, Task};
use crate::plan::{Assessment, DataIdentities, Graph, Node, NodeId, Plan, Reason, Verdict, images};
use crate::store::{LastRun, Lookup, ObjectHash, Record, Store, StoreError};

/// What a run needs beside its plan.
#[derive(Debug)]
pub struct Options {
    /// The identity of the pipeline file, under which the last run of each stage is remembered.
    pub pipeline: String,
    /// The pipeline's name.
    pub name: String,
    /// Where tensors live.
    pub device: Device,
    /// The device's name.
    pub device_name: String,
    /// CPU threads.
    pub threads: usize,
    /// Asks the run to stop.
    pub stop: StopFlag,
}

/// How a run ended.
#[derive(Debug)]
pub enum Status {
    /// Every stage that was asked for has its result in the cache.
    Done,
    /// It was asked to stop.
    Interrupted {
        /// The stage that was running and has saved where it was, if any.
        stage: Option<String>,
    },
    /// A stage failed.
    Failed(EngineError),
}

/// What a run did.
#[derive(Debug)]
pub struct RunSummary {
    /// How it ended.
    pub status: Status,
    /// The record of every node that has a result.
    pub records: Vec<Option<Record>>,
    /// Stages that ran.
    pub ran: usize,
    /// Stages whose result was in the cache.
    pub cached: usize,
    /// Wall time.
    pub elapsed: Duration,
}

/// Runs what is stale in `plan`.
///
/// # Errors
/// Nothing is returned as `Err` once the first event was told: see [`RunSummary::status`].
pub fn execute(
    graph: &Graph,
    plan: &Plan,
    store: &Store,
    data: &mut DataIdentities,
    options: &Options,
    reporter: &mut dyn Reporter,
) -> RunSummary {
    let started = Instant::now();
    let teller = Teller::new(store, reporter);
    teller.tell(Event::RunStarted {
        pipeline: options.name.clone(),
        points: graph.points.len(),
        stages: graph.nodes.len(),
        to_run: plan.to_run(),
        device: options.device_name.clone(),
        threads: options.threads,
    });
    let images = graph.data.iter().map(|params| Images::new(params.clone())).collect();
    let origin = Origin::here(&options.name, options.device_name.clone(), options.threads);
    let count = graph.nodes.len();
    let mut run = Run {
        graph,
        plan,
        store,
        data,
        options,
        teller,
        images,
        origin,
        records: vec![None; count],
        ran: vec![false; count],
        healed: BTreeSet::new(),
        prepared: false,
    };
    let status = run.nodes();
    let saved = run.data.save();
    run.check_kept(saved);
    let used = run.records.iter().flatten().map(|record| record.fingerprint);
    let noted = store.note_run(&options.pipeline, &options.name, used);
    run.check_kept(noted);
    let ran = run.ran.iter().filter(|ran| **ran).count();
    let cached = run.records.iter().flatten().count() - ran;
    let word = match &status {
        Status::Done => "done",
        Status::Interrupted { .. } => "interrupted",
        Status::Failed(_) => "failed",
    };
    run.teller.tell(Event::RunFinished {
        status: word.to_owned(),
        ran,
        cached,
        seconds: started.elapsed().as_secs_f64(),
    });
    RunSummary { status, records: run.records, ran, cached, elapsed: started.elapsed() }
}

pub(super) struct Run<'a, 'r> {
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a Plan,
    pub(super) store: &'a Store,
    data: &'a mut DataIdentities,
    pub(super) options: &'a Options,
    pub(super) teller: Teller<'a, 'r>,
    pub(super) images: Vec<Images>,
    pub(super) origin: Origin,
    records: Vec<Option<Record>>,
    ran: Vec<bool>,
    /// Objects that were found broken and made again.
    healed: BTreeSet<ObjectHash>,
    prepared: bool,
}

/// What is believed of a node's result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// What the plan has found.
    Plan,
    /// Only what the store says now.
    Store,
}

impl Run<'_, '_> {
    fn nodes(&mut self) -> Status {
        for (id, node) in self.graph.iter() {
            if self.options.stop.is_raised() {
                return Status::Interrupted { stage: None };
            }
            match self.node(id, node, Trust::Plan) {
                Ok(Step::Ready(_) | Step::Left) => {}
                Ok(Step::Interrupted(stage)) => return Status::Interrupted { stage: Some(stage) },
                Ok(Step::GaveUp) => return Status::Interrupted { stage: None },
                Err(error) => return Status::Failed(error),
            }
        }
        Status::Done
    }

    /// Brings a node to its result, and its inputs as well where they are broken.
    fn node(&mut self, id: NodeId, node: &Node, trust: Trust) -> Result<Step, EngineError> {
        loop {
            match self.attempt(id, node, trust) {
                Ok(step) => {
                    if let Step::Ready(record) = &step {
                        self.records[id.0] = Some((**record).clone());
                    }
                    return Ok(step);
                }
                Err(Halt::Error(error)) => return Err(*error),
                Err(Halt::BrokenInput { giver, object, source }) => {
                    // What was made anew and is broken again will not get better.
                    if !self.healed.insert(object) {
                        return Err((*source).into());
                    }
                    let graph = self.graph;
                    let maker = graph.node(giver);
                    self.teller.warn(format!("{source}; {} runs again", maker.name));
                    match self.node(giver, maker, Trust::Store)? {
                        Step::Ready(_) => {}
                        stopped => return Ok(stopped),
                    }
                }
            }
        }
    }

    fn attempt(&mut self, id: NodeId, node: &Node, trust: Trust) -> Result<Step, Halt> {
        let verdict = &self.plan.entry(id).verdict;
        if let Verdict::Left = verdict {
            return Ok(Step::Left);
        }
        let Some(assessment) = Assessment::of(self.graph, node, &self.records, self.data)? else {
            let missing = node.inputs.iter().find(|edge| self.records[edge.from.0].is_none());
            let input = missing.map_or(String::new(), |edge| self.graph.node(edge.from).name.clone());
            return Err(EngineError::InputNotCached { stage: node.name.clone(), input }.into());
        };
        let mut task = Task { node, assessment: &assessment, reasons: Vec::new(), forced: false };
        match verdict {
            Verdict::Run { reasons, .. } => {
                task.reasons = reasons.iter().map(ToString::to_string).collect();
                task.forced = trust == Trust::Plan && reasons.contains(&Reason::Forced);
            }
            Verdict::Cached(record) if trust == Trust::Plan => {
                if record.fingerprint == assessment.fingerprint {
                    return Ok(self.reuse(node, &assessment, (**record).clone()));
                }
                task.reasons = vec!["input changed".to_owned()];
            }
            Verdict::Cached(_) | Verdict::Left => task.reasons = vec!["its result is broken".to_owned()],
        }
        if !task.forced {
            if let Lookup::Present(record) = self.store.lookup(&assessment.fingerprint)? {
                return Ok(self.reuse(node, &assessment, record));
            }
        }
        if !self.prepared {
            self.store.prepare()?;
            self.prepared = true;
        }
        self.locked(id, &task)
    }

    /// Takes a result that is in the cache.
    pub(super) fn reuse(&self, node: &Node, assessment: &Assessment, record: Record) -> Step {
        self.teller.tell(Event::StageCached {
            stage: node.name.clone(),
            fingerprint: record.fingerprint.to_string(),
            seconds_saved: record.provenance.seconds,
        });
        self.remember(node, assessment);
        Step::Ready(Box::new(record))
    }

    /// Notes that a node's result was made by this run.
    pub(super) fn made(&mut self, id: NodeId) {
        self.ran[id.0] = true;
    }

    /// Remembers what each of the node's stages was, so that the next plan can say what changed.
    pub(super) fn remember(&self, node: &Node, assessment: &Assessment) {
        let inputs = assessment
            .inputs
            .iter()
            .map(|(role, artifacts)| (role.clone(), artifacts.iter().map(|(_, object)| *object).collect()));
        let last = LastRun {
            fingerprint: assessment.fingerprint,
            kind: node.stage.kind.name.to_owned(),
            version: node.stage.kind.version,
            parameters: node.stage.parameters.clone(),
            seed: node.seed,
            data: assessment.data.map(|data| data.to_string()),
            images: assessment.data.map(|_| images(&self.graph.data[node.data])).unwrap_or_default(),
            inputs: inputs.collect(),
        };
        for usage in &node.uses {
            let point = self.graph.points[usage.point].name();
            let kept = self.store.remember(&self.options.pipeline, &point, &usage.stage, &last);
            if kept.is_err() {
                self.check_kept(kept);
                break;
            }
        }
    }

    /// Warns of a memory that was not kept, which only explains or saves time. A cache that can only be read needs no
    /// word.
    fn check_kept(&self, kept: Result<(), StoreError>) {
        match kept {
            Err(error) if !error.is_read_only() => self.teller.warn(chain(&error)),
            Ok(()) | Err(_) => {}
        }
    }
}
