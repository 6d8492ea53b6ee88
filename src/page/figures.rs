//! Figures on the page: the panels, how they are read, and their data.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::{cut, table};
use crate::draw::{Panel, panels};
use crate::report::figures::{Content, FigureId, Study};
use crate::report::format::plural;

/// Panels are drawn so wide, in pixels; the page makes them wider or narrower.
const PANEL: f64 = 380.0;
/// The one panel of a figure, on a desk and on a phone: words must not shrink with the screen.
const SINGLE: [f64; 2] = [560.0, 340.0];
/// So many panels are seen at once; the others are folded away.
const OPEN: usize = 6;
/// No more panels than this are on the page at all.
const PANELS: usize = 48;
/// Rows of data on the page; the CSV has all.
const ROWS: usize = 100;

/// A figure, or why there is none.
pub fn figure(figure: FigureId, study: &Study<'_>) -> Markup {
    let content = match Content::of(figure, study) {
        Ok(content) => content,
        Err(why) => return html! { p.absent { "Left out: " (why) "." } },
    };
    let mut all = panels(&content, PANEL);
    let count = all.len();
    all.truncate(PANELS);
    let folded = all.split_off(all.len().min(OPEN));
    let class = if figure == FigureId::Graph { "graph" } else { "panels" };
    html! {
        p.caption { (content.caption()) }
        figure id=(format!("figure-{}", figure.name())) {
            @if count == 1 && figure != FigureId::Graph {
                (drawn("wide", &panels(&content, SINGLE[0])))
                (drawn("narrow", &panels(&content, SINGLE[1])))
            } @else {
                (drawn(class, &all))
            }
        }
        @if !folded.is_empty() {
            details.more {
                summary { (plural(folded.len(), "more panel")) }
                figure { (drawn(class, &folded)) }
            }
        }
        (cut(count, PANELS, "panel"))
        @if let Content::Gates(gates) = &content {
            @for unread in &gates.unread { p.note { "Cannot be read: " (unread) } }
        }
        (data(figure, &content.csv()))
    }
}

fn drawn(class: &str, panels: &[Panel]) -> Markup {
    html! {
        div class=(class) tabindex=[(class == "graph").then_some("0")] {
            @for panel in panels { (PreEscaped(panel.inline_svg())) }
        }
    }
}

/// The data: a link that saves them as CSV, and a table.
fn data(figure: FigureId, csv: &str) -> Markup {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head: Vec<String> =
        reader.headers().map(|head| head.iter().map(str::to_owned).collect()).unwrap_or_default();
    let rows: Vec<Vec<String>> =
        reader.records().flatten().map(|row| row.iter().map(rounded).collect()).collect();
    let shown = &rows[..rows.len().min(ROWS)];
    html! {
        details.data {
            summary { "Data" }
            p {
                a download=(format!("{}.csv", figure.name())) href=(format!("data:text/csv;charset=utf-8,{}", percent_encoded(csv))) {
                    "Save " (figure.name()) ".csv"
                }
                " (" (plural(rows.len(), "row")) ", unrounded)"
            }
            (table(&head, shown))
            (cut(rows.len(), ROWS, "row"))
        }
    }
}

/// A number with the digits that a person reads; words stay as they are.
fn rounded(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(value) if cell.len() > 8 && value.is_finite() => crate::report::format::number(value),
        _ => cell.to_owned(),
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte as char),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survive_the_address_that_carries_them() {
        assert_eq!(percent_encoded("a,b\n\"é\" 1.5"), "a%2Cb%0A%22%C3%A9%22%201.5");
    }

    #[test]
    fn numbers_are_rounded_and_words_are_not() {
        assert_eq!(
            ["0.7266666666666667", "0.5", "flops_ratio=0.15", "inf"].map(rounded),
            ["0.727", "0.5", "flops_ratio=0.15", "inf"]
        );
    }
}
