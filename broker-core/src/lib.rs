//! Pricing, request hashing, receipts and a durable fee ledger for metered inference.
//!
//! The crate is a pure state machine (the rules of the ledger) with thin shells around it (SQLite,
//! a writer thread). It links no TEE, no HTTP server and no chain. Amounts are [`Neuron`]:
//! integers, never floats.
//!
//! ```
//! use broker_core::{LocalSigner, Signer, recover_text_signer};
//!
//! let signer = LocalSigner::from_secret(&[7; 32])?;
//! let signature = signer.sign_text("request-hash:response-hash")?;
//! assert_eq!(recover_text_signer("request-hash:response-hash", &signature)?, signer.address());
//! # Ok::<(), broker_core::SignError>(())
//! ```
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod account;
pub mod broker;
pub mod chain;
pub mod clock;
pub mod command;
pub mod digest;
pub mod error;
pub mod ledger;
pub mod money;
pub mod receipt;
pub mod requests;
pub mod rules;
pub mod settlement;
pub mod signer;
pub mod tariff;
#[cfg(feature = "testing")]
pub mod testing;
pub mod voucher;
pub mod writer;

pub use account::{Account, Bucket, Cover, Movement, UserId};
pub use broker::{Broker, BrokerBuilder, Charge, Delivered, Reserved};
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
