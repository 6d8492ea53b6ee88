//! `retrain`: ordinary training of all weights.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{DataUse, Kind, Parameters, Randomness, Stage, parse, schema};
use super::parameters::{SAVE, augment, check_shape};
use crate::content_hash;
use crate::fingerprint::{ContentHash, Encoder};
use crate::pipeline::{InputRole, OutputRole};
use crate::train::{Keep, Length, Objective, OptimizerParams, Run, ScheduleParams, train};

/// The kind.
pub static KIND: Kind = Kind {
    name: "retrain",
    summary: "train all weights of a network",
    version: 1,
    inputs: &[InputRole {
        role: "network",
        artifact: "network",
        many: false,
        required: true,
        doc: "the network that is trained",
    }],
    outputs: &[
        OutputRole { name: "best", artifact: "network", doc: "the network of the best epoch by validation" },
        OutputRole { name: "last", artifact: "network", doc: "the network of the last epoch" },
    ],
    schema: schema::<Retrain>,
    parse: parse::<Retrain>,
};

/// How the length of training is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingBudget {
    /// The same epochs as the full network.
    ScratchE,
    /// The same FLOPs as the full network: epochs / (1 - pruned share).
    ScratchB,
}

/// Which images are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrainOn {
    /// The training images; the best epoch is chosen on the validation images.
    Train,
    /// Training and validation images, as the authors do; the best epoch is the last.
    TrainAndValidation,
}

impl ContentHash for TrainingBudget {
    fn content_hash(&self, encoder: &mut Encoder) {
        (*self == Self::ScratchB).content_hash(encoder);
    }
}

impl ContentHash for TrainOn {
    fn content_hash(&self, encoder: &mut Encoder) {
        (*self == Self::TrainAndValidation).content_hash(encoder);
    }
}

/// Parameters of `retrain`; the defaults are the authors' recipe.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retrain {
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 100000))]
    pub epochs: u64,
    /// How `epochs` is counted for a pruned network.
    pub budget: TrainingBudget,
    /// Images in a batch.
    #[schemars(range(min = 2, max = 65536))]
    pub batch_size: usize,
    /// The optimizer.
    pub optimizer: OptimizerParams,
    /// The schedule of the learning rate.
    pub schedule: ScheduleParams,
    /// Label smoothing.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub label_smoothing: f64,
    /// Which images are trained on.
    pub train_on: TrainOn,
    /// Pads training images by so much and crops at random; 0 is off.
    #[schemars(range(min = 0, max = 64))]
    pub crop_padding: usize,
    /// Mirrors half of the training images.
    pub flip: bool,
    /// A seed of its own; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Retrain {
    epochs, budget, batch_size, optimizer, schedule, label_smoothing, train_on, crop_padding, flip
} skip { seed });

impl Default for Retrain {
    fn default() -> Self {
        Self {
            epochs: 160,
            budget: TrainingBudget::ScratchE,
            batch_size: 128,
            optimizer: OptimizerParams::default(),
            schedule: ScheduleParams::default(),
            label_smoothing: 0.0,
            train_on: TrainOn::Train,
            crop_padding: 4,
            flip: true,
            seed: None,
        }
    }
}

impl Parameters for Retrain {
    const KIND: &'static Kind = &KIND;
}

impl Stage for Retrain {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn data_use(&self) -> DataUse {
        DataUse::Train
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let network = job.inputs.network("network")?;
        check_shape(&network, job.data)?;
        let kept = network.spec.macs().0 as f64 / network.spec.plain().macs().0 as f64;
        let epochs = match self.budget {
            TrainingBudget::ScratchE => self.epochs,
            TrainingBudget::ScratchB => (self.epochs as f64 / kept).round().max(1.0) as u64,
        };
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
            seed: job.seed,
            batch_size: self.batch_size,
            length: Length::Epochs(epochs),
            objective: Objective::Weights { label_smoothing: self.label_smoothing },
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            augment: augment(self.crop_padding, self.flip),
            keep: Keep::BestValidation,
            budget: SAVE,
        };
        let Some(trained) = train(&run, &network, job.host)? else { return Ok(Outcome::Interrupted) };
        let metrics =
            json!({ "epochs": epochs, "best_epoch": trained.best_epoch, "history": trained.history });
        let artifacts = BTreeMap::from([
            ("best", trained.best.to_safetensors()?),
            ("last", trained.last.to_safetensors()?),
        ]);
        Ok(Outcome::Done(Output { artifacts, metrics }))
    }
}
