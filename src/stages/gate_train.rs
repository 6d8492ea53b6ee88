//! `gate-train`: train the channel gates of a random network; its weights stay as they are.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{DataUse, Kind, ParameterError, Parameters, Randomness, Stage, parse, schema};
use super::parameters::{SAVE, augment, check_optimizer, check_shape};
use super::training::{TrainOn, images, schedule_warnings};
use super::warning::{Outlook, Warning};
use crate::content_hash;
use crate::data::DataParams;
use crate::fingerprint::{ContentHash, Encoder};
use crate::network::{NetworkSpec, Trainable};
use crate::ops::Algorithm;
use crate::pipeline::{InputRole, OutputRole};
use crate::prune::{add_gates, fold_gates};
use crate::train::{
    EpochRecord, Keep, Length, Objective, OptimizerParams, Run, ScheduleParams, Sparsity, TrainingShape,
    steps_per_epoch, train,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "gate-train",
    summary: "train the channel gates of a network whose weights are frozen",
    version: 3,
    inputs: &[InputRole {
        role: "network",
        artifact: "network",
        many: false,
        required: true,
        doc: "the network whose gates are trained",
    }],
    outputs: &[OutputRole {
        name: "network",
        artifact: "network",
        doc: "the network with its trained gates",
    }],
    schema: schema::<GateTrain>,
    parse: parse::<GateTrain>,
};

/// Where the gates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Scale and shift of batch norm are trained; a channel's importance is the magnitude of its scale.
    BnScale,
    /// A separate gate after batch norm, from 1, clamped to 0..1; batch norm is frozen.
    ChannelGate,
}

/// Which epoch's gates are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeepRule {
    /// The best validation accuracy among the epochs that reach the sparsity; the last, where none does or where
    /// `data.validation` is 0.
    BestValidation,
    /// The last epoch.
    Last,
}

content_hash!(enum Mode { BnScale => legacy Flag(true), ChannelGate => legacy Flag(false) });

content_hash!(enum KeepRule { BestValidation => legacy Flag(false), Last => legacy Flag(true) });

/// Parameters of `gate-train`; the defaults are the authors'.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GateTrain {
    /// Where the gates are.
    pub mode: Mode,
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 100000))]
    pub epochs: u64,
    /// Steps, instead of `epochs`. A gate needs about 100 steps of 0.01 from 1 to 0.
    #[schemars(range(min = 1, max = 100000000))]
    pub steps: Option<u64>,
    /// Images in a batch.
    #[schemars(range(min = 2, max = 65536))]
    pub batch_size: usize,
    /// The optimizer of the gates.
    #[serde(deserialize_with = "optimizer")]
    pub optimizer: OptimizerParams,
    /// The schedule of the learning rate.
    #[serde(deserialize_with = "schedule")]
    pub schedule: ScheduleParams,
    /// Weight of the sparsity regulariser.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub balance: f64,
    /// The mean gate that the regulariser drives to (`r`); and the share of open gates that counts as sparse enough.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sparsity: f64,
    /// The magnitude up to which a gate counts as closed when its epoch is judged: one step of Adam at the default rate,
    /// nearer to zero than which a scale of batch norm cannot be held. The authors, who clamp their gates, count exact zeros: 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub zero: f64,
    /// Which epoch's gates are kept.
    pub keep: KeepRule,
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

/// All but the seed, and of `epochs` and `steps` the one that counts.
impl ContentHash for GateTrain {
    fn content_hash(&self, encoder: &mut Encoder) {
        let Self {
            mode,
            epochs,
            steps,
            batch_size,
            optimizer,
            schedule,
            balance,
            sparsity,
            zero,
            keep,
            crop_padding,
            flip,
            conv,
            seed: _,
        } = self;
        encoder.structure(12);
        match steps {
            Some(steps) => encoder.field("steps", steps),
            None => encoder.field("epochs", epochs),
        }
        encoder.field("mode", mode);
        encoder.field("batch_size", batch_size);
        encoder.field("optimizer", optimizer);
        encoder.field("schedule", schedule);
        encoder.field("balance", balance);
        encoder.field("sparsity", sparsity);
        encoder.field("zero", zero);
        encoder.field("keep", keep);
        encoder.field("crop_padding", crop_padding);
        encoder.field("flip", flip);
        encoder.field("conv", conv);
    }
}

impl Default for GateTrain {
    fn default() -> Self {
        Self {
            mode: Mode::ChannelGate,
            epochs: 10,
            steps: None,
            batch_size: 128,
            optimizer: OptimizerParams::gates(),
            schedule: ScheduleParams::constant(),
            balance: 0.5,
            sparsity: 0.2,
            zero: 0.01,
            keep: KeepRule::BestValidation,
            crop_padding: 4,
            flip: true,
            conv: Algorithm::default(),
            seed: None,
        }
    }
}

/// Reads a table whose unwritten keys are those of `defaults`. The types' own defaults are retraining's, and must
/// not slip in where a pipeline writes only a part of the table.
fn over<'de, T, D>(defaults: &T, deserializer: D) -> Result<T, D::Error>
where
    T: Serialize + serde::de::DeserializeOwned,
    D: serde::Deserializer<'de>,
{
    let written = serde_json::Map::<String, Value>::deserialize(deserializer)?;
    let mut whole = serde_json::to_value(defaults).map_err(D::Error::custom)?;
    if let Value::Object(whole) = &mut whole {
        whole.extend(written);
    }
    serde_json::from_value(whole).map_err(D::Error::custom)
}

fn optimizer<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<OptimizerParams, D::Error> {
    over(&OptimizerParams::gates(), deserializer)
}

fn schedule<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ScheduleParams, D::Error> {
    over(&ScheduleParams::constant(), deserializer)
}

impl Parameters for GateTrain {
    const KIND: &'static Kind = &KIND;

    fn check(&self) -> Result<(), ParameterError> {
        check_optimizer(&self.optimizer)
    }
}

impl GateTrain {
    /// Why the gates of their epoch are kept, for people who read the figures.
    fn kept_because(&self, history: &[EpochRecord]) -> &'static str {
        let reaches = |record: &EpochRecord| record.sparsity.is_some_and(|open| open <= self.sparsity);
        if self.keep == KeepRule::Last {
            "last epoch: as asked for"
        } else if history.iter().all(|record| record.validation_accuracy.is_none()) {
            "last epoch: no validation images"
        } else if history.iter().any(reaches) {
            "best validation accuracy of the epochs that reach the sparsity"
        } else {
            "last epoch: none reaches the sparsity"
        }
    }
}

impl Stage for GateTrain {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn data_use(&self) -> DataUse {
        DataUse::Train
    }

    fn memory(&self, network: &NetworkSpec, data: &DataParams) -> u64 {
        let trainable = match self.mode {
            Mode::BnScale => Trainable::BnScale,
            Mode::ChannelGate => Trainable::Gates,
        };
        let shape = TrainingShape {
            network,
            batch: self.batch_size,
            trainable,
            optimizer: &self.optimizer,
            conv: self.conv,
            validates: data.validation > 0.0,
        };
        shape.bytes()
    }

    fn images(&self, _share: f64, data: &DataParams) -> Option<f64> {
        Some(match self.steps {
            Some(steps) => steps as f64 * self.batch_size as f64,
            None => images(self.epochs as f64, TrainOn::Train, data),
        })
    }

    fn warnings(&self, outlook: &Outlook<'_>) -> Vec<Warning> {
        let epochs = match (self.steps, outlook.images) {
            (None, _) => Some(self.epochs as f64),
            (Some(steps), Some(images)) => {
                let per_epoch = steps_per_epoch(images.train as usize, self.batch_size);
                Some(steps as f64 / per_epoch as f64)
            }
            (Some(_), None) => None,
        };
        epochs.map_or_else(Vec::new, |epochs| schedule_warnings(&self.schedule, epochs))
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let mut network = job.inputs.take_network("network")?;
        check_shape(&network, job.data)?;
        let sparsity = Sparsity { balance: self.balance, ratio: self.sparsity, zero: self.zero };
        let objective = match self.mode {
            Mode::BnScale => {
                // Gates of an earlier stage would otherwise be regularised in place of the scales.
                fold_gates(&mut network);
                Objective::BnScale(sparsity)
            }
            Mode::ChannelGate => {
                add_gates(&mut network);
                Objective::Gates(sparsity)
            }
        };
        let data = job.data.load()?;
        let split = data.split();
        let run = Run {
            data: &data,
            train: split.train.into(),
            validation: split.validation.into(),
            device: &job.device,
            conv: self.conv,
            seed: job.seed,
            batch_size: self.batch_size,
            length: self.steps.map_or(Length::Epochs(self.epochs), Length::Steps),
            objective,
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            augment: augment(self.crop_padding, self.flip),
            keep: if self.keep == KeepRule::Last { Keep::Last } else { Keep::BestValidation },
            budget: SAVE,
        };
        let Some(trained) = train(&run, network, job.host)? else { return Ok(Outcome::Interrupted) };
        let metrics = json!({
            "kept_epoch": trained.best_epoch,
            "kept_because": self.kept_because(&trained.history),
            "history": trained.history,
        });
        Ok(Outcome::Done(Output::new("network", trained.best.to_safetensors()?, metrics)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partly_written_table_keeps_gate_training_s_defaults() {
        let written = r#"{"optimizer": {"lr": 0.02}, "schedule": {"warmup_epochs": 1.0}}"#;
        let read: GateTrain = serde_json::from_str(written).unwrap();
        assert_eq!(read.optimizer, OptimizerParams { lr: 0.02, ..OptimizerParams::gates() });
        assert_eq!(read.schedule, ScheduleParams { warmup_epochs: 1.0, ..ScheduleParams::constant() });
    }
}
