//! Whatever a crash leaves of the log, every command that was acknowledged before the cut is there.
//!
//! `IMAGES=10000 cargo test -p broker-core --test wal_images` looks at more of them, and `SEED=17`
//! at those of one run.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::print_stdout, reason = "so it says which seed failed")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/runs.rs"]
mod runs;
#[path = "shared/work.rs"]
mod work;

use std::path::Path;

use broker_core::testing::Rng;
use work::{Promise, Work, carry_out, check, covers, shipped};

/// Images of an ordinary test run.
const IMAGES: u64 = 500;
const IMAGES_PER_RUN: u64 = 25;
const BATCHES: u64 = 80;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    images: u64,
    /// Cut within what one batch wrote.
    torn: u64,
    with_garbage: u64,
    mid_request: u64,
    promises: u64,
}

#[test]
fn every_image_of_a_log_has_what_was_acknowledged_before_its_end() {
    let seeds = runs::seeds("IMAGES", IMAGES, IMAGES_PER_RUN);
    let (done, failed) = runs::all(seeds, images);
    let mut tally = Tally::default();
    for run in &done {
        tally.images += run.images;
        tally.torn += run.torn;
        tally.with_garbage += run.with_garbage;
        tally.mid_request += run.mid_request;
        tally.promises += run.promises;
    }
    println!("{tally:?}");
    runs::expect_none(&failed, "wal_images", "every_image");
    assert_eq!(tally.images, done.len() as u64 * IMAGES_PER_RUN);
    let seen = [tally.torn, tally.with_garbage, tally.mid_request, tally.promises];
    assert!(seen.iter().all(|count| *count > 0), "{tally:?}");
}

/// A finished run: the file, its log, and how long the log was when each batch was acknowledged.
struct Written {
    file: Vec<u8>,
    log: Vec<u8>,
    acknowledged: Vec<(usize, Vec<Promise>)>,
}

/// One run of a writer, and the images of it.
fn images(seed: u64) -> Result<Tally, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut rng = Rng::new(seed);
    let written = write(&folder.path().join("ledger.db"), seed, &mut rng)?;
    let mut tally = Tally::default();
    for n in 0..IMAGES_PER_RUN {
        let place = folder.path().join(format!("image-{n}"));
        std::fs::create_dir(&place).map_err(|error| error.to_string())?;
        // Anywhere, and now and then right behind a commit.
        let cut = match rng.below(8) {
            0 => rng.pick(&written.acknowledged).map_or(0, |(length, _)| *length),
            _ => rng.below(written.log.len() as u64 + 1) as usize,
        };
        let looked = written.look(&place.join("ledger.db"), cut, &mut rng, &mut tally);
        looked.map_err(|why| format!("image {n}, cut at byte {cut}: {why}"))?;
        std::fs::remove_dir_all(&place).map_err(|error| error.to_string())?;
    }
    Ok(tally)
}

/// Half of the runs write into a ledger that was closed before: most of it is in the file then.
fn write(path: &Path, seed: u64, rng: &mut Rng) -> Result<Written, String> {
    let log = path.with_extension("db-wal");
    let mut work = Work::new(seed, &format!("run{seed}"));
    let mut acknowledged = vec![(0, Vec::new())];
    let mut ledger = shipped(path).map_err(|error| error.to_string())?;
    carry_out(ledger.as_mut(), &covers())?;
    if seed % 2 == 1 {
        for _ in 0..20 {
            let (batch, promises) = work.batch();
            carry_out(ledger.as_mut(), &batch)?;
            acknowledged.push((0, promises));
        }
        drop(ledger);
        ledger = shipped(path).map_err(|error| error.to_string())?;
    }
    // Nothing is carried over before the log is 32 MiB long, so the file stays as it is now.
    let file = std::fs::read(path).map_err(|error| error.to_string())?;
    for _ in 0..1 + rng.below(BATCHES) {
        let (batch, promises) = work.batch();
        carry_out(ledger.as_mut(), &batch)?;
        let length = std::fs::metadata(&log).map_err(|error| error.to_string())?.len();
        acknowledged.push((length as usize, promises));
    }
    let unchanged = std::fs::read(path).map_err(|error| error.to_string())? == file;
    let log = std::fs::read(log).map_err(|error| error.to_string())?;
    drop(ledger);
    if unchanged {
        Ok(Written { file, log, acknowledged })
    } else {
        Err("the file changed while its log was written: the run proves nothing".to_owned())
    }
}

impl Written {
    fn look(
        &self,
        path: &Path,
        cut: usize,
        rng: &mut Rng,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let mut log = self.log[..cut].to_vec();
        if rng.below(2) == 0 {
            tally.with_garbage += 1;
            log.extend(garbage(&self.log, rng));
        }
        std::fs::write(path, &self.file).map_err(|error| error.to_string())?;
        std::fs::write(path.with_extension("db-wal"), log).map_err(|error| error.to_string())?;
        let before = self.acknowledged.iter().filter(|(length, _)| *length <= cut);
        let promises: Vec<_> = before.flat_map(|(_, promises)| promises.clone()).collect();
        let found = check(path, &promises)?;
        tally.images += 1;
        tally.torn += u64::from(self.acknowledged.iter().all(|(length, _)| *length != cut));
        tally.mid_request += u64::from(found.freed > 0);
        tally.promises += promises.len() as u64;
        Ok(())
    }
}

/// What a disk may have behind the cut: anything, zeros, or other parts of the same log.
fn garbage(log: &[u8], rng: &mut Rng) -> Vec<u8> {
    let length = 1 + rng.below(20_000) as usize;
    match rng.below(3) {
        0 => (0..length).map(|_| rng.next_u64() as u8).collect(),
        1 => vec![0; length],
        _ => {
            let start = rng.below(log.len() as u64) as usize;
            log[start..log.len().min(start + length)].to_vec()
        }
    }
}
