//! `runner best`: the best network of a study, and how to get its checkpoint.

use std::collections::BTreeSet;

use clap::Args;
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::style::{Cell, FAINT, STAGE, columns, folded, paint, width};
use super::sweep::quoted;
use super::table::Figure;
use crate::report::{Metric, Observation, metric_title, observations, written};

/// Show the best network of a study, and how to get its checkpoint
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner best study.toml
  runner best study.toml --metric loss
  runner best study.toml --over seed=1..3 --json

The best network is one network of one point and seed, chosen by its test figures: to
compare methods use the means of `runner table --sort`. Of equal networks the cheapest
is shown.")]
pub struct BestArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// What is compared: the highest accuracy, the lowest of any other metric
    #[arg(long, value_name = "METRIC", default_value = "accuracy")]
    metric: Figure,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the best network.
pub fn run(args: &BestArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let records: Vec<_> = plan.entries.iter().map(|entry| entry.record().cloned()).collect();
    let found = observations(&opened.graph, &records);
    let metric = args.metric.0;
    let Some(best) = best(&found, metric) else {
        return Err(miette!(
            help = "`runner run` evaluates what is missing; `runner status` says how every stage stands",
            "no evaluated network has the metric `{}`",
            metric.name()
        ));
    };
    let different = found.iter().map(|one| one.network).collect::<BTreeSet<_>>().len();
    let stage = shown(best, opened.graph.points.len() > 1);
    let show = show(&args.pipeline, &args.cache, &stage);
    let path = opened.store.object_path(&best.network).display().to_string();
    if args.json {
        let figures: serde_json::Map<String, serde_json::Value> =
            best.figures.iter().map(|(metric, value)| (metric.name().to_owned(), json!(value))).collect();
        let point: serde_json::Map<String, serde_json::Value> =
            best.label.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let whole = json!({
            "pipeline": opened.name,
            "metric": metric.name(),
            "point": point,
            "stage": best.stage,
            "output": best.output,
            "figures": figures,
            "latency_measured_on": best.measured,
            "object": best.network,
            "path": path,
        });
        say!("{}", serde_json::to_string_pretty(&whole).into_diagnostic()?);
        return Ok(());
    }
    say_all!("{}", text(best, metric, different));
    if different > 1 {
        let words =
            "chosen by its test images, so its figures are optimistic; `runner table` shows means over seeds";
        say!("{}", folded(&paint(FAINT, words), 0, width()));
    }
    say!("\n{}", paint(FAINT, "its tensors, and where it came from:"));
    say!("  {show}");
    say!("{}", paint(FAINT, "a copy of its checkpoint:"));
    say!("  cp {} best.safetensors", quoted(&path));
    Ok(())
}

/// The best network by a metric; of equal ones the one with the fewest multiply-accumulates, then the first.
fn best(found: &[Observation], metric: Metric) -> Option<&Observation> {
    let key = |one: &Observation| {
        let value = one.figures.get(&metric).copied().filter(|value| value.is_finite())?;
        let cost = one.figures.get(&Metric::Macs).copied().unwrap_or(f64::INFINITY);
        Some((if metric.rises() { -value } else { value }, cost))
    };
    let keyed = found.iter().filter_map(|one| Some((key(one)?, one)));
    let order = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
    keyed.min_by(|(a, _), (b, _)| order(a, b)).map(|(_, one)| one)
}

/// A network as `runner show` takes it: `retrain.best@seed=1`.
fn shown(one: &Observation, is_sweep: bool) -> String {
    let terms: Vec<String> = one.label.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let point = if is_sweep { format!("@{}", terms.join(",")) } else { String::new() };
    format!("{}.{}{point}", one.stage, one.output)
}

fn show(pipeline: &PipelineArgs, cache: &CacheArgs, stage: &str) -> String {
    let mut command =
        format!("runner show {} {}", quoted(&pipeline.pipeline.display().to_string()), quoted(stage));
    for (option, texts) in [("--set", &pipeline.changes.set), ("--over", &pipeline.changes.over)] {
        texts.iter().for_each(|text| command += &format!(" {option} {}", quoted(text)));
    }
    command + &super::sweep::cache_option(cache)
}

/// `of`: different networks that it was chosen from.
fn text(one: &Observation, metric: Metric, of: usize) -> String {
    let mut text = format!(
        "{} of {}: {}\n",
        paint(STAGE, format!("best {}", metric_title(metric))),
        crate::report::format::plural(of, "evaluated network"),
        one.figures.get(&metric).map_or(String::new(), |value| written(metric, *value)),
    );
    let row = |key: &str, value: String| vec![Cell::left(key).style(FAINT), Cell::left(value)];
    let mut rows = vec![row("network", format!("{}.{}", one.stage, one.output))];
    rows.extend(one.label.iter().map(|(key, value)| row(key, value.clone())));
    rows.extend(
        one.figures.iter().map(|(metric, value)| row(metric_title(*metric), written(*metric, *value))),
    );
    rows.extend(one.measured.as_ref().map(|measured| row("measured on", measured.machine.to_string())));
    rows.push(row("object", one.network.to_string()));
    text += &columns(&rows);
    text
}
