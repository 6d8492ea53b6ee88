//! Accuracy against FLOPs: what every method reaches at what cost, over seeds.

use std::collections::BTreeSet;

use super::label::{self, Label};
use super::{Absent, Study, sheet};
use crate::report::{Grouping, Mean, Metric, Row, merged_rows, observations};

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Pareto {
    /// Evaluated networks, averaged over seeds; those of a series stand together, the cheapest first.
    pub points: Vec<ParetoPoint>,
}

/// One structure's cost and accuracy over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct ParetoPoint {
    /// The method, as the table names it.
    pub series: String,
    /// Which of its networks: `best`, `last`, ...
    pub output: String,
    /// The swept parameters that were not averaged over.
    pub label: Label,
    /// Multiply-accumulates over those of the plain network.
    pub flops: Mean,
    /// Share of test images classified rightly.
    pub accuracy: Mean,
    /// Whether no channel was removed.
    pub unpruned: bool,
    /// Whether no other point is as accurate for less, or more accurate for as much.
    pub on_front: bool,
}

impl Pareto {
    /// From the records of a study. The points are rows of the study's table: the same means over the same networks.
    ///
    /// # Errors
    /// Nothing was evaluated yet.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let graph = study.graph;
        let records: Vec<_> = study.plan.entries.iter().map(|entry| entry.record().cloned()).collect();
        let mut found = observations(graph, &records);
        // Of the networks of a training the best is the result.
        let best: BTreeSet<(Label, String)> = found
            .iter()
            .filter(|one| one.output == "best")
            .map(|one| (one.label.clone(), one.stage.clone()))
            .collect();
        found.retain(|one| one.output == "best" || !best.contains(&(one.label.clone(), one.stage.clone())));
        let over = graph.axes().into_iter().filter(|key| label::is_seed(key)).collect();
        let rows = merged_rows(graph, &found, &Grouping { over, ..Grouping::default() });
        let points: Vec<ParetoPoint> = rows.iter().filter_map(point).collect();
        if points.is_empty() {
            return Err(Absent::new("no network was evaluated yet"));
        }
        Ok(Self { points: front(sorted(points)) })
    }

    /// The names of the series, in the order in which they are drawn.
    pub fn series(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for point in &self.points {
            if !names.contains(&point.series.as_str()) {
                names.push(&point.series);
            }
        }
        names
    }

    /// As CSV, a row a point.
    pub fn csv(&self) -> String {
        let head = [
            "network",
            "output",
            "point",
            "n",
            "flops_ratio_mean",
            "flops_ratio_sd",
            "accuracy_mean",
            "accuracy_sd",
            "unpruned",
            "on_front",
        ];
        sheet(
            &head,
            self.points.iter().map(|point| {
                let sd = |mean: Mean| mean.sd.map_or(String::new(), |sd| sd.to_string());
                vec![
                    point.series.clone(),
                    point.output.clone(),
                    label::words(&point.label),
                    point.accuracy.n.to_string(),
                    point.flops.mean.to_string(),
                    sd(point.flops),
                    point.accuracy.mean.to_string(),
                    sd(point.accuracy),
                    point.unpruned.to_string(),
                    point.on_front.to_string(),
                ]
            }),
        )
    }
}

/// A row of the table as a point.
fn point(row: &Row) -> Option<ParetoPoint> {
    Some(ParetoPoint {
        series: row.name.clone(),
        output: row.output.clone(),
        label: row.places.clone(),
        flops: *row.means.get(&Metric::FlopsRatio)?,
        accuracy: *row.means.get(&Metric::Accuracy)?,
        unpruned: row.unpruned,
        on_front: false,
    })
}

/// Points of a series stand together, the cheapest first.
fn sorted(mut points: Vec<ParetoPoint>) -> Vec<ParetoPoint> {
    let place: Vec<String> = points.iter().map(|point| point.series.clone()).collect();
    let place = |name: &str| place.iter().position(|other| other == name);
    points
        .sort_by(|a, b| place(&a.series).cmp(&place(&b.series)).then(a.flops.mean.total_cmp(&b.flops.mean)));
    points
}

/// Marks the points that no other dominates.
fn front(mut points: Vec<ParetoPoint>) -> Vec<ParetoPoint> {
    let all: Vec<(f64, f64)> = points.iter().map(|point| (point.flops.mean, point.accuracy.mean)).collect();
    for point in &mut points {
        let (flops, accuracy) = (point.flops.mean, point.accuracy.mean);
        let dominates = |other: &(f64, f64)| {
            other.0 <= flops && other.1 >= accuracy && (other.0 < flops || other.1 > accuracy)
        };
        point.on_front = !all.iter().any(dominates);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(series: &str, ratio: &str, flops: f64, accuracy: f64) -> ParetoPoint {
        let label = vec![("flops_ratio".to_owned(), ratio.to_owned())];
        let mean = |value: f64| Mean { n: 1, mean: value, sd: None };
        ParetoPoint {
            series: series.into(),
            output: "best".into(),
            label,
            flops: mean(flops),
            accuracy: mean(accuracy),
            unpruned: false,
            on_front: false,
        }
    }

    #[test]
    fn points_stand_by_series_and_the_front_is_what_brute_force_finds() {
        let points = front(sorted(vec![
            found("gates", "0.5", 0.50, 0.90),
            found("uniform", "0.3", 0.30, 0.85),
            found("gates", "0.3", 0.30, 0.82),
            found("uniform", "0.5", 0.50, 0.88),
        ]));
        let names: Vec<_> = points.iter().map(|p| (p.series.as_str(), p.label[0].1.as_str())).collect();
        assert_eq!(names, [("gates", "0.3"), ("gates", "0.5"), ("uniform", "0.3"), ("uniform", "0.5")]);
        assert_eq!(points.iter().map(|p| p.on_front).collect::<Vec<_>>(), [false, true, true, false]);
    }
}
