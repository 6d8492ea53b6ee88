//! `runner cache verify`: whether every file is what was written.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use miette::{IntoDiagnostic, Result};

use crate::cli::FAILURE;
use crate::cli::args::CacheArgs;
use crate::cli::style::{BAD, FAINT, GOOD, STALE, paint};
use crate::report::format::{bytes, plural};
use crate::store::{Checked, Damage, Repair};

/// Check every file of the cache
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner cache verify
  runner cache verify --repair
  runner cache verify --json

Objects are hashed and compared with their names; records, pins and all other files with the seal
or hash that they carry; records with the objects that they name. Files that runner does not put
there are named as well, and left. Without --repair nothing is changed. With it, what was read as a
whole and is wrong is moved to quarantine/ in the cache, and the next `runner run` makes it again;
a pin is written anew. What cannot be read stays. Runners may be at work meanwhile.

Exit codes: 0 all is as it was written, 1 something is not, even if it was moved aside, or could not
be read.")]
pub struct VerifyArgs {
    /// Move what is wrong to quarantine/
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks, and prints what is wrong.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let store = args.cache.open_here()?;
    let waiting = &mut || tell!("waiting until `runner cache gc` has cleared the cache");
    let _visit = if args.repair { store.visit_to_mend(waiting)? } else { store.look(waiting)? };
    let clock = Instant::now();
    let checked = store.verify(if args.repair { Repair::MoveAside } else { Repair::No })?;
    let seconds = clock.elapsed().as_secs_f64();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&checked).into_diagnostic()?);
    } else {
        say_all!("{}", text(&checked, args.repair));
        let pace = bytes((checked.bytes as f64 / seconds.max(1e-9)) as u64);
        let took = crate::report::format::seconds(seconds);
        tell!("{}", paint(FAINT, format!("in {took}, {pace} a second")));
    }
    Ok(if checked.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

fn text(checked: &Checked, repair: bool) -> String {
    let looked = format!("{}, {}", plural(checked.files, "file"), bytes(checked.bytes));
    let mut text = String::new();
    for finding in &checked.findings {
        let style = if finding.damage.is_harmless() { STALE } else { BAD };
        text += &format!("{}  {}\n", paint(style, finding.path.display()), finding.damage);
        if let Some(moved_to) = &finding.moved_to {
            text += &format!("  moved to {}\n", moved_to.display());
        }
        if let Some(why) = &finding.left {
            text += &format!("  left there: {why}\n");
        }
    }
    if checked.is_whole() {
        return text + &format!("{} {looked}\n", paint(GOOD, "all is as it was written:"));
    }
    let count = plural(checked.findings.len(), "finding");
    text += &format!("\n{} in {looked}\n", paint(BAD, count));
    let is_unread = |damage: &Damage| matches!(damage, Damage::Unreadable { .. } | Damage::Forbidden { .. });
    let unread = checked.findings.iter().filter(|finding| is_unread(&finding.damage)).count();
    if unread > 0 {
        text += &format!(
            "{} could not be read, so nobody knows whether all is whole: try again\n",
            plural(unread, "file")
        );
    }
    if unread == checked.findings.len() {
        return text;
    }
    text + if repair {
        "the next `runner run` makes again what it needs\n"
    } else {
        "`runner cache verify --repair` moves aside what is damaged, and the next run makes it again\n"
    }
}
