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

/// A device that was opened.
#[derive(Debug)]
pub struct OpenDevice {
    /// The device.
    pub device: Device,
    /// Its name for provenance: `cpu`, `cuda:0`.
    pub name: String,
    /// Why it is not the one that this build was made for, in words for the user.
    pub warning: Option<String>,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// A GPU was asked for and there is none, or this build cannot use it.
    pub fn open(self) -> Result<OpenDevice, DeviceError> {
        match self {
            Self::Cpu => Ok(cpu(None)),
            Self::Cuda(number) => cuda(number),
            Self::Auto => Ok(cuda(0).unwrap_or_else(|error| cpu(Some(&error)))),
        }
    }
}

/// The CPU, by choice or for want of a GPU. A build without the GPU's code has nothing to warn of.
fn cpu(instead_of: Option<&DeviceError>) -> OpenDevice {
    let warning = match instead_of {
        Some(error @ DeviceError::NotFound { source, .. }) => {
            let cause = source.to_string();
            let cause = cause.lines().next().unwrap_or_default();
            Some(format!("{error} ({cause}): computing on the CPU"))
        }
        _ => None,
    };
    OpenDevice { device: Device::Cpu, name: "cpu".to_owned(), warning }
}

fn cuda(number: usize) -> Result<OpenDevice, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::NotBuilt(number));
    }
    let device = Device::new_cuda(number)
        .map_err(|source| DeviceError::NotFound { number, source: Box::new(source) })?;
    Ok(OpenDevice { device, name: format!("cuda:{number}"), warning: None })
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
        let auto = DeviceChoice::Auto.open().unwrap();
        assert_eq!((auto.name.as_str(), auto.warning), ("cpu", None));
        let error = DeviceChoice::Cuda(1).open().unwrap_err();
        assert!(error.to_string().contains("no CUDA support"), "{error}");
    }

    #[test]
    fn a_build_with_cuda_says_that_it_found_no_gpu_and_takes_the_cpu() {
        let cause = candle_core::Error::Msg("no CUDA-capable device is detected\nbacktrace".to_owned());
        let error = DeviceError::NotFound { number: 0, source: Box::new(cause) };
        let opened = cpu(Some(&error));
        assert!(opened.device.is_cpu());
        assert_eq!(
            opened.warning.unwrap(),
            "the GPU cuda:0 cannot be opened (no CUDA-capable device is detected): computing on the CPU"
        );
    }
}
