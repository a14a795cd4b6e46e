//! What a process takes of the machine while time goes by.

use std::fmt;
use std::time::Instant;

/// Looks at a process now and then.
pub(crate) struct Watch {
    pid: u32,
    began: Instant,
    /// Seconds since the beginning, kilobytes of memory, open files.
    seen: Vec<(f64, f64, usize)>,
}

impl Watch {
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid, began: Instant::now(), seen: Vec::new() }
    }

    pub(crate) fn look(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let memory = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count();
        self.seen.push((self.began.elapsed().as_secs_f64(), memory, files));
    }

    /// Kilobytes that the memory grows by in the second half of the time, by least squares: the
    /// first half fills caches.
    fn growth(&self) -> f64 {
        let half = &self.seen[self.seen.len() / 2..];
        let count = half.len() as f64;
        let mean = |of: fn(&(f64, f64, usize)) -> f64| half.iter().map(of).sum::<f64>() / count;
        let (time, memory) = (mean(|seen| seen.0), mean(|seen| seen.1));
        let covariance: f64 = half.iter().map(|seen| (seen.0 - time) * (seen.1 - memory)).sum();
        let variance: f64 = half.iter().map(|seen| (seen.0 - time).powi(2)).sum();
        covariance / variance * (half[half.len() - 1].0 - half[0].0)
    }

    pub(crate) fn leaves_nothing_behind(&mut self) {
        let peak = self.seen.iter().map(|seen| seen.1).fold(0.0, f64::max);
        assert!(peak < MEMORY_KB_MAX, "{self}");
        if self.seen[self.seen.len() / 2].0 > FULL_AFTER_SECS {
            assert!(self.growth() < GROWTH_KB_MAX, "{self}");
        }
        self.look();
        let files = self.seen[self.seen.len() - 1].2;
        assert!(files < FILES_MAX, "{files} files are open when all is over");
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak = self.seen.iter().map(|seen| seen.1).fold(0.0, f64::max);
        let (first, last) = (self.seen[0].1, self.seen[self.seen.len() - 1].1);
        let growth = self.growth();
        write!(
            f,
            "memory {first} to {last} KB, {peak} at most, {growth:.0} more in the second half"
        )
    }
}

/// SQLite's cache fills up to 16 MiB, and some thousands of refusals and receipts are remembered.
const MEMORY_KB_MAX: f64 = 192.0 * 1024.0;
/// After that nothing grows: what a second half may add that begins later than the cache is full.
const GROWTH_KB_MAX: f64 = 8.0 * 1024.0;
const FULL_AFTER_SECS: f64 = 600.0;
/// Connections that are kept, the ledger's files, and what the runtime has.
const FILES_MAX: usize = 100;
