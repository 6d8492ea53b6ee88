//! `runner plan`: what would run, and why.

use clap::Args;
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::style::{FAINT, REUSED, STAGE, STALE, paint};
use crate::engine::memory;
use crate::plan::{Entry, Graph, Node, NodeId, Plan, Verdict};
use crate::report::format::{bytes, plural};

/// Show what would run, and why
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner plan pipelines/quickstart.toml
  runner plan pipelines/quickstart.toml --set gate-train.epochs=12
  runner plan pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7

A plan asks no shared cache: a run may find there what a plan says would run (docs/remote.md).")]
pub struct PlanArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

/// Sweeps of up to this many different stages are listed stage by stage.
const LISTED: usize = 60;

/// Prints the plan.
pub fn run(args: &PlanArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.outlook(&args.selection)?;
    if args.json {
        let text = serde_json::to_string_pretty(&as_json(&opened.graph, &plan)).into_diagnostic()?;
        say!("{text}");
        return Ok(());
    }
    say!("{}", headline(&opened.name, &opened.graph, &plan));
    if opened.graph.nodes.len() <= LISTED {
        let width = opened.graph.nodes.iter().map(|node| node.name.len()).max().unwrap_or(0);
        for (id, node) in opened.graph.iter() {
            say!("{}", line(&opened.graph, node, plan.entry(id), width));
        }
    }
    let largest = opened.graph.iter().filter(|(id, _)| plan.entry(*id).runs());
    let largest = largest.map(|(id, node)| (memory(&opened.graph, &plan, id), &node.name));
    if let Some((needed, name)) = largest.max_by_key(|(needed, _)| *needed).filter(|(needed, _)| *needed > 0)
    {
        let all = bytes(needed + memory::shared(&opened.graph));
        say!(
            "{}",
            paint(
                FAINT,
                format!(
                    "memory: about {all} on a CPU, in {name}; of it {} for the stage itself",
                    bytes(needed)
                )
            )
        );
    }
    Ok(())
}

fn memory(graph: &Graph, plan: &Plan, id: NodeId) -> u64 {
    memory::needed(graph, id, &|id| plan.entry(id).record().cloned())
}

/// One sentence: how much there is to do. Of a sweep, the numbers behind the first comma add up to all stage uses.
pub fn headline(name: &str, graph: &Graph, plan: &Plan) -> String {
    let stages = graph.nodes.len();
    let to_run = plan.to_run();
    let cached = plan.entries.iter().filter(|entry| entry.record().is_some()).count();
    let left = stages - to_run - cached;
    let counts = [(cached, "in the cache"), (left, "not selected")];
    let also = |word: &mut String| {
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            *word += &format!(", {count} {what}");
        }
    };
    if graph.points.len() > 1 {
        let uses = graph.stage_uses();
        let mut words = format!("{} points, {uses} stage uses, {to_run} to run", graph.points.len());
        also(&mut words);
        return format!("{name}: {words}, {} shared", uses - stages);
    }
    let mut words = format!("{to_run} to run");
    also(&mut words);
    if to_run == 0 {
        words = format!("nothing to run, {cached} of {stages} in the cache");
    }
    format!("{name}: {}: {words}", plural(stages, "stage"))
}

fn line(graph: &Graph, node: &Node, entry: &Entry, width: usize) -> String {
    let padding = " ".repeat(width - node.name.len());
    let name = paint(STAGE, &node.name);
    let what = match &entry.verdict {
        Verdict::Cached(record) => {
            let took = crate::report::format::seconds(record.provenance.seconds);
            format!(
                "{}  {}",
                paint(REUSED, "cached"),
                paint(FAINT, format!("{} took {took}", record.fingerprint.short()))
            )
        }
        Verdict::Left => paint(FAINT, "left    not selected"),
        Verdict::Run { reasons, resumes } => {
            let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let resumes = if *resumes { "; goes on from a saved state" } else { "" };
            format!("{}     {}{resumes}", paint(STALE, "run"), words.join(", "))
        }
    };
    format!("  {name}{padding}  {what}{}", paint(FAINT, points(graph, node)))
}

/// Which points a node belongs to, if not to all.
pub fn points(graph: &Graph, node: &Node) -> String {
    let all = graph.points.len();
    if all == 1 {
        return String::new();
    }
    let mut used: Vec<usize> = node.uses.iter().map(|usage| usage.point).collect();
    used.dedup();
    match used.as_slice() {
        used if used.len() == all => format!("  (shared by all {all} points)"),
        [one] => format!("  ({})", graph.points[*one].name()),
        used => format!("  (shared by {} points)", used.len()),
    }
}

fn as_json(graph: &Graph, plan: &Plan) -> serde_json::Value {
    let stages = graph.iter().map(|(id, node)| {
        let entry = plan.entry(id);
        let points: Vec<String> = node.uses.iter().map(|usage| graph.points[usage.point].name()).collect();
        let (reasons, resumes) = match &entry.verdict {
            Verdict::Cached(_) | Verdict::Left => (vec![], false),
            Verdict::Run { reasons, resumes } => (reasons.clone(), *resumes),
        };
        let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        json!({
            "stage": node.name,
            "kind": node.stage.kind.name,
            "points": points,
            "state": entry.verdict.state(),
            "reasons": reasons,
            "why": words,
            "resumes": resumes,
            "memory_bytes": memory(graph, plan, id),
            "fingerprint": entry.fingerprint,
        })
    });
    json!({
        "points": graph.points.len(),
        "stage_uses": graph.stage_uses(),
        "to_run": plan.to_run(),
        "shared_memory_bytes": memory::shared(graph),
        "stages": stages.collect::<Vec<_>>(),
    })
}
