//! Parses an unfinished command line: finds its command, and the argument of the next word.

use clap::{Arg, Command};

use super::Ending;
use super::values::{self, Given};

/// The parsed words before the cursor.
pub struct Line<'a> {
    command: &'a Command,
    /// The option whose value the next word is.
    pending: Option<&'a Arg>,
    /// The number of positional arguments.
    places: usize,
    /// Whether `--` was among the words: no options follow.
    no_options: bool,
    /// The values that were given, by argument.
    pub given: Vec<(&'a Arg, String)>,
}

impl<'a> Line<'a> {
    /// Reads words.
    pub fn read(root: &'a Command, words: &[String]) -> Self {
        let mut line = Self { command: root, pending: None, places: 0, no_options: false, given: Vec::new() };
        words.iter().for_each(|word| line.take(word));
        line
    }

    fn take(&mut self, word: &str) {
        if let Some(option) = self.pending.take() {
            self.given.push((option, word.to_owned()));
        } else if word == "--" && !self.no_options {
            self.no_options = true;
        } else if let Some(long) = word.strip_prefix("--").filter(|_| !self.no_options) {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            self.option(self.long(name), value);
        } else if word.len() > 1 && word.starts_with('-') && !self.no_options {
            let letter = word.chars().nth(1).unwrap_or_default();
            let value = word.get(1 + letter.len_utf8()..).filter(|value| !value.is_empty());
            self.option(self.command.get_arguments().find(|arg| arg.get_short() == Some(letter)), value);
        } else if let Some(command) = self.command.find_subcommand(word).filter(|_| self.places == 0) {
            self.command = command;
        } else {
            self.given.extend(self.place().map(|place| (place, word.to_owned())));
            self.places += 1;
        }
    }

    fn option(&mut self, option: Option<&'a Arg>, value: Option<&str>) {
        let Some(option) = option.filter(|option| option.get_action().takes_values()) else { return };
        match value {
            Some(value) => self.given.push((option, value.to_owned())),
            None => self.pending = Some(option),
        }
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        let is_it = |arg: &&Arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|names| names.contains(&name))
        };
        self.command.get_arguments().find(is_it)
    }

    /// The argument of the next word that is no option; the last one may take several.
    fn place(&self) -> Option<&'a Arg> {
        let places: Vec<&Arg> = self.command.get_positionals().collect();
        places.get(self.places).copied().or_else(|| {
            let many = |arg: &&Arg| arg.get_num_args().is_some_and(|count| count.max_values() > 1);
            places
                .last()
                .copied()
                .filter(|last| many(last) || last.get_action().takes_values() && is_list(last))
        })
    }

    /// The candidates for the word at the cursor, which begins with `current`.
    pub fn candidates(&self, current: &str, given: &Given) -> (Ending, Vec<String>) {
        if let Some(option) = self.pending {
            return values::of(option, self.command.get_name(), current, given);
        }
        if current.starts_with('-') && !self.no_options {
            if let Some((name, value)) = current.split_once('=') {
                let Some(option) = name.strip_prefix("--").and_then(|name| self.long(name)) else {
                    return (Ending::Word, Vec::new());
                };
                let (ending, found) = values::of(option, self.command.get_name(), value, given);
                return (ending, found.into_iter().map(|value| format!("{name}={value}")).collect());
            }
            return (Ending::Word, self.options());
        }
        let mut commands = Vec::new();
        if self.places == 0 {
            let shown = self.command.get_subcommands().filter(|command| !command.is_hide_set());
            commands.extend(shown.map(|command| command.get_name().to_owned()));
        }
        match self.place() {
            Some(place) => values::of(place, self.command.get_name(), current, given),
            None => (Ending::Word, commands),
        }
    }

    fn options(&self) -> Vec<String> {
        let given = |arg: &Arg| {
            let repeats = matches!(arg.get_action(), clap::ArgAction::Append | clap::ArgAction::Count);
            !repeats && self.given.iter().any(|(other, _)| other.get_id() == arg.get_id())
        };
        let shown = self.command.get_arguments().filter(|arg| !arg.is_hide_set() && !given(arg));
        shown.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect()
    }
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

/// Splits a line into words as a shell does; the last word may be unfinished.
pub fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quote, mut escaped, mut blank) = (None, false, true);
    for c in line.chars() {
        let last = words.len() - 1;
        match (quote, c) {
            _ if escaped => {
                words[last].push(c);
                escaped = false;
            }
            (None | Some('"'), '\\') => (escaped, blank) = (true, false),
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => words[last].push(c),
            (None, '"' | '\'') => (quote, blank) = (Some(c), false),
            (None, _) if c.is_whitespace() => {
                if !blank {
                    words.push(String::new());
                }
                blank = true;
            }
            (None, _) => {
                words[last].push(c);
                blank = false;
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        assert_eq!(split("runner run "), ["runner", "run", ""]);
        assert_eq!(split("  runner  run 'a b'/c\\ d"), ["runner", "run", "a b/c d"]);
        assert_eq!(split("runner --set \"x=a b"), ["runner", "--set", "x=a b"]);
        assert_eq!(split(""), [""]);
    }
}
