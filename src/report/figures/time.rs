//! What stages took.

use super::label;
use super::{Absent, Study, sheet};

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Time {
    /// The stages, in the order of the pipeline.
    pub stages: Vec<StageTime>,
}

/// What the work of one stage took, over all points.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Its pieces of work, each once.
    pub works: Vec<Took>,
}

/// What one piece of work took.
#[derive(Debug, Clone, PartialEq)]
pub struct Took {
    /// Its point, in words.
    pub point: String,
    /// Wall time of all runs that took part.
    pub seconds: f64,
    /// How many took part.
    pub sessions: u32,
    /// The machine.
    pub host: String,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// CPU threads.
    pub threads: usize,
}

impl StageTime {
    /// The wall time of all its work.
    pub fn seconds(&self) -> f64 {
        self.works.iter().map(|took| took.seconds).sum()
    }
}

impl Time {
    /// From the records of a study.
    ///
    /// # Errors
    /// Nothing has run yet.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let mut stages: Vec<StageTime> = Vec::new();
        for (id, record) in study.records() {
            let from = &record.provenance;
            let took = Took {
                point: label::words(&study.graph.common_label(id)),
                seconds: from.seconds,
                sessions: from.sessions,
                host: from.host.clone(),
                device: from.device.clone(),
                threads: from.threads,
            };
            let name = &study.graph.node(id).name;
            match stages.iter_mut().find(|stage| stage.stage == *name) {
                Some(stage) => stage.works.push(took),
                None => stages.push(StageTime { stage: name.clone(), works: vec![took] }),
            }
        }
        if stages.is_empty() { Err(Absent::new("nothing has run yet")) } else { Ok(Self { stages }) }
    }

    /// The wall time of all work.
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(StageTime::seconds).sum()
    }

    /// As CSV, a row for each piece of work.
    pub fn csv(&self) -> String {
        let rows = self.stages.iter().flat_map(|stage| {
            stage.works.iter().map(move |took| {
                vec![
                    stage.stage.clone(),
                    took.point.clone(),
                    took.seconds.to_string(),
                    took.sessions.to_string(),
                    took.host.clone(),
                    took.device.clone(),
                    took.threads.to_string(),
                ]
            })
        });
        sheet(&["stage", "point", "seconds", "sessions", "host", "device", "threads"], rows)
    }
}
