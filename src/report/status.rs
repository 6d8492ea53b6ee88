//! How every stage of a pipeline stands: in the cache, stale, interrupted, at work.

use jiff::Timestamp;
use serde::Serialize;

use super::figure::key_figure;
use super::tail::Tail;
use crate::engine::Event;
use crate::fingerprint::Fingerprint;
use crate::plan::{Entry, Graph, Node, Plan, Reason, Verdict};
use crate::state::StageState;
use crate::store::{Lookup, Partial, Record, Store, StoreError};
use crate::train::Figures;

/// How a stage stands, with what there is to say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Standing {
    /// Its result is in the cache.
    Cached,
    /// A runner works on it now.
    Running {
        /// Which.
        holder: String,
        /// The last epoch that it finished.
        epoch: Option<u64>,
    },
    /// It was interrupted and goes on from a saved state.
    Interrupted {
        /// The epoch it goes on in, from 1.
        epoch: Option<u64>,
        /// Steps done.
        step: Option<u64>,
    },
    /// Its last run failed.
    Failed {
        /// Why.
        message: String,
    },
    /// It would run, and has run before.
    Stale {
        /// Why, in words.
        reasons: Vec<String>,
    },
    /// It would run for the first time.
    NeverRun,
}

impl Standing {
    /// The state alone.
    pub fn state(&self) -> StageState {
        match self {
            Self::Cached => StageState::Cached,
            Self::Running { .. } => StageState::Running,
            Self::Interrupted { .. } => StageState::Interrupted,
            Self::Failed { .. } => StageState::Failed,
            Self::Stale { .. } => StageState::Stale,
            Self::NeverRun => StageState::NeverRun,
        }
    }

    /// What there is to say beside the word.
    pub fn detail(&self) -> String {
        match self {
            Self::Cached | Self::NeverRun => String::new(),
            Self::Running { holder, epoch: None } => format!("by {holder}"),
            Self::Running { holder, epoch: Some(epoch) } => format!("by {holder}, epoch {epoch} done"),
            Self::Interrupted { epoch: Some(epoch), step: Some(step) } => {
                format!("goes on in epoch {epoch}, after step {step}")
            }
            Self::Interrupted { .. } => "goes on from its saved state".to_owned(),
            Self::Failed { message } => message.clone(),
            Self::Stale { reasons } => reasons.join(", "),
        }
    }
}

fn tagged<S: serde::Serializer>(standing: &Standing, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Tagged<'a> {
        state: StageState,
        #[serde(flatten)]
        standing: &'a Standing,
    }
    Tagged { state: standing.state(), standing }.serialize(serializer)
}

/// How one piece of work stands.
#[derive(Debug, Clone, Serialize)]
pub struct StageStatus {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// The points of a sweep that it belongs to.
    pub points: Vec<String>,
    /// How it stands.
    #[serde(flatten, serialize_with = "tagged")]
    pub standing: Standing,
    /// Its identity, where its inputs are known.
    pub fingerprint: Option<Fingerprint>,
    /// End of its last run that gave a result.
    pub finished: Option<Timestamp>,
    /// What that run took.
    pub seconds: Option<f64>,
    /// What that run found, in a few words.
    pub figure: String,
}

/// How every node of a graph stands. `pipeline` is the file's identity, under which last runs are remembered.
///
/// # Errors
/// A cache that cannot be read.
pub fn status(
    graph: &Graph,
    plan: &Plan,
    store: &Store,
    pipeline: &str,
) -> Result<Vec<StageStatus>, StoreError> {
    graph
        .iter()
        .map(|(id, node)| {
            let entry = plan.entry(id);
            let last = match entry.record() {
                Some(record) => Some(record.clone()),
                None => last_result(graph, node, store, pipeline)?,
            };
            let points = node.uses.iter().map(|usage| graph.points[usage.point].name());
            Ok(StageStatus {
                stage: node.name.clone(),
                kind: node.stage.kind.name.to_owned(),
                points: points.filter(|name| !name.is_empty()).collect(),
                standing: standing(entry, store)?,
                fingerprint: entry.fingerprint,
                finished: last.as_ref().map(|record| record.provenance.finished),
                seconds: last.as_ref().map(|record| record.provenance.seconds),
                figure: last.as_ref().map_or(String::new(), |record| key_figure(&record.metrics)),
            })
        })
        .collect()
}

fn standing(entry: &Entry, store: &Store) -> Result<Standing, StoreError> {
    if let Some(fingerprint) = &entry.fingerprint {
        if let Some(holder) = store.holder(fingerprint)? {
            return Ok(Standing::Running {
                holder: holder.to_string(),
                epoch: LogEnd::of(store, fingerprint)?.epoch,
            });
        }
    }
    let reasons = match &entry.verdict {
        Verdict::Cached(_) => return Ok(Standing::Cached),
        Verdict::Run { reasons, .. } => reasons.as_slice(),
        Verdict::Left => &[],
    };
    if let Some(fingerprint) = &entry.fingerprint {
        if let Some(Event::StageFailed { message, .. }) = LogEnd::of(store, fingerprint)?.last {
            return Ok(Standing::Failed { message });
        }
        if store.has_partial(fingerprint) {
            return saved(store, fingerprint);
        }
    }
    if reasons.contains(&Reason::NeverRun) {
        return Ok(Standing::NeverRun);
    }
    Ok(Standing::Stale { reasons: reasons.iter().map(ToString::to_string).collect() })
}

fn saved(store: &Store, fingerprint: &Fingerprint) -> Result<Standing, StoreError> {
    let figures = match store.load_partial(fingerprint) {
        Ok(Partial::Whole { state, .. }) => Figures::of_state(&state).ok(),
        Ok(Partial::Absent | Partial::Damaged) | Err(_) => None,
    };
    Ok(Standing::Interrupted {
        epoch: figures.as_ref().map(|figures| figures.history.len() as u64 + 1),
        step: figures.map(|figures| figures.step),
    })
}

/// How the log of a stage ends.
#[derive(Default)]
struct LogEnd {
    /// Its last event.
    last: Option<Event>,
    /// The last epoch that it tells of.
    epoch: Option<u64>,
}

impl LogEnd {
    fn of(store: &Store, fingerprint: &Fingerprint) -> Result<Self, StoreError> {
        let mut end = Self::default();
        Tail::default().events(store, fingerprint, &mut |stamped| {
            if let Event::EpochFinished { record, .. } = &stamped.event {
                end.epoch = Some(record.epoch);
            }
            end.last = Some(stamped.event);
        })?;
        Ok(end)
    }
}

/// The last result of a stage that is stale now, if the cache still has it.
fn last_result(
    graph: &Graph,
    node: &Node,
    store: &Store,
    pipeline: &str,
) -> Result<Option<Record>, StoreError> {
    for usage in &node.uses {
        let Some(last) = store.recall(pipeline, &graph.points[usage.point].name(), &usage.stage)? else {
            continue;
        };
        if let Lookup::Present(record) = store.lookup(&last.fingerprint)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
