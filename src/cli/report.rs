//! `runner report`: a study as one HTML file.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use miette::Result;

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::style::{FAINT, paint};
use super::sweep::quoted;
use super::table;
use crate::page::Report;
use crate::report::figures::Study;
use crate::report::observations;
use crate::written::{Format, Place, Replace};

/// Write a report of a pipeline or a sweep: one HTML file that needs nothing else
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner report pipelines/quickstart.toml --open
  runner report P.toml --over threshold-search.flops_ratio=0.3,0.5 --over seed=1..3 --to study.html
  runner report pipelines/ablation_quick.toml --over seed=1..3 --baseline retrain-uniform

Only what is in the cache is shown, and the report says what is missing; `runner run` with the same
--over computes it. The file has every figure and its data, works offline, follows the light or dark
mode of its reader, and prints. An earlier report is replaced; one that was edited, and any other
file, only with --force.")]
pub struct ReportArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// The file; by default the pipeline's name and .html
    #[arg(long, value_name = "FILE.html")]
    to: Option<PathBuf>,
    /// Compare the networks with those of this stage, or with those at this value of a swept key
    #[arg(long, value_name = "STAGE|KEY=VALUE")]
    baseline: Option<String>,
    /// Replace any file that is there, and not only an earlier report
    #[arg(long)]
    force: bool,
    /// Show it in a browser
    #[arg(long)]
    open: bool,
}

/// Writes the report.
pub fn run(args: &ReportArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let baseline = |text: &String| {
        let records: Vec<_> = plan.entries.iter().map(|entry| entry.record().cloned()).collect();
        table::baseline(text, &opened.graph.axes(), &observations(&opened.graph, &records))
    };
    let baseline = args.baseline.as_ref().map(baseline).transpose()?;
    let name = opened.name.clone();
    let mut runs = opened.store.runs()?;
    runs.retain(|(_, run)| run.pipeline == name);
    let report = Report {
        study: Study { graph: &opened.graph, plan: &plan, store: &opened.store },
        description: opened.description.clone(),
        file: opened.file.clone(),
        command: command(&args.pipeline),
        baseline,
        runs,
        made: Timestamp::now(),
        name,
    };
    let path = args.to.clone().unwrap_or_else(|| PathBuf::from(format!("{}.html", file_name(&opened.name))));
    let page = report.html();
    let replace = Replace::by(args.force);
    let place = Place::of(&path, Format::Html, replace, &opened.inputs())?;
    let is_stream = place.is_stream();
    place.write(Format::Html, page.as_bytes())?;
    // The stream may be standard output itself.
    if !is_stream {
        say!("{}", path.display());
    }
    if plan.to_run() > 0 {
        let words = format!("{} no result yet: `runner run` computes them", table::have(plan.to_run()));
        tell!("{}", paint(FAINT, words));
    }
    if args.open {
        show(&path);
    }
    Ok(())
}

/// The command that computes what the report shows.
fn command(pipeline: &PipelineArgs) -> String {
    let mut command = format!("runner run {}", quoted(&pipeline.pipeline.display().to_string()));
    for (option, texts) in [("--set", &pipeline.changes.set), ("--over", &pipeline.changes.over)] {
        texts.iter().for_each(|text| command += &format!(" {option} {}", quoted(text)));
    }
    command
}

/// A name as a file's: what a file system or a shell may read otherwise becomes a dash.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "report".to_owned() } else { name.to_owned() }
}

/// Hands the file to the browser. A machine without one is no failure: the path was printed.
fn show(path: &Path) {
    if let Err(error) = opener::open(path) {
        tell!("{}", paint(FAINT, format!("no browser could be opened: {error}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_file_s_name() {
        assert_eq!(file_name("ablation_quick"), "ablation_quick");
        assert_eq!(file_name("../a b/ü<script>"), "-a-b-ü-script-");
        assert_eq!(file_name(".."), "report");
    }
}
