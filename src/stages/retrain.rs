//! `retrain`: ordinary training of all weights.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{DataUse, Kind, ParameterError, Parameters, Randomness, Stage, parse, schema};
use super::parameters::{check_optimizer, check_shape};
use super::training::{TrainOn, Training, images, memory, schedule_warnings};
use super::warning::{Outlook, Warning};
use crate::content_hash;
use crate::data::DataParams;
use crate::network::NetworkSpec;
use crate::ops::Algorithm;
use crate::pipeline::{InputRole, OutputRole};
use crate::train::{EpochRecord, Keep, Objective, OptimizerParams, ScheduleParams};

/// The kind.
pub static KIND: Kind = Kind {
    name: "retrain",
    summary: "train all weights of a network",
    version: 3,
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
    /// The FLOPs of the full (unexpanded) network: `epochs` divided by the share of the FLOPs that the slim network has,
    /// rounded down, without an upper bound: 160 epochs become 1600 where a tenth of the FLOPs is left. The authors divide by
    /// the share that was wanted, 1 - pruned share. A network that is no smaller keeps `epochs`.
    ScratchB,
}

impl TrainingBudget {
    /// The epochs that a network trains for when the full one would for `epochs`.
    fn epochs(self, epochs: u64, network: &NetworkSpec) -> u64 {
        let (macs, full) = (network.macs(), network.plain().macs());
        match self {
            Self::ScratchB if macs < full => {
                let exact = u128::from(epochs) * u128::from(full.0) / u128::from(macs.0.max(1));
                u64::try_from(exact).unwrap_or(u64::MAX)
            }
            Self::ScratchE | Self::ScratchB => epochs,
        }
    }

    /// As [`Self::epochs`], of a network that takes `share` of the full one's FLOPs.
    fn epochs_at(self, epochs: u64, share: f64) -> f64 {
        match self {
            Self::ScratchB if share > 0.0 && share < 1.0 => epochs as f64 / share,
            Self::ScratchE | Self::ScratchB => epochs as f64,
        }
    }
}

content_hash!(enum TrainingBudget { ScratchE => legacy Flag(false), ScratchB => legacy Flag(true) });

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
    /// How convolutions are computed on the CPU.
    pub conv: Algorithm,
    /// A seed of its own; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Retrain {
    epochs, budget, batch_size, optimizer, schedule, label_smoothing, train_on, crop_padding, flip, conv
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
            conv: Algorithm::default(),
            seed: None,
        }
    }
}

impl Parameters for Retrain {
    const KIND: &'static Kind = &KIND;

    fn check(&self) -> Result<(), ParameterError> {
        check_optimizer(&self.optimizer)
    }
}

impl Stage for Retrain {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn data_use(&self) -> DataUse {
        self.train_on.data_use()
    }

    fn memory(&self, network: &NetworkSpec, data: &DataParams) -> u64 {
        memory(network, data, (self.batch_size, &self.optimizer, self.conv, self.train_on))
    }

    fn images(&self, share: f64, data: &DataParams) -> Option<f64> {
        Some(images(self.budget.epochs_at(self.epochs, share), self.train_on, data))
    }

    fn warnings(&self, outlook: &Outlook<'_>) -> Vec<Warning> {
        // A pruned network may train for longer, and its structure is not known before it is there: `run`
        // looks again.
        match (self.budget, (outlook.inputs)("network")) {
            (TrainingBudget::ScratchE, _) => schedule_warnings(&self.schedule, self.epochs as f64),
            (TrainingBudget::ScratchB, None) => Vec::new(),
            (TrainingBudget::ScratchB, Some(network)) => {
                schedule_warnings(&self.schedule, self.budget.epochs(self.epochs, &network) as f64)
            }
        }
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let network = job.inputs.take_network("network")?;
        check_shape(&network, job.data)?;
        let epochs = self.budget.epochs(self.epochs, &network.spec);
        let training = Training {
            epochs,
            batch_size: self.batch_size,
            objective: Objective::Weights { label_smoothing: self.label_smoothing },
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            train_on: self.train_on,
            crop_padding: self.crop_padding,
            flip: self.flip,
            conv: self.conv,
            keep: Keep::BestValidation,
        };
        let Some(trained) = training.run(job, network)? else { return Ok(Outcome::Interrupted) };
        let metrics = json!({
            "epochs": epochs,
            "best_epoch": trained.best_epoch,
            "best_because": best_because(&trained.history),
            "history": trained.history,
        });
        let artifacts = BTreeMap::from([
            ("best", trained.best.into_safetensors()?),
            ("last", trained.last.into_safetensors()?),
        ]);
        let warnings = schedule_warnings(&self.schedule, epochs as f64);
        Ok(Outcome::Done(Output { artifacts, metrics, warnings }))
    }
}

/// Why the best epoch is the best, for people who read the figures.
fn best_because(history: &[EpochRecord]) -> &'static str {
    if history.iter().any(|record| record.validation_accuracy.is_some()) {
        "best validation accuracy"
    } else {
        "last epoch: no validation images"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Arch;

    #[test]
    fn scratch_b_trains_a_pruned_network_for_the_full_one_s_flops_and_a_larger_one_no_shorter() {
        let plain = NetworkSpec::vgg(Arch::Vgg11, 8, 1.0, [1, 16, 16], 10).unwrap();
        let full = plain.macs().0;
        for narrow in [1, 2, 3, 5, 7] {
            let channels = plain.channels.iter().map(|count| count * narrow / 8).map(|c| c.max(1)).collect();
            let slim =
                NetworkSpec { channels, plain_channels: Some(plain.channels.clone()), ..plain.clone() };
            assert_eq!(TrainingBudget::ScratchE.epochs(160, &slim), 160);
            let epochs = TrainingBudget::ScratchB.epochs(160, &slim);
            // As many whole epochs as the full network's FLOPs pay for.
            let spent = |epochs: u64| epochs * slim.macs().0;
            let fits = spent(epochs) <= 160 * full && spent(epochs + 1) > 160 * full;
            assert!(fits, "{epochs} epochs of {} for 160 of {full}", slim.macs().0);
        }
        let wide = plain.expanded(1.5).unwrap();
        assert!(wide.macs() > plain.macs());
        for larger in [&plain, &wide] {
            assert_eq!(TrainingBudget::ScratchB.epochs(160, larger), 160);
        }
    }
}
