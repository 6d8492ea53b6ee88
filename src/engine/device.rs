//! Where tensors live: the choice on the command line, and the device it leads to.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use miette::Diagnostic;

/// The value of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DeviceError {
    /// Not a device's name.
    #[error("expected `auto`, `cpu`, `cuda` or `cuda:N`, found `{0}`")]
    Unknown(String),
    /// A build without the GPU's code.
    #[error("this build of runner has no CUDA support, so `--device cuda:{0}` cannot be had")]
    #[diagnostic(help("build with `cargo build --release --features cuda`, or use `--device cpu`"))]
    NotBuilt(usize),
    /// No such GPU, or no working driver.
    #[error("the GPU cuda:{number} cannot be opened")]
    #[diagnostic(help(
        "see that `nvidia-smi` lists it and that the driver is new enough, or use `--device cpu`"
    ))]
    NotFound {
        /// Its number.
        number: usize,
        /// What the driver said.
        source: Box<candle_core::Error>,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| digits.parse().map_err(|_| DeviceError::Unknown(text.to_owned()));
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => match text.strip_prefix("cuda:") {
                Some(digits) => Ok(Self::Cuda(number(digits)?)),
                None => Err(DeviceError::Unknown(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device, and names it for provenance: `cpu`, `cuda:0`.
    ///
    /// # Errors
    /// A GPU was asked for and there is none, or this build cannot use it.
    pub fn open(self) -> Result<(Device, String), DeviceError> {
        let cpu = || (Device::Cpu, "cpu".to_owned());
        match self {
            Self::Cpu => Ok(cpu()),
            Self::Cuda(number) => cuda(number),
            Self::Auto => Ok(cuda(0).unwrap_or_else(|_| cpu())),
        }
    }
}

fn cuda(number: usize) -> Result<(Device, String), DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::NotBuilt(number));
    }
    let device = Device::new_cuda(number)
        .map_err(|source| DeviceError::NotFound { number, source: Box::new(source) })?;
    Ok((device, format!("cuda:{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_read_and_written_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for name in ["gpu", "cuda:", "cuda:x", "CPU", ""] {
            assert!(name.parse::<DeviceChoice>().is_err(), "{name}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_auto_is_the_cpu_and_cuda_is_a_clear_error() {
        assert_eq!(DeviceChoice::Auto.open().unwrap().1, "cpu");
        let error = DeviceChoice::Cuda(1).open().unwrap_err();
        assert!(error.to_string().contains("no CUDA support"), "{error}");
    }
}
