//! How scores of channels are spread, and where searches cut them.

use super::label::{self, Label};
use super::{Absent, Study, sheet};
use crate::network::Checkpoint;
use crate::plan::NodeId;
use crate::prune::{Scores, importance};
use crate::report::format::plain;

/// Bars of a histogram.
const BINS: usize = 30;

/// The figure's data: a histogram for each artifact that a search looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Gates {
    /// The histograms, in the order of the pipeline.
    pub histograms: Vec<Histogram>,
    /// Artifacts that are in no readable state, in words.
    pub unread: Vec<String>,
}

/// The scores of one network's channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The stage that gave the scores.
    pub source: String,
    /// Its point.
    pub label: Label,
    /// The edges of the bars, one more than there are bars.
    pub edges: Vec<f64>,
    /// Channels in each bar; a score on an edge belongs to the bar on its right, the largest to the last bar.
    pub counts: Vec<u64>,
    /// Where searches cut.
    pub thresholds: Vec<Threshold>,
}

/// Where a search cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// The search.
    pub search: String,
    /// The share of the FLOPs that it was to keep.
    pub wanted: Option<f64>,
    /// The score below which channels were removed.
    pub value: f64,
}

impl Gates {
    /// From the artifacts that the searches of a study looked at.
    ///
    /// # Errors
    /// No search has run.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let mut sources: Vec<(NodeId, &str, Vec<Threshold>)> = Vec::new();
        for found in study.searched() {
            let Some((edge, value)) = found.from.zip(found.metrics["threshold"].as_f64()) else { continue };
            let Some(output) = edge.outputs.first() else { continue };
            let wanted = found.metrics["wanted_ratio"].as_f64();
            let threshold = Threshold { search: found.name.to_owned(), wanted, value };
            match sources.iter_mut().find(|(id, other, _)| *id == edge.from && other == output) {
                Some((_, _, thresholds)) => thresholds.push(threshold),
                None => sources.push((edge.from, output, vec![threshold])),
            }
        }
        if sources.is_empty() {
            return Err(Absent::new("no search for channels has run yet"));
        }
        sources.sort_by_key(|(id, _, _)| study.graph.node(*id).name.clone());
        let order: Vec<&str> = study
            .graph
            .points
            .iter()
            .flat_map(|point| &point.stages)
            .map(|(name, _)| name.as_str())
            .collect();
        sources.sort_by_key(|(id, _, _)| order.iter().position(|name| *name == study.graph.node(*id).name));
        let mut found = Self { histograms: Vec::new(), unread: Vec::new() };
        for (id, output, mut thresholds) in sources {
            thresholds.sort_by(|a, b| a.value.total_cmp(&b.value));
            let source = study.graph.node(id).name.clone();
            let label = study.graph.common_label(id);
            match scores(study, id, output) {
                Ok(values) => {
                    let (edges, counts) = bars(&values);
                    found.histograms.push(Histogram { source, label, edges, counts, thresholds });
                }
                Err(why) => found.unread.push(format!("{source} {}: {why}", label::words(&label))),
            }
        }
        if found.histograms.is_empty() {
            return Err(Absent::new(format!("no scores can be read: {}", found.unread.join("; "))));
        }
        Ok(found)
    }

    /// As CSV, a row for each bar, then one for each threshold.
    pub fn csv(&self) -> String {
        let rows = self.histograms.iter().flat_map(|one| {
            let start = [one.source.clone(), label::words(&one.label)];
            let bars = one.counts.iter().zip(one.edges.windows(2)).map({
                let start = start.clone();
                move |(count, edges)| {
                    let cells = ["bar".into(), edges[0].to_string(), edges[1].to_string(), count.to_string()];
                    start.iter().cloned().chain(cells).collect()
                }
            });
            let cuts = one.thresholds.iter().map(move |cut| {
                let value = plain(cut.value);
                start
                    .iter()
                    .cloned()
                    .chain([cut.search.clone(), value.clone(), value, String::new()])
                    .collect()
            });
            bars.chain(cuts)
        });
        sheet(&["scores", "point", "what", "from", "to", "channels"], rows)
    }
}

/// All scores of an artifact, of whatever kind it is.
fn scores(study: &Study<'_>, id: NodeId, output: &str) -> Result<Vec<f64>, String> {
    let entry = study.record(id).and_then(|record| record.outputs.get(output));
    let object = entry.ok_or("its result is no longer in the cache")?.object;
    let bytes = study.store.get(&object).map_err(|error| error.to_string())?;
    let layers = match Scores::from_safetensors(&bytes) {
        Ok(scores) => scores.values().to_vec(),
        Err(_) => importance(&Checkpoint::from_safetensors(&bytes).map_err(|error| error.to_string())?),
    };
    Ok(layers.into_iter().flatten().map(f64::from).filter(|value| value.is_finite()).collect())
}

/// Equal bars over the whole range of values.
fn bars(values: &[f64]) -> (Vec<f64>, Vec<u64>) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = match high - low {
        width if width > 0.0 && width.is_finite() => (low, high),
        _ if low.is_finite() => (low - 0.5, low + 0.5),
        _ => (0.0, 1.0),
    };
    let width = (high - low) / BINS as f64;
    let edges: Vec<f64> = (0..BINS).map(|bar| low + width * bar as f64).chain([high]).collect();
    let mut counts = vec![0; BINS];
    for value in values {
        let bar = edges.partition_point(|edge| edge <= value).saturating_sub(1).min(BINS - 1);
        counts[bar] += 1;
    }
    (edges, counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_in_the_bar_that_holds_it(values in prop::collection::vec(-10.0f64..10.0, 1..200)) {
            let (edges, counts) = bars(&values);
            prop_assert_eq!(edges.len(), counts.len() + 1);
            prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
            for (bar, pair) in edges.windows(2).enumerate() {
                let last = bar == counts.len() - 1;
                let inside = |value: &&f64| **value >= pair[0] && (**value < pair[1] || last && **value <= pair[1]);
                prop_assert_eq!(values.iter().filter(inside).count() as u64, counts[bar]);
            }
        }
    }

    #[test]
    fn equal_scores_and_no_scores_have_bars_of_some_width() {
        let (edges, counts) = bars(&[1.0; 5]);
        assert_eq!((edges[0], edges[BINS], counts.iter().sum::<u64>()), (0.5, 1.5, 5));
        assert_eq!(bars(&[]).1.iter().sum::<u64>(), 0);
    }
}
