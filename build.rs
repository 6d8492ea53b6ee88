//! Tells the program which commit it was built from, for the provenance of results.
//!
//! Without git, or outside of a checkout of runner itself, the program does not know. Whether the checkout was
//! changed (`-dirty`) is as of the last time that a source file or the commit changed.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=RUNNER_COMMIT");
    for source in ["src", "Cargo.toml", "Cargo.lock", "build.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    if std::env::var_os("RUNNER_COMMIT").is_some() {
        return;
    }
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=RUNNER_COMMIT={commit}");
    }
}

fn commit() -> Option<String> {
    // A copy of runner inside some other checkout must not take that one's commit for its own.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let own = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&own).canonicalize().ok()? {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let watched = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned);
    for name in watched.into_iter().chain(branch) {
        let path = git(&["rev-parse", "--git-path", &name])?;
        // A path that is not there would make every build run this anew.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
