//! `runner table`: a study as a table, over points and seeds.

mod cells;
mod formats;

use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::output::write_file;
use super::points::{is_key, same_value};
use super::style::{FAINT, paint};
use crate::pipeline::nearest;
use crate::report::figures::label::is_seed;
use crate::report::format::{plural, seconds};
use crate::report::{
    Baseline, Grouping, Metric, Observation, Row, Sharing, UNPRUNED, measured_on, observations, rows,
    uncertainty,
};
use cells::Table;
pub use formats::escaped;

/// Show results as a table, averaged over seeds
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner table P.toml --over seed=1..3 --over threshold-search.flops_ratio=0.3,0.5
  runner table P.toml --over seed=1..3 --baseline retrain-uniform
  runner table study.toml --group-by flops_ratio --baseline prune.weights=fresh
  runner table study.toml --metric accuracy --metric flops_ratio --format latex
  runner table study.toml --sort accuracy          the best rows first
  runner table study.toml --metric latency_1_ms    times, and their machine

Only what is in the cache is shown; `runner run` with the same --over computes
the rest. `n` counts different networks, means come with their sample standard
deviation. Differences to the baseline are paired, network by network of the same
point and seed, in points of accuracy, with a 95% confidence interval by Student's
t over seeds. FLOPs are those achieved. Where the table is wider than the terminal,
its columns go on below.")]
pub struct TableArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// A row for each value of this swept key, averaged over the others (repeatable); by default
    /// over all swept keys but seeds. The last part of a key is enough
    #[arg(long, value_name = "KEY")]
    group_by: Vec<String>,
    /// Which of a stage's networks: best, last or all
    #[arg(long, value_name = "OUTPUT", default_value = "best")]
    output: String,
    /// Compare every row with the networks of this stage, with those at this value of a swept key, or with
    /// the `unpruned` network
    #[arg(long, value_name = "STAGE|KEY=VALUE|unpruned")]
    baseline: Option<String>,
    /// Show this figure (repeatable): accuracy, loss, flops_ratio, macs, parameters, bytes,
    /// latency_1_ms, latency_64_ms or seconds
    #[arg(long, value_name = "METRIC")]
    metric: Vec<Figure>,
    /// Put the rows with the best mean of this figure first: the highest accuracy, the lowest of all others
    #[arg(long, value_name = "METRIC")]
    sort: Option<Figure>,
    /// Show the first row alone: that with the best accuracy, or with the best figure of --sort
    #[arg(long)]
    best: bool,
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

/// A metric as it is named on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Figure(pub Metric);

impl std::str::FromStr for Figure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Metric::ALL.into_iter().find(|metric| metric.name() == text);
        known.map(Self).ok_or_else(|| format!("the figures are {}", Metric::ALL.map(Metric::name).join(", ")))
    }
}

/// Latency is no figure of the network alone, so it is shown only where it is asked for.
const SHOWN: [Metric; 7] = [
    Metric::Accuracy,
    Metric::FlopsRatio,
    Metric::FlopsWanted,
    Metric::Macs,
    Metric::Parameters,
    Metric::Bytes,
    Metric::Seconds,
];

/// The figures that are shown: those asked for, and where networks are compared always the FLOPs that each kept; by
/// default the usual ones, without a wanted share where nothing was searched.
fn shown(asked: &[Figure], compared: bool, rows: &[Row]) -> Vec<Metric> {
    if asked.is_empty() {
        let searched = rows.iter().any(|row| row.means.contains_key(&Metric::FlopsWanted));
        return SHOWN.into_iter().filter(|metric| searched || *metric != Metric::FlopsWanted).collect();
    }
    let mut metrics: Vec<Metric> = asked.iter().map(|figure| figure.0).collect();
    if compared && !metrics.contains(&Metric::FlopsRatio) {
        metrics.push(Metric::FlopsRatio);
    }
    metrics
}

/// Prints the table.
pub fn run(args: &TableArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let records: Vec<_> = plan.entries.iter().map(|entry| entry.record().cloned()).collect();
    let found = observations(&opened.graph, &records);
    let axes = opened.graph.axes();
    let baseline = args.baseline.as_deref().map(|text| baseline(text, &axes, &found)).transpose()?;
    let outputs = match args.output.as_str() {
        "all" => vec![],
        // What is called otherwise (a network that only one stage gives) is not left out for it.
        "best" => vec!["best".to_owned(), "network".to_owned()],
        other => vec![other.to_owned()],
    };
    let over = averaged(&args.group_by, &axes)?;
    let mut rows = rows(&found, &Grouping { over, outputs, baseline: baseline.clone() });
    if args.best || args.sort.is_some() {
        sort(&mut rows, args.sort.map_or(Metric::Accuracy, |figure| figure.0));
    }
    if args.best {
        rows.truncate(1);
    }
    let metrics = shown(&args.metric, baseline.is_some(), &rows);
    let sharing = Sharing::of(&opened.graph, &records);
    let missing = plan.to_run();
    let table = || Table::new(&rows, &metrics, args.baseline.as_deref());
    let mut notes = uncertainty(&rows, baseline.as_ref());
    notes.extend(measured_on(&rows, &metrics));
    match args.format {
        Format::Json => {
            let mut shared = serde_json::to_value(sharing).into_diagnostic()?;
            shared["seconds_saved"] = sharing.seconds_saved().into();
            let whole = json!({
                "pipeline": opened.name,
                "rows": rows,
                "notes": notes,
                "sharing": shared,
                "missing": missing,
            });
            say!("{}", serde_json::to_string_pretty(&whole).into_diagnostic()?);
        }
        Format::Csv => write_file(&formats::csv(&rows, &metrics)?),
        Format::Latex => {
            write_file(&formats::latex(&table(), &notes));
        }
        Format::Markdown => {
            write_file(&formats::markdown(&table(), &notes));
        }
        Format::Text if rows.is_empty() => say!("nothing was evaluated yet"),
        Format::Text => {
            say_all!("{}", formats::text(&table(), super::style::width()));
            notes.extend(saved(&sharing));
            if !notes.is_empty() {
                say!();
            }
            for note in &notes {
                say!("{}", paint(FAINT, wrapped(note, super::style::width())));
            }
        }
    }
    if missing > 0 {
        let words = format!("{} no result yet: `runner run` computes them", have(missing));
        tell!("{}", paint(FAINT, words));
    }
    Ok(())
}

/// Puts the rows with the best mean of a figure first; those without the figure come last.
fn sort(rows: &mut [Row], metric: Metric) {
    let key = |row: &Row| {
        let mean = row.means.get(&metric).map_or(f64::INFINITY, |mean| mean.mean);
        if metric.rises() && mean.is_finite() { -mean } else { mean }
    };
    rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
}

/// A sentence in lines of at most `width` columns, broken between words.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(last) = lines.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            *last += word;
        }
    }
    lines.join("\n")
}

/// So many stages, and the verb for what they have.
pub fn have(stages: usize) -> String {
    let verb = if stages == 1 { "has" } else { "have" };
    format!("{} {verb}", plural(stages, "stage"))
}

/// What sharing saved, in words.
fn saved(sharing: &Sharing) -> Option<String> {
    let what = format!("{} for {}", plural(sharing.stages, "stage"), sharing.stage_uses);
    let times = format!("{} instead of {}", seconds(sharing.seconds), seconds(sharing.seconds_alone));
    (sharing.stage_uses > sharing.stages).then(|| format!("shared between points: {what}, {times}"))
}

/// The swept keys that are averaged over.
fn averaged(group_by: &[String], axes: &[String]) -> Result<Vec<String>> {
    if group_by.is_empty() {
        return Ok(axes.iter().filter(|key| is_seed(key)).cloned().collect());
    }
    let kept = group_by.iter().map(|text| axis(text, axes)).collect::<Result<Vec<_>>>()?;
    Ok(axes.iter().filter(|key| !kept.contains(key)).cloned().collect())
}

/// A swept key by its name or the last part of it.
fn axis(text: &str, axes: &[String]) -> Result<String> {
    let mut found = axes.iter().filter(|key| is_key(key, text));
    match (axes.iter().find(|key| *key == text).or_else(|| found.next()), found.next()) {
        (Some(key), None) => Ok(key.clone()),
        (Some(key), _) if key == text => Ok(key.clone()),
        (Some(_), Some(_)) => Err(miette!("`{text}` is the end of several swept keys: {}", axes.join(", "))),
        (None, _) if axes.is_empty() => {
            Err(miette!(help = format!("sweep it: `--over {text}=A,B`"), "`{text}` is not swept; nothing is"))
        }
        (None, _) => {
            let help = nearest(text, axes.iter().map(String::as_str));
            Err(miette!(help = help, "`{text}` is not swept"))
        }
    }
}

/// What the rows are compared with; what has no network would leave them all without a difference.
pub fn baseline(text: &str, axes: &[String], found: &[Observation]) -> Result<Baseline> {
    if let Some((key, value)) = text.split_once('=') {
        let (key, value) = (axis(key.trim(), axes)?, value.trim().to_owned());
        // As the sweep spells it: `1e-3` is `0.001`.
        let terms = found.iter().flat_map(|other| &other.label);
        let spelt = terms.filter(|(own, at)| *own == key && same_value(at, &value)).map(|(_, at)| at.clone());
        if let Some(value) = spelt.min_by_key(|at| *at != value) {
            return Ok(Baseline::Value { key, value });
        }
        let values = found.iter().flat_map(|other| &other.label).filter(|(own, _)| *own == key);
        let values: std::collections::BTreeSet<&str> = values.map(|(_, value)| value.as_str()).collect();
        let values = values.into_iter().collect::<Vec<_>>().join(", ");
        return Err(miette!(
            help = format!("evaluated are {values}"),
            "no network was evaluated at `{text}`"
        ));
    }
    if found.iter().any(|other| other.stage == text) {
        return Ok(Baseline::Stage(text.to_owned()));
    }
    if text == UNPRUNED && found.iter().any(|other| other.unpruned) {
        return Ok(Baseline::Unpruned);
    }
    let stages: std::collections::BTreeSet<_> = found.iter().map(|o| o.stage.as_str()).collect();
    let stages = stages.into_iter().collect::<Vec<_>>().join(", ");
    let help = if stages.is_empty() {
        "nothing was evaluated yet".to_owned()
    } else {
        format!("evaluated are {stages}{}", swept_values(found))
    };
    Err(miette!(help = help, "no evaluated network comes from the stage `{text}`"))
}

/// The values of swept keys that a network was evaluated at, as they are written for `--baseline`.
fn swept_values(found: &[Observation]) -> String {
    let mut terms: Vec<String> = Vec::new();
    for (key, value) in found.iter().flat_map(|other| &other.label).filter(|(key, _)| !is_seed(key)) {
        let term = format!("{key}={value}");
        if !terms.contains(&term) && terms.len() <= LISTED {
            terms.push(term);
        }
    }
    let more = if terms.len() > LISTED { ", ..." } else { "" };
    terms.truncate(LISTED);
    let unpruned = if found.iter().any(|other| other.unpruned) { " and `unpruned`" } else { "" };
    match terms.is_empty() {
        true => format!("{unpruned}; a swept value is written KEY=VALUE"),
        false => format!("{unpruned}, and at swept values {}{more}", terms.join(", ")),
    }
}

/// So many swept values are listed.
const LISTED: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 8), "one two\nthree");
        assert_eq!(wrapped("a-long-word b", 3), "a-long-word\nb");
    }
}
