//! Executes a plan: what a run is given, and what it did.
//!
//! The `dispatch` module decides what runs next; `work` does it. They share [`Run`] and a channel of news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use candle_core::Device;

use super::EngineError;
use super::dispatch::Dispatcher;
use super::event::{Event, Reporter};
use super::host::News;
use super::images::Images;
use super::shared::Shared;
use super::signals::StopFlag;
use super::work::share;
use crate::plan::{DataIdentities, Graph, NodeId, Plan};
use crate::stages::eval::machines as machines_of;
use crate::state::{RunState, StageState};
use crate::store::{Record, Store};
use crate::train::Machine;

/// A place to compute.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where tensors live.
    pub device: Device,
    /// The device's name.
    pub name: String,
}

impl Place {
    /// The CPU.
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, name: "cpu".to_owned() }
    }
}

/// What a run needs beside its plan.
#[derive(Debug)]
pub struct Options {
    /// The identity of the pipeline file, under which the last run of each stage is remembered.
    pub pipeline: String,
    /// The pipeline's name.
    pub name: String,
    /// Where stages run; jobs take them in turn. At least one.
    pub places: Vec<Place>,
    /// CPU threads, shared out over the jobs.
    pub threads: usize,
    /// How many stages run side by side.
    pub jobs: usize,
    /// Whether a failure stops only what depends on it.
    pub keep_going: bool,
    /// How often a stage that failed is tried again.
    pub retries: u32,
    /// The longest that a stage may run that has no `timeout` of its own.
    pub timeout: Option<Duration>,
    /// Bytes that stages on the CPU may take together; one alone always runs. `None` is no limit.
    pub memory: Option<u64>,
    /// A cache that is shared with other machines.
    pub shared: Option<Shared>,
    /// Asks the run to stop.
    pub stop: StopFlag,
}

impl Options {
    /// One stage at a time on the CPU with one thread; the first failure ends the run.
    pub fn new(pipeline: &str, name: &str, stop: StopFlag) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            name: name.to_owned(),
            places: vec![Place::cpu()],
            threads: 1,
            jobs: 1,
            keep_going: false,
            retries: 0,
            timeout: None,
            memory: None,
            shared: None,
            stop,
        }
    }
}

/// Something that failed.
#[derive(Debug)]
pub struct Failure {
    /// The work that failed; `None` if it was the run as a whole.
    pub node: Option<NodeId>,
    /// Why.
    pub error: EngineError,
}

/// What a run did.
#[derive(Debug)]
pub struct RunSummary {
    /// How it ended.
    pub status: RunState,
    /// How every node stands at the end.
    pub states: Vec<StageState>,
    /// The record of every node that has a result.
    pub records: Vec<Option<Record>>,
    /// How many results were given to the shared cache.
    pub uploaded: usize,
    /// The nodes whose result should have been given to the shared cache, and was not.
    pub not_uploaded: Vec<NodeId>,
    /// What failed, in the order in which it did.
    pub failures: Vec<Failure>,
    /// What was skipped, and the node whose failure was the reason.
    pub skipped: BTreeMap<NodeId, NodeId>,
    /// Wall time.
    pub elapsed: Duration,
}

impl RunSummary {
    /// How many nodes stand so at the end.
    pub fn count(&self, state: StageState) -> usize {
        self.states.iter().filter(|own| **own == state).count()
    }

    /// The nodes that stand so at the end, in the order of the graph.
    pub fn those(&self, state: StageState) -> impl Iterator<Item = NodeId> {
        self.states.iter().enumerate().filter(move |(_, own)| **own == state).map(|(at, _)| NodeId(at))
    }
}

/// What the dispatcher and the executors of a run share.
pub(super) struct Run<'a> {
    pub graph: &'a Graph,
    pub store: &'a Store,
    pub options: &'a Options,
    pub images: Vec<Images>,
    /// Raised when running stages are to stop because another one failed.
    pub cancel: AtomicBool,
    /// Raised when what is still being sent to the shared cache is to stay here.
    pub quit: AtomicBool,
    pub log_failed: AtomicBool,
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
    let run = Run {
        graph,
        store,
        options,
        images: graph.data.iter().map(|params| Images::new(params.clone())).collect(),
        cancel: AtomicBool::new(false),
        quit: AtomicBool::new(false),
        log_failed: AtomicBool::new(false),
    };
    let (news, heard) = mpsc::channel::<News>();
    std::thread::scope(|scope| {
        let mut dispatcher = Dispatcher::new(&run, plan, data, reporter, scope, news);
        let devices: Vec<&str> = options.places.iter().map(|place| place.name.as_str()).collect();
        dispatcher.tell(Event::RunStarted {
            pipeline: options.name.clone(),
            points: graph.points.len(),
            stages: graph.nodes.len(),
            to_run: plan.to_run(),
            device: devices.join(","),
            threads: options.threads,
            jobs: options.jobs,
            axes: graph.axes(),
        });
        dispatcher.run(&heard);
        let mut summary = dispatcher.summary();
        summary.elapsed = started.elapsed();
        if let Some(message) = foreign_times(graph, &summary, options) {
            dispatcher.tell(Event::Warning { message });
        }
        dispatcher.tell(Event::RunFinished {
            status: summary.status,
            ran: summary.count(StageState::Ran),
            cached: summary.count(StageState::Cached),
            downloaded: summary.count(StageState::Downloaded),
            uploaded: summary.uploaded,
            failed: summary.count(StageState::Failed),
            skipped: summary.count(StageState::Skipped),
            seconds: summary.elapsed.as_secs_f64(),
        });
        summary
    })
}

/// Results that hold the times of another machine, or of another number of threads, and were not measured in
/// this run.
fn foreign_times(graph: &Graph, summary: &RunSummary, options: &Options) -> Option<String> {
    let here: Vec<Machine> = options.places.iter().map(|place| Machine::here(&place.device)).collect();
    let shares: BTreeSet<usize> =
        (0..options.jobs).map(|slot| share(options.threads, options.jobs, slot)).collect();
    let is_foreign = |machine: &Machine| {
        let is_this = |own: &Machine| Machine { threads: machine.threads, ..own.clone() } == *machine;
        !shares.contains(&machine.threads) || !here.iter().any(is_this)
    };
    let mut machines: BTreeSet<Machine> = BTreeSet::new();
    let mut stages: BTreeSet<&str> = BTreeSet::new();
    for id in [StageState::Cached, StageState::Downloaded].into_iter().flat_map(|state| summary.those(state))
    {
        let Some(record) = &summary.records[id.0] else { continue };
        for machine in machines_of(&record.metrics).into_iter().filter(is_foreign) {
            machines.insert(machine);
            stages.insert(&graph.node(id).name);
        }
    }
    let stages: Vec<&str> = stages.into_iter().collect();
    let first = stages.first()?;
    let machines: Vec<String> = machines.iter().map(ToString::to_string).collect();
    Some(format!(
        "the latency of {} was measured on {}, and not by this run: `--force {first}` measures it here",
        stages.join(", "),
        machines.join("; ")
    ))
}
