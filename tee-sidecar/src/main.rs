//! The program: parse the subcommand, call it, map its end to an exit code.

fn main() {}
