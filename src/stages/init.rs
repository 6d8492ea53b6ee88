//! `init`: a network with random weights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::{Job, Outcome, Output, StageError};
use super::kind::{DataUse, Kind, ParameterError, Parameters, Randomness, Stage, parse, schema};
use super::parameters::structure;
use crate::content_hash;
use crate::data::DataParams;
use crate::network::{self, Arch, NetworkSpec};
use crate::pipeline::OutputRole;

/// The kind.
pub static KIND: Kind = Kind {
    name: "init",
    summary: "make a network with random weights",
    version: 2,
    inputs: &[],
    outputs: &[OutputRole {
        name: "network",
        artifact: "network",
        doc: "the network with its random weights",
    }],
    schema: schema::<Init>,
    parse: parse::<Init>,
};

/// Parameters of `init`.
///
/// Convolutions are drawn from `N(0, sqrt(2 / (k k C_out)))`, the classifier from `N(0, 0.01)` with zero bias; batch norm starts
/// at gamma 0.5, beta 0 (Wang et al. 2020, section 3.2).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Init {
    /// The architecture, in its CIFAR form: 3x3 convolutions with batch norm, one linear layer.
    pub arch: Arch,
    /// Output channels of the first convolution; the others scale with it. 64 is the published network.
    #[schemars(range(min = 1, max = 4096))]
    pub width: usize,
    /// Output channels of every convolution, one by one, instead of `width`.
    #[schemars(inner(range(min = 1, max = 65536)))]
    pub channels: Option<Vec<usize>>,
    /// Searches in a network whose widths are this many times wider; FLOPs budgets are still counted against the plain one.
    #[schemars(range(min = 1.0, max = 8.0))]
    pub expansion: f64,
    /// A seed of its own; by default the pipeline's.
    pub seed: Option<u64>,
}

content_hash!(Init { arch, width, channels, expansion } skip { seed });

impl Default for Init {
    fn default() -> Self {
        Self { arch: Arch::Vgg19, width: 64, channels: None, expansion: 1.0, seed: None }
    }
}

impl Init {
    /// The network that these parameters describe, for images of `input` channels x height x width.
    ///
    /// # Errors
    /// A network that cannot be built: too many pools for the images, a wrong number of layers.
    pub fn spec(&self, input: [usize; 3], classes: usize) -> Result<NetworkSpec, network::SpecError> {
        match &self.channels {
            Some(channels) => {
                let plain =
                    NetworkSpec::vgg(self.arch, 1, 1.0, input, classes)?.with_channels(channels.clone())?;
                plain.expanded(self.expansion)
            }
            None => NetworkSpec::vgg(self.arch, self.width, self.expansion, input, classes),
        }
    }
}

impl Parameters for Init {
    const KIND: &'static Kind = &KIND;

    fn check(&self) -> Result<(), ParameterError> {
        let Some(channels) = &self.channels else { return Ok(()) };
        let layers = self.arch.convolutions();
        if channels.len() != layers {
            return Err(ParameterError::new(
                "channels",
                format!("{} widths for the {layers} convolutions of {}", channels.len(), self.arch),
                format!("give one width for each of the {layers} convolutions, or use `width`"),
            ));
        }
        if self.width != Self::default().width {
            return Err(ParameterError::new(
                "width",
                "`width` and `channels` are both given",
                "`channels` sets every width by itself: remove `width`",
            ));
        }
        Ok(())
    }
}

impl Stage for Init {
    fn randomness(&self) -> Randomness {
        Randomness::seeded(self.seed)
    }

    fn data_use(&self) -> DataUse {
        DataUse::Shape
    }

    fn structure(
        &self,
        _inputs: &dyn Fn(&str) -> Option<NetworkSpec>,
        data: &DataParams,
    ) -> Result<Option<NetworkSpec>, ParameterError> {
        let shape = data.shape();
        let spec = self.spec([shape.channels, shape.height, shape.width], data.classes());
        let help = "take smaller widths, or images of another size (`data.size`)";
        spec.map(Some).map_err(|error| ParameterError::new("", error.to_string(), help))
    }

    fn run(&self, job: &mut Job<'_>) -> Result<Outcome, StageError> {
        let data = job.data.params();
        let shape = data.shape();
        let spec = self.spec([shape.channels, shape.height, shape.width], data.classes())?;
        let metrics = structure(&spec);
        let checkpoint = network::initialise(&spec, job.seed);
        Ok(Outcome::Done(Output::new("network", checkpoint.to_safetensors()?, metrics)))
    }
}
