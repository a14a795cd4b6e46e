//! `verify receipt`, `verify log` and `verify invoice`.

use std::path::PathBuf;

use broker_core::{Address, Neuron, ReceiptId, UserId};
use clap::Args;

use super::address;
use crate::auditor::{
    Failure, InvoiceFiles, KeyFiles, LogFiles, Options, ReceiptFiles, audit_invoice, audit_log,
    audit_part, audit_receipt,
};
use crate::evidence::audit::Audit;

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
struct KeyArgs {
    /// A report that attests the keyset (repeatable).
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// A keyset that you know to be good from elsewhere (repeatable).
    #[arg(long, value_name = "FILE")]
    keyset: Vec<PathBuf>,
}

impl KeyArgs {
    fn files(&self) -> KeyFiles {
        KeyFiles { reports: self.report.clone(), keysets: self.keyset.clone() }
    }
}

/// A receipt against what it says.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ReceiptArgs {
    /// The receipt: what /v1/aci/receipts/{id} or /v1/receipts/{id} answered.
    #[arg(value_name = "RECEIPT", required_unless_present = "partial")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// The request's body, to the byte.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The response's body, to the byte.
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
    /// The response is only the first part of it: its checkpoints prove it, with RECEIPT or
    /// without.
    #[arg(long, requires = "response")]
    partial: bool,
    /// The tariff in force: what /v1/tariff answered.
    #[arg(long, value_name = "FILE")]
    tariff: Option<PathBuf>,
    /// Its place in the log, where it does not stand beside it.
    #[arg(long, value_name = "FILE")]
    inclusion: Option<PathBuf>,
    /// The log's signed head, where it does not stand beside the place.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
}

impl ReceiptArgs {
    pub(super) fn audit(&self, options: &Options) -> Result<Audit, Failure> {
        match (&self.receipt, &self.response) {
            (Some(receipt), _) => {
                let files = ReceiptFiles {
                    receipt: receipt.clone(),
                    keys: self.keys.files(),
                    request: self.request.clone(),
                    response: self.response.clone(),
                    partial: self.partial,
                    tariff: self.tariff.clone(),
                    inclusion: self.inclusion.clone(),
                    head: self.head.clone(),
                };
                audit_receipt(&files, options)
            }
            (None, Some(part)) => {
                audit_part(part, self.request.as_deref(), &self.keys.files(), options)
            }
            (None, None) => Err(Failure::Usage("verify receipt needs RECEIPT".to_owned())),
        }
    }
}

/// Two heads of the receipt log.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct LogArgs {
    /// The earlier head: what /v1/log/head answered.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The later one.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The path from one to the other: what /v1/log/proof/consistency answered.
    #[arg(long, value_name = "FILE", conflicts_with = "ask")]
    proof: Option<PathBuf>,
    /// The server to ask for the path.
    #[arg(long = "url", id = "ask", value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    keys: KeyArgs,
}

impl LogArgs {
    pub(super) fn audit(&self, options: &Options) -> Result<Audit, Failure> {
        let files = LogFiles {
            from: self.from.clone(),
            to: self.to.clone(),
            proof: self.proof.clone(),
            url: self.url.clone(),
            keys: self.keys.files(),
        };
        audit_log(&files, options)
    }
}

/// A bill, worked out again.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct InvoiceArgs {
    /// The receipts: JSON Lines, or the pages of /v1/receipts one after another.
    #[arg(long, value_name = "FILE")]
    receipts: PathBuf,
    /// The tariffs that they cite.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    tariff: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// What paid it: the hash of a transaction, with --rpc, or a file with the voucher
    /// (repeatable: vouchers one after another).
    #[arg(long, value_name = "TX|FILE")]
    settlement: Vec<String>,
    /// A node of the chain.
    #[arg(long, value_name = "URL", requires = "settlement")]
    rpc: Option<String>,
    /// The contract that the transaction has to have called.
    #[arg(long, value_name = "ADDRESS", value_parser = address, requires = "settlement")]
    contract: Option<Address>,
    /// What the voucher before the first one left unpaid, in neuron.
    #[arg(long, value_name = "NEURON", requires = "settlement")]
    carry: Option<Neuron>,
    /// The first receipt of the first voucher, where the file begins before it.
    #[arg(long, value_name = "RECEIPT_ID", value_parser = receipt_id, requires = "settlement")]
    first: Option<ReceiptId>,
    /// Whose bill; without it the first receipt's account.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<UserId>,
    /// From this exchange of the account's on.
    #[arg(long, value_name = "N")]
    from_seq: Option<u64>,
    /// Up to this one.
    #[arg(long, value_name = "N")]
    to_seq: Option<u64>,
    /// A missing exchange refutes the bill: you know of no crash.
    #[arg(long)]
    no_gaps: bool,
    /// Missing exchanges are those that a crash cut off: you know of it. Without this and
    /// --no-gaps a bill with gaps is not proved.
    #[arg(long, conflicts_with = "no_gaps")]
    gaps_allowed: bool,
}

impl InvoiceArgs {
    pub(super) fn audit(&self, options: &Options) -> Result<Audit, Failure> {
        if matches!((self.from_seq, self.to_seq), (Some(from), Some(to)) if from > to) {
            return Err(Failure::Usage("--from-seq is above --to-seq".to_owned()));
        }
        let files = InvoiceFiles {
            receipts: self.receipts.clone(),
            tariffs: self.tariff.clone(),
            keys: self.keys.files(),
            settlements: self.settlement.clone(),
            rpc: self.rpc.clone(),
            contract: self.contract,
            carry: self.carry,
            first: self.first,
            account: self.account,
            from_seq: self.from_seq,
            to_seq: self.to_seq,
            no_gaps: self.no_gaps,
            gaps_allowed: self.gaps_allowed,
        };
        audit_invoice(&files, options)
    }
}

fn receipt_id(text: &str) -> Result<ReceiptId, String> {
    ReceiptId::parse(text).ok_or_else(|| "a receipt's id is a UUID in lower case".to_owned())
}
