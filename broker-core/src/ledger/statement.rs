//! What a ledger tells of fees on their way to the chain.

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Books, OpenVoucher};
use crate::money::Neuron;
use crate::receipt::Receipt;
use crate::requests::Collected;
use crate::tariff::Tariff;

/// How one user stands with the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Who.
    pub user: UserId,
    /// The buckets.
    pub account: Account,
    /// How the fees stand on their way to the chain.
    pub books: Books,
    /// When the oldest fee that is under no voucher was captured.
    pub oldest_unsealed: Option<Timestamp>,
    /// What the chain has paid, in neuron.
    pub settled: Neuron,
    /// The voucher whose end is not known yet.
    pub open: Option<OpenVoucher>,
}

/// What the next voucher of a user would collect.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// The receipts, and what an earlier voucher left unpaid.
    pub collected: Collected,
    /// The entry of the last of these receipts.
    pub sealed_to: u64,
    /// How the fees stand now.
    pub books: Books,
}

/// Which finished exchanges are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestQuery {
    /// Only settled ones, or only others.
    pub processed: Option<bool>,
    /// Only this user's.
    pub user: Option<UserId>,
    /// So many at most.
    pub limit: u64,
    /// After so many.
    pub offset: u64,
}

/// Finished exchanges, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestPage {
    /// How many fit the query.
    pub total: u64,
    /// What all of them cost, in neuron.
    pub fee: Neuron,
    /// Those of this page.
    pub items: Vec<RequestRow>,
}

/// A finished exchange and how its fee stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// The exchange.
    pub receipt: Receipt,
    /// The prices that it was admitted under.
    pub tariff: Tariff,
    /// The nonce of the voucher that its fee is under.
    pub voucher: Option<u64>,
    /// That voucher has ended.
    pub settled: bool,
}

/// Receipts in one voucher at most, so that making one never holds the ledger up for long.
pub const VOUCHER_RECEIPTS_MAX: u64 = 50_000;
