//! The table in the formats that it can be written in.

use anstyle::Style;
use miette::{IntoDiagnostic, Result};

use super::cells::Table;
use crate::cli::style::{Cell, FAINT, columns, columns_of};
use crate::report::format::plain;
use crate::report::{Metric, Row};

/// Aligned columns. What does not fit into `width` goes on below, with the columns that say what a row is again.
pub fn text(table: &Table, width: usize) -> String {
    let Table { head, rows, names } = table;
    let size = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).chain([&head[column]]);
        2 + cells.map(|cell| columns_of(cell)).max().unwrap_or(0)
    };
    let fixed: usize = (0..*names).map(size).sum();
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut used = usize::MAX;
    for column in *names..head.len() {
        match blocks.last_mut() {
            Some(block) if used + size(column) <= width => {
                block.push(column);
                used += size(column);
            }
            _ => {
                blocks.push((0..*names).chain([column]).collect());
                used = fixed + size(column);
            }
        }
    }
    let line = |block: &[usize], cells: &[String], style: Style| -> Vec<Cell> {
        let cell = |&column: &usize| {
            let cell = if column < *names { Cell::left(&cells[column]) } else { Cell::right(&cells[column]) };
            cell.style(style)
        };
        block.iter().map(cell).collect()
    };
    let drawn = |block: Vec<usize>| {
        let head = line(&block, head, FAINT);
        let rows = rows.iter().map(|row| line(&block, row, Style::new()));
        columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    };
    blocks.into_iter().map(drawn).collect::<Vec<_>>().join("\n")
}

/// A table of GitHub's Markdown, and its notes below.
pub fn markdown(table: &Table, notes: &[String]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let figures = table.head.len() - table.names;
    let rule = format!("|{}{}\n", "---|".repeat(table.names), "--:|".repeat(figures));
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    let notes: String = notes.iter().map(|note| format!("\n{}\n", note.replace('*', "\\*"))).collect();
    line(&table.head) + &rule + &rows + &notes
}

/// Plain numbers, one column each for mean and standard deviation.
///
/// # Errors
/// None that can be foreseen.
pub fn csv(rows: &[Row], metrics: &[Metric]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let keys = rows.first().map_or(&[][..], |row| row.label.as_slice());
    let mut header: Vec<String> = keys.iter().map(|(key, _)| key.clone()).collect();
    header.extend(["stage", "output", "n"].map(str::to_owned));
    for metric in metrics {
        header.extend([metric.name().to_owned(), format!("{}_sd", metric.name())]);
    }
    header.extend(
        ["difference", "difference_low", "difference_high", "pairs", "seeds", "p", "p_holm"]
            .map(str::to_owned),
    );
    writer.write_record(&header).into_diagnostic()?;
    let number = |value: Option<f64>| value.map_or(String::new(), plain);
    for row in rows {
        let mut record: Vec<String> = row.label.iter().map(|(_, value)| value.clone()).collect();
        record.extend([row.stage.clone(), row.output.clone(), row.n.to_string()]);
        for metric in metrics {
            let mean = row.means.get(metric);
            record.extend([number(mean.map(|mean| mean.mean)), number(mean.and_then(|mean| mean.sd))]);
        }
        let interval = row.against_baseline.and_then(|difference| difference.interval);
        record.push(number(row.against_baseline.map(|difference| difference.mean)));
        record.extend([number(interval.map(|found| found.0)), number(interval.map(|found| found.1))]);
        let counts = row.against_baseline.map(|found| [found.n, found.seeds].map(|count| count.to_string()));
        record.extend(counts.unwrap_or_default());
        record.push(number(row.against_baseline.and_then(|difference| difference.p)));
        record.push(number(row.against_baseline.and_then(|difference| difference.p_holm)));
        writer.write_record(&record).into_diagnostic()?;
    }
    let bytes = writer.into_inner().into_diagnostic()?;
    String::from_utf8(bytes).into_diagnostic()
}

/// A `tabular` with the rules of the `booktabs` package; its notes are comments before it.
pub fn latex(table: &Table, notes: &[String]) -> String {
    let line = |cells: &[String]| {
        format!("{} \\\\\n", cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" & "))
    };
    let columns = "l".repeat(table.names) + &"r".repeat(table.head.len() - table.names);
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    let notes: String = notes.iter().map(|note| format!("% {note}\n")).collect();
    format!(
        "% \\usepackage{{booktabs}}\n{notes}\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n",
        line(&table.head)
    )
}

/// Text for LaTeX. A `[` at the start of a line would be read as an option of the `\\\\` before it, and a minus as a hyphen.
pub fn escaped(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    for (at, &c) in chars.iter().enumerate() {
        match c {
            '%' | '_' | '&' | '#' | '$' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' | '>' | '|' => out += &format!("${c}$"),
            '±' => out += "$\\pm$",
            '[' | ']' => out += &format!("{{{c}}}"),
            '-' if chars.get(at + 1).is_some_and(char::is_ascii_digit)
                && (at == 0 || !chars[at - 1].is_alphanumeric()) =>
            {
                out += "$-$";
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<String>>();
        Table {
            head: words(&[
                "flops_ratio",
                "network",
                "n",
                "accuracy",
                "vs uniform",
                "FLOPs kept",
                "parameters",
            ]),
            rows: vec![
                words(&["0.3", "retrain", "3", "91.25% ± 0.31%", "+0.52 [-0.11, +1.15]", "29.87%", "1.15 M"]),
                words(&["[1, 2]", "a|b_\\~^<&", "1", "9.00%", "", "30.00%", "-"]),
            ],
            names: 2,
        }
    }

    #[test]
    fn columns_that_do_not_fit_go_on_below() {
        let found = |width| anstream::adapter::strip_str(&text(&table(), width)).to_string();
        for width in [80, 60, 50] {
            assert!(found(width).lines().all(|line| line.chars().count() <= width), "{}", found(width));
        }
        insta::assert_snapshot!(found(60));
        assert_eq!(found(200).lines().count(), 3);
        // One column is the least, and every column is there whatever the width.
        assert!(table().head.iter().all(|head| found(1).contains(head)));
    }

    #[test]
    fn markdown_and_latex_escape_what_they_would_read_otherwise() {
        insta::assert_snapshot!(format!("{}\n{}", markdown(&table(), &[]), latex(&table(), &[])));
    }
}
