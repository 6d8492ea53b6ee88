//! Accuracy against FLOPs: what every method reaches at what cost, over seeds.

use super::label::{self, Label};
use super::{Absent, Evaluated, Study, sheet};
use crate::report::Mean;

/// The figure's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Pareto {
    /// Evaluated networks, averaged over seeds; those of a series stand together, the cheapest first.
    pub points: Vec<ParetoPoint>,
}

/// One structure's cost and accuracy over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct ParetoPoint {
    /// The method: the rule where rules are swept, else the stage that trained the network.
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

/// What one evaluated network adds to a point.
struct Found {
    series: String,
    output: String,
    label: Label,
    flops: f64,
    accuracy: f64,
    unpruned: bool,
}

impl Pareto {
    /// From the records of a study.
    ///
    /// # Errors
    /// Nothing was evaluated yet.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let evaluated: Vec<(Evaluated<'_>, Label)> = study
            .evaluated()
            .map(|network| {
                let label = label::without_seeds(&network.label);
                (network, label)
            })
            .collect();
        let several = label::several(evaluated.iter().map(|(network, label)| (network.trained_by, label)));
        let found: Vec<Found> = evaluated
            .iter()
            .filter_map(|(network, label)| {
                let number = |key: &str| network.metrics[key].as_f64();
                let (macs, plain) = (number("macs")?, number("plain_macs")?);
                let (series, label) = label::method(network.trained_by, several, label);
                Some(Found {
                    series,
                    output: network.output.to_owned(),
                    label,
                    flops: macs / plain,
                    accuracy: number("accuracy")?,
                    unpruned: network.metrics["channels"] == network.metrics["plain_channels"],
                })
            })
            .collect();
        if found.is_empty() {
            return Err(Absent::new("no network was evaluated yet"));
        }
        Ok(Self { points: front(named(grouped(found))) })
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

/// The name of a curve of unpruned networks.
pub const UNPRUNED: &str = "unpruned";

/// Calls the one method that prunes nothing by what it is.
fn named(mut points: Vec<ParetoPoint>) -> Vec<ParetoPoint> {
    let prunes = |name: &str| points.iter().any(|point| point.series == name && !point.unpruned);
    let mut names: Vec<String> =
        points.iter().map(|point| point.series.clone()).filter(|name| !prunes(name)).collect();
    names.dedup();
    if let [only] = names.as_slice() {
        let unpruned = points.iter_mut().filter(|point| point.series == *only);
        unpruned.for_each(|point| point.series = UNPRUNED.to_owned());
    }
    points
}

fn grouped(found: Vec<Found>) -> Vec<ParetoPoint> {
    let mut groups: Vec<Vec<Found>> = Vec::new();
    for one in found {
        let same = |group: &&mut Vec<Found>| {
            let first = &group[0];
            (&first.series, &first.output, &first.label) == (&one.series, &one.output, &one.label)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let mean =
        |group: &[Found], value: fn(&Found) -> f64| Mean::of(&group.iter().map(value).collect::<Vec<_>>());
    let mut points: Vec<ParetoPoint> = groups
        .iter()
        .filter_map(|group| {
            let first = group.first()?;
            Some(ParetoPoint {
                series: first.series.clone(),
                output: first.output.clone(),
                label: first.label.clone(),
                flops: mean(group, |one| one.flops)?,
                accuracy: mean(group, |one| one.accuracy)?,
                unpruned: group.iter().all(|one| one.unpruned),
                on_front: false,
            })
        })
        .collect();
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

    fn found(series: &str, ratio: &str, flops: f64, accuracy: f64) -> Found {
        let label = vec![("flops_ratio".to_owned(), ratio.to_owned())];
        Found { series: series.into(), output: "best".into(), label, flops, accuracy, unpruned: false }
    }

    #[test]
    fn seeds_become_a_mean_and_the_front_is_what_brute_force_finds() {
        let points = front(grouped(vec![
            found("gates", "0.5", 0.50, 0.90),
            found("uniform", "0.3", 0.30, 0.85),
            found("gates", "0.3", 0.29, 0.80),
            found("gates", "0.3", 0.31, 0.84),
            found("uniform", "0.5", 0.50, 0.88),
        ]));
        let names: Vec<_> = points.iter().map(|p| (p.series.as_str(), p.label[0].1.as_str())).collect();
        assert_eq!(names, [("gates", "0.3"), ("gates", "0.5"), ("uniform", "0.3"), ("uniform", "0.5")]);
        let first = &points[0];
        assert_eq!(first.accuracy.n, 2);
        assert!((first.accuracy.mean - 0.82).abs() < 1e-12 && (first.flops.mean - 0.30).abs() < 1e-12);
        // Two values that lie 0.04 apart have the sample standard deviation 0.04 / sqrt(2).
        assert!((first.accuracy.sd.unwrap() - 0.04 / 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(points.iter().map(|p| p.on_front).collect::<Vec<_>>(), [false, true, true, false]);
    }
}
