//! The `[data]` table: which images, and how they become numbers.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content_hash;

/// The known data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataSetName {
    /// 5,000 + 1,000 images of Fashion-MNIST that ship with runner.
    FashionMnistMini,
    /// Fashion-MNIST, from IDX files.
    FashionMnist,
    /// MNIST, from IDX files.
    Mnist,
    /// CIFAR-10, binary version.
    Cifar10,
    /// CIFAR-100, binary version.
    Cifar100,
}

impl DataSetName {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::FashionMnistMini, Self::FashionMnist, Self::Mnist, Self::Cifar10, Self::Cifar100];

    /// The name in the pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Self::FashionMnistMini => "fashion-mnist-mini",
            Self::FashionMnist => "fashion-mnist",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
        }
    }

    /// Whether the files are CIFAR's.
    pub fn is_cifar(self) -> bool {
        matches!(self, Self::Cifar10 | Self::Cifar100)
    }

    /// Mean and standard deviation of each channel: CIFAR-10's from Wang et al. 2020, the others the customary figures of
    /// their training images.
    fn figures(self) -> Normalise {
        let (mean, std): (&[f64], &[f64]) = match self {
            Self::FashionMnistMini | Self::FashionMnist => (&[0.2860], &[0.3530]),
            Self::Mnist => (&[0.1307], &[0.3081]),
            Self::Cifar10 => (&[0.4914, 0.4822, 0.4465], &[0.2023, 0.1994, 0.2010]),
            Self::Cifar100 => (&[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]),
        };
        Normalise { mean: mean.to_vec(), std: std.to_vec() }
    }
}

content_hash!(enum DataSetName {
    FashionMnistMini => "fashion-mnist-mini",
    FashionMnist => "fashion-mnist",
    Mnist => "mnist",
    Cifar10 => "cifar10",
    Cifar100 => "cifar100",
});

/// The shape of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Colours: 1 or 3.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// `(pixel / 255 - mean) / std`, for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalise {
    /// Means.
    pub mean: Vec<f64>,
    /// Standard deviations.
    pub std: Vec<f64>,
}

/// Which images are used, and how.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataParams {
    /// The data set.
    pub set: DataSetName,
    /// The folder with its files; by default `data/<set>`, or `$RUNNER_DATA/<set>`. `~/` is the home folder. Not hashed: the
    /// files' content is.
    pub dir: Option<PathBuf>,
    /// The pixels a side that a network sees. Larger than the files' images: padded with zeros; smaller: averaged over areas.
    #[schemars(range(min = 16, max = 512))]
    pub size: Option<usize>,
    /// The share of the training images that is held out for validation, the same of every class.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub validation: f64,
    /// Uses only so many training images, as many of every class: the first of each.
    #[schemars(range(min = 20))]
    pub limit_train: Option<usize>,
    /// Uses only so many test images, as many of every class: the first of each.
    #[schemars(range(min = 1))]
    pub limit_test: Option<usize>,
    /// Mean of each channel, instead of the data set's own.
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel, instead of the data set's own.
    pub std: Option<Vec<f64>>,
}

content_hash!(DataParams { set, size, validation, limit_train, limit_test, mean, std } skip { dir });

impl Default for DataParams {
    fn default() -> Self {
        Self {
            set: DataSetName::FashionMnistMini,
            dir: None,
            size: None,
            validation: 0.1,
            limit_train: None,
            limit_test: None,
            mean: None,
            std: None,
        }
    }
}

/// A `[data]` table that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ImproperData {
    /// The key to mend.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

impl DataParams {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The key to mend.
    pub fn check(&self) -> Result<(), ImproperData> {
        let wrong = |key: &str, message: String, help: &str| {
            Err(ImproperData { key: key.to_owned(), message, help: help.to_owned() })
        };
        if let (DataSetName::FashionMnistMini, Some(dir)) = (self.set, &self.dir) {
            let message = format!(
                "`dir` is {}, but {} is part of runner and is read from no folder",
                dir.display(),
                self.set.name()
            );
            return wrong(
                "dir",
                message,
                "name the data set of your files with `data.set`, or leave `dir` out",
            );
        }
        let native = self.native();
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if let Some(values) = values {
                let is_wrong = |value: &f64| !value.is_finite() || (key == "std" && *value <= 0.0);
                if values.len() != native.channels || values.iter().any(is_wrong) {
                    return wrong(
                        key,
                        format!(
                            "`{key}` must have a finite number for each of {} channels{}",
                            native.channels,
                            if key == "std" { ", above zero" } else { "" }
                        ),
                        "give one value for each channel",
                    );
                }
            }
        }
        Ok(())
    }

    /// The shape of the images that a network sees. Reads no file.
    pub fn shape(&self) -> ImageShape {
        let native = self.native();
        let size = self.size.unwrap_or(native.height);
        ImageShape { channels: native.channels, height: size, width: size }
    }

    /// Bytes of all its images in memory, the test images with them. Reads no file.
    pub fn bytes(&self) -> u64 {
        let shape = self.shape();
        let image = (shape.channels * shape.height * shape.width) as u64;
        image * self.images().iter().sum::<u64>()
    }

    /// How many training and test images there are, within the limits. Reads no file.
    pub fn images(&self) -> [u64; 2] {
        let [train, test] = super::fetch::published(self.set).images;
        let limit = |all: usize, limit: Option<usize>| limit.map_or(all, |limit| limit.min(all)) as u64;
        [limit(train, self.limit_train), limit(test, self.limit_test)]
    }

    /// The number of classes. Reads no file.
    pub fn classes(&self) -> usize {
        if self.set == DataSetName::Cifar100 { 100 } else { 10 }
    }

    /// How pixels become numbers.
    pub fn normalise(&self) -> Normalise {
        let own = self.set.figures();
        Normalise { mean: self.mean.clone().unwrap_or(own.mean), std: self.std.clone().unwrap_or(own.std) }
    }

    /// Where the files are looked for.
    pub fn folder(&self) -> PathBuf {
        let root = || {
            std::env::var_os("RUNNER_DATA")
                .filter(|root| !root.is_empty())
                .map_or_else(|| PathBuf::from("data"), PathBuf::from)
        };
        home(self.dir.clone().unwrap_or_else(|| root().join(self.set.name())))
    }

    /// The command that fetches the set to where its files are looked for.
    pub fn fetch_command(&self) -> String {
        let command = format!("runner data fetch {}", self.set.name());
        let Some(dir) = &self.dir else { return command };
        let dir = dir.display().to_string();
        let plain = |c: char| c.is_alphanumeric() || "/\\.:_-+~".contains(c);
        if dir.chars().all(plain) {
            format!("{command} --dir {dir}")
        } else {
            format!("{command} --dir '{}'", dir.replace('\'', r"'\''"))
        }
    }

    /// The shape of the images in the files.
    pub(super) fn native(&self) -> ImageShape {
        if self.set.is_cifar() {
            ImageShape { channels: 3, height: 32, width: 32 }
        } else {
            ImageShape { channels: 1, height: 28, width: 28 }
        }
    }
}

/// A path with `~` for the home folder at its beginning, as shells read it.
fn home(path: PathBuf) -> PathBuf {
    let home = || std::env::var_os("HOME").filter(|home| !home.is_empty());
    match path.strip_prefix("~").map(|rest| (rest, home())) {
        Ok((rest, Some(home))) => PathBuf::from(home).join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder_and_only_at_the_beginning() {
        let of = |dir: &str| DataParams { dir: Some(dir.into()), ..DataParams::default() }.folder();
        let own = PathBuf::from(std::env::var_os("HOME").unwrap());
        assert_eq!(of("~/data/own"), own.join("data/own"));
        assert_eq!(of("~"), own);
        assert_eq!(of("a/~/b"), PathBuf::from("a/~/b"));
        assert_eq!(of("~other/b"), PathBuf::from("~other/b"));
    }

    #[test]
    fn figures_that_are_no_numbers_are_refused() {
        for wrong in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
            for params in [
                DataParams { mean: Some(vec![wrong]), ..DataParams::default() },
                DataParams { std: Some(vec![wrong]), ..DataParams::default() },
            ] {
                assert!(params.check().is_err());
            }
        }
    }
}
