//! What the ledger costs, beside what its engine does without it. `cargo bench -p broker-core`.
//!
//! `exchanges`: durable exchanges (a reserve and a capture, each answered when it is on disk) a
//! second with 64 in flight, as a ratio to the bare engine that writes the same rows, or as many
//! bytes into one table, in as many commits, and to a ledger that makes one commit a command.
//! `audit`: how fast a ledger of a million transfers is audited, beside a bare scan of the same
//! tables, and in how much memory.
//! `postgres`: both of PostgreSQL, with that feature. Arguments name what to run; `SECS` and
//! `TRANSFERS` set how long and how much.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measurement fails by panicking, and its figures are ratios"
)]

#[path = "../../tests/shared/books.rs"]
mod books;

mod audit;
mod exchanges;
#[cfg(feature = "postgres")]
#[path = "../../tests/shared/pg.rs"]
mod pg;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

fn main() {
    // Cargo adds `--bench`; everything else names what to run.
    let asked: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [name, path] = asked.as_slice()
        && name == "audit-of"
    {
        return audit::audit_of(path);
    }
    #[cfg(feature = "postgres")]
    if let [name, url] = asked.as_slice()
        && name == "audit-of-postgres"
    {
        return postgres::audit_of(url);
    }
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    if wanted("exchanges") {
        sqlite::exchanges();
    }
    #[cfg(feature = "postgres")]
    if wanted("postgres") {
        postgres::exchanges();
        postgres::audit();
    }
    if wanted("audit") {
        audit::audit();
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
