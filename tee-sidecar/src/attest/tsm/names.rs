//! The names of our entries, by which one process never meets another's.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::attest::AttestError;

/// Gives names that nobody else has: the process, a count, and random bytes, since processes of two
/// containers may have one number.
pub(super) struct Names {
    base: PathBuf,
    random: String,
    given: AtomicU64,
}

impl Names {
    pub(super) fn new(base: PathBuf) -> Result<Self, AttestError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| AttestError::Random(e.to_string()))?;
        Ok(Self { base, random: hex::encode(random), given: AtomicU64::new(0) })
    }

    /// The path of an entry that does not exist yet.
    pub(super) fn next(&self) -> PathBuf {
        let count = self.given.fetch_add(1, Ordering::Relaxed);
        self.base.join(format!("{PREFIX}{}-{count}-{}", std::process::id(), self.random))
    }

    /// Removes entries of ours that are much older than `new_entry`.
    ///
    /// Whose process is gone cannot be asked: another container's has numbers of its own. But no
    /// quote takes minutes, so an entry of that age is nobody's, and removing one by mistake would
    /// cost its owner an error and nobody a wrong quote. Ages are compared within the file system,
    /// so the clock is not asked either.
    pub(super) fn remove_stale(&self, new_entry: &Path) {
        let made = |metadata: Metadata| metadata.modified().ok();
        let Some(now) = fs::symlink_metadata(new_entry).ok().and_then(made) else { return };
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        for entry in entries.filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
            let age = entry.metadata().ok().and_then(made).map(|made| now.duration_since(made));
            if age.is_some_and(|age| age.is_ok_and(|age| age > STALE_AGE)) {
                let removed = fs::remove_dir(entry.path());
                tracing::info!(entry = %entry.path().display(), ?removed, "a stale TSM entry");
            }
        }
    }
}

/// What the names of all our entries begin with.
const PREFIX: &str = "tee-sidecar-";
/// An entry of this age belongs to no running quote: the kernel itself gives up after 30 seconds.
const STALE_AGE: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_entries_of_ours_that_no_running_quote_can_have_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let aged = |name: &str, secs: u64| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            let epoch = SystemTime::UNIX_EPOCH;
            let made = epoch + Duration::from_secs(1_000_000 - secs);
            File::open(&path).unwrap().set_modified(made).unwrap();
            path
        };
        let new = aged("tee-sidecar-1-0-aa", 0);
        let stale = aged("tee-sidecar-1-7-bb", 601);
        let live = aged("tee-sidecar-1-8-bb", 599);
        let of_the_future = base.path().join("tee-sidecar-1-9-bb");
        fs::create_dir(&of_the_future).unwrap();
        let foreign = aged("other-1-7-bb", 99_999);
        let names = Names::new(base.path().to_owned()).unwrap();
        names.remove_stale(&new);
        let left = [&new, &live, &of_the_future, &foreign].map(|path| path.exists());
        assert_eq!((left, stale.exists()), ([true; 4], false));
    }

    #[test]
    fn two_sources_in_one_process_and_two_entries_of_one_source_have_different_names() {
        let [a, b] = [(), ()].map(|()| Names::new(PathBuf::from("/base")).unwrap());
        let given = [a.next(), a.next(), b.next(), b.next()];
        let unique: std::collections::BTreeSet<_> = given.iter().collect();
        assert_eq!(unique.len(), 4, "{given:?}");
        assert!(given.iter().all(|path| path.starts_with("/base")));
    }
}
