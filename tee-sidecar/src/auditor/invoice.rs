//! A bill, worked out again from its receipts, and the settlements that paid it.

use std::path::{Path, PathBuf};

use broker_core::verify::{Invoice, ReadTariff, Rules, Scope, Settled, Tariffs};
use broker_core::{Address, Neuron, ReceiptId, UserId};

use self::pass::AddedUp;
use self::settlement::Doubts;
use super::keysets::{self, KeyFiles};
use super::receipt::{note_head, read_tariff};
use super::{Auditor, Failure, Options, noted};
use crate::evidence::audit::Audit;

mod carry;
mod findings;
mod pass;
mod progress;
mod settlement;
mod units;

/// Where an invoice is and what it is held to.
#[derive(Clone, Debug, Default)]
pub struct InvoiceFiles {
    /// The receipts: JSON Lines, or pages of `GET /v1/receipts` one after another.
    pub receipts: PathBuf,
    /// The tariffs that the receipts cite.
    pub tariffs: Vec<PathBuf>,
    /// Whose signatures count.
    pub keys: KeyFiles,
    /// The settlements that paid it: files, or hashes of transactions.
    pub settlements: Vec<String>,
    /// The node that shows transactions.
    pub rpc: Option<String>,
    /// The contract that transactions have to have called.
    pub contract: Option<Address>,
    /// What the voucher before the first one left unpaid, in neuron.
    pub carry: Option<Neuron>,
    /// The first receipt of the first voucher.
    pub first: Option<ReceiptId>,
    /// Whose invoice it is.
    pub account: Option<UserId>,
    /// From this exchange of the account's on.
    pub from_seq: Option<u64>,
    /// Up to this one.
    pub to_seq: Option<u64>,
    /// A missing exchange refutes the invoice.
    pub no_gaps: bool,
    /// Missing exchanges are named and left at that.
    pub gaps_allowed: bool,
}

/// Judges an invoice.
pub fn audit_invoice(paths: &InvoiceFiles, options: &Options) -> Result<Audit, Failure> {
    pass::readable_twice(&paths.receipts)?;
    let auditor = Auditor::new(options)?;
    let mut audit = Audit::default();
    let keysets = keysets::load(&auditor, &mut audit, &paths.keys)?;
    let mut tariffs = Tariffs::default();
    for path in &paths.tariffs {
        let Some(read) = noted(&mut audit, "tariff", read_tariff(path))? else { continue };
        tariff(&mut audit, path, read.verify(&keysets), &read);
        tariffs.add(read.digest, read.tariff);
    }
    let (settled, doubts) = settlement::load(&mut audit, paths)?;
    if keysets.is_empty() {
        // Nothing can be signed by nobody: the receipts need not be read.
        return Ok(audit);
    }
    let scope = scope(paths, settled);
    let leaves = !scope.settled.is_empty();
    let rules = Rules { keysets, tariffs, leaves };
    let AddedUp { bill, mut recount, cut } =
        pass::add_up(&paths.receipts, &rules, Invoice::new(scope))?;
    let is_cut = cut.is_some();
    if let Some(failure) = cut {
        noted::<()>(&mut audit, "invoice.form", Err(failure))?;
    } else if !recount.is_empty() {
        pass::count_again(&paths.receipts, &mut recount)?;
    }
    let doubts = Doubts { cut: is_cut, ..doubts };
    findings::note(&mut audit, &bill, &recount, (paths, &doubts));
    Ok(audit)
}

fn scope(paths: &InvoiceFiles, settled: Vec<Settled>) -> Scope {
    Scope {
        account: paths.account,
        from_seq: paths.from_seq,
        to_seq: paths.to_seq,
        settled,
        first: paths.first,
    }
}

fn tariff(
    audit: &mut Audit,
    path: &Path,
    verified: Result<Option<broker_core::Digest32>, broker_core::keyset::NotSigned>,
    read: &ReadTariff,
) {
    let (digest, path) = (read.digest, path.display());
    match verified {
        Ok(Some(_)) => {
            audit.proved("tariff", format_args!("{path}: sha256:{digest}, signed as offered"));
        }
        Ok(None) => {
            let what = format_args!("{path}: sha256:{digest}, bare terms that nobody signed");
            audit.not_checked("tariff", what);
        }
        Err(error) => note_head(audit, "tariff", &error),
    }
}
