//! Rows as words: what text, Markdown and LaTeX have in common.

use crate::report::{Mean, Metric, Row, metric_title, written};

/// A table of words. The first [`Self::names`] columns say what a row is, the others hold figures.
pub struct Table {
    /// The heads of the columns.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// How many columns say what a row is.
    pub names: usize,
}

impl Table {
    /// These figures of these rows; `baseline` is what they are compared with.
    pub fn new(rows: &[Row], metrics: &[Metric], baseline: Option<&str>) -> Self {
        let mut keys: Vec<&str> = Vec::new();
        for (key, _) in rows.iter().flat_map(|row| &row.places) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        let mut head: Vec<String> = keys.iter().map(|key| short(key, &keys)).collect();
        head.extend(["network".to_owned(), "n".to_owned()]);
        let names = head.len() - 1;
        let baseline = baseline.filter(|_| rows.iter().any(|row| row.against_baseline.is_some()));
        for metric in metrics {
            head.push(metric_title(*metric).to_owned());
            if *metric == Metric::Accuracy {
                head.extend(baseline.map(|name| format!("vs {}", short(name, &[name]))));
            }
        }
        if !metrics.contains(&Metric::Accuracy) {
            head.extend(baseline.map(|name| format!("accuracy vs {}", short(name, &[name]))));
        }
        let one_output = rows.windows(2).all(|pair| pair[0].output == pair[1].output);
        let cells = |row: &Row| {
            let place =
                |key: &&str| row.places.iter().find(|(own, _)| own == key).map(|(_, value)| value.clone());
            let mut cells: Vec<String> = keys.iter().map(|key| place(key).unwrap_or_default()).collect();
            cells.push(if one_output { row.name.clone() } else { format!("{} {}", row.name, row.output) });
            cells.push(row.n.to_string());
            for metric in metrics {
                cells.push(row.means.get(metric).map_or("-".to_owned(), |mean| cell(*metric, *mean)));
                if *metric == Metric::Accuracy {
                    cells.extend(baseline.map(|_| difference(row)));
                }
            }
            if !metrics.contains(&Metric::Accuracy) {
                cells.extend(baseline.map(|_| difference(row)));
            }
            cells
        };
        let rows = rows.iter().map(cells).collect();
        Self { head, rows, names }
    }
}

/// The last part of a key where that tells it from the others.
fn short(key: &str, keys: &[&str]) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    // The value of a baseline may have dots of its own.
    let (name, value) =
        key.split_once('=').map_or((key, String::new()), |(name, value)| (name, format!("={value}")));
    let alone = keys.iter().filter(|other| last(other) == last(name)).count() <= 1;
    if alone { last(name) + &value } else { key.to_owned() }
}

fn cell(metric: Metric, mean: Mean) -> String {
    let write = |value| written(metric, value);
    match mean.sd {
        // A spread that cannot be seen in the digits shown only clutters.
        Some(sd) if write(sd) != write(0.0) => format!("{} ± {}", write(mean.mean), write(sd)),
        _ => write(mean.mean),
    }
}

/// A difference in points of accuracy: `+0.52 [+0.11, +0.93]`.
fn difference(row: &Row) -> String {
    let Some(found) = row.against_baseline else { return String::new() };
    // Zero has no sign.
    let points = |share: f64| format!("{:+.2}", 100.0 * share).replace("-0.00", "+0.00");
    let interval =
        found.interval.map_or(String::new(), |(low, high)| format!(" [{}, {}]", points(low), points(high)));
    // Fewer pairs than networks: some points have no baseline.
    let pairs = if found.n == row.n { String::new() } else { format!(" of {}", found.n) };
    let mark = if found.is_significant() { "*" } else { "" };
    format!("{}{interval}{mark}{pairs}", points(found.mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_where_its_end_tells_which_it_is() {
        assert_eq!(
            short("threshold-search.flops_ratio", &["threshold-search.flops_ratio", "seed"]),
            "flops_ratio"
        );
        assert_eq!(short("a.epochs", &["a.epochs", "b.epochs"]), "a.epochs");
        assert_eq!(short("t.flops_ratio=0.3", &["t.flops_ratio=0.3"]), "flops_ratio=0.3");
        assert_eq!(short("retrain-uniform", &["retrain-uniform"]), "retrain-uniform");
    }
}
