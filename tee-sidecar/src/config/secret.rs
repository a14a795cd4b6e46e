//! Values that are never printed.

use std::fmt;
use std::fs::File;
use std::io::Read;

use zeroize::{Zeroize, Zeroizing};

/// A value that no log, error or printed configuration shows, and that is erased when dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into keeping.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PRESENT)
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Reads a secret from a file; editors end the last line, so one line end is taken off.
///
/// The error is a rule that the key naming the file breaks.
pub(super) fn read(path: &str) -> Result<Secret<String>, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    file.take(FILE_BYTES_MAX as u64).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() == FILE_BYTES_MAX {
        return Err(format!("names a file of {FILE_BYTES_MAX} bytes or more, which is no secret"));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err("names an empty file".to_owned());
    }
    Ok(Secret::new(secret.to_owned()))
}

/// What is printed in place of a secret.
pub(super) const PRESENT: &str = "<secret>";

/// What is printed where a secret may be and none is.
pub(super) const ABSENT: &str = "<none>";

/// Secrets are far shorter.
const FILE_BYTES_MAX: usize = 64 * 1024;
