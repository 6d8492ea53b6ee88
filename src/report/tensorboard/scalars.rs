//! What of an event is a figure for TensorBoard.

use super::Axis;
use super::proto::{Figure, HistogramProto, Value};
use crate::engine::{Event, Stamped};
use crate::report::compare;
use crate::train::Histogram;

/// The step and the figures of an event; `None` for one without figures.
pub fn of(event: &Event, axis: Axis) -> Option<(u64, Vec<Value>)> {
    let scalar = |tag: &str, value: f64| Value {
        tag: tag.to_owned(),
        figure: Some(Figure::SimpleValue(value as f32)),
    };
    match event {
        Event::Progress { progress, .. } => Some((
            progress.step,
            vec![
                scalar("step/loss", progress.loss),
                scalar("step/accuracy", progress.accuracy),
                scalar("step/lr", progress.lr),
                scalar("step/images_per_second", progress.images_per_second),
            ],
        )),
        Event::EpochFinished { record, measured, .. } => {
            let step = match (axis, measured) {
                (Axis::Steps, Some(measured)) => measured.step,
                _ => record.epoch,
            };
            let optional = [
                ("validation/loss", record.validation_loss),
                ("validation/accuracy", record.validation_accuracy),
                ("gates/open", record.sparsity),
                ("gates/mean", record.mean_gate),
                ("train/images_per_second", measured.as_ref().map(|measured| measured.images_per_second)),
            ];
            let mut values = vec![
                scalar("train/loss", record.train_loss),
                scalar("train/accuracy", record.train_accuracy),
                scalar("train/lr", record.lr),
                scalar("train/epoch", record.epoch as f64),
            ];
            values.extend(optional.into_iter().filter_map(|(tag, value)| Some(scalar(tag, value?))));
            let gates = measured.as_ref().and_then(|measured| measured.gates.as_ref());
            values.extend(gates.map(|gates| Value {
                tag: "gates/magnitude".to_owned(),
                figure: Some(Figure::Histo(histogram(gates))),
            }));
            Some((step, values))
        }
        Event::StageFinished { metrics, .. } if metrics["networks"].is_object() => {
            let found = compare::metrics(&metrics["networks"]);
            let values =
                found.iter().map(|(key, value)| scalar(&format!("eval/{}", key.replace('.', "/")), *value));
            Some((0, values.collect()))
        }
        _ => None,
    }
}

fn histogram(gates: &Histogram) -> HistogramProto {
    HistogramProto {
        min: gates.min,
        max: gates.max,
        num: gates.counts.iter().map(|count| *count as f64).sum(),
        sum: gates.sum,
        sum_squares: gates.sum_squares,
        bucket_limit: gates.limits(),
        bucket: gates.counts.iter().map(|count| *count as f64).collect(),
    }
}

/// Whether [`settled`] goes by an event.
pub fn matters(event: &Event) -> bool {
    matches!(
        event,
        Event::StageStarted { .. }
            | Event::StageResumed { .. }
            | Event::EpochFinished { .. }
            | Event::StageFinished { .. }
    )
}

/// What holds of a log in the end: without the epochs that were done again, by a later run or after going on from an
/// earlier state. And what its steps are.
pub fn settled(log: &[Stamped]) -> (Axis, Vec<&Stamped>) {
    let mut kept: Vec<&Stamped> = Vec::new();
    for stamped in log {
        match &stamped.event {
            Event::StageStarted { resumed: false, .. } => kept.clear(),
            Event::StageResumed { progress, .. } => kept.retain(|earlier| match &earlier.event {
                Event::EpochFinished { record, .. } => record.epoch < progress.epoch,
                _ => true,
            }),
            Event::EpochFinished { .. } | Event::StageFinished { .. } => kept.push(stamped),
            _ => {}
        }
    }
    let told = |stamped: &&&Stamped| matches!(stamped.event, Event::EpochFinished { measured: None, .. });
    let axis = if kept.iter().any(|stamped| told(&stamped)) { Axis::Epochs } else { Axis::Steps };
    (axis, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Vec<Stamped> {
        let stamp = |line: &&str| {
            serde_json::from_str(&format!("{{\"time\":\"2026-01-02T03:04:05Z\",\"stage\":\"s\",{line}}}"))
                .unwrap()
        };
        lines.iter().map(stamp).collect()
    }

    const STARTED: &str =
        r#""event":"stage-started","kind":"retrain","fingerprint":"ab","reasons":[],"resumed":false"#;
    const RESUMED: &str = r#""event":"stage-resumed","epoch":2,"epochs":3,"step":10,"steps":30,"loss":1.0,"accuracy":0.5,"images_per_second":0.0,"lr":0.1"#;

    fn epoch(epoch: u64, loss: f64, step: bool) -> String {
        let measured = if step {
            format!(",\"step\":{},\"images_per_second\":100.0,\"gates\":null", 10 * epoch)
        } else {
            String::new()
        };
        format!(
            "\"event\":\"epoch-finished\",\"epoch\":{epoch},\"train_loss\":{loss},\"train_accuracy\":0.5,\"validation_loss\":null,\
             \"validation_accuracy\":null,\"sparsity\":null,\"mean_gate\":null,\"lr\":0.1{measured}"
        )
    }

    fn losses(log: &[Stamped]) -> (Axis, Vec<(u64, f64)>) {
        let (axis, events) = settled(log);
        let loss = |stamped: &&Stamped| match &stamped.event {
            Event::EpochFinished { record, .. } => (of(&stamped.event, axis).unwrap().0, record.train_loss),
            other => panic!("{other:?}"),
        };
        (axis, events.iter().map(loss).collect())
    }

    #[test]
    fn epochs_that_were_done_again_stand_once() {
        let (one, two, again, three) =
            (epoch(1, 3.0, true), epoch(2, 2.0, true), epoch(2, 2.5, true), epoch(3, 1.0, true));
        let resumed = log(&[STARTED, &one, &two, RESUMED, &again, &three]);
        assert_eq!(losses(&resumed), (Axis::Steps, vec![(10, 3.0), (20, 2.5), (30, 1.0)]));
        let anew = log(&[STARTED, &one, &two, STARTED, &one]);
        assert_eq!(losses(&anew), (Axis::Steps, vec![(10, 3.0)]));
    }

    #[test]
    fn a_log_of_an_earlier_version_is_told_by_epochs() {
        let (old, new) = (epoch(1, 3.0, false), epoch(2, 2.0, true));
        assert_eq!(losses(&log(&[STARTED, &old, RESUMED, &new])), (Axis::Epochs, vec![(1, 3.0), (2, 2.0)]));
    }
}
