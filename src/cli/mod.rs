//! The command line: a file per command.
//!
//! A command turns arguments into calls of the rooms below and results into text. Results go to
//! standard output, progress and errors to standard error, so that output can be piped.

#[macro_use]
mod output;

mod args;
mod best;
mod cache;
mod compare;
mod completions;
mod data;
mod export;
mod graph;
mod import;
mod location;
mod log;
mod open;
mod parse;
mod plan;
mod plot;
mod points;
mod progress;
mod remote;
mod repeat;
mod report;
mod run;
mod runs;
mod schema;
mod show;
mod status;
mod style;
mod summary;
mod sweep;
mod table;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code of a run in which a stage failed, and of every other error.
const FAILURE: u8 = 1;

/// Run pruning experiments as cached stages of one pipeline file.
///
/// A pipeline file declares stages (init, gate-train, threshold-search, prune, retrain, eval).
/// `runner run` runs only those whose parameters, code or inputs have changed, and an interrupted
/// run goes on where it stopped.
#[derive(Debug, Parser)]
#[command(name = "runner", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  runner run pipelines/quickstart.toml                  run what is stale
  runner plan pipelines/quickstart.toml                 what would run, and why
  runner status pipelines/quickstart.toml               how every stage stands
  runner watch pipelines/quickstart.toml                a run that goes on, from a second shell
  runner log pipelines/quickstart.toml retrain          what happened in a stage
  runner show pipelines/quickstart.toml retrain         what a stage gave, and where it came from
  runner run P.toml --set threshold-search.flops_ratio=0.3
  runner run P.toml --over threshold-search.flops_ratio=0.3,0.5,0.7
  runner data fetch cifar10                             download a data set
  runner cache ls                                       what the cache holds";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the stages of a pipeline that are stale
    #[command(visible_alias = "sweep")]
    Run(run::RunArgs),
    /// Show what would run, and why
    Plan(plan::PlanArgs),
    /// Show the stages, what they take from each other, and what is in the cache
    Graph(graph::GraphArgs),
    /// Show results as a table, averaged over seeds
    Table(table::TableArgs),
    /// Show the best network of a study, and how to get its checkpoint
    Best(best::BestArgs),
    /// Compare two results, pipelines or runs
    Compare(compare::CompareArgs),
    /// Write a report: one HTML file with every figure, table and where they come from
    Report(report::ReportArgs),
    /// Write the figures as SVG, PNG and CSV
    Plot(plot::PlotArgs),
    /// List and download data sets
    Data(data::DataArgs),
    /// List the runs of a cache, or show one: command, machine, points, work
    Runs(runs::RunsArgs),
    /// Run the points of a run again, from what was kept of it
    Repeat(repeat::RepeatArgs),
    /// Show how every stage stands: cached, stale, interrupted, running
    Status(status::StatusArgs),
    /// Watch a run while it goes on, from a second shell or another machine
    Watch(watch::WatchArgs),
    /// Show what happened in a stage: epochs, checkpoints, resumes, failures
    Log(log::LogArgs),
    /// Show a result: its tensors, structure, metrics and where it came from
    Show(show::ShowArgs),
    /// List, measure, check and clear the cache
    Cache(cache::CacheCommandArgs),
    /// Write results to a bundle that another machine can check and use
    Export(export::ExportArgs),
    /// Take the results of a bundle into the cache
    Import(import::ImportArgs),
    /// Print the JSON Schema of the pipeline file, or its reference page
    Schema(schema::SchemaArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
}

/// Parses the arguments, runs the command, prints its error.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == completions::ASKED).is_some() {
        return completions::answer(arguments);
    }
    output::install_error_hook();
    output::agree_on_colours();
    let command = match parse::command_line() {
        Ok(line) => line.command,
        Err(code) => return code,
    };
    let result = match command {
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Graph(args) => graph::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Table(args) => table::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Best(args) => best::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Compare(args) => compare::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Report(args) => report::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Plot(args) => plot::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Data(args) => data::run(&args),
        Command::Runs(args) => runs::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Repeat(args) => repeat::run(&args),
        Command::Status(args) => status::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Watch(args) => watch::run(&args),
        Command::Log(args) => log::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Show(args) => show::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Cache(args) => cache::run(&args),
        Command::Export(args) => export::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Import(args) => import::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Schema(args) => schema::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => {
            completions::run(&args);
            Ok(ExitCode::SUCCESS)
        }
    };
    output::end(result.unwrap_or_else(|error| {
        output::write_report(&error);
        ExitCode::from(FAILURE)
    }))
}
