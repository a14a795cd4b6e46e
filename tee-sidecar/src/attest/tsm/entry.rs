//! One entry of the report interface: made for one quote, and removed with it.

use std::path::PathBuf;

use super::files::Files;
use crate::attest::AttestError;
use crate::evidence::ReportData;

/// A folder of the kernel's, which goes when this value goes: at the end, at every error, and when
/// the thread panics.
pub(super) struct Entry<'a, F: Files> {
    files: &'a F,
    path: PathBuf,
}

impl<'a, F: Files> Entry<'a, F> {
    /// Makes the entry.
    pub(super) fn make(files: &'a F, path: PathBuf) -> Result<Self, AttestError> {
        files.make(&path).map_err(|e| AttestError::tsm("create", &path, &e))?;
        let entry = Self { files, path };
        let last = entry.path.join(GENERATION);
        files.wait_for(&last).map_err(|e| AttestError::tsm("look for", &last, &e))?;
        Ok(entry)
    }

    /// An error unless this is TDX.
    pub(super) fn check_provider(&self) -> Result<(), AttestError> {
        let provider = self.read_text("provider")?;
        if provider == TDX_PROVIDER { Ok(()) } else { Err(AttestError::TsmProvider(provider)) }
    }

    /// The quote over `report_data`. Blocks until the host has made it.
    pub(super) fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, AttestError> {
        self.check_provider()?;
        let before = self.generation()?;
        let inblob = self.path.join("inblob");
        let written = self.files.write(&inblob, report_data.as_bytes());
        written.map_err(|e| AttestError::tsm("write", &inblob, &e))?;
        let quote = self.outblob()?;
        // The kernel counts the writes. One that was lost, or one that somebody added, would have
        // this quote cover something else.
        let after = self.generation()?;
        if before.checked_add(1) != Some(after) {
            return Err(AttestError::TsmRace(before, after));
        }
        Ok(quote)
    }

    fn outblob(&self) -> Result<Vec<u8>, AttestError> {
        let path = self.path.join("outblob");
        let read = self.files.read(&path, TSM_OUTBLOB_BYTES_MAX.saturating_add(1));
        let quote = read.map_err(|e| AttestError::tsm("read", &path, &e))?;
        match quote.len() {
            0 => Err(AttestError::TsmEmpty(path)),
            length if length > TSM_OUTBLOB_BYTES_MAX => Err(AttestError::TsmTooLong(path)),
            _ => Ok(quote),
        }
    }

    fn generation(&self) -> Result<u64, AttestError> {
        let text = self.read_text(GENERATION)?;
        text.parse().map_err(|_| AttestError::Tsm {
            operation: "read",
            path: self.path.join(GENERATION),
            cause: format!("{text:?} is no count"),
        })
    }

    fn read_text(&self, name: &str) -> Result<String, AttestError> {
        let path = self.path.join(name);
        let read = self.files.read(&path, TEXT_BYTES_MAX);
        let bytes = read.map_err(|e| AttestError::tsm("read", &path, &e))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    }
}

impl<F: Files> Drop for Entry<'_, F> {
    fn drop(&mut self) {
        if let Err(error) = self.files.remove(&self.path) {
            tracing::warn!(entry = %self.path.display(), %error, "a TSM entry stays behind");
        }
    }
}

/// The largest answer that the kernel gives (its `TSM_OUTBLOB_MAX`).
const TSM_OUTBLOB_BYTES_MAX: usize = 32 * 1024;
/// No name and no count is longer.
const TEXT_BYTES_MAX: usize = 64;
/// What the kernel calls itself in a TDX guest.
const TDX_PROVIDER: &str = "tdx_guest";
/// Counts the writes to the entry.
const GENERATION: &str = "generation";

#[cfg(test)]
mod tests;
