//! The `runner` binary: arguments in, exit code out.

fn main() {}
