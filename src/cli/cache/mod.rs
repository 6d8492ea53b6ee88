//! `runner cache`: what the cache holds, whether it is whole, and what of it is kept.

mod chosen;
mod du;
mod gc;
mod ls;
mod pin;
mod pull;
mod push;
mod transfer;
mod units;

pub use units::size;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::Result;

use crate::cli::style::{STALE, paint};
use crate::store::Durability;

pub use chosen::{ChosenArgs, visit, visited};

/// List, measure, check and clear the cache
#[derive(Debug, Args)]
pub struct CacheCommandArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// List the results in the cache
    Ls(ls::LsArgs),
    /// Show how much room the cache takes, and what for
    Du(du::DuArgs),
    /// Check every file of the cache
    Verify(verify::VerifyArgs),
    /// Remove results that nobody asked to keep
    Gc(gc::GcArgs),
    /// Keep results from being collected
    Pin(pin::PinArgs),
    /// Take a pin back
    Unpin(pin::UnpinArgs),
    /// Give results to the shared cache
    Push(push::PushArgs),
    /// Take results from the shared cache
    Pull(pull::PullArgs),
}

/// Runs the command.
pub fn run(args: &CacheCommandArgs) -> Result<ExitCode> {
    match &args.command {
        CacheCommand::Ls(args) => ls::run(args).map(|()| ExitCode::SUCCESS),
        CacheCommand::Du(args) => du::run(args).map(|()| ExitCode::SUCCESS),
        CacheCommand::Verify(args) => verify::run(args),
        CacheCommand::Gc(args) => gc::run(args).map(|()| ExitCode::SUCCESS),
        CacheCommand::Pin(args) => pin::pin(args).map(|()| ExitCode::SUCCESS),
        CacheCommand::Unpin(args) => pin::unpin(args).map(|()| ExitCode::SUCCESS),
        CacheCommand::Push(args) => push::run(args),
        CacheCommand::Pull(args) => pull::run(args),
    }
}

/// A word about a file system that cannot keep all that is written.
pub fn warn_of(durability: Durability) {
    if let Some(words) = durability.warning() {
        tell!("{} {words}", paint(STALE, "warning:"));
    }
}

/// A word about files that could not be read, if there are any.
fn tell_unreadable(inventory: &crate::store::Inventory) {
    let count = inventory.unreadable.len();
    if count > 0 {
        let files = crate::report::format::plural(count, "file");
        tell!(
            "{files} cannot be understood and {} left out; `runner cache verify` says more",
            if count == 1 { "is" } else { "are" }
        );
    }
}
