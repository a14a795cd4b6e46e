//! Pricing, request hashing, receipts and a durable fee ledger for metered inference.
//!
//! Money for a request is set aside before the work and charged after it, each durably and once;
//! every charge has a signed receipt; the ledger can prove itself ([`Broker::audit`]). Amounts are
//! [`Neuron`] (10^-18 0G): integers, never floats.
//!
//! ```
//! use broker_core::{Broker, Cover, LocalSigner, MemoryLedger, Neuron, Tariff, Usage, UserId};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), broker_core::Error> {
//!     let broker = Broker::builder()
//!         .ledger(MemoryLedger::new()) // or SqliteLedger::open("fees.db".as_ref())?
//!         .tariff(Tariff::per_token(Neuron::new(400), Neuron::new(1_600)))
//!         .signer(LocalSigner::from_secret(&[7; 32])?) // a key that everybody knows: yours here
//!         .start()?; // the one writer thread
//!
//!     let user = UserId::named("alice");
//!     broker.mirror(user, Cover::UpTo(Neuron::new(1_000_000))).await?; // what she has paid
//!
//!     let body = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":64}"#;
//!     let hold = broker.reserve(user, "client-nonce-1", body).await?; // durable
//!     let (answer, usage) = (b"Hello, Alice.", Usage::new(9, 5)); // your model's work
//!     let charge = hold.capture(usage, answer).await?; // durable, before she has the last byte
//!
//!     assert_eq!(charge.fee, Neuron::new(9 * 400 + 5 * 1_600));
//!     assert_eq!(broker.audit().await?.fault, None);
//!     Ok(())
//! }
//! ```
//!
//! # What is here
//!
//! The crate is a pure state machine (the rules of the ledger) with thin shells around it. It links
//! no TEE and no HTTP server, and no chain's client without the feature `evm`; it has no thread, no
//! clock and no timer that nobody asked for.
//!
//! * [`Broker`] is the paved path, with [`Reserved`], [`Charge`] and [`Error`].
//! * [`rules`] decides, [`Ledger`] keeps, [`writer`] commits: for who wants the parts.
//! * [`Receipt`], [`Tariff`] and [`recover_text_signer`] are enough to check a receipt without any
//!   ledger.
//! * [`settlement`] collects fees on anything that is a [`Chain`].
//!
//! Features: `sqlite` (on), `postgres`, `evm` (the 0G contracts through a node), `testing` (those
//! contracts in memory).
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod account;
pub mod broker;
pub mod chain;
pub mod clock;
pub mod command;
pub mod digest;
pub mod error;
pub mod jcs;
pub mod keyset;
pub mod ledger;
pub mod log;
pub mod money;
pub mod receipt;
pub mod requests;
pub mod rules;
pub mod settlement;
pub mod signer;
pub mod statement;
pub mod stream;
pub mod tariff;
#[cfg(feature = "testing")]
pub mod testing;
pub mod verify;
pub mod voucher;
pub mod writer;

pub use account::{Account, Bucket, Cover, Movement, UserId};
pub use broker::{Broker, BrokerBuilder, Charge, Delivered, Reserved, Said};
pub use chain::{Chain, ChainError};
pub use clock::{Clock, SystemClock, Timestamp};
pub use command::{
    Applied, Binding, Books, Command, Decision, Hold, HoldState, OpenVoucher, Refusal,
    ReleaseReason, Retire, Seal, Settle,
};
pub use digest::{Digest32, Fingerprint, Framed, RequestKey};
pub use error::Error;
pub use ledger::entry::{Entry, EntryKind};
pub use ledger::memory::MemoryLedger;
#[cfg(feature = "postgres")]
pub use ledger::postgres::{Caretaker, PostgresLedger, PostgresReader};
pub use ledger::proofs::{
    Charged, Kept, KeptKind, LogLeaf, LogState, LogTiles, ProofReader, next_leaves,
};
#[cfg(feature = "sqlite")]
pub use ledger::sqlite::{SqliteLedger, SqliteReader};
pub use ledger::statement::{
    RequestPage, RequestQuery, RequestRow, Statement, Unsealed, VOUCHER_RECEIPTS_MAX,
};
pub use ledger::{AuditReport, Fault, Ledger, LedgerError, LedgerReader, Totals};
pub use money::{Neuron, ParseNeuronError};
pub use receipt::{Outcome, Receipt, ReceiptId, signed_text};
pub use signer::{
    Address, LocalSigner, SignError, Signature, Signer, eip191_digest, recover_signer,
    recover_text_signer,
};
pub use tariff::{
    CacheBilling, Fraction, Schedule, ScheduleError, Tariff, Tier, TokenBound, Usage, UsageSource,
};
pub use voucher::{Domain, SignedVoucher, Voucher};
pub use writer::{LedgerHandle, WriterLimits, recover, spawn_writer, spawn_writer_with, sweep};
