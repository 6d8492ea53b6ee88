//! `slimming`: Network Slimming (Liu et al., "Learning Efficient Convolutional Networks through Network Slimming",
//! ICCV 2017): the whole network is trained with an L1 penalty on the scales of batch norm, and a channel counts as much
//! as its scale.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{DataUse, Kind, ParameterError, Parameters, Randomness, Stage, parse, schema};
use super::parameters::{check_optimizer, check_shape};
use super::scores::{OUTPUT, mean_scores, network};
use super::training::{TrainOn, Training, images, memory, schedule_warnings};
use super::warning::{Outlook, Warning};
use crate::content_hash;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::ops::Algorithm;
use crate::pipeline::OutputRole;
use crate::prune::{Scores, fold_gates, importance};
use crate::train::{Keep, Objective, OptimizerParams, ScheduleParams};

/// The kind.
pub static KIND: Kind = Kind {
    name: "slimming",
    summary: "train a network with an L1 penalty on batch norm's scales, and score channels by them",
    version: 2,
    inputs: &[network("the network that is trained")],
    outputs: &[
        OUTPUT,
        OutputRole {
            name: "network",
            artifact: "network",
            doc: "the trained network, for `weights = \"inherit\"`",
        },
    ],
    schema: schema::<Slimming>,
    parse: parse::<Slimming>,
};

/// Parameters of `slimming`; the defaults are the authors' for VGG networks on CIFAR.
///
/// Scales and network are those of the last epoch; validation images only show how it goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Slimming {
    /// Weight of the penalty: the loss is cross-entropy plus `sparsity` times the sum of all |gamma|. The authors take 1e-4
    /// for VGG, 1e-5 for ResNet and DenseNet.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sparsity: f64,
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 100000))]
    pub epochs: u64,
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
    /// How convolutions are computed on the CPU.
    pub conv: Algorithm,
    /// A seed of its own; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Slimming {
    sparsity, epochs, batch_size, optimizer, schedule, label_smoothing, train_on, crop_padding, flip, conv
} skip { seed });

impl Default for Slimming {
    fn default() -> Self {
        Self {
            sparsity: 1e-4,
            epochs: 160,
            batch_size: 64,
            optimizer: OptimizerParams::default(),
            schedule: ScheduleParams::default(),
            label_smoothing: 0.0,
            train_on: TrainOn::Train,
            crop_padding: 4,
            flip: true,
            conv: Algorithm::default(),
            seed: None,
        }
    }
}

impl Parameters for Slimming {
    const KIND: &'static Kind = &KIND;

    fn check(&self) -> Result<(), ParameterError> {
        check_optimizer(&self.optimizer)
    }
}

impl Stage for Slimming {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn data_use(&self) -> DataUse {
        self.train_on.data_use()
    }

    fn memory(&self, network: &NetworkSpec, data: &DataParams) -> u64 {
        memory(network, data, (self.batch_size, &self.optimizer, self.conv, self.train_on))
    }

    fn images(&self, _share: f64, data: &DataParams) -> Option<f64> {
        Some(images(self.epochs as f64, self.train_on, data))
    }

    fn warnings(&self, _outlook: &Outlook<'_>) -> Vec<Warning> {
        schedule_warnings(&self.schedule, self.epochs as f64)
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let mut network = job.inputs.take_network("network")?;
        check_shape(&network, job.data)?;
        // Gates of an earlier stage would otherwise be penalised in place of the scales.
        fold_gates(&mut network);
        let training = Training {
            epochs: self.epochs,
            batch_size: self.batch_size,
            objective: Objective::Slimming { penalty: self.sparsity, label_smoothing: self.label_smoothing },
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            train_on: self.train_on,
            crop_padding: self.crop_padding,
            flip: self.flip,
            conv: self.conv,
            keep: Keep::Last,
        };
        let Some(trained) = training.run(job, network)? else { return Ok(Outcome::Interrupted) };
        let scores = Scores::new(trained.last.spec.clone(), importance(&trained.last))?;
        let metrics = json!({
            "channels": scores.spec().channels,
            "mean_scores": mean_scores(&scores),
            "history": trained.history,
        });
        let artifacts = BTreeMap::from([
            (OUTPUT.name, scores.to_safetensors()?),
            ("network", trained.last.into_safetensors()?),
        ]);
        Ok(Outcome::Done(Output { artifacts, metrics, ..Output::default() }))
    }
}
