//! One ledger, and what the document promises of it after every step.

use broker_core::{Command, Decision, HoldState, Ledger, LedgerReader};

use crate::asker::Asker;
use crate::books::NOW;
use crate::trace::Trace;
use crate::watch::{Watch, Way};

/// Commands of a sequence, at most, and of a batch.
const STEPS: u64 = 200;
const BATCH: u64 = 3;
/// What takes long to compare is compared after so many batches.
const ROUNDS: u64 = 8;
/// An audit takes longer than all the rest: so many sequences have one.
const AUDITED: u64 = 16;

/// How often commands of each kind were carried out, and refused.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sequences: u64,
    pub(crate) done: [u64; KINDS],
    pub(crate) refused: [u64; KINDS],
}

const KINDS: usize = 11;

impl Tally {
    fn count(&mut self, command: &Command, decision: &Decision) {
        let counts = if decision.is_ok() { &mut self.done } else { &mut self.refused };
        counts[kind(command)] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.sequences += other.sequences;
        let counts = self.done.iter_mut().chain(&mut self.refused);
        counts.zip(other.done.iter().chain(&other.refused)).for_each(|(sum, count)| *sum += count);
    }

    /// Every kind was carried out and, where it can be, refused.
    pub(crate) fn has_all(&self) -> bool {
        let always_done = |kind: usize| kind == MIRROR || kind == RETIRE;
        let refused = self.refused.iter().enumerate();
        let all_refused = refused.filter(|(kind, _)| !always_done(*kind)).all(|(_, n)| *n > 0);
        all_refused && self.done.iter().all(|count| *count > 0)
    }
}

const MIRROR: usize = 0;
const RETIRE: usize = 10;

fn kind(command: &Command) -> usize {
    match command {
        Command::Mirror { .. } => MIRROR,
        Command::Reserve(_) => 1,
        Command::Capture { .. } => 2,
        Command::Release { .. } => 3,
        Command::Bind(_) => 4,
        Command::Escrow { .. } => 5,
        Command::Seal(_) => 6,
        Command::Countersign(_) => 7,
        Command::Settle(_) => 8,
        Command::Freeze { .. } => 9,
        Command::Retire(_) => RETIRE,
        other => panic!("a kind of its own: {other:?}"),
    }
}

/// Plays the sequence of a seed against a ledger, which is empty.
///
/// # Errors
/// The first promise that it breaks, and where.
pub(crate) fn keeps(ledger: &mut dyn Ledger, seed: u64) -> Result<Tally, String> {
    let mut asker = Asker::new(seed, 0, STEPS);
    let (mut watch, mut trace) = (Watch::default(), Trace::default());
    let mut tally = Tally { sequences: 1, ..Tally::default() };
    // Some ledgers have no reader: of these only what they answer is known.
    let reader = ledger.reader().ok();
    for round in 1.. {
        let batch = asker.batch(&watch, BATCH);
        let is_last = batch.is_empty();
        let told = |why: String| format!("round {round}: {why}\nafter {batch:?}");
        let now = NOW.plus_millis(round);
        let decisions = ledger.apply(&batch, now).map_err(|error| told(error.to_string()))?;
        if decisions.len() != batch.len() {
            return Err(told("a command has no answer".to_owned()));
        }
        for (command, decision) in batch.iter().zip(&decisions) {
            tally.count(command, decision);
            watch.saw(command, decision).map_err(told)?;
        }
        watch.balances(ledger).map_err(told)?;
        if let Some(reader) = reader.as_deref() {
            trace.follow(reader, &watch).map_err(told)?;
            batch.iter().try_for_each(|command| ends(reader, &watch, command)).map_err(told)?;
        }
        if is_last || round.is_multiple_of(ROUNDS) {
            watch.open_holds(ledger).map_err(told)?;
            reader.as_deref().map_or(Ok(()), |reader| vouchers(reader, &watch)).map_err(told)?;
        }
        if is_last {
            break;
        }
    }
    if reader.is_some() && seed.is_multiple_of(AUDITED) {
        audit(ledger, &watch)?;
    }
    Ok(tally)
}

/// The hold that a command is about stands as it must; what is let go is final.
fn ends(reader: &dyn LedgerReader, watch: &Watch, command: &Command) -> Result<(), String> {
    let key = match command {
        Command::Capture { key, .. } | Command::Release { key, .. } => key,
        Command::Retire(_) => return kept(reader, watch),
        _ => return Ok(()),
    };
    let Some(held) = watch.holds.get(key) else { return Ok(()) };
    let state = reader.hold_state(&held.hold.receipt).map_err(|error| error.to_string())?;
    match state.map(|state| state == HoldState::Open) {
        Some(is_open) if is_open == held.is_open => Ok(()),
        _ => Err(format!("I5: {state:?} of a hold, open is {}", held.is_open)),
    }
}

/// Receipts stay until their voucher has ended.
fn kept(reader: &dyn LedgerReader, watch: &Watch) -> Result<(), String> {
    for person in watch.people.values().filter(|person| person.nonce.is_some()) {
        let open = person.open.as_ref().map(|open| Way::Under(open.voucher.nonce));
        let needed = |way: Way| way == Way::Waits || Some(way) == open;
        for fee in person.fees.iter().filter(|fee| needed(fee.way)) {
            let is_there = reader.receipt(&fee.receipt.id).map_err(|error| error.to_string())?;
            if is_there.as_ref() != Some(&fee.receipt) && !fee.receipt.fee.is_zero() {
                return Err(format!("a receipt is gone that is not final: {:?}", fee.receipt));
            }
        }
    }
    Ok(())
}

/// The vouchers that are open are those that were sealed and not settled, one of a user.
fn vouchers(reader: &dyn LedgerReader, watch: &Watch) -> Result<(), String> {
    let open = reader.open_vouchers().map_err(|error| error.to_string())?;
    let found = open.iter().map(|open| (open.voucher.user, open.voucher, &open.signatures));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(user, ..)| *user);
    let expected = watch.people.iter().filter_map(|(user, person)| {
        person.open.as_ref().map(|open| (*user, open.voucher, &open.signed))
    });
    match found.iter().copied().eq(expected) {
        true => Ok(()),
        false => Err(format!("I8: other vouchers are open: {found:?}")),
    }
}

fn audit(ledger: &dyn Ledger, watch: &Watch) -> Result<(), String> {
    let report = ledger.audit().map_err(|error| error.to_string())?;
    match report.fault {
        Some(fault) => Err(format!("the audit finds {fault}")),
        None if report.entries == watch.entries => Ok(()),
        None => Err(format!("I12: {} entries, and {} commands", report.entries, watch.entries)),
    }
}
