//! The program: parse the command line, run the command, map its end to an exit code.

use std::process::ExitCode;

use tee_sidecar::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse_from_args(std::env::args_os()) {
        Ok(cli) => cli.run().into(),
        Err(end) => end.into(),
    }
}
