//! `runner cache push`: results into the shared cache.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use miette::Result;

use super::chosen::{ChosenArgs, is_pipeline, visited};
use super::transfer::{Item, Outcome, Report, TransferArgs};
use crate::cli::args::{PipelineArgs, SelectionArgs};
use crate::cli::open::Opened;
use crate::fingerprint::Fingerprint;
use crate::plan::named;
use crate::store::{Inventory, RemoteUrl, Standing};

/// Give results to the shared cache
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner cache push pipelines/quickstart.toml           all its results that are here
  runner cache push pipelines/quickstart.toml retrain   one, and all that led to it
  runner cache push --remote-url s3://lab/pruning       all results of this cache
  runner cache push pipelines/quickstart.toml --dry-run

Objects go before the records that name them; what is there already is not sent again, and a record
that is there is never replaced by a different one. Credentials come from the environment.

Exit codes: 0 all is there, 1 an error, or something could not be sent.")]
pub struct PushArgs {
    /// A pipeline file; or a hash, a fingerprint or a name, as for `runner cache pin`; all results without it
    #[arg(value_name = "PIPELINE")]
    target: Option<String>,
    #[command(flatten)]
    with: TransferArgs,
}

/// Sends results.
pub fn run(args: &PushArgs) -> Result<ExitCode> {
    let (store, _visit) = visited(&args.with.cache, args.target.as_deref())?;
    let inventory = store.inventory()?;
    let Selected { work, unknown, url } = select(args, &inventory)?;
    let remote = args.with.remote.open(url.as_ref())?;
    let mut report = Report::new(&remote, args.with.dry_run);
    report.unknown = unknown;
    let items: Vec<Item> = work.into_iter().map(|fingerprint| item(fingerprint, &inventory)).collect();
    report.each(&items, |item, control| {
        let fingerprint = &item.fingerprint;
        let (standing, objects, bytes) = if args.with.dry_run {
            let found = inventory.work.get(fingerprint).map(|work| crate::store::objects(&work.record));
            let sizes = found.iter().flatten().filter_map(|object| inventory.objects.get(object));
            let (objects, bytes) = sizes.fold((0, 0), |(count, sum), held| (count + 1, sum + held.bytes));
            (store.compare(&remote, fingerprint, control)?, objects, bytes)
        } else {
            let pushed = store.push(&remote, fingerprint, &BTreeSet::new(), control)?;
            (pushed.standing, pushed.objects, pushed.bytes)
        };
        let outcome = match standing {
            Standing::New => Outcome::New { objects, bytes },
            Standing::Known => Outcome::Known,
            Standing::Different => Outcome::Different,
        };
        Ok((outcome, ()))
    });
    report.tell("pushed", args.with.json)
}

/// Which results are meant.
struct Selected {
    work: BTreeSet<Fingerprint>,
    /// Stages whose results are not here.
    unknown: Vec<String>,
    /// What the pipeline file names.
    url: Option<RemoteUrl>,
}

fn select(args: &PushArgs, inventory: &Inventory) -> Result<Selected> {
    let Some(target) = &args.target else {
        let work = inventory.work.keys().copied().collect();
        return Ok(Selected { work, unknown: Vec::new(), url: None });
    };
    if !is_pipeline(target) {
        let (stage, changes) = (args.with.stage.clone(), args.with.changes.clone());
        let chosen =
            ChosenArgs { target: target.clone(), stage, changes }.find(&args.with.cache, inventory)?;
        return Ok(Selected { work: inventory.reach(chosen.work), unknown: Vec::new(), url: None });
    }
    let pipeline = PipelineArgs { pipeline: target.into(), changes: args.with.changes.clone() };
    let mut opened = Opened::new(&pipeline, &args.with.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let stages: Vec<String> = args.with.stage.iter().cloned().collect();
    let wanted = named(&opened.graph, "the command line", &stages)?;
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for (id, node) in opened.graph.iter() {
        if !stages.is_empty() && !wanted.contains(&id) {
            continue;
        }
        match plan.entry(id).record() {
            Some(record) => found.push(record.fingerprint),
            None => unknown.push(format!("{} {}", node.name, opened.graph.common(id)).trim_end().to_owned()),
        }
    }
    Ok(Selected { work: inventory.reach(found), unknown, url: opened.remote })
}

fn item(fingerprint: Fingerprint, inventory: &Inventory) -> Item {
    let made = inventory.work.get(&fingerprint).map(|work| &work.record.provenance);
    let name = made.map_or_else(String::new, |made| format!("{} of {}", made.stage, made.pipeline));
    Item { fingerprint, name }
}
