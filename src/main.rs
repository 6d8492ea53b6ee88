//! The `runner` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::cli::main()
}
