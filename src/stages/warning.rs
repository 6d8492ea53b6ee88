//! Warnings of settings that are valid but probably a mistake.
//!
//! A warning is a value. There are two ways to give one:
//!
//! - [`Stage::warnings`] returns warnings that follow from parameters, structures and
//!   the data set's size. `plan` shows them, and `run` shows them when the stage starts.
//! - [`Output::warnings`](super::Output) holds warnings that only the computation finds. `run` shows them
//!   when the stage ends, and the record keeps them (`metrics.warnings`) for later plans.
//!
//! To add one: a variant here with its numbers, and its words in `Display`. Terminal, JSON, logs and plans
//! follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::kind::{DataUse, Stage};
use crate::data::{DataParams, SplitSizes};
use crate::network::NetworkSpec;
use crate::prune::Ties;

/// The key of a record's metrics that holds a stage's warnings.
pub const METRIC: &str = "warnings";

/// A setting that is valid but probably a mistake, with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
pub enum Warning {
    /// A mean of pixels outside 0..1, or a standard deviation that values in 0..1 hardly have.
    Normalisation {
        /// `mean` or `std`.
        key: String,
        /// The channel, from 1.
        channel: usize,
        /// Its value.
        value: f64,
    },
    /// Images should be held out, and the share of every class rounds to none.
    NoValidationImages {
        /// `data.validation`.
        validation: f64,
        /// The training images.
        images: u64,
        /// The classes.
        classes: usize,
    },
    /// The learning rate still rises when the training ends.
    WarmUpTooLong {
        /// `schedule.warmup_epochs`.
        warmup_epochs: f64,
        /// The epochs of the training.
        epochs: f64,
    },
    /// Several milestones take effect at the same epoch.
    MilestonesCoincide {
        /// How many.
        milestones: usize,
        /// The epoch, from 1.
        epoch: u64,
        /// The epochs of the training.
        epochs: u64,
        /// What the learning rate is multiplied by there.
        factor: f64,
    },
    /// Much of a structure was decided by the rule for channels of equal score.
    Ties {
        /// Kept channels that have the score of a removed one.
        decided: usize,
        /// All kept channels.
        kept: usize,
        /// Channels, kept or removed, whose score is on both sides.
        tied: usize,
        /// All channels.
        channels: usize,
        /// The rule.
        ties: Ties,
    },
    /// Every channel of the network has the same score.
    EqualScores {
        /// The channels.
        channels: u64,
        /// Their score.
        score: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normalisation { key, channel, value } => {
                write!(
                    f,
                    "`data.{key}` is {value} for channel {channel}, and pixels lie between 0 and 1 when it is applied"
                )?;
                if *value > 1.0 {
                    write!(f, ": for pixels of 0 to 255, divide it by 255 ({:.4})", value / 255.0)?;
                }
                Ok(())
            }
            Self::NoValidationImages { validation, images, classes } => write!(
                f,
                "no image is held out for validation: `data.validation` is {validation}, and that share of each of the \
                 {classes} classes rounds to 0 (there are {images} training images); so the best epoch is the last one"
            ),
            Self::WarmUpTooLong { warmup_epochs, epochs } => write!(
                f,
                "the learning rate rises for {warmup_epochs} epochs (`schedule.warmup_epochs`), and the training ends after \
                 {epochs}: the full rate is never reached"
            ),
            Self::MilestonesCoincide { milestones, epoch, epochs, factor } => write!(
                f,
                "{milestones} of `schedule.milestones` take effect at epoch {epoch} of {epochs}, where the learning rate is \
                 multiplied by {} at once",
                crate::pipeline::rounded(*factor)
            ),
            Self::Ties { decided, kept, tied, channels, ties } => {
                let rule = match ties {
                    Ties::Spread => "takes them from all layers in proportion",
                    Ties::Order => "takes those of the first layers first",
                };
                let name = ties.name();
                write!(
                    f,
                    "{decided} of the {kept} kept channels have the same score as a removed one ({tied} of all {channels} \
                     channels are tied): `ties = \"{name}\"` chose them, not their scores; it {rule}"
                )
            }
            Self::EqualScores { channels, score } => write!(
                f,
                "all {channels} channels have the same score ({score}): their scores do not say which channels to remove"
            ),
        }
    }
}

/// The facts about a stage that are known before it runs.
pub struct Outlook<'a> {
    /// The structure of the network in a role, where that is known.
    pub inputs: &'a dyn Fn(&str) -> Option<NetworkSpec>,
    /// The `[data]` table.
    pub data: &'a DataParams,
    /// How many training images there are, where the files are here.
    pub images: Option<SplitSizes>,
}

/// All warnings of a stage before it runs: those about the images that it reads, and its own.
pub fn warnings(stage: &dyn Stage, outlook: &Outlook<'_>) -> Vec<Warning> {
    let data_use = stage.data_use();
    let mut found = Vec::new();
    if data_use.reads().is_some() {
        found.extend(normalisation(outlook.data));
    }
    if data_use == DataUse::Train {
        found.extend(outlook.images.and_then(|sizes| no_validation(outlook.data, sizes)));
    }
    found.extend(stage.warnings(outlook));
    found
}

/// The warnings that a record keeps of the run that made it.
pub fn recorded(metrics: &serde_json::Value) -> Vec<Warning> {
    // Warnings of a later version are skipped.
    let kept = metrics.get(METRIC).and_then(serde_json::Value::as_array);
    kept.into_iter().flatten().filter_map(|one| Warning::deserialize(one).ok()).collect()
}

fn normalisation(data: &DataParams) -> Vec<Warning> {
    /// The standard deviation of values in 0..1 is 0.5 at most; 1 leaves them as they are.
    const STD: std::ops::RangeInclusive<f64> = 0.001..=1.0;
    let normalise = data.normalise();
    let outside = |key: &str, values: &[f64], range: &std::ops::RangeInclusive<f64>| {
        let wrong = values.iter().enumerate().filter(|(_, value)| !range.contains(value));
        wrong
            .map(|(at, value)| Warning::Normalisation { key: key.to_owned(), channel: at + 1, value: *value })
            .collect::<Vec<_>>()
    };
    let mut found = outside("mean", &normalise.mean, &(0.0..=1.0));
    found.extend(outside("std", &normalise.std, &STD));
    found
}

fn no_validation(data: &DataParams, sizes: SplitSizes) -> Option<Warning> {
    (data.validation > 0.0 && sizes.validation == 0).then(|| Warning::NoValidationImages {
        validation: data.validation,
        images: sizes.train,
        classes: data.classes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::KINDS;

    fn of(kind: &str, written: &str, data: &DataParams, images: Option<SplitSizes>) -> Vec<String> {
        let kind = KINDS.into_iter().find(|known| known.name == kind).unwrap();
        let stage = (kind.parse)(serde_json::from_str(written).unwrap()).unwrap();
        let found = warnings(&*stage.stage, &Outlook { inputs: &|_| None, data, images });
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_of_every_kind_are_worth_no_warning() {
        let images = Some(SplitSizes { train: 45_000, validation: 5_000 });
        for kind in KINDS {
            assert_eq!(of(kind.name, "{}", &DataParams::default(), images), [""; 0], "{}", kind.name);
        }
    }

    #[test]
    fn figures_for_pixels_up_to_255_are_noticed_by_what_reads_pixels() {
        let data = DataParams { mean: Some(vec![72.94]), std: Some(vec![90.02]), ..DataParams::default() };
        for kind in ["gate-train", "retrain", "slimming", "eval"] {
            let found = of(kind, "{}", &data, None);
            assert_eq!(found.len(), 2, "{kind}");
            assert!(found[0].contains("`data.mean` is 72.94") && found[0].contains("0.2860"), "{}", found[0]);
        }
        assert_eq!(of("init", "{}", &data, None), [""; 0]);
        for (mean, std) in [(0.0, 1.0), (1.0, 0.5), (0.5, 0.2)] {
            let data = DataParams { mean: Some(vec![mean]), std: Some(vec![std]), ..DataParams::default() };
            assert_eq!(of("eval", "{}", &data, None), [""; 0]);
        }
    }

    #[test]
    fn a_share_of_validation_images_that_rounds_to_none_is_noticed_where_it_matters() {
        let none = Some(SplitSizes { train: 40, validation: 0 });
        let data = DataParams::default();
        for kind in ["gate-train", "retrain", "slimming"] {
            let found = of(kind, "{}", &data, none);
            assert!(found[0].contains("`data.validation` is 0.1") && found[0].contains("40"), "{found:?}");
        }
        assert_eq!(of("retrain", r#"{"train_on": "train-and-validation"}"#, &data, none), [""; 0]);
        assert_eq!(of("retrain", "{}", &DataParams { validation: 0.0, ..data.clone() }, none), [""; 0]);
        assert_eq!(of("eval", "{}", &data, none), [""; 0]);
    }

    #[test]
    fn a_warm_up_that_outlasts_the_training_is_noticed_in_epochs_and_in_steps() {
        let data = DataParams::default();
        let images = Some(SplitSizes { train: 1000, validation: 0 });
        let data = DataParams { validation: 0.0, ..data };
        let warm = |kind, epochs: &str, warmup: &str| {
            of(kind, &format!(r#"{{{epochs}, "schedule": {{"warmup_epochs": {warmup}}}}}"#), &data, images)
        };
        for kind in ["gate-train", "retrain", "slimming"] {
            let found = warm(kind, r#""epochs": 4"#, "10");
            assert!(found[0].contains("rises for 10 epochs") && found[0].contains("after 4"), "{found:?}");
            assert_eq!(warm(kind, r#""epochs": 4"#, "3.9"), [""; 0]);
        }
        // 1000 images in batches of 100: ten steps an epoch.
        let steps = |warmup| warm("gate-train", r#""steps": 25, "batch_size": 100"#, warmup);
        assert!(steps("3")[0].contains("ends after 2.5"), "{:?}", steps("3"));
        assert_eq!(steps("2"), [""; 0]);
    }

    #[test]
    fn milestones_that_fall_on_one_epoch_are_noticed() {
        let data = DataParams::default();
        let found = of("retrain", r#"{"epochs": 2}"#, &data, None);
        assert!(found[0].starts_with("2 of `schedule.milestones` take effect at epoch 2 of 2"), "{found:?}");
        assert!(found[0].contains("0.01"), "{found:?}");
        for epochs in [1, 3, 4, 160] {
            assert_eq!(of("retrain", &format!(r#"{{"epochs": {epochs}}}"#), &data, None), [""; 0]);
        }
    }
}
