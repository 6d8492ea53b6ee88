//! Mistakes in a pipeline file or in a change of it, with their places.

use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// A text in which mistakes are shown: a file, or an option of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name: a path, `--set`, `--over`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// The bytes of it.
    pub span: Range<usize>,
}

/// One mistake.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Mistake {
    message: String,
    #[source_code]
    source_code: NamedSource<String>,
    #[label("here")]
    span: SourceSpan,
    #[help]
    help: Option<String>,
}

impl Mistake {
    /// A mistake at `place`; an empty `help` is none.
    pub fn new(place: &Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        let (source, help) = (&place.source, help.into());
        Self {
            message: without_passwords(&message.into()),
            source_code: NamedSource::new(&source.name, without_passwords(&source.text))
                .with_language("toml"),
            span: place.span.clone().into(),
            help: (!help.is_empty()).then_some(help),
        }
    }

    /// Where it begins.
    pub(super) fn offset(&self) -> usize {
        self.span.offset()
    }
}

/// The text with stars, as many, in place of what stands before the `@` of an address. A mistake is shown with the lines around
/// it, and one of them may hold a password that does not belong there.
fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after
            .find(|c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace())
            .unwrap_or(after.len());
        let secret = after[..end].rfind('@').unwrap_or(0);
        shown.push_str(before);
        shown.push_str(&"*".repeat(secret));
        rest = &after[secret..];
    }
    shown + rest
}

/// Why a pipeline cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PipelineError {
    /// The file cannot be read.
    #[error("the pipeline file {path} cannot be read")]
    #[diagnostic(help("give the path of a TOML file, such as pipelines/quickstart.toml"))]
    Read {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no text.
    #[error("the pipeline file {path} is no text: byte {at} is not UTF-8")]
    #[diagnostic(help("give the path of a TOML file, such as pipelines/quickstart.toml"))]
    NoText {
        /// Its path.
        path: String,
        /// The first byte that is not UTF-8, from 0.
        at: usize,
    },
    /// Mistakes in it.
    #[error("{place} has {}", if mistakes.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", mistakes.len()) })]
    Mistakes {
        /// The file's path, or the command line.
        place: String,
        /// All of them.
        #[related]
        mistakes: Vec<Mistake>,
    },
    /// Two options that give one key different values.
    #[error("`{first}` and `{second}` contradict each other: both give a value to `{key}`")]
    #[diagnostic(help("{help}"))]
    Contradiction {
        /// The first option.
        first: String,
        /// The second one.
        second: String,
        /// The key.
        key: String,
        /// The way out.
        help: String,
    },
    /// An option that changes the pipeline and cannot be read.
    #[error("`{option} {text}` cannot be used: {reason}")]
    #[diagnostic(help("{help}"))]
    Option {
        /// `--set` or `--over`.
        option: &'static str,
        /// What was written.
        text: String,
        /// What is wrong.
        reason: String,
        /// How it is written.
        help: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_at_of_an_address_is_not_shown_and_places_stay() {
        let text = "remote = \"s3://key:s3cr3t@bucket/x\" # a@b\nother = 's3://bucket/a@b'\n";
        let shown = without_passwords(text);
        assert_eq!(shown.len(), text.len());
        assert_eq!(shown, "remote = \"s3://**********@bucket/x\" # a@b\nother = 's3://bucket/a@b'\n");
    }
}
