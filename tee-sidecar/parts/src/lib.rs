//! The parts of an exchange, each alone, on fixed input: what a request costs between its first
//! byte and its last, without sockets, tasks and clocks.
//!
//! `benches/parts.rs` times them (`make bench-parts`); the program `instructions` has valgrind
//! count what they execute and compares that with stored figures (`make instructions`). Nothing
//! here is random, so that two runs of one build count the same.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a measurement that fails ends")]

use std::hint::black_box;

use broker_core::Digest32;

pub mod answer;
pub mod ask;
pub mod books;
pub mod proof;

/// A part, made ready, that does its work so often: what is made before does not depend on that.
type Part = Box<dyn FnMut(u32)>;

/// A part whose instructions are counted.
pub struct Work {
    /// Its name, one word.
    pub name: &'static str,
    /// What is done once.
    pub unit: &'static str,
    /// How often it is done beyond the first time, which is not counted: it fills caches.
    pub times: u32,
    ready: fn() -> Part,
}

/// Exchanges in one batch of [`WORKS`]' ledger.
const BATCH: usize = 8;
const LEDGER_TIMES: u32 = 48;

/// Everything that is counted.
pub const WORKS: [Work; 9] = [
    Work {
        name: "hash",
        unit: "SHA-256 of 100 KB",
        times: 10,
        ready: || {
            let body = ask::body(100_000);
            repeated(move || Digest32::sha256(&body))
        },
    },
    Work {
        name: "request-1k",
        unit: "a streamed chat of 1 KB read, rewritten and salted",
        times: 400,
        ready: || requests(1_000),
    },
    Work {
        name: "request-100k",
        unit: "the same of 100 KB",
        times: 10,
        ready: || requests(100_000),
    },
    Work {
        name: "scan",
        unit: "64 events of 256 bytes read, and their running usage cut",
        times: 40,
        ready: || {
            let events = answer::events(64);
            repeated(move || answer::scan(&events))
        },
    },
    Work {
        name: "stream",
        unit: "the same, hashed and handed over",
        times: 40,
        ready: || {
            let events = answer::events(64);
            repeated(move || answer::relay(&events))
        },
    },
    Work {
        name: "sign",
        unit: "the text of an answer signed (secp256k1)",
        times: 40,
        ready: || {
            let desk = proof::Desk::new();
            repeated(move || desk.signature())
        },
    },
    Work {
        name: "receipt",
        unit: "a receipt made, signed (Ed25519) and written as a document",
        times: 40,
        ready: || {
            let desk = proof::Desk::new();
            repeated(move || desk.document())
        },
    },
    Work {
        name: "leaf",
        unit: "the leaf of a receipt in the log",
        times: 200,
        ready: || {
            let desk = proof::Desk::new();
            let receipt = desk.receipt();
            repeated(move || desk.leaf(&receipt))
        },
    },
    Work {
        name: "ledger",
        unit: "8 holds and their 8 charges, in two commits to SQLite",
        times: LEDGER_TIMES,
        ready: exchanges,
    },
];

impl Work {
    /// The part of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        WORKS.iter().find(|work| work.name == name)
    }

    /// Does it once, and then `times` more; at most [`Self::times`].
    pub fn run(&self, times: u32) {
        let mut part = (self.ready)();
        part(1);
        part(times.min(self.times));
    }
}

fn repeated<R>(mut once: impl FnMut() -> R + 'static) -> Part {
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(once()))))
}

fn requests(bytes: usize) -> Part {
    let body = ask::body(bytes);
    repeated(move || ask::read(&body))
}

fn exchanges() -> Part {
    let mut books = books::Books::open();
    let turns: Vec<_> = (0..=LEDGER_TIMES).map(|_| books.turn(BATCH)).collect();
    let mut turns = turns.into_iter();
    Box::new(move |times| {
        turns.by_ref().take(times as usize).for_each(|turn| books.commit(&turn));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_does_its_work() {
        for work in &WORKS {
            work.run(2);
            assert_eq!(Work::named(work.name).map(|found| found.unit), Some(work.unit));
        }
        assert!(Work::named("nothing").is_none());
    }
}
