//! What is asked of the operating system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The five calls that a quote takes. Tests put every error of the kernel's in their place.
pub(super) trait Files {
    /// Makes an entry; the kernel fills it with files.
    fn make(&self, entry: &Path) -> io::Result<()>;
    /// Waits until the entry is filled, which a kernel has done when `make` returns.
    fn wait_for(&self, file: &Path) -> io::Result<()>;
    /// A file's content, or its first `bytes_max` bytes.
    fn read(&self, file: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;
    /// Writes a file's content and closes it: the kernel takes it in at the closing.
    fn write(&self, file: &Path, content: &[u8]) -> io::Result<()>;
    /// Removes an entry together with the kernel's files.
    fn remove(&self, entry: &Path) -> io::Result<()>;
}

/// The kernel's file system.
pub(super) struct Configfs;

impl Files for Configfs {
    fn make(&self, entry: &Path) -> io::Result<()> {
        fs::create_dir(entry)
    }

    fn wait_for(&self, file: &Path) -> io::Result<()> {
        let started = Instant::now();
        loop {
            match fs::symlink_metadata(file) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && started.elapsed() < FILLED_MAX => {
                    thread::sleep(FILLED_POLL);
                }
                seen => return seen.map(drop),
            }
        }
    }

    fn read(&self, file: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        File::open(file)?.take(bytes_max).read_to_end(&mut content)?;
        Ok(content)
    }

    fn write(&self, file: &Path, content: &[u8]) -> io::Result<()> {
        // Neither made nor cut when opened: the file is the kernel's.
        OpenOptions::new().write(true).open(file)?.write_all(content)
    }

    fn remove(&self, entry: &Path) -> io::Result<()> {
        fs::remove_dir(entry)
    }
}

/// The longest wait for the files of a new entry.
const FILLED_MAX: Duration = Duration::from_secs(1);
/// How often they are looked for.
const FILLED_POLL: Duration = Duration::from_millis(1);
