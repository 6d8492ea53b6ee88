//! The shared cache of a command: which, and what is done with it.

use std::time::Duration;

use clap::{Args, ValueEnum};
use miette::{Result, miette};

use super::sweep::quoted;
use crate::engine::{Shared, Sharing};
use crate::store::{Remote, RemoteUrl};

/// The environment's word on what a run does.
const MODE: &str = "RUNNER_REMOTE_MODE";

/// Where the shared cache is.
#[derive(Debug, Clone, Args)]
pub struct RemoteArgs {
    /// The shared cache: s3://BUCKET/PREFIX, gs://, az:// or file:///PATH; instead of the file's `[cache] remote`
    #[arg(long, value_name = "URL", env = "RUNNER_REMOTE", hide_env_values = true)]
    remote_url: Option<String>,
    /// How long the shared cache may take to answer
    #[arg(long, value_name = "TIME", env = "RUNNER_REMOTE_TIMEOUT", default_value = "20s", value_parser = super::args::time)]
    remote_timeout: Duration,
}

impl RemoteArgs {
    /// The address: that of the command line or the environment, or else that of the pipeline file.
    ///
    /// # Errors
    /// What was written is none.
    pub fn url(&self, file: Option<&RemoteUrl>) -> Result<Option<RemoteUrl>> {
        match self.remote_url.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            // What was written is not repeated: it may hold a password.
            Some(text) => RemoteUrl::parse(text)
                .map(Some)
                .map_err(|flaw| miette!(help = flaw.help, "`--remote-url` or RUNNER_REMOTE: {flaw}")),
            None => Ok(file.cloned()),
        }
    }

    /// The shared cache, which must be named.
    ///
    /// # Errors
    /// None is named, or it cannot be used from here.
    pub fn open(&self, file: Option<&RemoteUrl>) -> Result<Remote> {
        let url = self.url(file)?.ok_or_else(none_named)?;
        Ok(Remote::open(&url, self.remote_timeout)?)
    }
}

fn none_named() -> miette::Report {
    miette!(
        help = "write `[cache] remote = \"s3://bucket/prefix\"` into the pipeline file, or give `--remote-url URL`, or set \
                RUNNER_REMOTE",
        "no shared cache is named"
    )
}

/// What a run does with the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Off,
    Read,
    ReadWrite,
}

/// The shared cache of a run.
#[derive(Debug, Clone, Args)]
pub struct SharingArgs {
    /// What to do with the shared cache: `read` by default where one is named, or what RUNNER_REMOTE_MODE says
    #[arg(long, value_name = "MODE", value_enum)]
    remote: Option<Mode>,
    #[command(flatten)]
    at: RemoteArgs,
    /// The longest that the end of a run waits for results that are still being sent
    #[arg(long, value_name = "TIME", default_value = "2min", value_parser = super::args::time)]
    remote_wait: Duration,
}

impl SharingArgs {
    /// What was asked for, if anything is to be shared.
    ///
    /// # Errors
    /// An address or a word that cannot be understood; sharing was asked for, and nothing is named.
    pub fn wanted(&self, file: Option<&RemoteUrl>) -> Result<Option<(RemoteUrl, Sharing)>> {
        let url = self.at.url(file)?;
        let mode = match self.remote {
            Some(mode) => mode,
            None => match std::env::var_os(MODE).filter(|word| !word.is_empty()) {
                Some(word) => Mode::from_str(&word.to_string_lossy(), false).map_err(|_| {
                    miette!(
                        help = "it is off, read or read-write",
                        "{MODE} is `{}`, which is none of its values",
                        word.display()
                    )
                })?,
                None => Mode::Read,
            },
        };
        let sharing = match mode {
            Mode::Off => return Ok(None),
            Mode::Read => Sharing::Read,
            Mode::ReadWrite => Sharing::ReadWrite,
        };
        match url {
            Some(url) => Ok(Some((url, sharing))),
            // What the environment says holds for pipelines that name one.
            None if self.remote.is_none() => Ok(None),
            None => Err(none_named()),
        }
    }

    /// Without the shared cache: for what must be computed here.
    pub fn off(self) -> Self {
        Self { remote: Some(Mode::Off), ..self }
    }

    /// How the address is given to the next command, where it was not the file that named it.
    pub fn again(&self) -> String {
        let url = self.at.url(None).ok().flatten();
        url.map_or_else(String::new, |url| format!(" --remote-url {}", quoted(&url.to_string())))
    }

    /// Opens it, or says why that cannot be: a run goes on without.
    pub fn open(&self, wanted: Option<(RemoteUrl, Sharing)>, warnings: &mut Vec<String>) -> Option<Shared> {
        let (url, sharing) = wanted?;
        match Remote::open(&url, self.at.remote_timeout) {
            Ok(remote) => Some(Shared::new(remote, sharing, self.remote_wait)),
            Err(error) => {
                warnings.push(crate::engine::chain(&error));
                None
            }
        }
    }
}
