//! Runs by seed, on all processors.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

/// The outcomes of a range of seeds, in their order.
pub(crate) fn all<T: Send>(
    seeds: std::ops::Range<u64>,
    run: impl Fn(u64) -> Result<T, String> + Sync,
) -> (Vec<T>, Vec<(u64, String)>) {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let (start, end) = (seeds.start, seeds.end);
    let work = |first: u64| {
        let mine = (start + first..end).step_by(workers as usize);
        mine.map(|seed| (seed, run(seed))).collect::<Vec<_>>()
    };
    let work = &work;
    let mut outcomes: Vec<(u64, Result<T, String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    outcomes.sort_by_key(|(seed, _)| *seed);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (seed, outcome) in outcomes {
        match outcome {
            Ok(outcome) => done.push(outcome),
            Err(why) => failed.push((seed, why)),
        }
    }
    (done, failed)
}

/// Fails with the first seed that did, and how to see it again.
pub(crate) fn expect_none(failed: &[(u64, String)], binary: &str, test: &str) {
    if let Some((seed, why)) = failed.first() {
        panic!(
            "{} seeds fail, the first with: {why}\nsee it again with\n  SEED={seed} cargo test -p \
             broker-core --test {binary} {test} -- --nocapture",
            failed.len()
        );
    }
}

/// The seeds of this run: one where `SEED` names it, else so many as `variable` says.
pub(crate) fn seeds(variable: &str, usual: u64, per_seed: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number("SEED") {
        return seed..seed + 1;
    }
    0..number(variable).unwrap_or(usual).div_ceil(per_seed)
}

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    Some(text.to_str().unwrap().parse().unwrap())
}
