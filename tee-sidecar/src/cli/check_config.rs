//! `check-config`: the configuration has been loaded; print it.

use std::io::{self, Write};

use super::Exit;
use crate::config::{Settings, effective};

/// Prints the effective configuration without secrets.
pub fn run(settings: &Settings) -> Exit {
    // Not `print!`, which panics when nobody reads the other end.
    match io::stdout().write_all(effective(settings).as_bytes()).and_then(|()| io::stdout().flush())
    {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("tee-sidecar: the configuration cannot be printed: {error}");
            Exit::Failed
        }
    }
}
