//! The structure of a network and what follows from it without running it.

use serde::{Deserialize, Serialize};

use crate::content_hash;

/// Multiply-accumulates of convolutions and the linear layer, for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Macs(pub u64);

impl Macs {
    /// The whole multiply-accumulates in a share of these. A share that is whole but for rounding counts as whole: 0.29 of
    /// 100 is 29, though its product in floating point is a little less.
    pub fn share(self, ratio: f64) -> Self {
        let exact = ratio * self.0 as f64;
        let nearest = exact.round();
        let rounding = 4.0 * f64::EPSILON * exact;
        Self(if (exact - nearest).abs() <= rounding { nearest } else { exact.floor() } as u64)
    }
}

/// The VGG family in its CIFAR form; the number counts convolutions and three linear layers of
/// the original, of which one linear layer is left here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// 8 convolutions.
    Vgg11,
    /// 10 convolutions.
    Vgg13,
    /// 13 convolutions.
    Vgg16,
    /// 16 convolutions.
    Vgg19,
}

impl Arch {
    /// Convolutions per resolution block.
    pub const fn blocks(self) -> [usize; 5] {
        match self {
            Self::Vgg11 => [1, 1, 2, 2, 2],
            Self::Vgg13 => [2, 2, 2, 2, 2],
            Self::Vgg16 => [2, 2, 3, 3, 3],
            Self::Vgg19 => [2, 2, 4, 4, 4],
        }
    }

    /// Number of convolutions, which is the number of gated layers.
    pub fn convolutions(self) -> usize {
        self.blocks().iter().sum()
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Vgg11 => "vgg11",
            Self::Vgg13 => "vgg13",
            Self::Vgg16 => "vgg16",
            Self::Vgg19 => "vgg19",
        })
    }
}

content_hash!(enum Arch { Vgg11 => "vgg11", Vgg13 => "vgg13", Vgg16 => "vgg16", Vgg19 => "vgg19" });

/// One convolution as it stands in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerShape {
    /// Position of the convolution in the torchvision-style `features` sequence; its batch norm
    /// is at `index + 1`.
    pub index: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels, one gate each.
    pub outputs: usize,
    /// Height and width of input and output (padding 1, stride 1).
    pub size: (usize, usize),
    /// Whether a 2x2 max-pool follows.
    pub pooled: bool,
}

/// What a network is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The family member.
    pub arch: Arch,
    /// Image shape: channels, height, width.
    pub input: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Output channels of each convolution.
    pub channels: Vec<usize>,
    /// Channels of the unexpanded network, when this one was widened for the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_channels: Option<Vec<usize>>,
}

/// A structure that no network can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// Wrong number of entries in a channel list.
    #[error("{arch:?} has {expected} convolutions, but {found} channel counts are given")]
    Length {
        /// The family member.
        arch: Arch,
        /// Its convolutions.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// A number outside its range.
    #[error("{what} must lie in {low}..={high}, found {found}")]
    Range {
        /// The quantity.
        what: &'static str,
        /// Smallest allowed value.
        low: usize,
        /// Largest allowed value.
        high: usize,
        /// Value found.
        found: usize,
    },
}

fn within(what: &'static str, found: usize, low: usize, high: usize) -> Result<(), SpecError> {
    if (low..=high).contains(&found) { Ok(()) } else { Err(SpecError::Range { what, low, high, found }) }
}

impl NetworkSpec {
    /// A VGG whose first layer has `width` channels (64 is the standard), every layer widened
    /// by `expansion`.
    ///
    /// # Errors
    /// If a size is out of range.
    pub fn vgg(
        arch: Arch,
        width: usize,
        expansion: f64,
        input: [usize; 3],
        classes: usize,
    ) -> Result<Self, SpecError> {
        within("width", width, 1, 8192)?;
        let plain: Vec<usize> = arch
            .blocks()
            .iter()
            .zip([1, 2, 4, 8, 8])
            .flat_map(|(&count, factor)| std::iter::repeat_n(width * factor, count))
            .collect();
        Self { arch, input, classes, channels: plain, plain_channels: None }.expanded(expansion)
    }

    /// This network with every layer widened by `expansion`, remembering its plain widths.
    ///
    /// # Errors
    /// If a size is out of range.
    pub fn expanded(&self, expansion: f64) -> Result<Self, SpecError> {
        let plain = self.channels.clone();
        let channels: Vec<usize> = plain.iter().map(|&c| (c as f64 * expansion).round() as usize).collect();
        let plain_channels = (channels != plain).then_some(plain);
        let spec = Self { channels, plain_channels, ..self.clone() };
        spec.validate()?;
        Ok(spec)
    }

    /// The same network with other channel counts and no memory of an expansion.
    ///
    /// # Errors
    /// If the counts do not fit the architecture.
    pub fn with_channels(&self, channels: Vec<usize>) -> Result<Self, SpecError> {
        let spec = Self { channels, plain_channels: None, ..self.clone() };
        spec.validate()?;
        Ok(spec)
    }

    /// Checks lengths and ranges; the ranges also keep every count below 2^63.
    ///
    /// # Errors
    /// The first violation found.
    pub fn validate(&self) -> Result<(), SpecError> {
        for list in std::iter::once(&self.channels).chain(&self.plain_channels) {
            let expected = self.arch.convolutions();
            if list.len() != expected {
                return Err(SpecError::Length { arch: self.arch, expected, found: list.len() });
            }
            for &count in list {
                within("a channel count", count, 1, 65_536)?;
            }
        }
        within("input channels", self.input[0], 1, 4096)?;
        within("image height", self.input[1], 16, 512)?;
        within("image width", self.input[2], 16, 512)?;
        within("classes", self.classes, 1, 65_536)
    }

    /// The convolutions in order. Empty tails result from a spec that does not validate.
    pub fn layers(&self) -> Vec<LayerShape> {
        let [mut inputs, mut height, mut width] = self.input;
        let (mut index, mut channels) = (0, self.channels.iter());
        let mut layers = Vec::with_capacity(self.channels.len());
        for (block, count) in self.arch.blocks().into_iter().enumerate() {
            for position in 1..=count {
                let Some(&outputs) = channels.next() else { return layers };
                let pooled = position == count && block < 4;
                layers.push(LayerShape { index, inputs, outputs, size: (height, width), pooled });
                inputs = outputs;
                index += if pooled { 4 } else { 3 };
            }
            (height, width) = (height / 2, width / 2);
        }
        layers
    }

    /// Multiply-accumulates of convolutions and the linear layer.
    pub fn macs(&self) -> Macs {
        let conv = |l: &LayerShape| 9 * l.inputs as u64 * l.outputs as u64 * (l.size.0 * l.size.1) as u64;
        Macs(self.layers().iter().map(conv).sum::<u64>() + self.features() * self.classes as u64)
    }

    /// Trainable numbers: convolutions, batch-norm scale and shift, linear weight and bias.
    /// Gates and running statistics are not counted.
    pub fn parameters(&self) -> u64 {
        let conv = |l: &LayerShape| l.outputs as u64 * (9 * l.inputs as u64 + 2);
        self.layers().iter().map(conv).sum::<u64>() + (self.features() + 1) * self.classes as u64
    }

    /// Number of gates: one per output channel of every convolution.
    pub fn gates(&self) -> u64 {
        self.channels.iter().map(|&c| c as u64).sum()
    }

    /// The unexpanded network against which FLOPs ratios are counted; itself if not expanded.
    pub fn plain(&self) -> Self {
        let channels = self.plain_channels.clone().unwrap_or_else(|| self.channels.clone());
        Self { channels, plain_channels: None, ..self.clone() }
    }

    fn features(&self) -> u64 {
        self.channels.last().copied().unwrap_or(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vgg19_on_cifar_has_the_published_size() {
        let spec = NetworkSpec::vgg(Arch::Vgg19, 64, 1.0, [3, 32, 32], 10).unwrap();
        let mac = |i: u64, o: u64, s: u64| 9 * i * o * s * s;
        let macs = mac(3, 64, 32)
            + mac(64, 64, 32)
            + mac(64, 128, 16)
            + mac(128, 128, 16)
            + mac(128, 256, 8)
            + 3 * mac(256, 256, 8)
            + mac(256, 512, 4)
            + 3 * mac(512, 512, 4)
            + 4 * mac(512, 512, 2)
            + 5120;
        assert_eq!(spec.macs(), Macs(macs));
        assert_eq!(macs, 398_136_320);
        let weights = 9
            * (3 * 64
                + 64 * 64
                + 64 * 128
                + 128 * 128
                + 128 * 256
                + 3 * 256 * 256
                + 256 * 512
                + 7 * 512 * 512);
        assert_eq!(spec.gates(), 5504);
        assert_eq!(spec.parameters(), weights + 2 * 5504 + 5130);
    }

    #[test]
    fn a_share_that_is_whole_loses_nothing_to_rounding() {
        for thousandths in 0..=1000u64 {
            for macs in [10, 14, 1000, 398_136_320, 20_000_000_000_000] {
                let share = Macs(macs).share(thousandths as f64 / 1000.0);
                assert_eq!(share, Macs(macs * thousandths / 1000), "{thousandths} thousandths of {macs}");
            }
        }
    }

    #[test]
    fn names_follow_torchvision() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 64, 1.0, [3, 32, 32], 10).unwrap();
        let indices: Vec<usize> = spec.layers().iter().map(|l| l.index).collect();
        assert_eq!(indices, [0, 4, 8, 11, 15, 18, 22, 25]);
    }
}
