//! Arguments that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::remote::SharingArgs;
use crate::engine::DeviceChoice;

pub use super::location::CacheArgs;

/// A pipeline file with changes to it.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pub pipeline: PathBuf,
    #[command(flatten)]
    pub changes: ChangeArgs,
}

/// Changes to a pipeline file.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Change a value of the file for this call: STAGE.KEY=VALUE, data.KEY=VALUE or seed=N (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Sweep a value: a point for each of KEY=A,B,C, of the integers seed=1..3 (both ends included) or of
    /// KEY="0.1..0.9 step 0.1" (repeatable: a point for each combination)
    #[arg(long = "over", value_name = "KEY=VALUES")]
    pub over: Vec<String>,
}

/// Which stages are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectionArgs {
    /// Run this stage alone; what it needs must be in the cache (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub only: Vec<String>,

    /// Run this stage and all that it needs, and nothing after it (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub until: Vec<String>,

    /// Run this stage even if its result is in the cache (repeatable)
    #[arg(long, value_name = "STAGE")]
    pub force: Vec<String>,
}

/// How stages are run. Results do not depend on it.
#[derive(Debug, Clone, Args)]
pub struct HowArgs {
    /// Where to compute: auto, cpu, cuda or cuda:N; jobs take several in turn (cuda:0,cuda:1)
    #[arg(long, visible_alias = "devices", default_value = "auto", value_delimiter = ',', value_parser = |text: &str| text.parse::<DeviceChoice>())]
    pub device: Vec<DeviceChoice>,
    /// CPU threads, shared out over the jobs; all by default. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// Run so many stages side by side; by default one for each device. Results do not depend on it
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Start no stage beside others that would take more memory than this with them (8GiB); by default nine tenths of what is
    /// available, of the machine or of its control group
    #[arg(long, value_name = "SIZE", value_parser = super::cache::size)]
    pub memory: Option<u64>,
    /// After a failure, go on with all that does not depend on it: the default of a sweep
    #[arg(long)]
    pub keep_going: bool,
    /// End the run at the first failure: the default without a sweep
    #[arg(long, conflicts_with = "keep_going")]
    pub fail_fast: bool,
    /// Try a stage that failed so many times more, from its saved state, with the same seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u32,
    /// Stop a stage that runs for longer: 90s, 30min, 2h. A stage's own `timeout` goes before it
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub sharing: SharingArgs,
    /// Write metrics as TensorBoard event files, a folder for each stage and point
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Print nothing but warnings and errors
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Print one JSON event a line on standard output
    #[arg(long)]
    pub json: bool,
}

pub fn time(text: &str) -> Result<Duration, String> {
    crate::pipeline::duration(text).ok_or_else(|| crate::pipeline::TIME.replace('"', ""))
}

impl From<&SelectionArgs> for crate::plan::Selection {
    fn from(args: &SelectionArgs) -> Self {
        Self { only: args.only.clone(), until: args.until.clone(), force: args.force.clone() }
    }
}
