//! Several sidecars on one PostgreSQL: processes that are killed, connections that are cut, one
//! that leads. The server is a real one, which the tests start. Beside them, a process on a file.
//!
//! `KILLS` sets how many rounds of killing the storm has (20 by default).
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "../../../broker-core/tests/shared/pg.rs"]
mod pg;

#[path = "../network/support.rs"]
mod network;

#[path = "../network/moody.rs"]
mod moody;

#[path = "../../../broker-core/tests/shared/books.rs"]
mod books;
#[path = "../../../broker-core/tests/shared/full.rs"]
mod full;

mod keeping;
mod leader;
mod moving;
mod states;
mod storm;
mod support;
