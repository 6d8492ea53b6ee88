//! From the words of a command line to a command, and clap's messages with clean words.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::{Cli, output};
use crate::shown;

/// Exit code of a command line that cannot be understood.
const USAGE: u8 = 2;

/// The command that was asked for; or the exit code, where clap had something to say.
pub fn command_line() -> Result<Cli, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    read(&words).map_err(|error| {
        let code = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                output::write_styled(&error.render().ansi().to_string());
                return output::end(ExitCode::SUCCESS);
            }
            _ => ExitCode::from(USAGE),
        };
        // The same mistake with words that a terminal takes for nothing else.
        let clean = read(&words.iter().map(|word| clean(word)).collect::<Vec<_>>());
        let error = clean.err().filter(|clean| clean.kind() == error.kind()).unwrap_or(error);
        output::write_styled_error(&hinted(error, &words).render().ansi().to_string());
        code
    })
}

fn read(words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut matches = adapted(Cli::command()).try_get_matches_from(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut adapted(Cli::command())))
}

fn clean(word: &OsStr) -> OsString {
    shown::line(&word.to_string_lossy()).into_owned().into()
}

/// A variable that is empty counts as unset, and `-1` as a value: what is wrong with it is the value's
/// affair.
fn adapted(command: Command) -> Command {
    let adapt = |arg: Arg| {
        let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        let arg = if is_empty { arg.env(None::<&'static str>) } else { arg };
        if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg }
    };
    command.mut_args(adapt).mut_subcommands(adapted)
}

/// The error with a tip, where a value that begins with a hyphen was taken for an option.
fn hinted(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let command = adapted(Cli::command());
    let at_hyphen = words.windows(2).find_map(|pair| {
        let (option, value) = (pair[0].to_str()?, clean(&pair[1]).into_string().ok()?);
        let takes_value =
            option.starts_with('-') && !option.contains('=') && takes_value(&command, words, option);
        (takes_value && value.len() > 1 && value.starts_with('-')).then(|| (option.to_owned(), value))
    });
    let is_of_it = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidValue);
    if let Some((option, value)) = at_hyphen.filter(|_| is_of_it) {
        let tip = format!("to pass '{value}' as the value of '{option}', write '{option}={value}'");
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// Whether the command of the line has this option, with a value.
fn takes_value(command: &Command, words: &[OsString], option: &str) -> bool {
    let mut command = command;
    for word in words {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let is_it = |arg: &&Arg| match option.strip_prefix("--") {
        Some(long) => {
            let aliases = arg.get_visible_aliases().unwrap_or_default();
            arg.get_long() == Some(long) || aliases.contains(&long)
        }
        None => arg.get_short().is_some_and(|short| option[1..].chars().eq([short])),
    };
    command.get_arguments().find(is_it).is_some_and(|arg| arg.get_action().takes_values())
}
