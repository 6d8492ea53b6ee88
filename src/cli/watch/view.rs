//! What of a run is shown, as a plain value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Watched;
use crate::engine::{Event, Stamped};
use crate::plan::NodeId;
use crate::report::format::{percent, seconds};
use crate::report::key_figure;
use crate::report::live::{Live, News, Running};
use crate::state::{RunState, StageState};

/// A run, as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// The pipeline.
    pub pipeline: String,
    /// The run; none where only the pipeline is known.
    pub run: Option<String>,
    /// How the run stands; none where only the pipeline is known.
    pub status: Option<RunState>,
    /// Since when it goes on.
    pub started: Option<Timestamp>,
    /// Until now, or to its end.
    pub seconds: f64,
    /// All stages over all points.
    pub counts: Counts,
    /// About how long it still takes.
    pub seconds_left: Option<f64>,
    /// What runs.
    pub running: Vec<Row>,
    /// Every stage of the file.
    pub stages: Vec<Stage>,
    /// How every point of a sweep stands.
    pub points: Vec<Point>,
    /// What happened last.
    pub news: Vec<Line>,
}

/// How many pieces of work stand so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// With a result.
    pub done: usize,
    /// Of those, with a result before the run began.
    pub before: usize,
    /// At work.
    pub running: usize,
    /// Waiting for inputs or for their turn.
    pub waiting: usize,
    /// Failed.
    pub failed: usize,
    /// Interrupted.
    pub interrupted: usize,
}

impl Counts {
    fn add(&mut self, state: StageState) {
        match state {
            StageState::Cached => {
                self.done += 1;
                self.before += 1;
            }
            StageState::Ran | StageState::Downloaded => self.done += 1,
            StageState::Open
            | StageState::NeverRun
            | StageState::Stale
            | StageState::Left
            | StageState::Skipped => self.waiting += 1,
            StageState::Running => self.running += 1,
            StageState::Failed => self.failed += 1,
            StageState::Interrupted => self.interrupted += 1,
        }
    }

    /// All of them.
    pub fn all(&self) -> usize {
        self.done + self.running + self.waiting + self.failed + self.interrupted
    }
}

/// A piece of work that runs.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The stage.
    pub stage: String,
    /// Its point, with short keys.
    pub point: String,
    /// How far it is.
    #[serde(flatten)]
    pub running: Running,
    /// Seconds to its end.
    pub seconds_left: Option<f64>,
}

/// A stage of the file, over all points.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How its pieces of work stand.
    pub counts: Counts,
    /// What it found, where it is one piece of work, or why it failed.
    pub figure: String,
}

/// How a point stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// All its stages are done.
    Done,
    /// A stage of it runs.
    Running,
    /// A stage of it failed.
    Failed,
    /// Some of it is done.
    Begun,
    /// Nothing that is its own is done.
    Waiting,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// Whether it is a warning or a failure.
    pub bad: bool,
    /// What.
    pub text: String,
}

impl View {
    /// Of a run at this moment.
    pub fn of(pipeline: &str, watched: Option<&Watched>, live: &Live<'_>) -> Self {
        let graph = live.graph();
        let run = watched.map(|watched| &watched.run);
        let status = run.map(|run| run.status);
        let started = run.map(|run| run.started);
        let until = run.and_then(|run| run.finished).unwrap_or_else(Timestamp::now);
        let took = started.and_then(|started| (until - started).total(jiff::Unit::Second).ok());
        let mut counts = Counts::default();
        let mut stages: Vec<Stage> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for ((_, node), seen) in graph.iter().zip(&live.seen) {
            counts.add(seen.state);
            let at = *places.entry(&node.name).or_insert_with(|| {
                let counts = Counts::default();
                stages.push(Stage { name: node.name.clone(), counts, figure: String::new() });
                stages.len() - 1
            });
            let stage = &mut stages[at];
            stage.counts.add(seen.state);
            stage.figure = match seen.state {
                StageState::Failed => seen.failure.clone(),
                _ if stage.counts.all() == 1 => seen.figure.clone(),
                _ => String::new(),
            };
        }
        let short = short_keys(&graph.axes());
        let running = live.running().map(|(id, running)| Row {
            stage: graph.node(id).name.clone(),
            point: point(live, id, &short),
            seconds_left: running.seconds_left(),
            running: running.clone(),
        });
        let is_running = status == Some(RunState::Running);
        Self {
            pipeline: pipeline.to_owned(),
            run: watched.map(|watched| watched.id.clone()),
            status,
            started,
            seconds: took.unwrap_or(0.0),
            counts,
            seconds_left: if is_running { live.seconds_left() } else { None },
            running: running.collect(),
            stages,
            points: if graph.points.len() > 1 { points(live) } else { Vec::new() },
            news: live.news.iter().filter_map(|news| line(live, news, &short)).collect(),
        }
    }
}

fn points(live: &Live<'_>) -> Vec<Point> {
    let state = |id: NodeId| live.seen[id.0].state;
    let of = |point: &crate::plan::PointNodes| {
        let mut states = point.stages.iter().map(|(_, id)| state(*id));
        let own = |id: &NodeId| live.graph().node(*id).uses.len() == 1 && state(*id).has_result();
        if states.clone().all(StageState::has_result) {
            Point::Done
        } else if states.clone().any(|state| state == StageState::Failed) {
            Point::Failed
        } else if states.any(|state| state == StageState::Running) {
            Point::Running
        } else if point.stages.iter().any(|(_, id)| own(id)) {
            Point::Begun
        } else {
            Point::Waiting
        }
    };
    live.graph().points.iter().map(of).collect()
}

/// Swept keys whose last part alone says which they are, by their names.
fn short_keys(axes: &[String]) -> BTreeMap<String, String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let alone = |key: &&String| axes.iter().filter(|other| last(other) == last(key)).count() == 1;
    axes.iter().filter(alone).map(|key| (key.clone(), last(key))).collect()
}

/// The point of a piece of work, with short keys.
fn point(live: &Live<'_>, id: NodeId, short: &BTreeMap<String, String>) -> String {
    let term = |(key, value): &(String, String)| format!("{}={value}", short.get(key).unwrap_or(key));
    live.graph().common_label(id).iter().map(term).collect::<Vec<_>>().join(" ")
}

/// News in one line; what the rest of the picture shows is none.
fn line(live: &Live<'_>, news: &News, short: &BTreeMap<String, String>) -> Option<Line> {
    let Stamped { time, event, .. } = &news.event;
    let point = point(live, news.node, short);
    let name = format!("{} {point}", live.graph().node(news.node).name).trim_end().to_owned();
    let (bad, words) = match event {
        Event::StageStarted { resumed, .. } => (false, if *resumed { "goes on" } else { "began" }.to_owned()),
        Event::EpochFinished { record, .. } => {
            let validation =
                record.validation_accuracy.map(|share| format!(", validation {}", percent(share)));
            let words = format!("epoch {}: loss {:.3}", record.epoch, record.train_loss);
            (false, words + &validation.unwrap_or_default())
        }
        Event::StageFinished { seconds: took, metrics, .. } => {
            let figure = key_figure(metrics);
            let figure = if figure.is_empty() { figure } else { format!(": {figure}") };
            (false, format!("done in {}{figure}", seconds(*took)))
        }
        Event::StageFailed { message, .. } => (true, format!("failed: {message}")),
        Event::StageRetried { pause, .. } => (true, format!("is tried again in {}", seconds(*pause))),
        Event::StageInterrupted { .. } => (true, "interrupted, its state is saved".to_owned()),
        Event::StageWarned { message, .. } => (true, format!("warning: {message}")),
        Event::Warning { message } => (true, format!("warning: {message}")),
        _ => return None,
    };
    Some(Line { time: *time, bad, text: format!("{name} {words}") })
}
