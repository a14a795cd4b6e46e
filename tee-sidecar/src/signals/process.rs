//! What the kernel says of this process, under the names that Prometheus has for it.

use std::fs;

/// What `/proc/self` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Memory that it has, in bytes.
    pub resident_bytes: u64,
    /// Files, sockets and the like that it has open.
    pub open_fds: u64,
    /// How many it may have open; `None` where there is no limit.
    pub max_fds: Option<u64>,
    /// Processor time that it used, in seconds.
    pub cpu_seconds: f64,
}

impl Process {
    /// Looks; `None` where there is no `/proc`.
    pub fn look() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let open_fds = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            resident_bytes: resident(&status)?,
            open_fds: u64::try_from(open_fds).ok()?,
            max_fds: max_fds(&limits),
            cpu_seconds: cpu(&stat)?,
        })
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn max_fds(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The process's name stands in brackets and may hold anything, brackets too.
fn cpu(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(USER_TICKS_AT).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(user.saturating_add(system) as f64 / TICKS_PER_SECOND)
}

/// The place of `utime` behind the name.
const USER_TICKS_AT: usize = 11;
/// The kernel tells processes so, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_as_it_writes_them() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   1234 kB\n"), Some(1234 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
        let limits = "Max open files            1024                 4096                 files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(max_fds("Max open files            unlimited  unlimited  files\n"), None);
        let stat = "1 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 1 1 1";
        assert_eq!(cpu(stat), Some(2.0));
    }

    #[test]
    fn this_process_has_memory_and_files() {
        if !std::path::Path::new("/proc/self/status").exists() {
            println!("SKIPPED: this system has no /proc");
            return;
        }
        let process = Process::look().unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.open_fds >= 3, "{process:?}");
    }
}
