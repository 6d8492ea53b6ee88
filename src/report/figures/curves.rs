//! Loss and accuracy by epoch, over seeds.

use std::collections::{BTreeMap, BTreeSet};

use super::label::{self, Label};
use super::{Absent, Method, Methods, Order, Study, sheet};
use crate::report::Mean;
use crate::report::format::plain;
use crate::train::EpochRecord;

/// The figure's data: a curve for each training stage and point, over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// The curves, those of a stage together.
    pub curves: Vec<Curve>,
}

/// What a training stage went through at a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The stage.
    pub stage: String,
    /// The method whose network it trains, or the stage itself.
    pub method: Method,
    /// Its point, without seeds.
    pub label: Label,
    /// The budget and other numbers of its point.
    pub places: Label,
    /// Each seed in words, and its epochs.
    pub runs: Vec<(String, Vec<EpochRecord>)>,
}

/// The means of one epoch over seeds; of the runs that came so far and have the figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochMeans {
    /// Which, from 1.
    pub epoch: u64,
    /// Training loss.
    pub train_loss: Option<Mean>,
    /// Share of training images classified rightly.
    pub train_accuracy: Option<Mean>,
    /// Validation loss.
    pub validation_loss: Option<Mean>,
    /// Share of validation images classified rightly.
    pub validation_accuracy: Option<Mean>,
}

impl Curve {
    /// The means of every epoch that a run has, in order. Of epochs with the same number in a run the last
    /// one counts.
    pub fn means(&self) -> Vec<EpochMeans> {
        // By the epochs that are there, not by all up to the last: what a record says of its epoch may be any
        // number.
        let mut epochs: BTreeMap<u64, Vec<&EpochRecord>> = BTreeMap::new();
        for (_, run) in &self.runs {
            let mut seen = BTreeSet::new();
            for record in run.iter().filter(|record| seen.insert(record.epoch)) {
                epochs.entry(record.epoch).or_default().push(record);
            }
        }
        epochs
            .into_iter()
            .map(|(epoch, here)| {
                let mean = |value: fn(&EpochRecord) -> Option<f64>| {
                    let finite = |value: &f64| value.is_finite();
                    Mean::of(&here.iter().copied().filter_map(value).filter(finite).collect::<Vec<_>>())
                };
                EpochMeans {
                    epoch,
                    train_loss: mean(|record| Some(record.train_loss)),
                    train_accuracy: mean(|record| Some(record.train_accuracy)),
                    validation_loss: mean(|record| record.validation_loss),
                    validation_accuracy: mean(|record| record.validation_accuracy),
                }
            })
            .collect()
    }
}

impl Curves {
    /// From the histories in the records of a study, which stay where logs are cleared.
    ///
    /// # Errors
    /// Nothing was trained yet.
    pub fn of(study: &Study<'_>) -> Result<Self, Absent> {
        let methods = Methods::of(study);
        let mut curves: Vec<Curve> = Vec::new();
        for (id, record) in study.records() {
            let history =
                record.metrics.get("history").cloned().map(serde_json::from_value::<Vec<EpochRecord>>);
            let Some(Ok(history)) =
                history.filter(|read| read.as_ref().is_ok_and(|epochs| !epochs.is_empty()))
            else {
                continue;
            };
            let whole = study.graph.common_label(id);
            let label = label::without_seeds(&whole);
            let (stage, method, places) = methods.of_training(id, &study.graph.node(id).name, &label);
            let run = (label::words(&label::seeds(&whole)), history);
            match curves.iter_mut().find(|curve| (&curve.stage, &curve.label) == (&stage, &label)) {
                Some(curve) => curve.runs.push(run),
                None => curves.push(Curve { stage, method, label, places, runs: vec![run] }),
            }
        }
        if curves.is_empty() {
            return Err(Absent::new("nothing was trained yet"));
        }
        let stages: Vec<String> = curves.iter().map(|curve| curve.stage.clone()).collect();
        let place = |curve: &Curve| stages.iter().position(|stage| *stage == curve.stage);
        curves.sort_by(|a, b| {
            let order = |curve: &Curve| Order::of(&curve.method, &curve.places);
            place(a).cmp(&place(b)).then_with(|| order(a).compare(&order(b)))
        });
        Ok(Self { curves })
    }

    /// The curves of each stage.
    pub fn by_stage(&self) -> Vec<&[Curve]> {
        self.curves.chunk_by(|a, b| a.stage == b.stage).collect()
    }

    /// As CSV, a row for each epoch of each run.
    pub fn csv(&self) -> String {
        let rows = self.curves.iter().flat_map(|curve| {
            curve.runs.iter().flat_map(move |(seed, run)| {
                run.iter().map(move |record| {
                    let maybe = |value: Option<f64>| value.map_or(String::new(), plain);
                    vec![
                        curve.stage.clone(),
                        label::words(&curve.label),
                        seed.clone(),
                        record.epoch.to_string(),
                        plain(record.train_loss),
                        plain(record.train_accuracy),
                        maybe(record.validation_loss),
                        maybe(record.validation_accuracy),
                        maybe(record.sparsity),
                        maybe(record.mean_gate),
                        plain(record.lr),
                    ]
                })
            })
        });
        let head = [
            "stage",
            "point",
            "seed",
            "epoch",
            "train_loss",
            "train_accuracy",
            "validation_loss",
            "validation_accuracy",
            "gates_open",
            "mean_gate",
            "lr",
        ];
        sheet(&head, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    fn record(epoch: u64, loss: f64, validation: Option<f64>) -> EpochRecord {
        EpochRecord {
            epoch,
            train_loss: loss,
            train_accuracy: 0.5,
            validation_loss: None,
            validation_accuracy: validation,
            sparsity: None,
            mean_gate: None,
            lr: 0.1,
        }
    }

    #[test]
    fn epochs_of_any_number_cost_no_more_than_their_records() {
        let run = vec![record(1, 2.0, None), record(10_000_000, 1.0, None), record(u64::MAX, 0.5, None)];
        let curve = Curve {
            stage: "retrain".into(),
            method: Method { name: "retrain".into(), role: Role::Method(0) },
            label: vec![],
            places: vec![],
            runs: vec![("".into(), run)],
        };
        let epochs: Vec<u64> = curve.means().iter().map(|means| means.epoch).collect();
        assert_eq!(epochs, [1, 10_000_000, u64::MAX]);
    }

    #[test]
    fn an_epoch_is_the_mean_of_the_runs_that_came_so_far() {
        let curve = Curve {
            stage: "retrain".into(),
            method: Method { name: "retrain".into(), role: Role::Method(0) },
            label: vec![],
            places: vec![],
            runs: vec![
                ("seed=1".into(), vec![record(1, 2.0, Some(0.5)), record(2, 1.0, Some(0.75))]),
                ("seed=2".into(), vec![record(1, 4.0, None)]),
            ],
        };
        let means = curve.means();
        assert_eq!(means.len(), 2);
        assert_eq!(means[0].train_loss, Some(Mean { n: 2, mean: 3.0, sd: Some(2f64.sqrt()) }));
        assert_eq!(means[0].validation_accuracy, Some(Mean { n: 1, mean: 0.5, sd: None }));
        assert_eq!(means[1].train_loss, Some(Mean { n: 1, mean: 1.0, sd: None }));
        assert_eq!(means[1].validation_loss, None);
        let csv = Curves { curves: vec![curve] }.csv();
        assert_eq!(csv.lines().nth(1), Some("retrain,,seed=1,1,2,0.5,,0.5,,,0.1"));
        assert_eq!(csv.lines().count(), 4);
    }
}
