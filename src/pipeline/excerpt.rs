//! The lines around a mistake: no more than a person reads, without passwords and without commands for a
//! terminal.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::error::Place;
use crate::shown;

/// Bytes of a line that are shown before and after the marked place, and of the place itself.
const WINDOW: usize = 200;
/// How far before the shown part an address may begin whose password is in it.
const ADDRESS: usize = 4096;

/// A part of a text, byte for byte as long as in it.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// Where it begins in the whole text: byte, line and column from 0.
    start: usize,
    line: usize,
    column: usize,
    /// What is marked, in the whole text.
    marked: Range<usize>,
}

impl Excerpt {
    /// The lines of `place`, with one before and one after them.
    pub(super) fn new(place: &Place) -> Self {
        let text = &place.source.text;
        let before = |at: usize| boundary(text, at);
        let first = before(place.span.start);
        let last = before(place.span.end.clamp(first, first.saturating_add(WINDOW)));
        let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |end| at + end);
        let (own_start, own_end) = (line_start(first), line_end(last));
        let wide_start = line_start(own_start.saturating_sub(1));
        let wide_end = line_end((own_end + 1).min(text.len()));
        let (low, high) = (before(first.saturating_sub(WINDOW)), before(last + WINDOW));
        let from = [wide_start, own_start].into_iter().find(|start| *start >= low).unwrap_or(low);
        let to = [wide_end, own_end].into_iter().find(|end| *end <= high).unwrap_or(high);
        let head = before(from.saturating_sub(ADDRESS));
        let masked = shown::without_passwords(&text[head..to]);
        let mut shown = shown::covered(&masked[from - head..]);
        let (cut_before, cut_after) = (from > own_start, to < own_end);
        let length = shown.len();
        // A column is a character, and several dots stand for a long one.
        let characters = shown.chars().count();
        if cut_before {
            dots(&mut shown, 0..3.min(length));
        }
        let added = shown.chars().count() - characters;
        if cut_after {
            dots(&mut shown, length.saturating_sub(3)..length);
        }
        Self {
            name: shown::line(&shown::beginning(&place.source.name, WINDOW)).into_owned(),
            text: shown,
            start: from,
            line: text[..from].matches('\n').count(),
            column: text[line_start(from)..from].chars().count().saturating_sub(added),
            marked: first..last,
        }
    }

    /// What is marked.
    pub(super) fn marked(&self) -> SourceSpan {
        self.marked.clone().into()
    }
}

/// The last place before a character that is not behind `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Writes dots over a part of a text, and over the rest of a character that reaches out of it.
fn dots(text: &mut String, part: Range<usize>) {
    let first = boundary(text, part.start);
    let last = (part.end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.replace_range(first..last, &".".repeat(last - first));
}

impl SourceCode for Excerpt {
    /// The whole excerpt, or its end from a place on where no lines around it are asked for.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let asked = if before == 0 && after == 0 { span.offset().saturating_sub(self.start) } else { 0 };
        let skipped = &self.text[..boundary(&self.text, asked)];
        let data = &self.text[skipped.len()..];
        let line = self.line + skipped.matches('\n').count();
        let column = match skipped.rfind('\n') {
            Some(end) => skipped[end + 1..].chars().count(),
            None => self.column + skipped.chars().count(),
        };
        let span = (self.start + skipped.len(), data.len()).into();
        let lines = data.matches('\n').count();
        let contents =
            MietteSpanContents::new_named(self.name.clone(), data.as_bytes(), span, line, column, lines);
        Ok(Box::new(contents.with_language("toml")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::error::Source;

    fn excerpt(text: &str, span: Range<usize>) -> Excerpt {
        let source = Source { name: "p.toml".to_owned(), text: text.to_owned() };
        Excerpt::new(&Place { source: Arc::new(source), span })
    }

    #[test]
    fn a_short_text_is_shown_line_by_line() {
        let text = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5";
        let found = excerpt(text, 12..13);
        assert_eq!(
            (found.text.as_str(), found.start, found.line, found.column),
            ("b = 2\nc = 3\nd = 4", 6, 1, 0)
        );
        let first = excerpt(text, 0..0);
        assert_eq!((first.text.as_str(), first.line), ("a = 1\nb = 2", 0));
        let last = excerpt(text, 24..29);
        assert_eq!((last.text.as_str(), last.line), ("d = 4\ne = 5", 3));
    }

    #[test]
    fn of_long_lines_the_place_is_shown_whatever_stands_around_it() {
        for filler in ["x", "ü", "枝", "👩", "\u{202e}", "\x1b"] {
            let long = filler.repeat(1 << 16);
            let text = format!("{long}\n{long}HERE{long}\n{long}");
            let at = text.find("HERE").unwrap();
            for span in [at..at + 4, at..text.len(), at..at, text.len()..text.len() + 9, 0..text.len()] {
                let found = excerpt(&text, span.clone());
                assert!(found.text.len() <= 3 * WINDOW + 8, "{filler:?} {span:?}: {}", found.text.len());
                assert!(found.start <= found.marked.start);
                assert!(found.marked.end <= found.start + found.text.len());
            }
            let found = excerpt(&text, at..at + 4);
            assert!(found.text.starts_with("..") && found.text.ends_with(".."), "{}", found.text);
            assert_eq!(&found.text[at - found.start..][..4], "HERE");
            let contents = found.read_span(&(at, 4).into(), 0, 0).unwrap();
            assert_eq!((contents.line(), contents.column()), (1, 1 << 16));
        }
    }

    #[test]
    fn a_password_that_begins_before_the_excerpt_is_not_shown() {
        let text = format!("remote = \"s3://key:{}s3cr3t@bucket\"", "s".repeat(300));
        let found = excerpt(&text, text.len() - 3..text.len());
        assert!(!found.text.contains("s3cr3t") && found.text.contains("@bucket"), "{}", found.text);
    }
}
