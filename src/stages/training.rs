//! What the kinds that train all weights have in common: which images, and the call of the trainer.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, StageError};
use super::kind::DataUse;
use super::parameters::{SAVE, augment};
use super::warning::Warning;
use crate::content_hash;
use crate::data::DataParams;
use crate::network::{Checkpoint, NetworkSpec, Trainable};
use crate::ops::Algorithm;
use crate::train::{
    Keep, Length, Objective, OptimizerParams, Run, ScheduleKind, ScheduleParams, Trained, TrainingShape,
    train,
};

/// Which images are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrainOn {
    /// The training images; the best epoch is chosen on the validation images. It is the last where `data.validation` is 0.
    Train,
    /// Training and validation images, as the authors do; with no images left to judge by, the best epoch is the last.
    TrainAndValidation,
}

impl TrainOn {
    /// The images that decide the result.
    pub fn data_use(self) -> DataUse {
        match self {
            Self::Train => DataUse::Train,
            Self::TrainAndValidation => DataUse::TrainWhole,
        }
    }
}

content_hash!(enum TrainOn { Train => legacy Flag(false), TrainAndValidation => legacy Flag(true) });

/// One training of all weights.
#[derive(Debug)]
pub struct Training<'a> {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// Towards what.
    pub objective: Objective,
    /// By which optimizer.
    pub optimizer: &'a OptimizerParams,
    /// At which rate.
    pub schedule: &'a ScheduleParams,
    /// On which images.
    pub train_on: TrainOn,
    /// Padding and random crop; 0 is off.
    pub crop_padding: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// How convolutions are computed.
    pub conv: Algorithm,
    /// Which epoch's network is the best.
    pub keep: Keep,
}

/// The memory that a training of all weights takes.
pub fn memory(
    network: &NetworkSpec,
    data: &DataParams,
    (batch, optimizer, conv, train_on): (usize, &OptimizerParams, Algorithm, TrainOn),
) -> u64 {
    let validates = train_on == TrainOn::Train && data.validation > 0.0;
    TrainingShape { network, batch, trainable: Trainable::All, optimizer, conv, validates }.bytes()
}

/// The images that a training of `epochs` passes through its network.
pub fn images(epochs: f64, train_on: TrainOn, data: &DataParams) -> f64 {
    let held_out = if train_on == TrainOn::Train { data.validation } else { 0.0 };
    epochs * data.images()[0] as f64 * (1.0 - held_out)
}

/// What a schedule asks for and probably does not mean in a training of `epochs` epochs, the last of which may be cut short.
pub fn schedule_warnings(schedule: &ScheduleParams, epochs: f64) -> Vec<Warning> {
    let mut found = Vec::new();
    if schedule.warmup_epochs >= epochs {
        found.push(Warning::WarmUpTooLong { warmup_epochs: schedule.warmup_epochs, epochs });
    }
    if schedule.kind == ScheduleKind::MultiStep {
        let whole = epochs.ceil() as u64;
        let mut at: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        // A milestone that is written twice is meant.
        for (start, share) in schedule.starts(whole).zip(&schedule.milestones) {
            at.entry(start).or_default().insert(share.to_bits());
        }
        let together = at.into_iter().filter(|(start, shares)| *start < whole && shares.len() > 1);
        found.extend(together.map(|(start, shares)| Warning::MilestonesCoincide {
            milestones: shares.len(),
            epoch: start + 1,
            epochs: whole,
            factor: schedule.gamma.powi(shares.len() as i32),
        }));
    }
    found
}

impl Training<'_> {
    /// Trains; `None` if the host asked to stop.
    ///
    /// # Errors
    /// Images that cannot be read; those of the trainer.
    pub fn run(&self, job: &mut Job<'_>, network: Checkpoint) -> Result<Option<Trained>, StageError> {
        let data = job.data.load()?;
        let split = data.split();
        let (train_on, validation) = match self.train_on {
            TrainOn::Train => (split.train, split.validation),
            TrainOn::TrainAndValidation => ((0..data.train.len() as u32).collect(), Vec::new()),
        };
        let run = Run {
            data: &data,
            train: train_on.into(),
            validation: validation.into(),
            device: &job.device,
            conv: self.conv,
            seed: job.seed,
            batch_size: self.batch_size,
            length: Length::Epochs(self.epochs),
            objective: self.objective,
            optimizer: self.optimizer,
            schedule: self.schedule,
            augment: augment(self.crop_padding, self.flip),
            keep: self.keep,
            budget: SAVE,
        };
        Ok(train(&run, network, job.host)?)
    }
}
