//! What a call does apart from its work: it leaves a line in the journal, and may hang.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::knobs::{Knobs, beside_library};

/// Writes `function` and what it was called with to the journal, then hangs where it is told to.
pub(crate) fn entered(function: &str, about: &str) {
    note(&format!("{function} {about}"));
    hang_if_told(function);
}

/// Runs `work`, and writes `OVERLAP` to the journal if the same is going on in another thread.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> T {
    let guard = BUSY.try_lock();
    if guard.is_err() {
        note("OVERLAP");
    }
    work()
}

fn note(line: &str) {
    let Some(path) = beside_library("calls") else { return };
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _full_disk = file.write_all(format!("{}\n", line.trim_end()).as_bytes());
    }
}

fn hang_if_told(function: &str) {
    let began = Instant::now();
    loop {
        let knobs = Knobs::read();
        if knobs.text("FAKE_NVML_HANG_CALL") != Some(function) {
            return;
        }
        let until = knobs.text("FAKE_NVML_HANG_UNTIL").is_some_and(|path| Path::new(path).exists());
        let time = knobs.number("FAKE_NVML_HANG_MS", 0).map(|ms| Duration::from_millis(ms.into()));
        if until || time.is_some_and(|time| began.elapsed() >= time) {
            return;
        }
        sleep(Duration::from_millis(5));
    }
}

static BUSY: Mutex<()> = Mutex::new(());
