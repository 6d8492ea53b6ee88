//! Does the work of one slot: a stage is locked, run, and its results are put into the store.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rayon::ThreadPool;

use super::event::Event;
use super::execute::{Place, Run};
use super::host::{Limits, News, StageHost, Teller, chain};
use super::images::Bound;
use super::provenance::Origin;
use super::{EngineError, acceptance};
use crate::fingerprint::Fingerprint;
use crate::plan::{Assessment, Node, NodeId};
use crate::stages::{Artifact, Inputs, Job, Outcome, Output, StageError, Warning, warning};
use crate::store::{Acceptance, Lookup, ObjectHash, OutputEntry, Record, SavedFor, StageLock, StoreError};
use crate::train::TrainError;

/// The stack of a computing thread: as large as that of a program's first thread.
const STACK: usize = 8 << 20;
/// How long a stage waits before its second try; each further wait is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a wait looks whether the run is to stop.
const POLL: Duration = Duration::from_millis(50);

/// What is to be done, and why.
pub(super) struct Task {
    pub id: NodeId,
    pub assessment: Assessment,
    pub reasons: Vec<String>,
    pub forced: bool,
    /// What the plan warns of.
    pub warnings: Vec<Warning>,
}

/// What became of a task.
pub(super) enum Step {
    /// It ran.
    Ran(Box<Record>),
    /// Its result has come into the cache meanwhile.
    Reused(Box<Record>),
    /// Its result came from the shared cache.
    Downloaded(Box<Record>),
    /// The run was asked to stop; the stage has saved where it was.
    Interrupted,
    /// The run was asked to stop while the stage waited for another runner.
    GaveUp,
}

/// Why a node has no result.
pub(super) enum Halt {
    /// An object that another node gave cannot be used.
    BrokenInput { giver: NodeId, object: ObjectHash, source: Box<StoreError> },
    /// What another node gave is whole and cannot be used: a record or an output that no stage of its kind
    /// gives.
    UnusableInput { giver: NodeId, error: Box<EngineError> },
    /// Anything else.
    Error(Box<EngineError>),
}

impl<E: Into<EngineError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

/// A task that is over.
pub struct Ended {
    pub(super) slot: usize,
    pub(super) task: Task,
    pub(super) result: Result<Step, Halt>,
}

/// One slot: it does one task after the other.
pub(super) struct Executor<'a> {
    run: &'a Run<'a>,
    slot: usize,
    place: Place,
    /// Its share of the CPU threads.
    pool: ThreadPool,
    origin: Origin,
    news: Sender<News>,
}

impl<'a> Executor<'a> {
    /// The executor of a slot.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(run: &'a Run<'a>, slot: usize, news: Sender<News>) -> Result<Self, EngineError> {
        let options = run.options;
        let threads = share(options.threads, options.jobs, slot);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build();
        let pool = pool.map_err(|error| EngineError::Threads(Box::new(error)))?;
        let turn = slot % options.places.len().max(1);
        let place = options.places.get(turn).cloned().unwrap_or_else(Place::cpu);
        let origin = Origin::here(&options.name, place.name.clone(), threads);
        Ok(Self { run, slot, place, pool, origin, news })
    }

    /// Does a task and tells how it ended.
    pub fn work(&self, task: Task) {
        let result = self.pool.install(|| self.tries(&task));
        let _ = self.news.send(News::Ended(Box::new(Ended { slot: self.slot, task, result })));
    }

    fn teller(&self, task: &Task) -> Teller<'a> {
        let point = self.run.graph.common(task.id);
        Teller::new(self.run.store, self.news.clone(), point, &self.run.log_failed)
    }

    fn limits(&self, node: &Node) -> Limits<'a> {
        let options = self.run.options;
        let timeout = node.timeout.or(options.timeout);
        Limits { stop: &options.stop, cancel: &self.run.cancel, timeout }
    }

    /// Tries a task as often as it may be tried.
    fn tries(&self, task: &Task) -> Result<Step, Halt> {
        let (node, teller) = (self.run.graph.node(task.id), self.teller(task));
        let retries = self.run.options.retries;
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            // A bug in one stage is no reason to lose the others.
            let tried = catch_unwind(AssertUnwindSafe(|| self.locked(node, task, &teller)));
            let error =
                match tried.unwrap_or_else(|panic| Err(self.panicked(node, task, &teller, panic).into())) {
                    Err(Halt::Error(error)) if retries > 0 => error,
                    otherwise => return otherwise,
                };
            if let Some(why) = error.stays() {
                teller.warn(format!("{} is not tried again: {why}", node.name));
                return Err(Halt::Error(error));
            }
            if attempt > retries || !self.wait(pause, node) {
                return Err(Halt::Error(error));
            }
            let fingerprint = &task.assessment.fingerprint;
            let (stage, left) = (node.name.clone(), retries - attempt);
            teller.log(fingerprint, Event::StageRetried { stage, attempt, left, pause: pause.as_secs_f64() });
            attempt += 1;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Waits, and says whether the run still goes on.
    fn wait(&self, pause: Duration, node: &Node) -> bool {
        let (limits, clock) = (self.limits(node), Instant::now());
        while clock.elapsed() < pause && !limits.is_over() {
            std::thread::sleep(POLL);
        }
        !limits.is_over()
    }

    fn panicked(
        &self,
        node: &Node,
        task: &Task,
        teller: &Teller<'_>,
        panic: Box<dyn Any + Send>,
    ) -> EngineError {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let message = text.unwrap_or_else(|| "a panic without words".to_owned());
        let event = Event::StageFailed { stage: node.name.clone(), message: message.clone() };
        teller.log(&task.assessment.fingerprint, event);
        EngineError::Panicked { stage: node.name.clone(), message }
    }

    /// Runs a stage under its lock, unless another runner has done so meanwhile.
    fn locked(&self, node: &Node, task: &Task, teller: &Teller<'_>) -> Result<Step, Halt> {
        let fingerprint = &task.assessment.fingerprint;
        let (name, store, limits) = (&node.name, self.run.store, self.limits(node));
        let before = store.lookup(fingerprint)?;
        let mut waited_for = None;
        let lock = store.lock(fingerprint, &mut |holder| {
            if waited_for.as_ref() != Some(holder) {
                waited_for = Some(holder.clone());
                teller.tell(Event::StageWaiting { stage: name.clone(), holder: holder.to_string() });
            }
            if limits.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(lock) = lock else { return Ok(Step::GaveUp) };
        if !lock.is_exclusive() {
            teller.warn(format!(
                "the cache's file system has no locks: another runner may do the work of {name} a second time"
            ));
        }
        let now = store.lookup(fingerprint)?;
        // Whoever held the lock before us may have done the work, and what was forced is then anew as well.
        let is_fresh = !task.forced || now != before;
        let mut last = None;
        match now {
            Lookup::Present(record) if is_fresh => {
                return Ok(Step::Reused(Box::new(record)));
            }
            Lookup::Present(record) => last = Some(record),
            Lookup::Damaged => {
                let moved_to = store.set_record_aside(fingerprint)?;
                let place = moved_to.display();
                teller.warn(format!("the record of {name} is damaged and was moved to {place}"));
            }
            Lookup::Unreadable => {
                teller.warn(format!(
                    "the record of {name} cannot be read back from the disk; {name} runs again"
                ));
            }
            Lookup::Absent | Lookup::OutputMissing { .. } => {}
        }
        if let Some(record) = self.ask_shared(name, task, teller)? {
            return Ok(Step::Downloaded(record));
        }
        if task.forced && !store.goes_on(fingerprint, last.as_ref())? {
            // Forced means anew: going on from an older state could repeat what the user wants to be rid of.
            store.remove_partial(fingerprint)?;
        }
        let inputs = self.inputs(node, task)?;
        teller.log(
            fingerprint,
            Event::StageStarted {
                stage: name.clone(),
                kind: node.stage.kind.name.to_owned(),
                fingerprint: fingerprint.to_string(),
                reasons: task.reasons.clone(),
                resumed: store.has_partial(fingerprint),
            },
        );
        task.warnings.iter().for_each(|warning| warn(name, fingerprint, warning, teller));
        self.compute(node, task, inputs, teller, &lock)
    }

    /// The result from the shared cache, where there is one and it has it. What is to be made anew is not asked for.
    fn ask_shared(
        &self,
        stage: &str,
        task: &Task,
        teller: &Teller<'_>,
    ) -> Result<Option<Box<Record>>, StoreError> {
        let Some(shared) = self.run.options.shared.as_ref().filter(|_| !task.forced) else { return Ok(None) };
        let (store, fingerprint) = (self.run.store, &task.assessment.fingerprint);
        let stop = || self.run.options.stop.is_raised() || self.run.cancel.load(Ordering::SeqCst);
        let kind = self.run.graph.node(task.id).stage.kind;
        let record = |record: &Record| acceptance::record_of(record, kind);
        let plausible = Acceptance { record: &record, output: &acceptance::output };
        let Some(came) = shared.ask(store, fingerprint, plausible, teller, &stop)? else { return Ok(None) };
        if let Err(error) = store.remove_partial(fingerprint) {
            // The result is here, so the state will never be looked at again.
            teller.warn(chain(&error));
        }
        let event = Event::StageDownloaded {
            stage: stage.to_owned(),
            fingerprint: fingerprint.to_string(),
            objects: came.objects,
            bytes: came.bytes,
            seconds: came.seconds,
            seconds_saved: came.record.provenance.seconds,
        };
        teller.log(fingerprint, event);
        Ok(Some(came.record))
    }

    fn inputs(&self, node: &Node, task: &Task) -> Result<Inputs, Halt> {
        let mut inputs = Inputs::default();
        for edge in &node.inputs {
            let objects = task.assessment.inputs.get(&edge.role).map_or(&[][..], Vec::as_slice);
            // A record that lies may lack what every stage of its kind gives.
            if edge.outputs.iter().any(|wanted| objects.iter().all(|(output, _)| output != wanted)) {
                let (stage, input) = (node.name.clone(), self.run.graph.node(edge.from).name.clone());
                let error = Box::new(EngineError::InputNotCached { stage, input });
                return Err(Halt::UnusableInput { giver: edge.from, error });
            }
            for (output, object) in objects {
                let bytes = self.run.store.get(object).map_err(|source| match source {
                    StoreError::Damaged { .. } | StoreError::Lost { .. } | StoreError::Missing { .. } => {
                        Halt::BrokenInput { giver: edge.from, object: *object, source: Box::new(source) }
                    }
                    other => other.into(),
                })?;
                let stage = self.run.graph.node(edge.from).name.clone();
                inputs.push(&edge.role, Artifact { output: output.clone(), stage, bytes: Arc::new(bytes) });
            }
        }
        Ok(inputs)
    }

    fn compute(
        &self,
        node: &Node,
        task: &Task,
        inputs: Inputs,
        teller: &Teller<'_>,
        lock: &StageLock,
    ) -> Result<Step, Halt> {
        let (assessment, store) = (&task.assessment, self.run.store);
        let fingerprint = assessment.fingerprint;
        let limits = self.limits(node);
        let mut host =
            StageHost::new(store, teller, limits, lock, &node.name, self.saved_for(node, assessment));
        let outcome = match self.run_stage(node, task, inputs, &mut host) {
            // A state that is whole, and yet not one that this stage can go on from.
            Err(StageError::Train(TrainError::State(why))) if host.begin_anew(&format!("({why})"))? => {
                self.run_stage(node, task, self.inputs(node, task)?, &mut host)
            }
            outcome => outcome,
        };
        let mut output = match outcome {
            Ok(Outcome::Done(output)) => output,
            Ok(Outcome::Interrupted) if limits.is_over() => {
                teller.log(&fingerprint, Event::StageInterrupted { stage: node.name.clone() });
                // A stage without a state begins anew, and nobody should be told otherwise.
                return Ok(if store.has_partial(&fingerprint) { Step::Interrupted } else { Step::GaveUp });
            }
            Ok(Outcome::Interrupted) => {
                let (stage, timeout) = (node.name.clone(), limits.timeout.unwrap_or_default());
                let error = EngineError::TimedOut { stage, seconds: timeout.as_secs_f64() };
                return Err(failed(node, &fingerprint, teller, error).into());
            }
            Err(source) => {
                let giver = unusable_input(&source)
                    .and_then(|role| node.inputs.iter().find(|edge| edge.role == role));
                let giver = giver.map(|edge| edge.from);
                let error = EngineError::Stage { stage: node.name.clone(), source };
                if let Some(giver) = giver {
                    return Err(Halt::UnusableInput { giver, error: Box::new(error) });
                }
                return Err(failed(node, &fingerprint, teller, error).into());
            }
        };
        // What the plan has warned of needs no second word.
        output.warnings.retain(|warning| !task.warnings.contains(warning));
        output.warnings.iter().for_each(|warning| warn(&node.name, &fingerprint, warning, teller));
        if let (false, Some(metrics)) = (output.warnings.is_empty(), output.metrics.as_object_mut()) {
            let warnings = serde_json::to_value(&output.warnings).unwrap_or_default();
            metrics.insert(warning::METRIC.to_owned(), warnings);
        }
        let outputs = self.put(node, &output)?;
        let record = Record::new(
            fingerprint,
            node.stage.kind.name,
            node.stage.kind.version,
            outputs,
            output.metrics,
            self.origin.provenance(node, assessment, &host.history()),
        );
        store.commit(&record)?;
        let seconds = host.seconds();
        if let Err(error) = store.remove_partial(&fingerprint) {
            // The result is there, so the state will never be looked at again.
            teller.warn(chain(&error));
        }
        let objects = record.outputs.iter().map(|(name, entry)| (name.clone(), entry.object.to_string()));
        teller.log(
            &fingerprint,
            Event::StageFinished {
                stage: node.name.clone(),
                fingerprint: fingerprint.to_string(),
                seconds,
                outputs: objects.collect(),
                metrics: record.metrics.clone(),
            },
        );
        Ok(Step::Ran(Box::new(record)))
    }

    fn saved_for(&self, node: &Node, assessment: &Assessment) -> SavedFor {
        let mut stages: Vec<String> = node.uses.iter().map(|usage| usage.stage.clone()).collect();
        stages.sort();
        stages.dedup();
        let work = assessment.last_run(self.run.graph, node);
        SavedFor { pipeline: self.run.options.pipeline.clone(), stages, work }
    }

    fn run_stage(
        &self,
        node: &Node,
        task: &Task,
        inputs: Inputs,
        host: &mut StageHost<'_>,
    ) -> Result<Outcome, StageError> {
        let content = task.assessment.content.clone().zip(node.stage.stage.data_use().reads());
        let mut job = Job {
            inputs,
            data: &Bound::new(&self.run.images[node.data], content),
            seed: node.seed.unwrap_or_default(),
            device: self.place.device.clone(),
            host,
        };
        node.stage.stage.run(&mut job)
    }

    fn put(&self, node: &Node, output: &Output) -> Result<BTreeMap<String, OutputEntry>, StoreError> {
        let mut outputs = BTreeMap::new();
        for (name, bytes) in &output.artifacts {
            let roles = node.stage.kind.outputs;
            let artifact = roles.iter().find(|role| role.name == *name).map_or("", |role| role.artifact);
            let object = self.run.store.put(bytes)?;
            let entry = OutputEntry { object, bytes: bytes.len() as u64, artifact: artifact.to_owned() };
            outputs.insert((*name).to_owned(), entry);
        }
        Ok(outputs)
    }
}

/// The role of an input that is missing or cannot be read, if that is why a stage failed.
fn unusable_input(error: &StageError) -> Option<&'static str> {
    match error {
        StageError::MissingInput { role }
        | StageError::Network { role, .. }
        | StageError::Channels { role, .. } => Some(role),
        _ => None,
    }
}

/// Tells and logs a warning about a stage.
fn warn(stage: &str, fingerprint: &Fingerprint, warning: &Warning, teller: &Teller<'_>) {
    let (stage, message) = (stage.to_owned(), warning.to_string());
    teller.log(fingerprint, Event::StageWarned { stage, message, warning: warning.clone() });
}

/// Tells and logs that a stage failed.
fn failed(node: &Node, fingerprint: &Fingerprint, teller: &Teller<'_>, error: EngineError) -> EngineError {
    let message = match &error {
        EngineError::Stage { source, .. } => chain(source),
        error => chain(error),
    };
    teller.log(fingerprint, Event::StageFailed { stage: node.name.clone(), message });
    error
}

/// The CPU threads of a slot: as equal shares as there can be, and never none.
pub(super) fn share(threads: usize, jobs: usize, slot: usize) -> usize {
    let jobs = jobs.max(1);
    (threads / jobs + usize::from(slot < threads % jobs)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_out_and_every_slot_has_one() {
        let shares = |threads, jobs| (0..jobs).map(|slot| share(threads, jobs, slot)).collect::<Vec<_>>();
        assert_eq!(shares(8, 1), [8]);
        assert_eq!(shares(8, 3), [3, 3, 2]);
        assert_eq!(shares(2, 4), [1, 1, 1, 1]);
    }
}
