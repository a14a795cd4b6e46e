//! The rules of collecting: fees under a voucher, one voucher at a time, each nonce once.

use crate::account::{Account, Bucket, UserId};
use crate::chain::Payment;
use crate::command::{Applied, Binding, Books, Command, Refusal, Seal, Settle};
use crate::money::Neuron;
use crate::voucher::SignedVoucher;

use super::{Broken, Effects, NO_STEP, Plan, Record, Step, View, cover_step};

/// Decides the commands that are about a chain.
pub(super) fn decide<'a>(view: &View, command: &'a Command) -> Result<Plan<'a>, Refusal> {
    match command {
        Command::Bind(binding) => bind(view, binding),
        Command::Escrow { user, cover, nonce } => escrow(view, *user, *cover, *nonce),
        Command::Seal(seal) => self::seal(view, seal),
        Command::Countersign(signed) => countersign(view, signed),
        Command::Settle(settle) => self::settle(view, settle),
        Command::Freeze { user, nonce } => freeze(view, *user, *nonce),
        // The others are decided before they get here.
        _ => Err(Refusal::UnknownHold),
    }
}

fn plan<'a>(view: &View, user: UserId, record: Record<'a>, applied: Applied) -> Plan<'a> {
    Plan {
        user,
        steps: [NO_STEP; 3],
        unlimited: view.account.unlimited,
        books: None,
        record,
        applied,
    }
}

fn bind(view: &View, binding: &Binding) -> Result<Plan<'static>, Refusal> {
    match view.binding {
        Some(bound) => Err(Refusal::BoundElsewhere(bound.provider)),
        None => {
            let user = UserId::new(binding.provider.0);
            Ok(plan(view, user, Record::Binding(*binding), Applied::Bound))
        }
    }
}

fn escrow(view: &View, user: UserId, cover: Neuron, nonce: u64) -> Result<Plan<'static>, Refusal> {
    if let Some(known) = view.books.nonce {
        // What the contract took last before the open voucher, which has the last nonce.
        let settled = match &view.open {
            // Its money has left the escrow and not yet the books: both go together.
            Some(open) if open.voucher.nonce <= nonce && nonce == known => {
                return Err(Refusal::VoucherOpen { nonce });
            }
            Some(_) => known.saturating_sub(1),
            None => known,
        };
        if nonce > known {
            return Err(Refusal::ChainAhead { known, seen: nonce });
        }
        if nonce < settled {
            return Err(Refusal::ChainBehind { known: settled, seen: nonce });
        }
    }
    let mut plan = plan(view, user, Record::Escrow(cover, nonce), Applied::Mirrored);
    plan.unlimited = false;
    plan.steps = [cover_step(view.account.cover, cover), NO_STEP, NO_STEP];
    if view.books.nonce.is_none() {
        // What was earned before the escrow was first seen was prepaid or billed in another way:
        // it leaves the books, and no voucher ever asks for it.
        let before = cover.checked_add(view.account.earned).ok_or(Refusal::OutOfRange)?;
        let closed = (Bucket::Earned, Bucket::World, view.account.earned);
        plan.steps = [cover_step(view.account.cover, before), closed, NO_STEP];
        // Where they begin is known once the entry has its number.
        plan.books = Some(Books { nonce: Some(nonce), ..Books::default() });
    }
    Ok(plan)
}

fn seal<'a>(view: &View, seal: &'a Seal) -> Result<Plan<'a>, Refusal> {
    let SignedVoucher { voucher, .. } = &seal.voucher;
    let binding = view.binding.ok_or(Refusal::NotBound)?;
    if binding.provider != voucher.provider {
        return Err(Refusal::BoundElsewhere(binding.provider));
    }
    if view.account.frozen {
        return Err(Refusal::Frozen);
    }
    if let Some(open) = &view.open {
        return Err(Refusal::VoucherOpen { nonce: open.voucher.nonce });
    }
    let known = view.books.nonce.ok_or(Refusal::NoEscrow)?;
    let expected = known.checked_add(1).ok_or(Refusal::OutOfRange)?;
    if voucher.nonce != expected {
        return Err(Refusal::WrongNonce { expected });
    }
    // Worked out again from the receipts: what is signed and what is owed cannot differ.
    let collected = view.collected.as_ref().ok_or(Refusal::NothingEarned)?;
    let due = collected.total();
    if due.is_zero() {
        return Err(Refusal::NothingEarned);
    }
    if voucher.total != due || voucher.requests_hash != collected.root() {
        return Err(Refusal::WrongVoucher { due });
    }
    let record = Record::Seal(seal, view.books.carry);
    let mut plan = plan(view, voucher.user, record, Applied::Sealed);
    plan.steps = [(Bucket::Earned, Bucket::Vouchered, due), NO_STEP, NO_STEP];
    plan.books =
        Some(Books { nonce: Some(expected), sealed_to: seal.sealed_to, carry: Neuron::ZERO });
    Ok(plan)
}

fn countersign<'a>(view: &View, signed: &'a SignedVoucher) -> Result<Plan<'a>, Refusal> {
    let open = view.open.as_ref().filter(|open| open.voucher == signed.voucher);
    let open = open.ok_or(Refusal::NoOpenVoucher)?;
    if open.signed_by(&signed.signing_address).is_some() {
        return Err(Refusal::VoucherOpen { nonce: open.voucher.nonce });
    }
    let record = Record::Countersign(signed);
    Ok(plan(view, signed.voucher.user, record, Applied::Countersigned))
}

fn settle<'a>(view: &View, settle: &'a Settle) -> Result<Plan<'a>, Refusal> {
    let open = view.open.as_ref().filter(|open| open.voucher.nonce == settle.nonce);
    let total = open.ok_or(Refusal::NoOpenVoucher)?.voucher.total;
    let Payment { paid, cover, .. } = settle.payment;
    let rest = total.checked_sub(paid).ok_or(Refusal::Overpaid { total })?;
    let mut plan = plan(view, settle.user, Record::Settle(settle), Applied::Settled { rest });
    plan.steps = payment_steps(&view.account, paid, rest, cover)?;
    plan.books = Some(Books { carry: rest, ..view.books });
    Ok(plan)
}

/// The escrow is brought to what it was before the payment, then the payment leaves it.
fn payment_steps(
    account: &Account,
    paid: Neuron,
    rest: Neuron,
    cover: Neuron,
) -> Result<[Step; 3], Refusal> {
    let before = cover.checked_add(paid).ok_or(Refusal::OutOfRange)?;
    Ok([
        cover_step(account.cover, before),
        (Bucket::Vouchered, Bucket::World, paid),
        (Bucket::Vouchered, Bucket::Earned, rest),
    ])
}

fn freeze(view: &View, user: UserId, nonce: u64) -> Result<Plan<'static>, Refusal> {
    if view.account.frozen {
        return Err(Refusal::Frozen);
    }
    Ok(plan(view, user, Record::Freeze(nonce), Applied::Frozen))
}

/// What must hold after an escrow was seen, and after a voucher was made or ended.
pub(super) fn check(view: &View, effects: &Effects<'_>) -> Result<(), Broken> {
    let (before, after) = (&view.account, &effects.account);
    if let Record::Escrow(cover, _) = effects.record {
        let is_first = effects.books.is_some();
        let earned = if is_first { Neuron::ZERO } else { before.earned };
        let kept = (after.held, after.vouchered, after.earned);
        return match kept == (before.held, before.vouchered, earned) && after.cover == cover {
            true => Ok(()),
            false => Err(Broken("a view of an escrow moves something else than its cover")),
        };
    }
    let books = effects.books.ok_or(Broken("a voucher leaves the books as they are"))?;
    let out = Broken("a sum leaves its range");
    if after.held != before.held {
        return Err(Broken("a voucher touches a hold"));
    }
    match effects.record {
        Record::Seal(seal, _) => {
            let total = seal.voucher.voucher.total;
            if before.owed() != after.owed() {
                return Err(Broken("a seal changes what is owed"));
            }
            if after.vouchered != before.vouchered.checked_add(total).ok_or(out)? {
                return Err(Broken("another amount is under the voucher than it says"));
            }
            if books.sealed_to < view.books.sealed_to || books.nonce <= view.books.nonce {
                return Err(Broken("a voucher goes back in the books"));
            }
        }
        Record::Settle(settle) => {
            let paid = settle.payment.paid;
            let (owed, left) = (before.owed().ok_or(out)?, after.owed().ok_or(out)?);
            if owed != left.checked_add(paid).ok_or(out)? {
                return Err(Broken("another amount is settled than was paid"));
            }
            if after.cover != settle.payment.cover {
                return Err(Broken("the escrow is not what the chain says"));
            }
            if after.earned.checked_sub(before.earned) != Some(books.carry) {
                return Err(Broken("another rest is carried than was left"));
            }
        }
        _ => {}
    }
    Ok(())
}
