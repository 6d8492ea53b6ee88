//! Mistakes in a pipeline file or in a change of it, with their places.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use miette::{Diagnostic, LabeledSpan, SourceCode};

use super::excerpt::Excerpt;
use crate::shown::{beginning, without_passwords};

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
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    message: String,
    help: Option<String>,
    place: Place,
    /// Made when it is shown: of thousands of mistakes few are.
    excerpt: OnceLock<Excerpt>,
}

/// The longest message and help, in characters; names and values may be as long as a file.
const MESSAGE: usize = 800;

impl Mistake {
    /// A mistake at `place`; an empty `help` is none.
    pub fn new(place: &Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        let words = |text: String| beginning(&without_passwords(&text), MESSAGE).into_owned();
        let help: String = help.into();
        Self {
            message: words(message.into()),
            help: (!help.is_empty()).then(|| words(help)),
            place: place.clone(),
            excerpt: OnceLock::new(),
        }
    }

    fn excerpt(&self) -> &Excerpt {
        self.excerpt.get_or_init(|| Excerpt::new(&self.place))
    }

    /// Where it begins.
    pub(super) fn offset(&self) -> usize {
        self.place.span.start
    }
}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.excerpt())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some("here".to_owned()), self.excerpt().marked());
        Some(Box::new(std::iter::once(label)))
    }
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
    /// What is there is no text that a pipeline could be.
    #[error("the pipeline file {path} {what}")]
    #[diagnostic(help("{help}"))]
    NoText {
        /// Its path.
        path: String,
        /// What it is, in words.
        what: String,
        /// What to do.
        help: &'static str,
    },
    /// Mistakes in it.
    #[error("{place} has {}", count(mistakes.len() + more))]
    Mistakes {
        /// The file's path, or the command line.
        place: String,
        /// The first of them.
        #[related]
        mistakes: Vec<Mistake>,
        /// How many there are besides.
        more: usize,
        /// Says so.
        #[help]
        help: Option<String>,
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

/// As many mistakes are shown; nobody mends more at once.
pub(super) const SHOWN: usize = 20;

impl PipelineError {
    /// Mistakes in the text called `place`, in the order in which they are shown.
    pub(super) fn mistakes(place: impl Into<String>, mut mistakes: Vec<Mistake>) -> Self {
        let more = mistakes.len().saturating_sub(SHOWN);
        mistakes.truncate(SHOWN);
        let help =
            (more > 0).then(|| format!("these are the first {SHOWN}; mend them to see the other {more}"));
        Self::Mistakes { place: place.into(), mistakes, more, help }
    }
}

fn count(mistakes: usize) -> String {
    match mistakes {
        1 => "a mistake".to_owned(),
        many => format!("{many} mistakes"),
    }
}
