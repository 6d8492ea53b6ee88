//! `runner cache pull`: results out of the shared cache.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;
use miette::{Result, miette};

use super::chosen::{folder, is_pipeline, visit};
use super::transfer::{Item, Outcome, Report, TransferArgs};
use super::warn_of;
use crate::cli::args::PipelineArgs;
use crate::cli::open::Opened;
use crate::engine::PLAUSIBLE;
use crate::fingerprint::Fingerprint;
use crate::plan::{Assessment, Graph, NodeId, named};
use crate::store::{Control, Lookup, Pulled, Record, Remote, RemoteError, Store, objects};

/// Take results from the shared cache
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner cache pull pipelines/quickstart.toml           all its results that are there
  runner cache pull pipelines/quickstart.toml retrain   one, and all that led to it
  runner cache pull --remote-url s3://lab/pruning       all results that are there
  runner cache pull pipelines/quickstart.toml --dry-run

What comes is checked before it enters the cache: records by their seals, objects by their hashes.
Results that are here stay as they are. Credentials come from the environment.

Exit codes: 0 all that is there is here, 1 an error, or something could not be taken.")]
pub struct PullArgs {
    /// A pipeline file; all results without it
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    #[command(flatten)]
    with: TransferArgs,
}

/// Takes results.
pub fn run(args: &PullArgs) -> Result<ExitCode> {
    if args.pipeline.is_none() {
        // An address that cannot be used leaves no new cache.
        args.with.remote.open(None)?;
    }
    let (store, _visit) = visit(Store::open(&folder(&args.with.cache, args.pipeline.as_deref()))?)?;
    if !args.with.dry_run {
        warn_of(store.prepare()?);
    }
    let report = match &args.pipeline {
        Some(path) if is_pipeline(path) => of_pipeline(args, path, &store)?,
        Some(other) => {
            let help = "name a TOML file, or nothing for all results";
            return Err(miette!(help = help, "`{other}` is no pipeline file"));
        }
        None => {
            let remote = args.with.remote.open(None)?;
            let mut report = Report::new(&remote, args.with.dry_run);
            let results = remote.results(&Control::NONE)?;
            let items: Vec<Item> = results
                .into_iter()
                .map(|fingerprint| Item { fingerprint, name: "result".to_owned() })
                .collect();
            take(args, &store, &remote, &items, &mut report);
            report
        }
    };
    report.tell("pulled", args.with.json)
}

/// Takes the results of a pipeline stage by stage: a fingerprint is known once the inputs' records are.
fn of_pipeline(args: &PullArgs, path: &str, store: &Store) -> Result<Report> {
    let pipeline = PipelineArgs { pipeline: path.into(), changes: args.with.changes.clone() };
    let mut opened = Opened::new(&pipeline, &args.with.cache)?;
    let remote = args.with.remote.open(opened.remote.as_ref())?;
    let mut report = Report::new(&remote, args.with.dry_run);
    let graph = &opened.graph;
    let mut open = wanted(graph, args.with.stage.as_ref())?;
    let mut records: Vec<Option<Record>> = vec![None; graph.nodes.len()];
    loop {
        let mut level: BTreeMap<Fingerprint, Vec<NodeId>> = BTreeMap::new();
        for &id in &open {
            if let Some(known) = Assessment::of(graph, graph.node(id), &records, &mut opened.data)? {
                level.entry(known.fingerprint).or_default().push(id);
            }
        }
        if level.is_empty() {
            break;
        }
        let items: Vec<Item> = level
            .iter()
            .map(|(fingerprint, nodes)| Item {
                fingerprint: *fingerprint,
                name: graph.node(nodes[0]).name.clone(),
            })
            .collect();
        let taken = take(args, store, &remote, &items, &mut report);
        for (nodes, record) in level.values().zip(taken) {
            for id in nodes {
                open.remove(id);
                records[id.0].clone_from(&record);
            }
        }
    }
    let names = open.iter().map(|id| format!("{} {}", graph.node(*id).name, graph.common(*id)));
    report.unknown = names.map(|name| name.trim_end().to_owned()).collect();
    Ok(report)
}

/// The nodes of a stage with all that they need, or all nodes.
fn wanted(graph: &Graph, stage: Option<&String>) -> Result<BTreeSet<NodeId>> {
    let Some(stage) = stage else { return Ok(graph.iter().map(|(id, _)| id).collect()) };
    let mut open: Vec<NodeId> =
        named(graph, "the command line", std::slice::from_ref(stage))?.into_iter().collect();
    let mut wanted = BTreeSet::new();
    while let Some(id) = open.pop() {
        if wanted.insert(id) {
            open.extend(graph.node(id).inputs.iter().map(|edge| edge.from));
        }
    }
    Ok(wanted)
}

fn take(
    args: &PullArgs,
    store: &Store,
    remote: &Remote,
    items: &[Item],
    report: &mut Report,
) -> Vec<Option<Record>> {
    let taken = report.each(items, |item, control| {
        if args.with.dry_run {
            would(store, remote, item, control)
        } else {
            pull(store, remote, item, control)
        }
    });
    taken.into_iter().map(Option::flatten).collect()
}

fn pull(
    store: &Store,
    remote: &Remote,
    item: &Item,
    control: &Control<'_>,
) -> Result<(Outcome, Option<Record>), RemoteError> {
    Ok(match store.pull(remote, &item.fingerprint, PLAUSIBLE, control)? {
        Pulled::New { record, objects, bytes } => (Outcome::New { objects, bytes }, Some(*record)),
        Pulled::Known(record) => (Outcome::Known, Some(*record)),
        Pulled::Absent => (Outcome::Absent, None),
        Pulled::Underway => (Outcome::Underway, None),
    })
}

/// What [`pull`] would do, as far as records tell it.
fn would(
    store: &Store,
    remote: &Remote,
    item: &Item,
    control: &Control<'_>,
) -> Result<(Outcome, Option<Record>), RemoteError> {
    if let Lookup::Present(record) = store.lookup(&item.fingerprint)? {
        return Ok((Outcome::Known, Some(record)));
    }
    let Some(record) = remote.record(&item.fingerprint, control)? else { return Ok((Outcome::Absent, None)) };
    let mut missing = objects(&record);
    missing.retain(|object| !store.object_path(object).is_file());
    let sizes: BTreeMap<_, u64> = record.outputs.values().map(|entry| (entry.object, entry.bytes)).collect();
    let bytes = missing.iter().filter_map(|object| sizes.get(object)).sum();
    Ok((Outcome::New { objects: missing.len(), bytes }, Some(record)))
}
