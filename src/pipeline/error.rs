//! Mistakes in a pipeline file, with their places.

use std::ops::Range;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// One mistake.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Mistake {
    message: String,
    #[source_code]
    source_code: NamedSource<String>,
    #[label("{label}")]
    span: SourceSpan,
    label: String,
    #[help]
    help: Option<String>,
}

impl Mistake {
    /// A mistake at `span` of the text `source` called `name`.
    pub fn new(name: &str, source: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source_code: NamedSource::new(name, source.to_owned()).with_language("toml"),
            span: span.into(),
            label: "here".to_owned(),
            help: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        self.help = (!help.is_empty()).then_some(help);
        self
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
    /// Mistakes in it.
    #[error("{path} has {}", if mistakes.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", mistakes.len()) })]
    Mistakes {
        /// Its path.
        path: String,
        /// All of them.
        #[related]
        mistakes: Vec<Mistake>,
    },
    /// A change on the command line that cannot be read.
    #[error("`{text}` is no change: {reason}")]
    #[diagnostic(help("write --set STAGE.KEY=VALUE, --set data.KEY=VALUE or --set seed=N"))]
    Override {
        /// What was written.
        text: String,
        /// What is wrong.
        reason: String,
    },
}
