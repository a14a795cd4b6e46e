//! The rules of the ledger: what a command does, decided from what is known and nothing else.
//!
//! Pure: no database, no thread, no clock. Every ledger loads a [`View`], asks [`decide`] and
//! writes the [`Effects`], so that all of them decide alike.

use crate::account::{Account, Bucket, Cover, Movement, UserId};
use crate::command::{
    Applied, Binding, Books, Command, Hold, HoldState, OpenVoucher, Refusal, ReleaseReason, Retire,
    Seal, Settle,
};
use crate::digest::RequestKey;
use crate::money::Neuron;
use crate::receipt::{Proof, Receipt};
use crate::requests::Collected;
use crate::voucher::SignedVoucher;

mod collect;

/// What a ledger has to know to decide one command.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The account that the command is about: a known hold's user, else the command's.
    pub account: Account,
    /// The hold under the command's key.
    pub hold: Option<KnownHold>,
    /// A hold with the receipt id of a reserve exists.
    pub receipt_id_taken: bool,
    /// Whose ledger it is. Only for commands that collect, as are the fields below.
    pub binding: Option<Binding>,
    /// How the account's fees stand on their way to the chain.
    pub books: Books,
    /// The account's open voucher.
    pub open: Option<OpenVoucher>,
    /// What the receipts that a seal names come to; `None` where it names none that exist.
    pub collected: Option<Collected>,
}

/// A hold and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHold {
    /// As it was reserved.
    pub hold: Hold,
    /// Open, or how it ended.
    pub state: HoldState,
}

/// What a command that is not refused writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects<'a> {
    /// Whose account changes.
    pub user: UserId,
    /// The account afterwards.
    pub account: Account,
    /// The user's books afterwards, where they change; see [`Self::books_at`].
    pub books: Option<Books>,
    /// The movements that lead there, in order; none of them of zero.
    pub movements: Vec<Movement>,
    /// What else is written.
    pub record: Record<'a>,
    /// The answer.
    pub applied: Applied,
}

impl Effects<'_> {
    /// The user's books once these effects are written down under the entry `number`. What was
    /// earned before an escrow was first seen is behind the books from then on.
    pub fn books_at(&self, number: u64) -> Option<Books> {
        let begins = matches!(self.record, Record::Escrow(..));
        self.books.map(|books| match begins {
            true => Books { sealed_to: number.saturating_sub(1), ..books },
            false => books,
        })
    }
}

/// The row a command writes beside its movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// None but the account's: this is its cover from now on.
    Cover(Cover),
    /// A hold, open from now on.
    Hold(&'a Hold),
    /// The receipt that ends a hold.
    Receipt(RequestKey, &'a Receipt),
    /// The release that ends a hold.
    Release(RequestKey, ReleaseReason),
    /// Whose ledger it is.
    Binding(Binding),
    /// An escrow's cover and nonce.
    Escrow(Neuron, u64),
    /// A voucher, open from now on, and what it carries over.
    Seal(&'a Seal, Neuron),
    /// Another signature over an open voucher.
    Countersign(&'a SignedVoucher),
    /// The end of a voucher.
    Settle(&'a Settle),
    /// The nonce on chain for which an account is frozen.
    Freeze(u64),
    /// Receipts that are gone.
    Retire(Retire),
}

/// The books do not allow what they say has happened: they were changed from outside, or the rules
/// are wrong. Nothing may be written after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an invariant of the books is broken: {0}")]
pub struct Broken(pub &'static str);

/// Decides one command: what it writes, or why it is refused.
///
/// # Errors
/// [`Broken`] when the view contradicts itself or the result would.
pub fn decide<'a>(
    view: &View,
    command: &'a Command,
) -> Result<Result<Effects<'a>, Refusal>, Broken> {
    let plan = match command {
        Command::Mirror { user, cover } => Ok(mirror(&view.account, *user, *cover)),
        Command::Reserve(hold) => reserve(view, hold),
        Command::Capture { key, receipt } => capture(view, *key, receipt),
        Command::Release { key, why } => release(view, *key, *why),
        Command::Retire(retire) => Ok(self::retire(*retire)),
        command => collect::decide(view, command),
    };
    match plan {
        Ok(plan) => carry_out(view, plan).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The account after a movement; `None` where a bucket would leave its range.
///
/// What is available is not stored: it is the cover less held and owed. So only a movement to or
/// from the world changes the cover.
pub fn moved(before: &Account, movement: &Movement) -> Option<Account> {
    let mut after = *before;
    let amount = movement.amount;
    match movement.debit {
        Bucket::World => after.cover = after.cover.checked_add(amount)?,
        Bucket::Available => {}
        Bucket::Held => after.held = after.held.checked_sub(amount)?,
        Bucket::Earned => after.earned = after.earned.checked_sub(amount)?,
        Bucket::Vouchered => after.vouchered = after.vouchered.checked_sub(amount)?,
    }
    match movement.credit {
        Bucket::World => after.cover = after.cover.checked_sub(amount)?,
        Bucket::Available => {}
        Bucket::Held => after.held = after.held.checked_add(amount)?,
        Bucket::Earned => after.earned = after.earned.checked_add(amount)?,
        Bucket::Vouchered => after.vouchered = after.vouchered.checked_add(amount)?,
    }
    Some(after)
}

type Step = (Bucket, Bucket, Neuron);

struct Plan<'a> {
    user: UserId,
    steps: [Step; 3],
    unlimited: bool,
    books: Option<Books>,
    record: Record<'a>,
    applied: Applied,
}

const NO_STEP: Step = (Bucket::World, Bucket::Available, Neuron::ZERO);

fn mirror(account: &Account, user: UserId, cover: Cover) -> Plan<'static> {
    let step = match cover {
        Cover::Unlimited => NO_STEP,
        Cover::UpTo(total) => cover_step(account.cover, total),
    };
    Plan {
        user,
        steps: [step, NO_STEP, NO_STEP],
        unlimited: cover == Cover::Unlimited,
        books: None,
        record: Record::Cover(cover),
        applied: Applied::Mirrored,
    }
}

/// From one cover to another.
fn cover_step(from: Neuron, to: Neuron) -> Step {
    match to.checked_sub(from) {
        Some(more) => (Bucket::World, Bucket::Available, more),
        // The first is the larger one here, so the difference exists.
        None => (Bucket::Available, Bucket::World, from.checked_sub(to).unwrap_or_default()),
    }
}

fn reserve<'a>(view: &View, hold: &'a Hold) -> Result<Plan<'a>, Refusal> {
    if let Some(known) = &view.hold {
        return Err(repeated(known, hold));
    }
    if view.receipt_id_taken {
        return Err(Refusal::ReceiptIdTaken);
    }
    let account = &view.account;
    if account.frozen {
        return Err(Refusal::Frozen);
    }
    let needed = account.committed().and_then(|spent| spent.checked_add(hold.amount));
    let lacks = needed.map(|needed| needed.checked_sub(account.cover).unwrap_or_default());
    let top_up = match lacks {
        Some(lacks) if account.unlimited || lacks.is_zero() => lacks,
        None if account.unlimited => return Err(Refusal::OutOfRange),
        _ => {
            let available = account.available();
            return Err(Refusal::InsufficientFunds { available, needed: hold.amount });
        }
    };
    // 2^64 holds are out of reach.
    let account_seq = account.exchanges.saturating_add(1);
    Ok(Plan {
        user: hold.user,
        steps: [
            (Bucket::World, Bucket::Available, top_up),
            (Bucket::Available, Bucket::Held, hold.amount),
            NO_STEP,
        ],
        unlimited: account.unlimited,
        books: None,
        record: Record::Hold(hold),
        applied: Applied::Held { account_seq },
    })
}

/// A key is used for money once, for ever: a released hold had no answer and cost nothing, and its
/// key is spent all the same. The client asks again under a new key.
fn repeated(known: &KnownHold, hold: &Hold) -> Refusal {
    let same = known.hold.fingerprint == hold.fingerprint && known.hold.user == hold.user;
    let receipt = known.hold.receipt;
    match known.state {
        _ if !same => Refusal::KeyReused,
        HoldState::Open => Refusal::InFlight { receipt },
        HoldState::Finished | HoldState::Released(_) => Refusal::Finished { receipt },
    }
}

fn capture<'a>(view: &View, key: RequestKey, receipt: &'a Receipt) -> Result<Plan<'a>, Refusal> {
    let hold = open_hold(view)?;
    if receipt.id != hold.receipt || receipt.user != hold.user {
        return Err(Refusal::ForeignReceipt);
    }
    // Every receipt with a proof stands in the log, as one of the account's exchanges so far.
    if let Some(Proof { claims, .. }) = receipt.proof.as_deref() {
        let so_far = 1..=view.account.exchanges;
        let placed = claims.ledger.is_some_and(|place| so_far.contains(&place.account_seq));
        if !placed || claims.hold != hold.amount {
            return Err(Refusal::ForeignReceipt);
        }
    }
    let rest = hold.amount.checked_sub(receipt.fee);
    let rest = rest.ok_or(Refusal::FeeAboveHold { held: hold.amount })?;
    // The audit works it out again, so nothing is written that it would refute.
    let due = hold.fee(&receipt.usage);
    if receipt.fee != due {
        return Err(Refusal::WrongFee { due });
    }
    Ok(Plan {
        user: hold.user,
        steps: [
            (Bucket::Held, Bucket::Earned, receipt.fee),
            (Bucket::Held, Bucket::Available, rest),
            NO_STEP,
        ],
        unlimited: view.account.unlimited,
        books: None,
        record: Record::Receipt(key, receipt),
        applied: Applied::Captured { fee: receipt.fee },
    })
}

fn release(view: &View, key: RequestKey, why: ReleaseReason) -> Result<Plan<'static>, Refusal> {
    let hold = open_hold(view)?;
    Ok(Plan {
        user: hold.user,
        steps: [(Bucket::Held, Bucket::Available, hold.amount), NO_STEP, NO_STEP],
        unlimited: view.account.unlimited,
        books: None,
        record: Record::Release(key, why),
        applied: Applied::Released,
    })
}

/// An entry of nobody's: it is about no account.
fn retire(retire: Retire) -> Plan<'static> {
    Plan {
        user: UserId::NOBODY,
        steps: [NO_STEP; 3],
        unlimited: false,
        books: None,
        record: Record::Retire(retire),
        applied: Applied::Retired,
    }
}

fn open_hold(view: &View) -> Result<&Hold, Refusal> {
    let known = view.hold.as_ref().ok_or(Refusal::UnknownHold)?;
    if known.state == HoldState::Open { Ok(&known.hold) } else { Err(Refusal::HoldEnded) }
}

fn carry_out<'a>(view: &View, plan: Plan<'a>) -> Result<Effects<'a>, Broken> {
    let user = plan.user;
    let steps = plan.steps.into_iter().filter(|(_, _, amount)| !amount.is_zero());
    let movements: Vec<_> =
        steps.map(|(debit, credit, amount)| Movement { user, debit, credit, amount }).collect();
    let frozen = view.account.frozen || matches!(plan.record, Record::Freeze(_));
    let exchanges = match plan.applied {
        Applied::Held { account_seq } => account_seq,
        _ => view.account.exchanges,
    };
    let mut account = Account { unlimited: plan.unlimited, frozen, exchanges, ..view.account };
    for movement in &movements {
        account = moved(&account, movement).ok_or(Broken("a bucket leaves its range"))?;
    }
    let Plan { books, record, applied, .. } = plan;
    let effects = Effects { user, account, books, movements, record, applied };
    check(view, &effects)?;
    Ok(effects)
}

/// What must hold after every command, whatever the command was.
fn check(view: &View, effects: &Effects<'_>) -> Result<(), Broken> {
    let (before, after) = (&view.account, &effects.account);
    let committed = after.committed().ok_or(Broken("held and owed leave the range of money"))?;
    let spent_before = before.committed().ok_or(Broken("held and owed leave their range"))?;
    if effects.movements.iter().any(|m| m.amount.is_zero() || m.debit == m.credit) {
        return Err(Broken("a movement moves nothing"));
    }
    let sum = |a: Neuron, b: Neuron| a.checked_add(b).ok_or(Broken("a sum leaves its range"));
    match effects.record {
        Record::Cover(_) if committed != spent_before => Err(Broken("a cover touches a hold")),
        Record::Hold(_) if committed > after.cover => Err(Broken("a hold is not covered")),
        Record::Hold(hold) if after.held != sum(before.held, hold.amount)? => {
            Err(Broken("a hold sets another amount aside"))
        }
        Record::Receipt(..) | Record::Release(..) => {
            let amount = view.hold.as_ref().map(|known| known.hold.amount).unwrap_or_default();
            let fee = after.earned.checked_sub(before.earned);
            let fee = fee.ok_or(Broken("the end of a hold lowers what is earned"))?;
            if before.held != sum(after.held, amount)? {
                return Err(Broken("the end of a hold frees another amount"));
            }
            let charged = match effects.record {
                Record::Receipt(_, receipt) => receipt.fee,
                _ => Neuron::ZERO,
            };
            if fee == charged { Ok(()) } else { Err(Broken("another fee than the receipt's")) }
        }
        Record::Cover(_) | Record::Hold(_) => Ok(()),
        Record::Escrow(..) | Record::Seal(..) | Record::Settle(_) => collect::check(view, effects),
        Record::Binding(_) | Record::Countersign(_) | Record::Freeze(_) | Record::Retire(_) => {
            let still = Account { frozen: before.frozen, ..*after } == *before;
            if still { Ok(()) } else { Err(Broken("money moves where none is to move")) }
        }
    }
}
