//! Figures in words: the one of a stage that a person looks for first, and the values of metrics.

use serde_json::Value;

use super::Metric;
use super::format::{bytes, count, percent, seconds};

/// The key figure of a stage's metrics, in a few words; empty if there is none.
///
/// It goes by what the metrics hold, not by the kind of the stage, so that a new kind needs nothing here.
pub fn key_figure(metrics: &Value) -> String {
    let number = |key: &str| metrics[key].as_f64();
    if let Some(networks) = metrics["networks"].as_object() {
        let many = networks.len() > 1;
        let word = |(output, found): (&String, &Value)| {
            let accuracy = percent(found["accuracy"].as_f64()?);
            Some(if many { format!("{accuracy} ({output})") } else { accuracy })
        };
        let words: Vec<String> = networks.iter().filter_map(word).collect();
        return format!("accuracy {}", words.join(", "));
    }
    if let Some(ratio) = number("achieved_ratio") {
        let wanted = number("wanted_ratio").map(|wanted| format!(" ({} wanted)", percent(wanted)));
        return format!("keeps {} of the FLOPs{}", percent(ratio), wanted.unwrap_or_default());
    }
    for (key, word) in [("kept_epoch", "kept"), ("best_epoch", "best")] {
        if let Some(epoch) = metrics[key].as_u64() {
            return epochs(metrics, epoch, word);
        }
    }
    match (metrics["macs"].as_u64(), metrics["parameters"].as_u64()) {
        (Some(macs), Some(parameters)) => {
            format!("{} FLOPs, {} parameters", count(macs), count(parameters))
        }
        _ => String::new(),
    }
}

fn epochs(metrics: &Value, epoch: u64, word: &str) -> String {
    let history = metrics["history"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text = format!("{word} epoch {epoch} of {}", history.len());
    let Some(found) = history.iter().find(|record| record["epoch"].as_u64() == Some(epoch)) else {
        return text;
    };
    if let Some(accuracy) = found["validation_accuracy"].as_f64() {
        text += &format!(", validation {}", percent(accuracy));
    }
    if let Some(open) = found["sparsity"].as_f64() {
        text += &format!(", {} of gates open", percent(open));
    }
    text
}

/// The head of a metric's column.
pub fn metric_title(metric: Metric) -> &'static str {
    match metric {
        Metric::Accuracy => "accuracy",
        Metric::Loss => "loss",
        Metric::FlopsRatio => "FLOPs kept",
        Metric::FlopsWanted => "FLOPs wanted",
        Metric::Macs => "FLOPs",
        Metric::Parameters => "parameters",
        Metric::Bytes => "size",
        Metric::Latency1 => "ms at 1",
        Metric::Latency64 => "ms at 64",
        Metric::Seconds => "train time",
    }
}

/// A value of a metric in words.
pub fn written(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Accuracy | Metric::FlopsRatio | Metric::FlopsWanted => percent(value),
        Metric::Loss => format!("{value:.4}"),
        Metric::Macs | Metric::Parameters => count(value.round() as u64),
        Metric::Bytes => bytes(value.round() as u64),
        Metric::Latency1 | Metric::Latency64 => format!("{value:.2}"),
        Metric::Seconds => seconds(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_metrics_has_its_words() {
        let history = json!([
            {"epoch": 1, "validation_accuracy": 0.5, "sparsity": 1.0},
            {"epoch": 2, "validation_accuracy": 0.75, "sparsity": 0.25},
        ]);
        let words = [
            json!({"macs": 26_214_400, "parameters": 1_150_000}),
            json!({"kept_epoch": 2, "history": history}),
            json!({"achieved_ratio": 0.4987, "wanted_ratio": 0.5, "macs": 3}),
            json!({"best_epoch": 1, "epochs": 2, "history": [{"epoch": 1, "validation_accuracy": null}]}),
            json!({"networks": {"best": {"accuracy": 0.9}, "last": {"accuracy": 0.875}}}),
            json!({"networks": {"network": {"accuracy": 0.9}}}),
            json!({}),
        ]
        .map(|metrics| key_figure(&metrics));
        assert_eq!(
            words,
            [
                "26.21 M FLOPs, 1.15 M parameters",
                "kept epoch 2 of 2, validation 75.00%, 25.00% of gates open",
                "keeps 49.87% of the FLOPs (50.00% wanted)",
                "best epoch 1 of 1",
                "accuracy 90.00% (best), 87.50% (last)",
                "accuracy 90.00%",
                "",
            ]
        );
    }
}
