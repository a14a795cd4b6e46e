//! Several writers on one PostgreSQL: connections that are cut at every point, servers' processes
//! that are ended, writers that are killed, and accounts that everybody wants at once.
//!
//! `FLEET=20` makes the random ones twenty times as long.
#![cfg(all(unix, feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::print_stdout, reason = "so it says what happened")]

mod answers;
mod believing;
#[path = "../shared/books.rs"]
mod books;
mod busy;
mod caretaking;
mod deal;
mod killed;
mod opening;
#[path = "../shared/pg.rs"]
mod pg;
mod proxy;
mod retiring;
mod signs;
mod storm;
mod tampering;
