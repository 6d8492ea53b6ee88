//! `runner schema`: what a pipeline file may say, for editors and for people.

use clap::Args;
use miette::{IntoDiagnostic, Result};

use crate::{pipeline, stages};

/// Print the JSON Schema of the pipeline file, or its reference page
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner schema > pipelines/pipeline.schema.json        for editors (Taplo, Even Better TOML)
  runner schema --markdown > docs/pipeline.md           the reference page")]
pub struct SchemaArgs {
    /// Print the reference page as Markdown
    #[arg(long)]
    markdown: bool,
}

/// Prints the schema.
pub fn run(args: &SchemaArgs) -> Result<()> {
    let catalog = stages::catalog();
    if args.markdown {
        super::output::write_file(&pipeline::reference(&catalog));
    } else {
        let text = serde_json::to_string_pretty(&pipeline::schema(&catalog)).into_diagnostic()?;
        say!("{text}");
    }
    Ok(())
}
