//! One stage of a run: locked, run, and its results put into the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::EngineError;
use super::event::Event;
use super::execute::Run;
use super::host::{StageHost, chain};
use crate::fingerprint::Fingerprint;
use crate::plan::{Assessment, Node, NodeId};
use crate::stages::{Artifact, Inputs, Job, Outcome, Output, StageError};
use crate::store::{Lookup, ObjectHash, OutputEntry, Record, StoreError};
use crate::train::TrainError;

/// What is to be done, and why.
pub(super) struct Task<'t> {
    pub node: &'t Node,
    pub assessment: &'t Assessment,
    pub reasons: Vec<String>,
    pub forced: bool,
}

/// What became of a node.
pub(super) enum Step {
    /// It has its result.
    Ready(Box<Record>),
    /// It was not asked for.
    Left,
    /// The run was asked to stop; this stage has saved where it was.
    Interrupted(String),
    /// The run was asked to stop while it waited for another runner.
    GaveUp,
}

/// Why a node has no result.
pub(super) enum Halt {
    /// An object that another node gave cannot be used.
    BrokenInput { giver: NodeId, object: ObjectHash, source: Box<StoreError> },
    /// Anything else.
    Error(Box<EngineError>),
}

impl<E: Into<EngineError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

impl Run<'_, '_> {
    /// Runs a stage under its lock, unless another runner has done so meanwhile.
    pub(super) fn locked(&mut self, id: NodeId, task: &Task<'_>) -> Result<Step, Halt> {
        let fingerprint = &task.assessment.fingerprint;
        let name = &task.node.name;
        let before = self.store.lookup(fingerprint)?;
        let mut waited_for = None;
        let lock = self.store.lock(fingerprint, &mut |holder| {
            if waited_for.as_ref() != Some(holder) {
                waited_for = Some(holder.clone());
                self.teller.tell(Event::StageWaiting { stage: name.clone(), holder: holder.to_string() });
            }
            if self.options.stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(lock) = lock else { return Ok(Step::GaveUp) };
        if !lock.is_exclusive() {
            self.teller.warn(format!(
                "the cache's file system has no locks: another runner may do the work of {name} a second time"
            ));
        }
        let now = self.store.lookup(fingerprint)?;
        let last = if let Lookup::Present(record) = &now { Some(record.clone()) } else { None };
        // Whoever held the lock before us may have done the work, and what was forced is then anew as well.
        let is_fresh = !task.forced || now != before;
        match now {
            Lookup::Present(record) if is_fresh => {
                return Ok(self.reuse(task.node, task.assessment, record));
            }
            Lookup::Damaged => {
                let moved_to = self.store.set_record_aside(fingerprint)?;
                let place = moved_to.display();
                self.teller.warn(format!("the record of {name} is damaged and was moved to {place}"));
            }
            Lookup::Absent | Lookup::OutputMissing { .. } | Lookup::Present(_) => {}
        }
        if task.forced && !self.store.goes_on(fingerprint, last.as_ref())? {
            // Forced means anew: going on from an older state could repeat what the user wants to be rid of.
            self.store.remove_partial(fingerprint)?;
        }
        let inputs = self.inputs(task)?;
        self.teller.log(
            fingerprint,
            Event::StageStarted {
                stage: name.clone(),
                kind: task.node.stage.kind.name.to_owned(),
                fingerprint: fingerprint.to_string(),
                reasons: task.reasons.clone(),
                resumed: self.store.has_partial(fingerprint),
            },
        );
        self.work(id, task, inputs)
    }

    fn inputs(&self, task: &Task<'_>) -> Result<Inputs, Halt> {
        let mut inputs = Inputs::default();
        for edge in &task.node.inputs {
            let Some(objects) = task.assessment.inputs.get(&edge.role) else { continue };
            for (output, object) in objects {
                let bytes = self.store.get(object).map_err(|source| match source {
                    StoreError::Damaged { .. } | StoreError::Missing { .. } => {
                        Halt::BrokenInput { giver: edge.from, object: *object, source: Box::new(source) }
                    }
                    other => other.into(),
                })?;
                let stage = self.graph.node(edge.from).name.clone();
                inputs.push(&edge.role, Artifact { output: output.clone(), stage, bytes: Arc::new(bytes) });
            }
        }
        Ok(inputs)
    }

    fn work(&mut self, id: NodeId, task: &Task<'_>, inputs: Inputs) -> Result<Step, Halt> {
        let Task { node, assessment, .. } = *task;
        let fingerprint = assessment.fingerprint;
        let mut host = StageHost::new(self.store, &self.teller, &self.options.stop, fingerprint, &node.name);
        let outcome = match self.run_stage(node, inputs.clone(), &mut host) {
            // A state that is whole, and yet not one that this stage can go on from.
            Err(StageError::Train(TrainError::State(why))) if host.begin_anew(&format!("({why})"))? => {
                self.run_stage(node, inputs, &mut host)
            }
            outcome => outcome,
        };
        let output = match outcome {
            Ok(Outcome::Done(output)) => output,
            Ok(Outcome::Interrupted) => {
                self.teller.log(&fingerprint, Event::StageInterrupted { stage: node.name.clone() });
                // A stage without a state begins anew, and nobody should be told otherwise.
                let is_saved = self.store.has_partial(&fingerprint);
                return Ok(if is_saved { Step::Interrupted(node.name.clone()) } else { Step::GaveUp });
            }
            Err(source) => return Err(self.failed(node, &fingerprint, source).into()),
        };
        let outputs = self.put(node, &output)?;
        let record = Record::new(
            fingerprint,
            node.stage.kind.name,
            node.stage.kind.version,
            outputs,
            output.metrics,
            self.origin.provenance(node, assessment, &host.history()),
        );
        self.store.commit(&record)?;
        let seconds = host.seconds();
        if let Err(error) = self.store.remove_partial(&fingerprint) {
            // The result is there, so the state will never be looked at again.
            self.teller.warn(chain(&error));
        }
        self.made(id);
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
        self.remember(node, assessment);
        Ok(Step::Ready(Box::new(record)))
    }

    fn run_stage(
        &self,
        node: &Node,
        inputs: Inputs,
        host: &mut StageHost<'_, '_>,
    ) -> Result<Outcome, StageError> {
        let mut job = Job {
            inputs,
            data: &self.images[node.data],
            seed: node.seed.unwrap_or_default(),
            device: self.options.device.clone(),
            host,
        };
        node.stage.stage.run(&mut job)
    }

    fn put(&self, node: &Node, output: &Output) -> Result<BTreeMap<String, OutputEntry>, StoreError> {
        let mut outputs = BTreeMap::new();
        for (name, bytes) in &output.artifacts {
            let roles = node.stage.kind.outputs;
            let artifact = roles.iter().find(|role| role.name == *name).map_or("", |role| role.artifact);
            let object = self.store.put(bytes)?;
            let entry = OutputEntry { object, bytes: bytes.len() as u64, artifact: artifact.to_owned() };
            outputs.insert((*name).to_owned(), entry);
        }
        Ok(outputs)
    }

    fn failed(&self, node: &Node, fingerprint: &Fingerprint, source: StageError) -> EngineError {
        let message = chain(&source);
        self.teller.log(fingerprint, Event::StageFailed { stage: node.name.clone(), message });
        EngineError::Stage { stage: node.name.clone(), source }
    }
}
