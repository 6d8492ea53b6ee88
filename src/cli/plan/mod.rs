//! `runner plan`: what would run, why, and for how long.

mod groups;
pub mod time;

use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use super::FAILURE;
use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::style::{FAINT, REUSED, STAGE, STALE, folded, paint, width, wrapped};
use crate::engine::memory;
use crate::plan::{Entry, Estimates, Graph, Node, NodeId, Plan, Verdict};
use crate::report::format::{bytes, plural};
use crate::stages::Warning;

/// Show what would run, and why
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner plan pipelines/quickstart.toml
  runner plan pipelines/quickstart.toml --set gate-train.epochs=12
  runner plan pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7
  runner plan pipelines/quickstart.toml --check

The time is estimated from earlier results in the cache: those of the same kind of stage with the
nearest parameters, scaled by the images that pass through the network and by its FLOPs.

Exit codes: 0 the plan was made (with --check: nothing would run), 1 an error (with --check: also
when a stage would run).

`plan` does not read a shared cache: `run` may download results that `plan` lists as to run
(docs/remote.md).")]
pub struct PlanArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Exit with code 1 if a stage would run, for scripts and CI
    #[arg(long)]
    check: bool,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the plan.
pub fn run(args: &PlanArgs) -> Result<ExitCode> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.outlook(&args.selection)?;
    let estimates = Estimates::new(&opened.graph, &plan, &opened.store, "cpu");
    if args.json {
        let mut value = as_json(&opened.graph, &plan, &estimates);
        value["cache"] = opened.store.root().display().to_string().into();
        say!("{}", serde_json::to_string_pretty(&value).into_diagnostic()?);
    } else {
        say_all!("{}", text(&opened.name, &opened.graph, &plan, &estimates, width()));
        say!("{}", super::location::line(&opened.store)?);
    }
    let stale = plan.to_run();
    if args.check && stale > 0 {
        tell!("{}", paint(STALE, time::stale(stale, opened.graph.nodes.len())));
        return Ok(ExitCode::from(FAILURE));
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan in lines of at most `width` columns.
fn text(name: &str, graph: &Graph, plan: &Plan, estimates: &Estimates, width: usize) -> String {
    let mut text = wrapped(&[(Style::new(), &headline(name, graph, plan))], 4, width);
    text.push('\n');
    if graph.points.len() > 1 {
        text += &groups::lines(graph, plan, width);
    } else {
        let longest = graph.nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or(0);
        for (id, node) in graph.iter() {
            text += &line(node, plan.entry(id), estimates, id, longest, width);
            text.push('\n');
        }
    }
    for warning in warnings(graph, plan) {
        text += &folded(&warning, 4, width);
        text.push('\n');
    }
    let mut remark = |words: &str| {
        text += &wrapped(&[(FAINT, words)], 4, width);
        text.push('\n');
    };
    if let Some(words) = time::sentence(&estimates.total(graph, plan), plan.to_run()) {
        remark(&words);
    }
    let largest = graph.iter().filter(|(id, _)| plan.entry(*id).runs());
    let largest = largest.map(|(id, node)| (memory(graph, plan, id), &node.name));
    if let Some((needed, name)) = largest.max_by_key(|(needed, _)| *needed).filter(|(needed, _)| *needed > 0)
    {
        let all = bytes(needed + memory::shared(graph));
        remark(&format!(
            "memory: about {all} on a CPU, in {name}; of it {} for the stage itself",
            bytes(needed)
        ));
    }
    text
}

/// Each warning once, with the stages that it is about.
fn warnings(graph: &Graph, plan: &Plan) -> Vec<String> {
    let mut about: Vec<(String, Vec<(&str, usize)>)> = Vec::new();
    for ((_, node), entry) in graph.iter().zip(&plan.entries) {
        for message in entry.warnings.iter().map(ToString::to_string) {
            let at = about.iter().position(|(known, _)| *known == message).unwrap_or_else(|| {
                about.push((message, Vec::new()));
                about.len() - 1
            });
            let stages = &mut about[at].1;
            match stages.iter_mut().find(|(name, _)| *name == node.name) {
                Some((_, count)) => *count += 1,
                None => stages.push((&node.name, 1)),
            }
        }
    }
    let stage = |(name, count): &(&str, usize)| match count {
        1 => (*name).to_owned(),
        count => format!("{name} ({count} times)"),
    };
    let line = |(message, stages): &(String, Vec<(&str, usize)>)| {
        let stages: Vec<String> = stages.iter().map(stage).collect();
        format!("{} {}: {message}", paint(STALE, "warning:"), stages.join(", "))
    };
    about.iter().map(line).collect()
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

fn line(
    node: &Node,
    entry: &Entry,
    estimates: &Estimates,
    id: NodeId,
    longest: usize,
    width: usize,
) -> String {
    let padding = " ".repeat(longest - node.name.chars().count());
    let name = format!("  {}{padding}", node.name);
    let hang = longest + "  ".len() + "  cached  ".len();
    // On a narrow terminal the reasons would get a column of a few letters.
    let hang = if hang > width / 2 { 6 } else { hang };
    match &entry.verdict {
        Verdict::Cached(record) => {
            let took = crate::report::format::seconds(record.provenance.seconds);
            let words = format!("  {} took {took}", record.fingerprint.short());
            wrapped(&[(STAGE, &name), (REUSED, "  cached"), (FAINT, &words)], hang, width)
        }
        Verdict::Left => wrapped(&[(STAGE, &name), (FAINT, "  left    not selected")], hang, width),
        Verdict::Run { reasons, resumes } => {
            let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let resumes = if *resumes { "; goes on from a saved state" } else { "" };
            let words = format!("     {}{resumes}", words.join(", "));
            let time = time::of_stage(estimates.of(id));
            let pieces = [(STAGE, name.as_str()), (STALE, "  run"), (Style::new(), &words), (FAINT, &time)];
            wrapped(&pieces, hang, width)
        }
    }
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

/// A warning with its words.
fn told(warning: &Warning) -> serde_json::Value {
    let mut told = json!(warning);
    told["message"] = json!(warning.to_string());
    told
}

fn as_json(graph: &Graph, plan: &Plan, estimates: &Estimates) -> serde_json::Value {
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
            "warnings": entry.warnings.iter().map(told).collect::<Vec<_>>(),
            "estimate": estimates.of(id),
            "memory_bytes": memory(graph, plan, id),
            "fingerprint": entry.fingerprint,
        })
    });
    json!({
        "points": graph.points.len(),
        "stage_uses": graph.stage_uses(),
        "to_run": plan.to_run(),
        "groups": groups::as_json(graph, plan),
        "time": estimates.total(graph, plan),
        "shared_memory_bytes": memory::shared(graph),
        "stages": stages.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Estimate, Reason};
    use crate::{pipeline, stages};

    const FILE: &str = "\
[[stage]]
kind = \"init\"
[[stage]]
kind = \"gate-train\"
inputs.network = \"init\"
[[stage]]
kind = \"threshold-search\"
inputs.network = \"gate-train\"
[[stage]]
kind = \"prune\"
inputs.channels = \"threshold-search\"
[[stage]]
kind = \"retrain\"
inputs.network = \"prune\"
";

    fn changed(key: &str, from: &str, to: &str) -> Reason {
        Reason::ParameterChanged { key: key.to_owned(), from: from.to_owned(), to: to.to_owned() }
    }

    /// A plan of the file, in which training is stale, at 80 and at 60 columns.
    fn drawn(over: &[&str]) -> String {
        let over: Vec<String> = over.iter().map(|&text| text.to_owned()).collect();
        let loaded = pipeline::parse("p.toml", FILE, &[], stages::catalog()).unwrap();
        let identities = &mut crate::plan::DataIdentities::new(None);
        let graph = Graph::new(&loaded.points(&over).unwrap(), identities).unwrap();
        let entry = |node: &Node| {
            let had = vec![("optimizer.lr".to_owned(), "0.05".to_owned())];
            let verdict = match node.stage.kind.name {
                "gate-train" => Verdict::Run { reasons: vec![Reason::OtherState { had }], resumes: false },
                "retrain" => Verdict::Run {
                    reasons: vec![
                        changed("optimizer.weight_decay", "0.0001", "0.0005"),
                        changed("schedule.milestones", "[0.5,0.75]", "[0.25,0.5,0.75]"),
                        Reason::InputRuns { stage: "prune".to_owned() },
                    ],
                    resumes: true,
                },
                "init" => Verdict::Left,
                _ => Verdict::Run { reasons: vec![Reason::NeverRun], resumes: false },
            };
            Entry { fingerprint: None, verdict, warnings: Vec::new() }
        };
        let plan = Plan { entries: graph.nodes.iter().map(entry).collect() };
        let time = |node: &Node| {
            let seconds = if node.stage.kind.name == "retrain" { 600.0 } else { 60.0 };
            let estimate =
                Estimate { seconds, low: seconds / 1.2, high: seconds * 2.5, results: 2, elsewhere: true };
            (node.stage.kind.name != "prune").then_some(estimate).filter(|_| node.stage.kind.name != "init")
        };
        let estimates = Estimates::fixed(graph.nodes.iter().map(time).collect());
        let at = |width: usize| {
            let text = text("study", &graph, &plan, &estimates, width);
            let text = anstream::adapter::strip_str(&text).to_string();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            text
        };
        format!("{}---- 60 columns ----\n{}", at(80), at(60))
    }

    #[test]
    fn a_plan_fits_into_eighty_and_into_sixty_columns() {
        let sweep = drawn(&["threshold-search.flops_ratio=0.3,0.5,0.7", "seed=1,2"]);
        let text = format!("{}\n==== a sweep ====\n{sweep}", drawn(&[]));
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(text) });
    }
}
