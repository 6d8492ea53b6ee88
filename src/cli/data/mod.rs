//! `runner data`: what data sets there are, and getting them.

mod fetch;
mod list;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use miette::Result;

use crate::data::DataSetName;

/// List and download data sets
#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// List the data sets: what they are, whether they are here, how to get them
    List(list::ListArgs),
    /// Download a data set and check it
    Fetch(fetch::FetchArgs),
}

/// Runs the command.
pub fn run(args: &DataArgs) -> Result<ExitCode> {
    match &args.command {
        DataCommand::List(args) => list::run(args),
        DataCommand::Fetch(args) => fetch::run(args),
    }
}

/// Reads the name of a data set.
fn set_name() -> impl TypedValueParser<Value = DataSetName> {
    let names = PossibleValuesParser::new(DataSetName::ALL.map(DataSetName::name));
    names.try_map(|text| {
        DataSetName::ALL.into_iter().find(|set| set.name() == text).ok_or("it is no data set's name")
    })
}
