//! The learning rate as a function of the step, and of nothing else.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content_hash;
use crate::fingerprint::{ContentHash, Encoder};

/// Which schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The same rate all along.
    Constant,
    /// Multiplied by `gamma` at every milestone.
    MultiStep,
    /// Half a cosine, from the full rate in the first epoch to nearly zero in the last: (1 + cos(pi epoch / epochs)) / 2.
    Cosine,
}

content_hash!(enum ScheduleKind {
    Constant => legacy Ordinal(0),
    MultiStep => legacy Ordinal(1),
    Cosine => legacy Ordinal(2),
});

/// Parameters of a schedule.
///
/// The kinds change the rate between epochs, as PyTorch's schedulers do when they are stepped once an epoch; warm-up
/// changes it at every step. Warm-up multiplies what the kind says and delays nothing: milestones and the cosine count from
/// the first epoch. Epochs are whole; a run whose length is given in steps counts its last, cut one as a whole one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleParams {
    /// Which schedule.
    pub kind: ScheduleKind,
    /// Where `multi-step` multiplies, as shares of all epochs: from epoch floor(share * epochs) on, counted
    /// from 0, and never before the end of the first epoch.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub milestones: Vec<f64>,
    /// What `multi-step` multiplies by.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Epochs, also parts of one, in which the rate rises in a line, step by step, from nearly zero to the full rate.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub warmup_epochs: f64,
}

/// Only what the kind looks at: milestones change nothing under a cosine.
impl ContentHash for ScheduleParams {
    fn content_hash(&self, encoder: &mut Encoder) {
        let Self { kind, milestones, gamma, warmup_epochs } = self;
        match kind {
            ScheduleKind::Constant | ScheduleKind::Cosine => encoder.structure(2),
            ScheduleKind::MultiStep => {
                encoder.structure(4);
                encoder.field("milestones", milestones);
                encoder.field("gamma", gamma);
            }
        }
        encoder.field("kind", kind);
        encoder.field("warmup_epochs", warmup_epochs);
    }
}

/// The first epoch, from 0, that a milestone may begin: the first one always has the full rate.
const FIRST_MILESTONE: u64 = 1;

impl Default for ScheduleParams {
    /// The authors' retraining: a tenth at half, and again at three quarters.
    fn default() -> Self {
        Self { kind: ScheduleKind::MultiStep, milestones: vec![0.5, 0.75], gamma: 0.1, warmup_epochs: 0.0 }
    }
}

impl ScheduleParams {
    /// The same rate all along.
    pub fn constant() -> Self {
        Self { kind: ScheduleKind::Constant, ..Self::default() }
    }

    /// The epochs, from 0, from which the milestones take effect in a training of `epochs` epochs.
    pub fn starts(&self, epochs: u64) -> impl Iterator<Item = u64> {
        self.milestones.iter().map(move |share| ((share * epochs as f64).floor() as u64).max(FIRST_MILESTONE))
    }

    /// The rate of step `step` (from 0) of a run of `epochs` epochs of `per_epoch` steps, for a base rate of 1.
    pub fn factor(&self, step: u64, per_epoch: u64, epochs: u64) -> f64 {
        let epoch = step / per_epoch.max(1);
        let warmup = self.warmup_epochs * per_epoch as f64;
        let rise = if (step as f64) < warmup { (step as f64 + 1.0) / (warmup + 1.0) } else { 1.0 };
        rise * match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::MultiStep => {
                self.gamma.powi(self.starts(epochs).filter(|start| epoch >= *start).count() as i32)
            }
            ScheduleKind::Cosine => (1.0 + libm::cos(PI * epoch as f64 / epochs.max(1) as f64)) / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_schedule_drops_at_half_and_at_three_quarters() {
        let schedule = ScheduleParams::default();
        let at = |epoch: u64| schedule.factor(epoch * 10, 10, 160);
        assert_eq!((at(0), at(79), at(119)), (1.0, 1.0, 0.1));
        assert!((at(80) - 0.1).abs() < 1e-15 && (at(120) - 0.01).abs() < 1e-15);
    }

    #[test]
    fn no_milestone_takes_effect_in_the_first_epoch() {
        for (epochs, expected) in [(1, vec![1.0]), (2, vec![1.0, 0.01]), (3, vec![1.0, 0.1, 0.01])] {
            let rates: Vec<f64> =
                (0..epochs * 10).map(|step| ScheduleParams::default().factor(step, 10, epochs)).collect();
            for (step, rate) in rates.iter().enumerate() {
                assert!((rate - expected[step / 10]).abs() < 1e-15, "{epochs} epochs, step {step}: {rate}");
            }
        }
        let early = ScheduleParams { milestones: vec![0.0], ..ScheduleParams::default() };
        assert_eq!((early.factor(9, 10, 100), early.factor(10, 10, 100)), (1.0, 0.1));
    }

    #[test]
    fn the_cosine_is_pytorch_s_closed_form_and_warm_up_rises_in_a_line() {
        let cosine = ScheduleParams { kind: ScheduleKind::Cosine, ..ScheduleParams::default() };
        assert_eq!(cosine.factor(0, 4, 10), 1.0);
        assert!((cosine.factor(20, 4, 10) - 0.5).abs() < 1e-12);
        let warm = ScheduleParams { warmup_epochs: 1.0, ..ScheduleParams::constant() };
        let rates: Vec<f64> = (0..5).map(|step| warm.factor(step, 4, 10)).collect();
        assert_eq!(rates, [0.2, 0.4, 0.6, 0.8, 1.0]);
    }
}
