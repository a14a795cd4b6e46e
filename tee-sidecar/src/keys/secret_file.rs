//! The file with the simulation's root secret.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{KeyError, private_file};

/// The 32 bytes in `path`. An absent file is made; any other trouble is an error, since another
/// secret would be another signer.
pub(super) fn read_or_create(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    match read(path) {
        Err(KeyError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            let mut secret = Zeroizing::new([0; 32]);
            getrandom::fill(secret.as_mut_slice()).map_err(|e| KeyError::Random(e.to_string()))?;
            private_file::create(path, secret.as_slice())?;
            // What the file holds counts, not what was written: another process may have been
            // first.
            read(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = |cause| KeyError::Io { path: path.to_owned(), cause };
    let mut file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that the answer is about the bytes that are read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() != 32 {
        return Err(KeyError::NotASecret(path.to_owned()));
    }
    private_file::check_mode(&metadata, path)?;
    let mut secret = Zeroizing::new([0; 32]);
    file.read_exact(secret.as_mut_slice()).map_err(failed)?;
    Ok(secret)
}
