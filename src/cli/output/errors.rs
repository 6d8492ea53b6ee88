//! Errors, drawn with their source snippets, as wide as the terminal up to 100 columns.

use std::fmt;

use miette::{
    Diagnostic, LabeledSpan, MietteHandler, MietteHandlerOpts, ReportHandler, Severity, SourceCode,
};

use crate::cli::style::error_width;
use crate::shown;

/// Columns of an error where standard error is no terminal, and on a wide one.
const WIDEST: usize = 100;
/// A narrower terminal breaks the lines itself.
const NARROWEST: usize = 20;

/// Draws errors from here on.
pub fn install() {
    // Only fails if a hook is there already, which then is as good.
    let _ = miette::set_hook(Box::new(|_| {
        // Commands and names of files are never broken: a person may want to copy them.
        let whole_words = MietteHandlerOpts::new()
            .width(error_width().clamp(NARROWEST, WIDEST))
            .context_lines(1)
            .wrap_lines(true)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .terminal_links(false)
            // Standard error drops them where it wants none.
            .color(true);
        Box::new(Clean(whole_words.build()))
    }));
}

/// Draws errors whose words hold no commands for a terminal.
struct Clean(MietteHandler);

impl ReportHandler for Clean {
    fn debug(&self, error: &dyn Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug(&Cleaned::new(error), f)
    }
}

/// An error with clean words. Its source is a [`Mistake`](crate::pipeline::Mistake)'s, which is clean itself.
struct Cleaned<'a> {
    message: String,
    help: Option<String>,
    inner: &'a dyn Diagnostic,
    related: Vec<Cleaned<'a>>,
    behind: Option<Box<Cleaned<'a>>>,
    cause: Option<Box<Cause>>,
}

impl<'a> Cleaned<'a> {
    fn new(inner: &'a dyn Diagnostic) -> Self {
        let behind = inner.diagnostic_source().map(|behind| Box::new(Self::new(behind)));
        Self {
            message: words(&inner.to_string()),
            help: inner.help().map(|help| words(&help.to_string())),
            related: inner.related().into_iter().flatten().map(Cleaned::new).collect(),
            // An error with a help of its own is drawn with it; any other is one line.
            cause: if behind.is_some() { None } else { inner.source().map(Cause::new) },
            behind,
            inner,
        }
    }
}

/// A plain error behind an error.
#[derive(Debug)]
struct Cause {
    message: String,
    cause: Option<Box<Cause>>,
}

impl Cause {
    fn new(error: &(dyn std::error::Error + 'static)) -> Box<Self> {
        Box::new(Self { message: words(&error.to_string()), cause: error.source().map(Self::new) })
    }
}

/// Clean, and no longer than a person reads.
fn words(text: &str) -> String {
    const LENGTH: usize = 4000;
    shown::text(&shown::beginning(text, LENGTH)).into_owned()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl fmt::Debug for Cleaned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Cleaned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cleaned<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Diagnostic for Cleaned<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.inner.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.inner.severity()
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.inner.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.inner.labels()
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        self.behind.as_deref().map(|behind| behind as _)
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn Diagnostic> + 'b>> {
        let related = self.related.iter().map(|one| one as &dyn Diagnostic);
        (!self.related.is_empty()).then(|| Box::new(related) as _)
    }
}
