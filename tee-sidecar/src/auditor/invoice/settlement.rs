//! The settlements that are to have paid an invoice: from files, or from a chain.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use broker_core::Digest32;
use broker_core::chain::evm::{SettledItem, SettledTransaction, settled_in};
use broker_core::jcs::Json;
use broker_core::verify::Settled;
use reqwest::Url;

use super::InvoiceFiles;
use super::carry::{self, Shown};
use crate::auditor::{Failure, fetch, files, noted};
use crate::evidence::audit::Audit;

/// Why receipts may fit no voucher although the host is honest.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts {
    /// A settlement that was named is not at hand: receipts of its would be laid to another's.
    pub(super) incomplete: bool,
    /// The file of receipts was not read to its end.
    pub(super) cut: bool,
    /// Vouchers that may carry something over that nobody has told.
    pub(super) carry_of: BTreeSet<u64>,
}

/// Reads all settlements and notes what shows each.
pub(super) fn load(
    audit: &mut Audit,
    paths: &InvoiceFiles,
) -> Result<(Vec<Settled>, Doubts), Failure> {
    let (mut shown, mut doubts) = (Vec::new(), Doubts::default());
    for given in &paths.settlements {
        let found = match transaction(given) {
            Some(hash) => on_chain(audit, hash, paths),
            None => in_file(audit, Path::new(given)),
        };
        let found = noted(audit, "settlement.chain", found)?.unwrap_or_default();
        doubts.incomplete |= found.is_empty();
        shown.extend(found);
    }
    if doubts.incomplete && paths.carry.is_some() {
        // A carry would stand before another voucher than the one it was given for.
        audit.missing("settlement.carry", "the first settlement is not at hand");
    }
    let carried = carry::carried(audit, shown, paths.carry, &mut doubts);
    Ok((carried, doubts))
}

/// The hash of a transaction, which no file is named after.
fn transaction(given: &str) -> Option<Digest32> {
    let mut hash = [0; 32];
    hex::decode_to_slice(given.strip_prefix("0x")?, &mut hash).ok()?;
    Some(Digest32(hash))
}

fn in_file(audit: &mut Audit, path: &Path) -> Result<Vec<Shown>, Failure> {
    let named =
        |error: &dyn std::fmt::Display| Failure::Malformed(format!("{}: {error}", path.display()));
    let document = Json::parse(&files::document(path)?).map_err(|error| named(&error))?;
    let documents = match document {
        Json::List(documents) => documents,
        one => vec![one],
    };
    let read = documents.iter().map(Settled::from_json).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| named(&error))?;
    let what = format_args!("{}: by its word, no chain was asked", path.display());
    audit.not_checked("settlement.chain", what);
    let shown = |settled| Shown { settled, unpaid: None, tells_carry: true };
    Ok(read.into_iter().map(shown).collect())
}

fn on_chain(
    audit: &mut Audit,
    hash: Digest32,
    paths: &InvoiceFiles,
) -> Result<Vec<Shown>, Failure> {
    let usage = |why: &str| Failure::Usage(why.to_owned());
    let rpc = paths.rpc.as_deref();
    let rpc = rpc.ok_or_else(|| usage("--settlement 0x… needs --rpc URL, a node of the chain"))?;
    let url = Url::parse(rpc).map_err(|error| Failure::Usage(format!("--rpc: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(usage("--rpc: a node's address begins with https://"));
    }
    eprintln!("asking {} for the transaction", url.origin().ascii_serialization());
    let found = fetch::run(async {
        let client = fetch::client(&url)?;
        let found = settled_in(client, rpc, RPC_TIME, hash).await;
        found.map_err(|error| Failure::Unreachable(error.to_string()))
    })?;
    let Some(found) = found else {
        audit.missing("settlement.chain", format_args!("the node has no block with 0x{hash}"));
        return Ok(Vec::new());
    };
    let items: Vec<_> = match (found.items.as_slice(), paths.account) {
        ([one], _) => vec![one],
        (items, Some(account)) => {
            items.iter().filter(|item| item.settled.user == account).collect()
        }
        (_, None) => {
            return Err(usage("the transaction settles for several users: say --account 0x…"));
        }
    };
    if items.is_empty() {
        audit.refuted("settlement.chain", format_args!("0x{hash} settles nothing of the account"));
    }
    Ok(items.into_iter().map(|item| shown(audit, &found, item, hash, paths)).collect())
}

/// One voucher of a transaction.
fn shown(
    audit: &mut Audit,
    found: &SettledTransaction,
    SettledItem { settled, paid }: &SettledItem,
    hash: Digest32,
    paths: &InvoiceFiles,
) -> Shown {
    contract(audit, found, settled, paths);
    let block = found.block.number;
    match paid {
        Some(paid) => {
            let (total, nonce) = (settled.total, settled.nonce);
            let what = format_args!("nonce {nonce}: block {block} paid {paid} of {total} neuron");
            audit.proved("settlement.chain", what);
        }
        None => {
            let why = format_args!("the contract did not take the voucher of 0x{hash}");
            audit.refuted("settlement.chain", why);
        }
    }
    let unpaid = paid.and_then(|paid| settled.total.checked_sub(paid));
    Shown { settled: *settled, unpaid, tells_carry: false }
}

fn contract(
    audit: &mut Audit,
    found: &SettledTransaction,
    settled: &Settled,
    paths: &InvoiceFiles,
) {
    let SettledTransaction { contract: called, chain_id, .. } = found;
    let provider = settled.provider;
    let called = format!("{called} was called, on chain {chain_id}, for the provider {provider}");
    match paths.contract {
        Some(contract) if contract == found.contract => {
            audit.proved("settlement.contract", called);
        }
        Some(contract) => {
            let why = format_args!("{called}, and not {contract}");
            audit.refuted("settlement.contract", why);
        }
        None => {
            let what = format_args!("{called}; --contract says which one counts");
            audit.not_checked("settlement.contract", what);
        }
    }
}

/// How long one answer of the node is waited for.
const RPC_TIME: Duration = Duration::from_secs(15);
