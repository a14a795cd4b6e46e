//! What must hold, whatever happened.

use std::collections::BTreeSet;

use broker_core::ledger::statement::Statement;
use broker_core::{Ledger, LedgerReader, MemoryLedger, Neuron, UserId};

use crate::run::Run;
use crate::store::key_of;

/// At any moment: nobody has paid more than they were charged.
pub(crate) fn never_overpaid(run: &Run) -> Result<(), String> {
    for (user, paid) in run.chain.paid() {
        let charged = run.charged.get(&user).copied().unwrap_or_default();
        if paid.get() > charged {
            return Err(format!("{user} paid {paid} of {charged}"));
        }
    }
    Ok(())
}

/// When everything is settled.
pub(crate) fn at_the_end(run: &Run) -> Result<(), String> {
    never_overpaid(run)?;
    no_fee_twice(run)?;
    let audit = Ledger::audit(&run.store.ledger).map_err(|error| error.to_string())?;
    if let Some(fault) = audit.fault {
        return Err(format!("the audit finds: {fault}"));
    }
    run.users.iter().try_for_each(|user| of_user(run, user))
}

/// Vouchers that landed share no receipt, and pay what these come to at most.
fn no_fee_twice(run: &Run) -> Result<(), String> {
    let journal = run.store.journal.lock().unwrap();
    let mut paid_for = BTreeSet::new();
    for landed in run.chain.landed() {
        let voucher = &landed.voucher.voucher;
        let Some(receipts) = journal.get(&key_of(voucher)) else {
            if voucher.total.is_zero() {
                continue;
            }
            return Err(format!("nobody sealed {voucher:?}"));
        };
        for (receipt, _) in receipts {
            if !paid_for.insert(*receipt) {
                return Err(format!("receipt {receipt} is under two vouchers that landed"));
            }
        }
    }
    for user in &run.users {
        let ours = journal.iter().filter(|(key, _)| key.0 == *user.as_bytes());
        let fees = ours.flat_map(|(_, receipts)| receipts);
        let fees: BTreeSet<_> = fees.filter(|(id, _)| paid_for.contains(id)).collect();
        let sum: u128 = fees.iter().map(|(_, fee)| fee.get()).sum();
        let paid = paid(run, user);
        if paid > sum {
            return Err(format!("{user} paid {paid} for receipts of {sum}"));
        }
    }
    Ok(())
}

fn of_user(run: &Run, user: &UserId) -> Result<(), String> {
    let Some(known) = statement(&run.store.ledger, user) else { return Ok(()) };
    let rolled_back = run.tally.rollbacks > 0;
    if known.account.frozen {
        return match rolled_back {
            true => Ok(()),
            false => Err(format!("{user} is frozen, and no disk was rolled back")),
        };
    }
    let (paid, settled) = (paid(run, user), known.settled.get());
    if settled != paid && !run.reborn.contains(user) {
        return Err(format!("{user} paid {paid} and {settled} is settled"));
    }
    let owed = known.account.owed().ok_or("what is owed leaves its range")?;
    let charged = run.charged.get(user).copied().unwrap_or_default();
    if !rolled_back && charged != paid + owed.get() {
        return Err(format!("{user}: charged {charged}, paid {paid}, owed {owed}"));
    }
    if let Some(open) = &known.open {
        return Err(format!("{user}: voucher {} stays open", open.voucher.nonce));
    }
    if run.is_rich && owed > Neuron::ZERO {
        return Err(format!("{user} has enough and owes {owed} all the same"));
    }
    Ok(())
}

fn paid(run: &Run, user: &UserId) -> u128 {
    run.chain.paid().get(user).map_or(0, |paid| paid.get())
}

pub(crate) fn statement(ledger: &MemoryLedger, user: &UserId) -> Option<Statement> {
    ledger.statement(user).unwrap()
}
