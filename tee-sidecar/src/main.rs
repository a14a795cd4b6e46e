//! The program: parse the command line, run the command, map its end to an exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use tee_sidecar::cli::Cli;

/// Requests and answers are many small buffers; ARCHITECTURE tells what this saves.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::parse_from_args(std::env::args_os()) {
        Ok(cli) => cli.run().into(),
        Err(end) => end.into(),
    }
}
