//! Files that only their owner may read.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::KeyError;

/// Opens a file that nobody but its owner may read or change.
pub(crate) fn open(path: &Path) -> Result<File, KeyError> {
    let failed = |cause| KeyError::Io { path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that the answer is about the bytes that are read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("is no file")));
    }
    check_mode(&metadata, path)?;
    Ok(file)
}

/// Refuses what others than its owner may read or change.
pub(super) fn check_mode(metadata: &Metadata, path: &Path) -> Result<(), KeyError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyError::TooOpen { path: path.to_owned(), mode })
}

/// Makes the file whole or not at all: a temporary file reaches the disk first and then takes the
/// name, if the name is still free. What the file holds afterwards may be another process's.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|e| KeyError::Random(e.to_string()))?;
    let temporary = with_suffix(path, &hex::encode(suffix));
    let made = write_and_link(&temporary, path, content);
    let removed = fs::remove_file(&temporary);
    let folder = folder_of(path);
    made.and(removed)
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|cause| KeyError::Io { path: path.to_owned(), cause })
}

fn write_and_link(temporary: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder_of(path))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(content)?;
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
