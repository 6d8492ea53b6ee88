//! The report: one HTML file that needs nothing else.
//!
//! Names, descriptions and values of a pipeline file are words of strangers here: `maud` escapes all that stands between
//! its braces, and the drawing library what stands in pictures. The policy in the head forbids every request and script,
//! so a browser holds the file to its promise.

mod figures;
mod provenance;
mod results;
mod standing;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::draw::theme;
use crate::report::Baseline;
use crate::report::figures::{FigureId, Study};
use crate::report::format::{minute, plural};
use crate::store::RunRecord;

/// What a report is made from.
#[derive(Debug)]
pub struct Report<'a> {
    /// The work, how it stands, and where results are.
    pub study: Study<'a>,
    /// The pipeline's name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The pipeline file as it is.
    pub file: String,
    /// The command that computes what is shown.
    pub command: String,
    /// The stage that the others are compared with.
    pub baseline: Option<Baseline>,
    /// Runs of the pipeline with their ids, the oldest first.
    pub runs: Vec<(String, RunRecord)>,
    /// When it was made.
    pub made: Timestamp,
}

/// The policy: nothing is fetched, nothing runs, styles stand in the file.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

/// A section: its anchor, its heading, what it holds.
struct Section {
    anchor: String,
    heading: String,
    body: Markup,
}

impl Report<'_> {
    /// The file.
    pub fn html(&self) -> String {
        let mut sections = vec![section("results", "Results", results::table(self))];
        for figure in FigureId::ALL {
            sections.push(section(figure.name(), figure.title(), figures::figure(figure, &self.study)));
        }
        sections.push(section("missing", "What is missing", standing::missing(self)));
        sections.push(section("provenance", "Where it comes from", provenance::provenance(self)));
        let dark = theme::dark_rules("svg.figure");
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(format!("runner {}", env!("CARGO_PKG_VERSION")));
                    // Without an icon of its own a browser asks the place of the file for one.
                    link rel="icon" href="data:,";
                    title { (self.name) " – report" }
                    style { (PreEscaped(STYLE)) "\n@media screen and (prefers-color-scheme: dark){\n" (PreEscaped(dark)) "}\n" }
                }
                body {
                    header {
                        h1 { (self.name) }
                        @if let Some(description) = &self.description { p.lead { (description) } }
                        (standing::standing(self))
                        p.made {
                            "Made " time datetime=(self.made.to_string()) { (minute(self.made)) }
                            " by runner " (env!("CARGO_PKG_VERSION"))
                            @if let Some(commit) = option_env!("RUNNER_COMMIT") { " (" (commit.get(..12).unwrap_or(commit)) ")" }
                            ". This file needs nothing else: it can be kept, sent and read offline."
                        }
                    }
                    nav aria-label="Sections" {
                        @for section in &sections { a href=(format!("#{}", section.anchor)) { (section.heading) } }
                    }
                    main {
                        @for section in &sections {
                            section id=(section.anchor) { h2 { (section.heading) } (section.body) }
                        }
                    }
                }
            }
        };
        page.into_string()
    }
}

fn section(anchor: &str, heading: &str, body: Markup) -> Section {
    Section { anchor: anchor.to_owned(), heading: heading.to_owned(), body }
}

/// A table, in a box of its own that scrolls where it is narrow. Columns of figures are aligned at the right.
fn table(head: &[String], rows: &[Vec<String>]) -> Markup {
    let is_number = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
        cells.clone().count() > 0 && cells.all(|cell| is_figure(cell))
    };
    let class: Vec<Option<&str>> =
        (0..head.len()).map(|column| is_number(column).then_some("number")).collect();
    html! {
        div.scroll tabindex="0" {
            table {
                thead { tr { @for (cell, class) in head.iter().zip(&class) { th scope="col" class=[*class] { (cell) } } } }
                tbody {
                    @for row in rows { tr { @for (cell, class) in row.iter().zip(&class) { td class=[*class] { (cell) } } } }
                }
            }
        }
    }
}

/// Whether a cell is a figure: a number, with a unit or a spread behind it, or a dash for none.
fn is_figure(cell: &str) -> bool {
    let first = cell.split_whitespace().next().unwrap_or_default();
    let number = first.trim_end_matches('%').replace('−', "-");
    cell == "–" || number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// How many there are of something, or that there are no more than are shown.
fn cut(all: usize, shown: usize, noun: &str) -> Markup {
    html! { @if all > shown { p.note { "The first " (shown) " of " (plural(all, noun)) "." } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_figures_are_aligned_at_the_right_and_words_are_not() {
        for figure in ["0.5", "83.10% ± 0.45%", "−0.52 [−1.10, +0.06]", "1.50 MiB", "12 ms", "–", "3"]
        {
            assert!(is_figure(figure), "{figure}");
        }
        for words in ["retrain", "2026-11-24 20:31", "flops_ratio=0.3", "NaN", "", "1x"] {
            assert!(!is_figure(words), "{words}");
        }
        let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
        let page = table(&row("network", "n"), &[row("retrain", "3"), row("7", "")]).into_string();
        assert!(
            page.contains("<th class=\"number\" scope=\"col\">n<") || page.contains("class=\"number\">n<"),
            "{page}"
        );
        assert!(page.contains("<td>retrain</td><td class=\"number\">3</td>"), "{page}");
    }
}
