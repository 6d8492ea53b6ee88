//! Accuracy against FLOPs: what every method reaches at what cost, over seeds.

use std::collections::BTreeSet;

use super::label::{self, Label};
use super::methods::nothing_evaluated;
use super::{Absent, Method, Methods, Order, Study, sheet};
use crate::report::format::plain;
use crate::report::{Grouping, Mean, Metric, Row, merged_rows, observations};

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Pareto {
    /// Evaluated networks, averaged over seeds; by method, then by budget.
    pub points: Vec<ParetoPoint>,
}

/// One method's cost and accuracy at a budget, over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct ParetoPoint {
    /// The method.
    pub method: Method,
    /// Which of its networks: `best`, `last`, ...
    pub output: String,
    /// The budget and other numbers that were not averaged over.
    pub label: Label,
    /// Multiply-accumulates over those of the plain network.
    pub flops: Mean,
    /// Share of test images classified rightly.
    pub accuracy: Mean,
    /// The accuracy of each network.
    pub runs: Vec<f64>,
    /// Whether no channel was removed.
    pub unpruned: bool,
    /// Whether no other mean is as accurate for less, or more accurate for as much.
    pub on_front: bool,
}

impl Pareto {
    /// From the records of a study. The points are rows of the study's table: the same means over the same
    /// networks.
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
        let methods = Methods::of(study);
        let points: Vec<ParetoPoint> = rows.iter().filter_map(|row| point(row, &methods)).collect();
        if points.is_empty() {
            return Err(nothing_evaluated());
        }
        Ok(Self { points: with_front(points) })
    }

    /// The methods, in the order of the study.
    pub fn methods(&self) -> Vec<&Method> {
        let mut methods: Vec<&Method> = Vec::new();
        for point in &self.points {
            if !methods.contains(&&point.method) {
                methods.push(&point.method);
            }
        }
        methods
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
                let sd = |mean: Mean| mean.sd.map_or(String::new(), plain);
                vec![
                    point.method.name.clone(),
                    point.output.clone(),
                    label::words(&point.label),
                    point.accuracy.n.to_string(),
                    plain(point.flops.mean),
                    sd(point.flops),
                    plain(point.accuracy.mean),
                    sd(point.accuracy),
                    point.unpruned.to_string(),
                    point.on_front.to_string(),
                ]
            }),
        )
    }
}

/// A row of the table as a point.
fn point(row: &Row, methods: &Methods) -> Option<ParetoPoint> {
    let (method, label) = methods.of_network(&row.stage, &row.label);
    // A damaged record may hold numbers that are no shares; they have no place in the figure.
    let flops = row.means.get(&Metric::FlopsRatio).filter(|ratio| ratio.mean > 0.0 && ratio.mean < 1e6);
    let accuracy = row.means.get(&Metric::Accuracy).filter(|share| (0.0..=1.0).contains(&share.mean));
    Some(ParetoPoint {
        method,
        output: row.output.clone(),
        label,
        flops: *flops?,
        accuracy: *accuracy?,
        runs: row.accuracies.clone(),
        unpruned: row.unpruned,
        on_front: false,
    })
}

/// The points by method and budget, those on the front marked.
fn with_front(mut points: Vec<ParetoPoint>) -> Vec<ParetoPoint> {
    points.sort_by(|a, b| {
        let order = |point: &ParetoPoint| Order::of(&point.method, &point.label);
        order(a).compare(&order(b)).then(a.flops.mean.total_cmp(&b.flops.mean))
    });
    let means: Vec<(f64, f64)> = points.iter().map(|point| (point.flops.mean, point.accuracy.mean)).collect();
    for (point, on_front) in points.iter_mut().zip(front(&means)) {
        point.on_front = on_front;
    }
    points
}

/// Which points no other dominates. Cost is to be low, accuracy high; a point dominates another that is no
/// better in either and worse in one.
fn front(points: &[(f64, f64)]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*b].1.total_cmp(&points[*a].1)));
    let mut found = vec![false; points.len()];
    // The most accurate of all cheaper points, and of those of the same cost.
    let (mut cheaper, mut equal, mut cost) = (f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for at in order {
        let (flops, accuracy) = points[at];
        if flops > cost {
            (cheaper, equal, cost) = (cheaper.max(equal), accuracy, flops);
        }
        found[at] = accuracy > cheaper && accuracy >= equal;
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Role;
    use super::*;

    fn found(place: usize, ratio: &str, flops: f64, runs: &[f64]) -> ParetoPoint {
        ParetoPoint {
            method: Method { name: ["gates", "uniform"][place].to_owned(), role: Role::Method(place) },
            output: "best".into(),
            label: vec![("flops_ratio".to_owned(), ratio.to_owned())],
            flops: Mean::of(&vec![flops; runs.len()]).unwrap(),
            accuracy: Mean::of(runs).unwrap(),
            runs: runs.to_vec(),
            unpruned: false,
            on_front: false,
        }
    }

    #[test]
    fn points_are_sorted_by_method_and_budget() {
        let points = with_front(vec![
            found(0, "0.5", 0.50, &[0.90]),
            found(1, "0.3", 0.30, &[0.85]),
            found(0, "0.3", 0.30, &[0.80, 0.84]),
            found(1, "0.5", 0.50, &[0.88]),
        ]);
        let names: Vec<_> = points.iter().map(|p| (p.method.name.as_str(), p.label[0].1.as_str())).collect();
        assert_eq!(names, [("gates", "0.3"), ("gates", "0.5"), ("uniform", "0.3"), ("uniform", "0.5")]);
        assert_eq!(points.iter().map(|p| p.on_front).collect::<Vec<_>>(), [false, true, true, false]);
    }

    #[test]
    fn the_front_is_that_of_means_and_not_of_single_networks() {
        // The best single network is of gates (0.95), the best mean of uniform (0.90 against 0.85).
        let points =
            with_front(vec![found(0, "0.3", 0.30, &[0.95, 0.75]), found(1, "0.3", 0.30, &[0.91, 0.89])]);
        assert_eq!(points.iter().map(|p| p.on_front).collect::<Vec<_>>(), [false, true]);
    }

    proptest! {
        /// A coarse grid, so that costs, accuracies and whole points are often equal.
        #[test]
        fn the_front_is_what_brute_force_finds(points in prop::collection::vec((0u8..6, 0u8..6), 0..30)) {
            let points: Vec<(f64, f64)> =
                points.into_iter().map(|(cost, accuracy)| (f64::from(cost) / 10.0, f64::from(accuracy) / 10.0)).collect();
            let dominated = |(flops, accuracy): (f64, f64)| {
                points.iter().any(|other| {
                    other.0 <= flops && other.1 >= accuracy && (other.0 < flops || other.1 > accuracy)
                })
            };
            let brute: Vec<bool> = points.iter().map(|point| !dominated(*point)).collect();
            prop_assert_eq!(front(&points), brute);
        }
    }
}
