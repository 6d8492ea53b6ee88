//! What is compared: a result, or a whole pipeline or run.

use std::path::Path;

use miette::Result;

use crate::cli::args::{CacheArgs, ChangeArgs, PipelineArgs, SelectionArgs};
use crate::cli::open::Opened;
use crate::cli::runs::chosen;
use crate::cli::show::Target;
use crate::fingerprint::Fingerprint;
use crate::plan::Graph;
use crate::report::studies::Study;
use crate::store::{Lookup, Record};

/// One side.
pub enum Side {
    /// A result, as `runner show` shows it.
    Result(Box<Found>),
    /// A pipeline or a run.
    Study(Box<Whole>),
}

/// A result.
pub struct Found {
    /// What it was asked for by.
    pub name: String,
    /// What was found.
    pub target: Target,
    /// Evaluations of its networks.
    pub evaluations: Vec<Record>,
}

/// A pipeline or a run with the results that it has.
pub struct Whole {
    /// What it was asked for by.
    pub name: String,
    graph: Graph,
    fingerprints: Vec<Option<Fingerprint>>,
    records: Vec<Option<Record>>,
}

impl Whole {
    /// What is compared of it.
    pub fn study(&self) -> Study<'_> {
        Study { graph: &self.graph, fingerprints: &self.fingerprints, records: &self.records }
    }
}

impl Side {
    /// Finds one side.
    pub fn find(what: &str, stage: Option<&str>, changes: &ChangeArgs, cache: &CacheArgs) -> Result<Self> {
        if let Some(stage) = stage {
            let target = Target::stage(Path::new(what), stage, changes, cache)?;
            return Self::result(format!("{what} {stage}"), target, cache);
        }
        if Path::new(what).extension().is_some_and(|extension| extension == "toml") {
            let pipeline = PipelineArgs { pipeline: what.into(), changes: changes.clone() };
            return Self::pipeline(what, Opened::new(&pipeline, cache)?);
        }
        // The id of a run has a day, a time and a process; no hash has dashes.
        if what == "last" || (what.contains('-') && !Path::new(what).exists()) {
            return Self::run(what, cache);
        }
        Self::result(what.to_owned(), Target::artifact(what, cache)?, cache)
    }

    fn result(name: String, target: Target, cache: &CacheArgs) -> Result<Self> {
        let mut evaluations = Vec::new();
        if let Some(store) = cache.open_if_there()? {
            for file in &target.files {
                let takers = store.takers(&file.object)?;
                // The last evaluation is the one that the present pipeline shows.
                evaluations.extend(takers.into_iter().rfind(|record| record.kind == "eval"));
            }
        }
        evaluations.dedup_by_key(|record| record.fingerprint);
        Ok(Self::Result(Box::new(Found { name, target, evaluations })))
    }

    fn pipeline(name: &str, mut opened: Opened) -> Result<Self> {
        let plan = opened.plan(&SelectionArgs::default())?;
        let fingerprints = plan.entries.iter().map(|entry| entry.fingerprint).collect();
        let records = plan.entries.iter().map(|entry| entry.record().cloned()).collect();
        Ok(Self::Study(Box::new(Whole { name: name.to_owned(), graph: opened.graph, fingerprints, records })))
    }

    /// A run is what it was, not what its pipeline would be now.
    fn run(text: &str, cache: &CacheArgs) -> Result<Self> {
        let store = cache.open_here()?;
        let mut runs = store.runs()?;
        let (id, run) = runs.swap_remove(chosen(&runs, text)?);
        let opened = Opened::of_run(&id, &run, store)?;
        let fingerprints: Vec<Option<Fingerprint>> = opened
            .graph
            .iter()
            .map(|(_, node)| {
                let point = node.uses.first().map_or(0, |usage| usage.point);
                let own = |stage: &&crate::store::RunStage| {
                    stage.stage == node.name && stage.points.contains(&point)
                };
                run.stages.iter().find(own).and_then(|stage| stage.fingerprint)
            })
            .collect();
        let mut records = Vec::new();
        for fingerprint in &fingerprints {
            records.push(match fingerprint.map(|found| opened.store.lookup(&found)).transpose()? {
                Some(Lookup::Present(record)) => Some(record),
                _ => None,
            });
        }
        Ok(Self::Study(Box::new(Whole { name: id, graph: opened.graph, fingerprints, records })))
    }
}
