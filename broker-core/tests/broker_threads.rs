//! What a broker starts: nothing while it is built, one thread when it is started. Alone in its
//! process, since it counts the threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use broker_core::{Broker, LocalSigner, MemoryLedger, Neuron, Tariff};

#[test]
fn building_starts_no_thread_and_starting_exactly_the_writer_s() {
    let Some(before) = threads() else {
        println!("SKIPPED: this system does not list a process's threads under /proc/self/task");
        assert!(std::env::vars_os().all(|(name, _)| name != "CI"), "CI runs on Linux");
        return;
    };
    let builder = Broker::builder()
        .ledger(MemoryLedger::new())
        .tariff(Tariff::per_token(Neuron::new(1), Neuron::new(2)))
        .signer(LocalSigner::from_secret(&[7; 32]).unwrap());
    assert_eq!(threads(), Some(before.clone()), "the builder");

    let broker = builder.start().unwrap();
    let mut with_one = before.clone();
    with_one.push("ledger-writer".to_owned());
    with_one.sort();
    assert_soon(&with_one);

    broker.stop();
    assert_soon(&before);
}

/// A thread gives itself its name, and the kernel takes a moment to forget one that was joined.
fn assert_soon(expected: &[String]) {
    for _ in 0..1_000 {
        if threads().as_deref() == Some(expected) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(threads().as_deref(), Some(expected));
}

/// The names of this process's threads, in order.
fn threads() -> Option<Vec<String>> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let names = tasks.flatten().flat_map(|task| std::fs::read_to_string(task.path().join("comm")));
    let mut names: Vec<_> = names.map(|name| name.trim().to_owned()).collect();
    names.sort();
    Some(names)
}
