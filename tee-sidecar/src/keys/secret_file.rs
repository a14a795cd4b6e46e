//! The file with the simulation's root secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyError;

/// The 32 bytes in `path`. An absent file is made; any other trouble is an error, since another
/// secret would be another signer.
pub(super) fn read_or_create(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = |cause| KeyError::Io { path: path.to_owned(), cause };
    match File::open(path) {
        Ok(file) => read(file, path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            create(path)?;
            // What the file holds counts, not what was written: another process may have been
            // first.
            read(File::open(path).map_err(failed)?, path)
        }
        Err(e) => Err(failed(e)),
    }
}

fn read(mut file: File, path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = |cause| KeyError::Io { path: path.to_owned(), cause };
    // Asked of the open file, so that the answer is about the bytes that are read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() != 32 {
        return Err(KeyError::NotASecret(path.to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::TooOpen { path: path.to_owned(), mode });
    }
    let mut secret = Zeroizing::new([0; 32]);
    file.read_exact(secret.as_mut_slice()).map_err(failed)?;
    Ok(secret)
}

/// Makes the file whole or not at all: a temporary file reaches the disk first and then takes the
/// name, if the name is still free.
fn create(path: &Path) -> Result<(), KeyError> {
    let mut secret = Zeroizing::new([0; 32]);
    let mut suffix = [0; 8];
    for bytes in [secret.as_mut_slice(), suffix.as_mut_slice()] {
        getrandom::fill(bytes).map_err(|e| KeyError::Random(e.to_string()))?;
    }
    let temporary = with_suffix(path, &hex::encode(suffix));
    let made = write_and_link(&temporary, path, secret.as_slice());
    let removed = fs::remove_file(&temporary);
    let folder = folder_of(path);
    made.and(removed)
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|cause| KeyError::Io { path: path.to_owned(), cause })
}

fn write_and_link(temporary: &Path, path: &Path, secret: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder_of(path))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(secret)?;
    file.sync_all()?;
    // A rename would replace the secret of a process that was faster; a link does not.
    match fs::hard_link(temporary, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
