//! `runner completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print shell completions
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  runner completions bash > ~/.local/share/bash-completion/completions/runner"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the completions.
pub fn run(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "runner", &mut script);
    super::output::write_file(&String::from_utf8_lossy(&script));
}
