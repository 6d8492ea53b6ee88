//! `runner graph`: the stages, what they take from each other, and what is in the cache.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use miette::Result;

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::output::write_file;
use super::plan::headline;
use super::style::{Cell, FAINT, REUSED, STAGE, STALE, columns};
use crate::draw::Unit;
use crate::report::figures::{Content, Stage, StageGraph};

/// Show the stages, what they take from each other, and what is in the cache
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner graph pipelines/quickstart.toml
  runner graph pipelines/quickstart.toml --over threshold-search.flops_ratio=0.3,0.5,0.7
  runner graph pipelines/quickstart.toml --format mermaid > graph.mmd
  runner graph pipelines/quickstart.toml --format svg > graph.svg

Of a sweep, a stage stands once, with the number of different pieces of work that its points need.
GitHub and many editors draw the mermaid format where it stands in a ```mermaid block.")]
pub struct GraphArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// How the graph is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Mermaid,
    Svg,
}

/// Prints the graph.
pub fn run(args: &GraphArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let stages = StageGraph::of(&opened.graph, &plan).stages;
    match args.format {
        Format::Text => {
            say!("{}", headline(&opened.name, &opened.graph, &plan));
            say_all!("{}", text(&stages));
        }
        Format::Mermaid => write_file(&mermaid(&stages)),
        Format::Svg => {
            let drawn = crate::draw::panels(&Content::Graph(StageGraph { stages }), 0.0);
            drawn.iter().for_each(|panel| write_file(&panel.file_svg(Unit::Pixels)));
        }
    }
    Ok(())
}

fn text(stages: &[Stage]) -> String {
    let row = |stage: &Stage| {
        let inputs: Vec<String> =
            stage.inputs.iter().map(|(role, giver)| format!("{giver} ({role})")).collect();
        let from = if inputs.is_empty() { String::new() } else { format!("<- {}", inputs.join(", ")) };
        let style = if stage.is_cached() { REUSED } else { STALE };
        vec![
            Cell::left(&stage.name).style(STAGE),
            Cell::left(stage.state()).style(style),
            Cell::left(from).style(FAINT),
        ]
    };
    columns(&stages.iter().map(row).collect::<Vec<_>>())
}

fn mermaid(stages: &[Stage]) -> String {
    let mut text = String::from("flowchart TD\n");
    // A stage may be called `end`, which mermaid reads as a word of its own.
    let id = |name: &str| stages.iter().position(|stage| stage.name == name).map_or(0, |at| at + 1);
    for stage in stages {
        let class = if stage.is_cached() { "cached" } else { "stale" };
        let (name, state) = (&stage.name, stage.state());
        let _ = writeln!(text, "    s{}[\"{name}<br>{state}\"]:::{class}", id(name));
    }
    for stage in stages {
        for (role, giver) in &stage.inputs {
            let _ = writeln!(text, "    s{} -->|{role}| s{}", id(giver), id(&stage.name));
        }
    }
    text + "    classDef cached fill:#d5f0e0,stroke:#2a7f4f,color:#10301f\n    classDef stale fill:#fdeecb,stroke:#b07b10,color:#3b2a05\n"
}
