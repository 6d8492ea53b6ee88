//! Executes a plan: one stage after the other, each at most once over all runners on a cache.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Device;
use jiff::Timestamp;

use super::EngineError;
use super::event::{Event, Reporter};
use super::host::{StageHost, Teller};
use super::images::Images;
use super::provenance::{Origin, Span};
use super::signals::StopFlag;
use crate::plan::{Assessment, DataIdentities, Graph, Node, NodeId, Plan, PlanError, Verdict};
use crate::stages::{Artifact, Inputs, Job, Outcome, StageError};
use crate::store::{LastRun, Lookup, OutputEntry, Record, Store, StoreError};

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
    /// It was asked to stop; `stage` has saved where it was.
    Interrupted {
        /// The stage that was running, if any.
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
    let records = vec![None; graph.nodes.len()];
    let mut run =
        Run { graph, plan, store, data, options, teller, images, origin, records, ran: 0, cached: 0 };
    let status = run.nodes();
    let word = match &status {
        Status::Done => "done",
        Status::Interrupted { .. } => "interrupted",
        Status::Failed(_) => "failed",
    };
    run.teller.tell(Event::RunFinished {
        status: word.to_owned(),
        ran: run.ran,
        cached: run.cached,
        seconds: started.elapsed().as_secs_f64(),
    });
    RunSummary { status, records: run.records, ran: run.ran, cached: run.cached, elapsed: started.elapsed() }
}

struct Run<'a, 'r> {
    graph: &'a Graph,
    plan: &'a Plan,
    store: &'a Store,
    data: &'a mut DataIdentities,
    options: &'a Options,
    teller: Teller<'a, 'r>,
    images: Vec<Images>,
    origin: Origin,
    records: Vec<Option<Record>>,
    ran: usize,
    cached: usize,
}

/// What became of one node.
enum Step {
    Ready(Box<Record>),
    Left,
    Interrupted,
}

impl Run<'_, '_> {
    fn nodes(&mut self) -> Status {
        for (id, node) in self.graph.iter() {
            if self.options.stop.is_raised() {
                return Status::Interrupted { stage: None };
            }
            match self.node(id, node) {
                Ok(Step::Ready(record)) => self.records[id.0] = Some(*record),
                Ok(Step::Left) => {}
                Ok(Step::Interrupted) => return Status::Interrupted { stage: Some(node.name.clone()) },
                Err(error) => return Status::Failed(error),
            }
        }
        Status::Done
    }

    fn node(&mut self, id: NodeId, node: &Node) -> Result<Step, EngineError> {
        let verdict = &self.plan.entry(id).verdict;
        if let Verdict::Left = verdict {
            return Ok(Step::Left);
        }
        let Some(assessment) = Assessment::of(self.graph, node, &self.records, self.data)? else {
            let missing = node.inputs.iter().find(|edge| self.records[edge.from.0].is_none());
            let input = missing.map_or(String::new(), |edge| self.graph.node(edge.from).name.clone());
            return Err(EngineError::InputNotCached { stage: node.name.clone(), input });
        };
        let forced = match verdict {
            Verdict::Run { reasons, .. } => reasons.contains(&crate::plan::Reason::Forced),
            Verdict::Cached(_) | Verdict::Left => false,
        };
        if !forced {
            if let Verdict::Cached(record) = verdict {
                if record.fingerprint == assessment.fingerprint {
                    return self.reuse(node, &assessment, (**record).clone());
                }
            }
            if let Lookup::Present(record) = self.store.lookup(&assessment.fingerprint)? {
                return self.reuse(node, &assessment, record);
            }
        }
        self.run_locked(id, node, &assessment, forced)
    }

    fn reuse(&mut self, node: &Node, assessment: &Assessment, record: Record) -> Result<Step, EngineError> {
        self.cached += 1;
        self.teller.tell(Event::StageCached {
            stage: node.name.clone(),
            fingerprint: record.fingerprint.to_string(),
            seconds_saved: record.provenance.seconds,
        });
        self.remember(node, assessment)?;
        Ok(Step::Ready(Box::new(record)))
    }

    fn run_locked(
        &mut self,
        id: NodeId,
        node: &Node,
        assessment: &Assessment,
        forced: bool,
    ) -> Result<Step, EngineError> {
        let fingerprint = &assessment.fingerprint;
        let mut waited = false;
        let stop = self.options.stop.clone();
        let teller = &self.teller;
        let lock = self.store.lock(fingerprint, &mut |holder| {
            if !waited {
                waited = true;
                teller.tell(Event::StageWaiting { stage: node.name.clone(), holder: holder.to_string() });
            }
            if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(_lock) = lock else { return Ok(Step::Interrupted) };
        // Whoever held the lock before us may have done the work.
        if !forced || waited {
            if let Lookup::Present(record) = self.store.lookup(fingerprint)? {
                return self.reuse(node, assessment, record);
            }
        }
        if forced {
            // Forced means anew: going on from a saved state could repeat what the user wants to be rid of.
            self.store.remove_partial(fingerprint)?;
        }
        let reasons = match &self.plan.entry(id).verdict {
            Verdict::Run { reasons, .. } => reasons.iter().map(ToString::to_string).collect(),
            Verdict::Cached(_) | Verdict::Left => vec!["input changed".to_owned()],
        };
        self.teller.log(
            fingerprint,
            Event::StageStarted {
                stage: node.name.clone(),
                kind: node.stage.kind.name.to_owned(),
                fingerprint: fingerprint.to_string(),
                reasons,
                resumed: self.store.has_partial(fingerprint),
            },
        );
        self.run_stage(node, assessment)
    }

    fn run_stage(&mut self, node: &Node, assessment: &Assessment) -> Result<Step, EngineError> {
        let fingerprint = assessment.fingerprint;
        let started = Timestamp::now();
        let clock = Instant::now();
        let inputs = self.read_inputs(node, assessment)?;
        let mut host = StageHost::new(self.store, &self.teller, &self.options.stop, fingerprint, &node.name);
        let mut job = Job {
            inputs,
            data: &self.images[node.data],
            seed: node.seed.unwrap_or_default(),
            device: self.options.device.clone(),
            host: &mut host,
        };
        let outcome = node.stage.stage.run(&mut job);
        let output = match outcome {
            Ok(Outcome::Done(output)) => output,
            Ok(Outcome::Interrupted) => {
                let event = Event::StageInterrupted { stage: node.name.clone() };
                self.teller.log(&fingerprint, event);
                return Ok(Step::Interrupted);
            }
            Err(source) => return Err(self.failed(node, &assessment.fingerprint, source)),
        };
        let mut outputs = std::collections::BTreeMap::new();
        for (name, bytes) in &output.artifacts {
            let roles = node.stage.kind.outputs;
            let artifact = roles.iter().find(|role| role.name == *name).map_or("", |role| role.artifact);
            let object = self.store.put(bytes)?;
            let entry = OutputEntry { object, bytes: bytes.len() as u64, artifact: artifact.to_owned() };
            outputs.insert((*name).to_owned(), entry);
        }
        let seconds = clock.elapsed().as_secs_f64();
        let span = Span { started, finished: Timestamp::now(), seconds };
        let provenance = self.origin.provenance(node, assessment, &span);
        let record = Record::new(
            fingerprint,
            node.stage.kind.name,
            node.stage.kind.version,
            outputs,
            output.metrics,
            provenance,
        );
        self.store.commit(&record)?;
        self.store.remove_partial(&fingerprint)?;
        self.ran += 1;
        let objects = record.outputs.iter().map(|(name, entry)| (name.clone(), entry.object.to_string()));
        self.teller.log(
            &fingerprint,
            Event::StageFinished {
                stage: node.name.clone(),
                fingerprint: fingerprint.to_string(),
                seconds,
                outputs: objects.collect(),
                metrics: record.metrics.clone(),
            },
        );
        self.remember(node, assessment)?;
        Ok(Step::Ready(Box::new(record)))
    }

    fn failed(
        &self,
        node: &Node,
        fingerprint: &crate::fingerprint::Fingerprint,
        source: StageError,
    ) -> EngineError {
        let mut message = source.to_string();
        let mut cause = source.source();
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        self.teller.log(fingerprint, Event::StageFailed { stage: node.name.clone(), message });
        EngineError::Stage { stage: node.name.clone(), source }
    }

    fn read_inputs(&self, node: &Node, assessment: &Assessment) -> Result<Inputs, StoreError> {
        let mut inputs = Inputs::default();
        for edge in &node.inputs {
            let Some(objects) = assessment.inputs.get(&edge.role) else { continue };
            for (output, object) in objects {
                let bytes = Arc::new(self.store.get(object)?);
                let stage = self.graph.node(edge.from).name.clone();
                inputs.push(&edge.role, Artifact { output: output.clone(), stage, bytes });
            }
        }
        Ok(inputs)
    }

    /// Remembers what each of the node's stages was, so that the next plan can say what changed.
    fn remember(&self, node: &Node, assessment: &Assessment) -> Result<(), PlanError> {
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
            inputs: inputs.collect(),
        };
        for usage in &node.uses {
            let point = self.graph.points[usage.point].name();
            self.store.remember(&self.options.pipeline, &point, &usage.stage, &last)?;
        }
        Ok(())
    }
}
