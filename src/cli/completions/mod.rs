//! Completes a command line: `runner completions SHELL` prints a script, which calls `runner __complete` for
//! the candidates.
//!
//! A completion reads the pipeline file and the names of a few files. It hashes nothing, and it never prints
//! an error.

mod line;
mod values;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use line::{Line, split};
use values::Given;

/// Print shell completions
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner completions bash > ~/.local/share/bash-completion/completions/runner
  runner completions zsh > ~/.zfunc/_runner        (with ~/.zfunc in fpath)
  runner completions fish > ~/.config/fish/completions/runner.fish

Bash, zsh and fish complete options, files, stages, keys and values of --set and --over, metrics,
figures and runs. Other shells complete commands and options.")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// The script of a shell.
pub fn script(args: &CompletionsArgs) -> String {
    match args.shell {
        Shell::Bash => include_str!("runner.bash").to_owned(),
        Shell::Zsh => include_str!("runner.zsh").to_owned(),
        Shell::Fish => include_str!("runner.fish").to_owned(),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut super::Cli::command(), "runner", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    }
}

/// Prints the completions.
pub fn run(args: &CompletionsArgs) {
    super::output::write_file(&script(args));
}

/// How a shell goes on after a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a blank.
    Word,
    /// With nothing: more of the word follows.
    Partial,
    /// As after a file: with nothing after a folder.
    File,
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Word => "words",
            Self::Partial => "partial",
            Self::File => "files",
        }
    }
}

/// The hidden command that prints candidates.
pub const ASKED: &str = "__complete";

/// Answers `__complete words INDEX WORD...`, or `__complete bash BEFORE AFTER` with the text before and after
/// the cursor. The first line of the answer says how a candidate ends; each further line is a candidate.
pub fn answer(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let found = match words.split_first() {
        Some((form, rest)) if form == "words" => {
            let at = rest.first().and_then(|at| at.parse::<usize>().ok());
            at.map(|at| offered(rest.get(1..).unwrap_or_default(), at))
        }
        Some((form, [before, after])) if form == "bash" => Some(for_bash(before, after)),
        _ => None,
    };
    if let Some((ending, found)) = found {
        let text = std::iter::once(ending.word()).chain(found.iter().map(String::as_str));
        let text: String = text.map(|line| format!("{line}\n")).collect();
        // If the shell has gone, nobody needs the answer.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    ExitCode::SUCCESS
}

/// The candidates for the word at `at`.
fn offered(words: &[String], at: usize) -> (Ending, Vec<String>) {
    let mut words = words.to_vec();
    if words.len() <= at {
        words.resize(at + 1, String::new());
    }
    let mut command = super::Cli::command();
    command.build();
    let line = Line::read(&command, &words[..at]);
    let mut given = Given::of(&line);
    given.look_ahead(&words[at + 1..]);
    let (ending, mut found) = line.candidates(&words[at], &given);
    // A candidate of several lines would be several candidates.
    found.retain(|text| text.starts_with(&words[at]) && !text.contains('\n'));
    found.sort();
    found.dedup();
    let partial = found.iter().all(|text| text.ends_with(['=', '.', '/']));
    let ending =
        if ending == Ending::Word && partial && !found.is_empty() { Ending::Partial } else { ending };
    (ending, found)
}

/// [`offered`] for bash, which replaces only the text after the last word break (`=` and `:` are word
/// breaks).
fn for_bash(before: &str, after: &str) -> (Ending, Vec<String>) {
    let mut words = split(before);
    let at = words.len().saturating_sub(1);
    words.extend(split(after).into_iter().skip(1));
    // The first word is the command.
    let (Some(words), Some(at)) = (words.get(1..), at.checked_sub(1)) else {
        return (Ending::Word, Vec::new());
    };
    let current = words.get(at).cloned().unwrap_or_default();
    let breaks = std::env::var("RUNNER_WORDBREAKS").ok().filter(|breaks| !breaks.is_empty());
    let breaks = breaks.unwrap_or_else(|| "=:".to_owned());
    let is_break = |c: char| breaks.contains(c) && !c.is_whitespace() && c != '"' && c != '\'';
    let kept = current.rfind(is_break).map_or(0, |at| at + 1);
    let (ending, found) = offered(words, at);
    (ending, found.into_iter().filter_map(|text| text.get(kept..).map(str::to_owned)).collect())
}
