//! `runner table`: a study as a table, over points and seeds.

use anstyle::Style;
use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result, miette};

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::style::{Cell, FAINT, columns, paint};
use crate::report::format::{bytes, count, percent, seconds};
use crate::report::{Grouping, Mean, Metric, Row, observations, rows, seconds_shared};

/// Show the results of a pipeline or a sweep as a table, averaged over seeds
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner table P.toml --over threshold-search.flops_ratio=0.3,0.5,0.7 --over seed=1..3
  runner table pipelines/ablation_quick.toml --over seed=1..3 --baseline retrain-uniform
  runner table P.toml --over seed=1..3 --format latex > table.tex

Only what is in the cache is shown; `runner run` with the same --over computes the rest. Means come with the
sample standard deviation; differences to the baseline are paired by point, with a 95% confidence interval.")]
pub struct TableArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Average over this swept key (repeatable); by default over every seed
    #[arg(long, value_name = "KEY")]
    average: Vec<String>,
    /// Which of a stage's networks: best, last or all
    #[arg(long, value_name = "OUTPUT", default_value = "best")]
    output: String,
    /// Compare every row with the networks of this stage
    #[arg(long, value_name = "STAGE")]
    baseline: Option<String>,
    /// Show this figure (repeatable)
    #[arg(long, value_name = "METRIC")]
    metric: Vec<Figure>,
    /// How the table is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Csv,
    Json,
    Markdown,
    Latex,
}

#[derive(Debug, Clone, Copy)]
struct Figure(Metric);

impl std::str::FromStr for Figure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Metric::ALL.into_iter().find(|metric| metric.name() == text);
        known.map(Self).ok_or_else(|| format!("the figures are {}", Metric::ALL.map(Metric::name).join(", ")))
    }
}

const SHOWN: [Metric; 7] = [
    Metric::Accuracy,
    Metric::FlopsRatio,
    Metric::Parameters,
    Metric::Bytes,
    Metric::Latency1,
    Metric::Latency64,
    Metric::Seconds,
];

/// Prints the table.
pub fn run(args: &TableArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs { only: vec![], until: vec![], force: vec![] })?;
    let records: Vec<_> = plan.entries.iter().map(|entry| entry.record().cloned()).collect();
    let found = observations(&opened.graph, &records);
    if let Some(baseline) = args.baseline.as_ref().filter(|name| found.iter().all(|o| o.stage != **name)) {
        let stages: std::collections::BTreeSet<_> = found.iter().map(|o| o.stage.as_str()).collect();
        let stages = stages.into_iter().collect::<Vec<_>>().join(", ");
        let help = if stages.is_empty() {
            "nothing was evaluated yet".to_owned()
        } else {
            format!("evaluated are {stages}")
        };
        return Err(miette!(help = help, "no evaluated network comes from the stage `{baseline}`"));
    }
    let swept = opened.graph.points.iter().flat_map(|point| &point.label).map(|(key, _)| key.clone());
    let over = if args.average.is_empty() {
        swept.filter(|key| key == "seed" || key.ends_with(".seed")).collect()
    } else {
        args.average.clone()
    };
    let outputs = if args.output == "all" { vec![] } else { vec![args.output.clone()] };
    let rows = rows(&found, &Grouping { over, outputs, baseline: args.baseline.clone() });
    let metrics: Vec<Metric> =
        if args.metric.is_empty() { SHOWN.to_vec() } else { args.metric.iter().map(|f| f.0).collect() };
    match args.format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&rows).into_diagnostic()?),
        Format::Csv => csv(&rows, &metrics)?,
        Format::Latex => say!("{}", latex(&header(&rows, &metrics), &cells(&rows, &metrics))),
        Format::Text => {
            say!("{}", text(&header(&rows, &metrics), &cells(&rows, &metrics), names(&rows).len()));
        }
        Format::Markdown => {
            say!("{}", markdown(&header(&rows, &metrics), &cells(&rows, &metrics)));
        }
    }
    notes(&opened, &plan, &records);
    Ok(())
}

/// What the table does not show, on standard error.
fn notes(opened: &Opened, plan: &crate::plan::Plan, records: &[Option<crate::store::Record>]) {
    if plan.to_run() > 0 {
        let words = format!("{} stages have no result yet: `runner run` computes them", plan.to_run());
        anstream::eprintln!("{}", paint(FAINT, words));
    }
    let shared = seconds_shared(&opened.graph, records);
    if shared >= 1.0 {
        anstream::eprintln!(
            "{}",
            paint(FAINT, format!("sharing stages between points saved {}", seconds(shared)))
        );
    }
}

/// The swept keys that the rows are told apart by.
fn names(rows: &[Row]) -> Vec<String> {
    let keys = rows.first().map_or(&[][..], |row| row.label.as_slice());
    let mut names: Vec<String> = keys.iter().map(|(key, _)| key.clone()).collect();
    names.push("network".to_owned());
    names
}

fn header(rows: &[Row], metrics: &[Metric]) -> Vec<String> {
    let mut header = names(rows);
    header.push("n".to_owned());
    header.extend(metrics.iter().map(|metric| title(*metric).to_owned()));
    if rows.iter().any(|row| row.against_baseline.is_some()) {
        header.push("against baseline".to_owned());
    }
    header
}

fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::Accuracy => "accuracy",
        Metric::Loss => "loss",
        Metric::FlopsRatio => "FLOPs kept",
        Metric::Macs => "FLOPs",
        Metric::Parameters => "parameters",
        Metric::Bytes => "size",
        Metric::Latency1 => "ms at 1",
        Metric::Latency64 => "ms at 64",
        Metric::Seconds => "time",
    }
}

fn cells(rows: &[Row], metrics: &[Metric]) -> Vec<Vec<String>> {
    let compared = rows.iter().any(|row| row.against_baseline.is_some());
    let row = |row: &Row| {
        let mut cells: Vec<String> = row.label.iter().map(|(_, value)| value.clone()).collect();
        cells.push(format!("{} ({})", row.stage, row.output));
        cells.push(row.n().to_string());
        cells.extend(
            metrics.iter().map(|metric| row.means.get(metric).map_or("-".into(), |m| cell(*metric, *m))),
        );
        if compared {
            cells.push(row.against_baseline.map_or(String::new(), |difference| {
                let points = |share: f64| format!("{:+.2}", 100.0 * share);
                let interval = difference
                    .interval
                    .map_or(String::new(), |(low, high)| format!(" [{}, {}]", points(low), points(high)));
                format!("{}{interval}", points(difference.mean))
            }));
        }
        cells
    };
    rows.iter().map(row).collect()
}

fn cell(metric: Metric, mean: Mean) -> String {
    let write = |value: f64| match metric {
        Metric::Accuracy | Metric::FlopsRatio => percent(value),
        Metric::Loss => format!("{value:.4}"),
        Metric::Macs | Metric::Parameters => count(value.round() as u64),
        Metric::Bytes => bytes(value.round() as u64),
        Metric::Latency1 | Metric::Latency64 => format!("{value:.2}"),
        Metric::Seconds => seconds(value),
    };
    match mean.sd {
        // A spread that cannot be seen in the digits shown only clutters.
        Some(sd) if write(sd) != write(0.0) => format!("{} ± {}", write(mean.mean), write(sd)),
        _ => write(mean.mean),
    }
}

/// Columns; the first `names` hold words, the others numbers.
fn text(header: &[String], rows: &[Vec<String>], names: usize) -> String {
    let line = |cells: &[String], style| {
        let cell = |(column, text): (usize, &String)| {
            let cell = if column < names { Cell::left(text) } else { Cell::right(text) };
            cell.style(style)
        };
        cells.iter().enumerate().map(cell).collect::<Vec<_>>()
    };
    let lines: Vec<Vec<Cell>> =
        std::iter::once(line(header, FAINT)).chain(rows.iter().map(|row| line(row, Style::new()))).collect();
    columns(&lines)
}

fn markdown(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let rule = format!("|---|{}", "--:|".repeat(header.len().saturating_sub(1)));
    let mut lines = vec![line(header), rule];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

/// Plain numbers, one column each for mean and standard deviation.
fn csv(rows: &[Row], metrics: &[Metric]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(std::io::stdout());
    let mut header: Vec<String> = names(rows);
    header.extend(["output".to_owned(), "n".to_owned()]);
    for metric in metrics {
        header.extend([metric.name().to_owned(), format!("{}_sd", metric.name())]);
    }
    header.extend(["difference", "difference_low", "difference_high"].map(str::to_owned));
    writer.write_record(&header).into_diagnostic()?;
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for row in rows {
        let mut record: Vec<String> = row.label.iter().map(|(_, value)| value.clone()).collect();
        record.extend([row.stage.clone(), row.output.clone(), row.n().to_string()]);
        for metric in metrics {
            let mean = row.means.get(metric);
            record.extend([number(mean.map(|mean| mean.mean)), number(mean.and_then(|mean| mean.sd))]);
        }
        let interval = row.against_baseline.and_then(|difference| difference.interval);
        record.push(number(row.against_baseline.map(|difference| difference.mean)));
        record.extend([number(interval.map(|found| found.0)), number(interval.map(|found| found.1))]);
        writer.write_record(&record).into_diagnostic()?;
    }
    writer.flush().into_diagnostic()
}

/// A `tabular` with the rules of the `booktabs` package.
fn latex(header: &[String], rows: &[Vec<String>]) -> String {
    let escape = |text: &String| {
        let special = |c: char| match c {
            '%' | '_' | '&' | '#' | '$' | '{' | '}' => format!("\\{c}"),
            '±' => "$\\pm$".to_owned(),
            c => c.to_string(),
        };
        text.chars().map(special).collect::<String>()
    };
    let line =
        |cells: &[String]| format!("{} \\\\\n", cells.iter().map(escape).collect::<Vec<_>>().join(" & "));
    let columns = "l".to_owned() + &"r".repeat(header.len().saturating_sub(1));
    let mut text = format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n", line(header));
    for row in rows {
        text += &line(row);
    }
    text + "\\bottomrule\n\\end{tabular}"
}
