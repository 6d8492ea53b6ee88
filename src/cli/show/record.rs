//! A record as text: provenance, parameters, metrics.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::cli::style::{Cell, FAINT, STAGE, columns, paint};
use crate::cli::summary::side_by_side;
use crate::fingerprint::Fingerprint;
use crate::plan::flat;
use crate::report::format::{count, number, percent, plural, seconds, when};
use crate::store::Record;
use crate::train::{Machine, Timing};

/// A record; its metrics only where the work itself was asked for.
pub fn text(record: &Record, also: &[Fingerprint], whole: bool) -> String {
    let made = &record.provenance;
    let mut text = format!("{} ({})  {}\n", paint(STAGE, &made.stage), record.kind, record.fingerprint);
    let row = |key: &str, value: String| vec![Cell::left(key).style(FAINT), Cell::left(value)];
    let commit = made.runner_commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit}"));
    let mut rows = vec![
        row("pipeline", made.pipeline.clone()),
        row("ran", format!("{} to {}, {}", when(made.started), when(made.finished), seconds(made.seconds))),
        row("on", [made.host.clone(), made.device_in_words(), plural(made.threads, "thread")].join(", ")),
        row(
            "by",
            format!("runner {}{commit}, {} version {}", made.runner_version, record.kind, record.version),
        ),
    ];
    rows.extend(made.seed.map(|seed| row("seed", seed.to_string())));
    rows.extend(made.data.as_ref().map(|data| row("images", data.clone())));
    rows.extend(made.inputs.iter().map(|(role, object)| row(role, object.to_string())));
    if !also.is_empty() {
        let short: Vec<String> = also.iter().map(Fingerprint::short).collect();
        rows.push(row("also from", short.join(", ")));
    }
    text += &columns(&rows);
    let parameters: Vec<_> =
        flat(&made.parameters).into_iter().map(|(key, value)| row(&key, value)).collect();
    if !parameters.is_empty() {
        let _ = write!(text, "\n{}\n{}", paint(STAGE, "parameters"), columns(&parameters));
    }
    if whole {
        if let Some(metrics) = record.metrics.as_object().filter(|metrics| !metrics.is_empty()) {
            let _ = write!(text, "\n{}\n{}", paint(STAGE, "metrics"), self::metrics(metrics));
        }
    }
    text
}

/// Counts of a search that stand under the channels of each layer, and what they are called there.
const OF_LAYERS: [(&str, &str); 3] =
    [("channels_filled", "filled"), ("channels_tied", "tied"), ("channels_tied_kept", "tied kept")];

fn metrics(metrics: &Map<String, Value>) -> String {
    let mut rows = Vec::new();
    let mut rest = String::new();
    for (key, value) in metrics {
        match (key.as_str(), value) {
            (_, Value::Null) => {}
            ("history", Value::Array(epochs)) => rest += &history(epochs),
            ("confusion", Value::Array(classes)) => rest += &confusion(classes),
            ("networks", Value::Object(networks)) => {
                for (output, found) in networks {
                    let Some(found) = found.as_object() else { continue };
                    let _ = write!(rest, "\n  {}\n{}", paint(STAGE, output), self::metrics(found));
                }
            }
            ("latency", Value::Object(found)) => rows.extend(latency(found)),
            ("channels" | "channels_full" | "plain_channels", _) => {}
            (key, _) if OF_LAYERS.iter().any(|(own, _)| *own == key) => {}
            _ => {
                rows.push(vec![Cell::left(key.replace('_', " ")).style(FAINT), Cell::left(word(key, value))]);
            }
        }
    }
    let list = |key: &str| -> Vec<usize> {
        let items = metrics.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_u64).map(|item| item as usize).collect()
    };
    let kept = list("channels");
    let mut text = columns(&rows);
    if !kept.is_empty() {
        let full = [list("channels_full"), list("plain_channels")];
        let full = full.iter().find(|full| full.len() == kept.len() && **full != kept);
        if !text.is_empty() {
            text.push('\n');
        }
        let mut lists = vec![(if full.is_some() { "kept" } else { "channels" }, kept)];
        lists.extend(full.map(|full| ("of", full.clone())));
        let more = OF_LAYERS.iter().map(|(key, label)| (*label, list(key)));
        lists.extend(more.filter(|(_, list)| list.iter().any(|count| *count > 0)));
        let lists: Vec<(&str, &[usize])> =
            lists.iter().map(|(label, list)| (*label, list.as_slice())).collect();
        text += &side_by_side(&lists);
    }
    text + &rest
}

/// Times of forward passes, and the machine that they were measured on.
fn latency(found: &Map<String, Value>) -> Vec<Vec<Cell>> {
    let row = |key: String, words: String| vec![Cell::left(key).style(FAINT), Cell::left(words)];
    let mut rows = Vec::new();
    for (batch, value) in found {
        let Ok(timing) = serde_json::from_value::<Timing>(value.clone()) else { continue };
        let (median, low, high) = (number(timing.median_ms), number(timing.low_ms), number(timing.high_ms));
        let noisy = if timing.is_noisy() { "; spreads by more than 20%: the machine was busy" } else { "" };
        let words = format!("{median} ms ({low} to {high} in half of {} passes){noisy}", timing.passes);
        rows.push(row(format!("latency of {batch}"), words));
    }
    let machine = found.get("machine").and_then(|machine| serde_json::from_value(machine.clone()).ok());
    rows.extend(machine.map(|machine: Machine| row("measured on".to_owned(), machine.to_string())));
    rows
}

/// A figure in the unit that its name tells.
fn word(key: &str, value: &Value) -> String {
    let Some(figure) = value.as_f64() else {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    };
    match key {
        _ if key.contains("macs") || key.contains("parameters") => {
            format!("{} ({value})", count(value.as_u64().unwrap_or_default()))
        }
        _ if key.contains("accuracy") || key.contains("ratio") => percent(figure),
        _ if value.is_u64() => value.to_string(),
        _ => number(figure),
    }
}

/// One row an epoch.
fn history(epochs: &[Value]) -> String {
    const HEADS: [(&str, &str); 8] = [
        ("epoch", "epoch"),
        ("train_loss", "loss"),
        ("train_accuracy", "accuracy"),
        ("validation_loss", "val. loss"),
        ("validation_accuracy", "validation"),
        ("sparsity", "gates open"),
        ("mean_gate", "mean gate"),
        ("lr", "rate"),
    ];
    let there = HEADS.iter().filter(|(key, _)| epochs.iter().any(|epoch| !epoch[*key].is_null()));
    let there: Vec<_> = there.collect();
    let mut rows: Vec<Vec<Cell>> =
        vec![there.iter().map(|(_, head)| Cell::right(*head).style(FAINT)).collect()];
    for epoch in epochs {
        let cell = |(key, _): &&(&str, &str)| {
            let value = &epoch[*key];
            let text = match (*key, value.as_f64()) {
                (_, None) => "-".to_owned(),
                ("train_accuracy" | "validation_accuracy" | "sparsity", Some(share)) => percent(share),
                ("epoch" | "lr", Some(figure)) => number(figure),
                (_, Some(figure)) => format!("{figure:.4}"),
            };
            Cell::right(text)
        };
        rows.push(there.iter().map(cell).collect());
    }
    format!("\n{}", columns(&rows))
}

/// True classes down, predicted ones across; the share of each class that was found at the right.
fn confusion(classes: &[Value]) -> String {
    const READABLE: usize = 20;
    if classes.len() > READABLE {
        return format!("\n  confusion of {} classes: see `--json`\n", classes.len());
    }
    let mut head = vec![Cell::right("true \\ predicted").style(FAINT)];
    head.extend((0..classes.len()).map(|class| Cell::right(class.to_string()).style(FAINT)));
    head.push(Cell::right("found").style(FAINT));
    let mut rows = vec![head];
    for (class, counts) in classes.iter().enumerate() {
        let counts: Vec<u64> = counts.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let mut row = vec![Cell::right(class.to_string()).style(FAINT)];
        for (predicted, count) in counts.iter().enumerate() {
            let text = if *count == 0 { ".".to_owned() } else { count.to_string() };
            let style = if predicted == class { STAGE } else { anstyle::Style::new() };
            row.push(Cell::right(text).style(style));
        }
        let all = counts.iter().map(|count| *count as f64).sum::<f64>().max(1.0);
        let right = counts.get(class).copied().unwrap_or(0);
        row.push(Cell::right(percent(right as f64 / all)));
        rows.push(row);
    }
    format!("\n{}", columns(&rows))
}
