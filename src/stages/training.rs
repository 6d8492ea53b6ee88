//! What the kinds that train all weights have in common: which images, and the call of the trainer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, StageError};
use super::kind::DataUse;
use super::parameters::{SAVE, augment};
use crate::data::DataParams;
use crate::fingerprint::{ContentHash, Encoder};
use crate::network::{Checkpoint, NetworkSpec, Trainable};
use crate::ops::Algorithm;
use crate::train::{
    Keep, Length, Objective, OptimizerParams, Run, ScheduleParams, Trained, TrainingShape, train,
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

impl ContentHash for TrainOn {
    fn content_hash(&self, encoder: &mut Encoder) {
        (*self == Self::TrainAndValidation).content_hash(encoder);
    }
}

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
