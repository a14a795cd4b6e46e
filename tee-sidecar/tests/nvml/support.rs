//! A driver library for each test: a copy of the fake one in a folder of its own, with its knobs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tee_sidecar::attest::{GpuError, NvmlAttester};
use tee_sidecar::evidence::Nonce32;
use tempfile::TempDir;

pub(crate) const REPORT: &str = "nvmlDeviceGetConfComputeGpuAttestationReport";
pub(crate) const CERTIFICATE: &str = "nvmlDeviceGetConfComputeGpuCertificate";

/// The fake library under NVIDIA's name.
pub(crate) struct Driver {
    folder: TempDir,
}

impl Driver {
    pub(crate) fn new(knobs: &[(&str, &str)]) -> Self {
        let driver = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::copy(built_library(), driver.library()).unwrap();
        driver.set(knobs);
        driver
    }

    /// A library without this function: the loader no longer finds its name.
    pub(crate) fn without(function: &str) -> Self {
        let driver = Self::new(&[]);
        let mut bytes = std::fs::read(driver.library()).unwrap();
        let name = format!("\0{function}\0").into_bytes();
        let found = bytes.windows(name.len()).position(|window| window == name);
        bytes[found.unwrap() + 1] = b'_';
        std::fs::write(driver.library(), bytes).unwrap();
        driver
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.folder().join("libnvidia-ml.so.1")
    }

    /// Replaces all knobs; the next call sees the new ones.
    pub(crate) fn set(&self, knobs: &[(&str, &str)]) {
        let lines = knobs.iter().map(|(name, value)| format!("FAKE_NVML_{name}={value}\n"));
        let draft = self.folder().join("draft");
        std::fs::write(&draft, lines.collect::<String>()).unwrap();
        std::fs::rename(draft, self.folder().join("libnvidia-ml.so.1.knobs")).unwrap();
    }

    pub(crate) fn start(&self) -> Result<NvmlAttester, GpuError> {
        NvmlAttester::start(Some(self.library()))
    }

    /// The calls that came, oldest first.
    pub(crate) fn calls(&self) -> Vec<String> {
        let journal = self.folder().join("libnvidia-ml.so.1.calls");
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How many calls of this function came.
    pub(crate) fn count(&self, function: &str) -> usize {
        self.calls().iter().filter(|line| line.split(' ').next() == Some(function)).count()
    }

    /// Waits until this function has been called as often.
    pub(crate) fn await_calls(&self, function: &str, count: usize) {
        eventually(|| self.count(function) >= count);
    }
}

pub(crate) const fn nonce(fill: u8) -> Nonce32 {
    Nonce32::from_bytes([fill; 32])
}

/// Fails the test if this does not become true.
fn eventually(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "it did not happen in 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Cargo puts the library of a dependency beside the tests that depend on it.
fn built_library() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let library = tests.with_file_name("libfake_nvml.so");
    assert!(library.is_file(), "cargo built no {}", library.display());
    library
}
