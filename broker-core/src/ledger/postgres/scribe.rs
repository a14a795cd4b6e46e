//! One attempt to carry out a batch, and what is done when it comes to nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::command::{Command, Decision};
use crate::digest::Digest32;
use crate::ledger::LedgerError;
use crate::ledger::entry::{Entry, entry};
use crate::rules::Effects;

use super::address::Address;
use super::board::Board;
use super::collect;
use super::fault::{Trouble, corrupt};
use super::instance;
use super::memory::Memory;
use super::rows::Columns;
use super::session::{Purpose, Session};
use super::values::Count;
use super::write::{Page, UNREGISTERED};

/// Writes batches for one instance, through one connection at a time.
pub(super) struct Scribe {
    address: Address,
    session: Option<Session>,
    instance: Uuid,
    memory: Memory,
}

/// A commit whose answer has not come: the entries that it wrote, if it did, and what it decided.
struct Sent {
    marks: Vec<Mark>,
    decisions: Vec<Decision>,
}

/// How an entry is known. Its number alone would not do: a server that lost its power may give one
/// out again that nobody's commit made durable.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    number: u64,
    user: UserId,
    memo: [u8; 32],
    at: u64,
}

impl Mark {
    fn of(entry: &Entry) -> Self {
        let Digest32(memo) = entry.memo;
        Self { number: entry.number, user: entry.user, memo, at: entry.at.0 }
    }
}

impl Scribe {
    pub(super) fn new(address: Address, session: Session, instance: Uuid) -> Self {
        Self { address, session: Some(session), instance, memory: Memory::default() }
    }

    /// Carries out the batch, however often that has to be tried. [`LedgerError::Busy`] where other
    /// writers were in the way each time, and nothing was written.
    pub(super) fn apply(
        &mut self,
        batch: &[Command],
        now: Timestamp,
    ) -> Result<Vec<Decision>, LedgerError> {
        let mut sent = None;
        let mut conflicts: u32 = 0;
        let mut outage: Option<Outage> = None;
        loop {
            match self.attempt(batch, now, &mut sent) {
                Ok(decisions) => return Ok(decisions),
                Err(Trouble::Failed(error)) => return Err(error),
                Err(Trouble::Conflict(why)) => {
                    conflicts = conflicts.saturating_add(1);
                    if conflicts >= CONFLICTS_MAX {
                        return Err(in_the_way(conflicts, &why, &sent));
                    }
                    if why == UNREGISTERED {
                        self.register()?;
                    }
                    std::thread::sleep(jitter(conflicts));
                }
                Err(Trouble::Lost(why)) => {
                    self.session = None;
                    outage.get_or_insert_with(Outage::begin).wait(&why, known(&sent))?;
                }
            }
        }
    }

    /// Does what is no command in a transaction of its own, and again where that is lost: so it has
    /// to be something that may be done twice. [`LedgerError::Busy`] where the database is away or
    /// others are in the way for too long; then nothing is known to be written.
    pub(super) fn aside<T>(
        &mut self,
        work: impl Fn(&mut Session) -> Result<T, Trouble>,
    ) -> Result<T, LedgerError> {
        for pause in 1..=ASIDE_TRIES {
            let done = self.session().and_then(|session| session.transact("BEGIN", &work));
            match done {
                Ok(done) => return Ok(done),
                Err(Trouble::Failed(error)) => return Err(error),
                Err(Trouble::Conflict(why)) => tracing::debug!(why, "tried again"),
                Err(Trouble::Lost(why)) => {
                    tracing::debug!(why, "tried again on another connection");
                    self.session = None;
                }
            }
            std::thread::sleep(jitter(pause));
        }
        Err(LedgerError::Busy)
    }

    /// Takes this instance out of the books, if it can be done at once.
    pub(super) fn leave(&mut self) {
        let Some(session) = &mut self.session else { return };
        if let Err(trouble) = instance::forget(session, self.instance.as_bytes()) {
            let error = LedgerError::from(trouble);
            tracing::debug!(%error, "this instance stays in the books until it is found dead");
        }
    }

    /// The database may be new to this instance, or have taken it for dead.
    fn register(&mut self) -> Result<(), LedgerError> {
        let instance = self.instance;
        match self.session().and_then(|session| instance::beat(session, &instance)) {
            // The next attempt finds a connection that is lost.
            Err(Trouble::Lost(_)) => Ok(()),
            done => Ok(done?),
        }
    }

    fn session(&mut self) -> Result<&mut Session, Trouble> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.session = None;
        }
        match &mut self.session {
            Some(session) => Ok(session),
            empty => {
                self.memory.forget();
                Ok(empty.insert(Session::open(&self.address, Purpose::Write)?))
            }
        }
    }

    fn attempt(
        &mut self,
        batch: &[Command],
        now: Timestamp,
        sent: &mut Option<Sent>,
    ) -> Result<Vec<Decision>, Trouble> {
        self.session()?;
        let (Some(session), memory) = (&mut self.session, &mut self.memory) else {
            return Err(Trouble::Lost("there is no connection".to_owned()));
        };
        session.batch("BEGIN")?;
        let outcome = carry_out(session, memory, batch, now, sent, &self.instance);
        let (board, written) = match outcome {
            Ok(Outcome::Before(decisions)) => {
                session.undo();
                return Ok(decisions);
            }
            Ok(Outcome::Now(board, written)) => (board, written),
            Err(trouble) => {
                memory.forget();
                session.undo();
                return Err(trouble);
            }
        };
        if written.marks.is_empty() {
            // Refusals write nothing.
            session.undo();
            return Ok(written.decisions);
        }
        let written = sent.insert(written);
        if let Err(trouble) = session.batch("COMMIT") {
            memory.forget();
            // Whatever it says, whether it was carried out is looked up on another connection.
            let why = LedgerError::from(trouble).to_string();
            return Err(Trouble::Lost(format!("a commit had no answer: {why}")));
        }
        memory.learn(&board);
        Ok(std::mem::take(&mut written.decisions))
    }
}

enum Outcome {
    /// An earlier attempt was carried out after all.
    Before(Vec<Decision>),
    /// Written, and not committed.
    Now(Box<Board>, Sent),
}

fn carry_out(
    session: &mut Session,
    memory: &Memory,
    batch: &[Command],
    now: Timestamp,
    sent: &mut Option<Sent>,
    instance: &Uuid,
) -> Result<Outcome, Trouble> {
    // The transaction whose commit had no answer held these locks: it has ended by now.
    let board = Board::lock(session, memory, batch)?;
    if let Some(earlier) = sent {
        if is_written(session, &earlier.marks)? {
            return Ok(Outcome::Before(std::mem::take(&mut earlier.decisions)));
        }
        *sent = None;
    }
    let mut draft = Draft { session, board, now, instance, pending: Vec::new(), marks: Vec::new() };
    let mut decisions = Vec::with_capacity(batch.len());
    for command in batch {
        decisions.push(draft.decide(command)?);
    }
    draft.flush()?;
    let Draft { board, marks, .. } = draft;
    Ok(Outcome::Now(Box::new(board), Sent { marks, decisions }))
}

/// Whether an earlier attempt's entries are there: all of them, or none.
fn is_written(session: &mut Session, marks: &[Mark]) -> Result<bool, Trouble> {
    let numbers: Vec<_> = marks.iter().map(|mark| Count(mark.number)).collect();
    let mut found = BTreeSet::new();
    for row in session.query(MARKS, &[&numbers])? {
        let mut columns = Columns::of(&row);
        let number = columns.count()?;
        let (user, Digest32(memo), Timestamp(at)) =
            (columns.take()?, columns.take()?, columns.take()?);
        found.insert(Mark { number, user, memo, at });
    }
    Ok(marks.iter().all(|mark| found.contains(mark)))
}

/// A batch on its way into a transaction.
struct Draft<'a> {
    session: &'a mut Session,
    board: Board,
    now: Timestamp,
    instance: &'a Uuid,
    /// Decided, and not written yet.
    pending: Vec<(Effects<'a>, bool)>,
    marks: Vec<Mark>,
}

impl<'a> Draft<'a> {
    fn decide(&mut self, command: &'a Command) -> Result<Decision, Trouble> {
        let mut view = self.board.view(command)?;
        let collects = collect::is_about(command);
        if collects {
            // It may look at what the commands before it wrote.
            self.flush()?;
            collect::see(self.session, &mut view, command)?;
        }
        let mut decided = self.board.decide(&view, command)?;
        if decided.is_err() && self.board.doubts(self.session, command)? {
            view = self.board.view(command)?;
            decided = self.board.decide(&view, command)?;
        }
        let effects = match decided {
            Ok(effects) => effects,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let applied = effects.applied;
        let changes = effects.account != view.account;
        self.board.follow(&effects);
        self.pending.push((effects, changes));
        if collects {
            self.flush()?;
        }
        Ok(Ok(applied))
    }

    /// Writes what is decided.
    fn flush(&mut self) -> Result<(), Trouble> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let mut page = Page::default();
        let mut entries = Vec::with_capacity(pending.len());
        for (before, (effects, changes)) in (0..).zip(&pending) {
            let entry = entry(effects, before, self.now);
            let place = Count(entry.number.wrapping_neg());
            let hold = self.board.number(&effects.record, place);
            page.add(&entry, &effects.record, hold)?;
            if *changes {
                page.set(effects.user, self.board.account(&effects.user));
            }
            entries.push(entry);
        }
        let numbers = page.write(self.session, self.instance.as_bytes(), self.board.believes())?;
        if numbers.len() != entries.len() {
            return Err(corrupt("entries have no numbers"));
        }
        for ((entry, number), (effects, _)) in entries.into_iter().zip(numbers).zip(&pending) {
            let number = number.cast_unsigned();
            let entry = Entry { number, seq: number, ..entry };
            self.board.number(&effects.record, Count(number));
            let books = effects.books_at(number);
            collect::write(self.session, &effects.record, books, &entry)?;
            self.marks.push(Mark::of(&entry));
        }
        Ok(())
    }
}

/// A connection that is lost, from when on and how long it was waited for.
struct Outage {
    began: Instant,
    pause: Duration,
}

impl Outage {
    fn begin() -> Self {
        Self { began: Instant::now(), pause: FIRST_PAUSE }
    }

    fn wait(&mut self, why: &str, known: &str) -> Result<(), LedgerError> {
        if self.began.elapsed() >= OUTAGE_MAX {
            let seconds = OUTAGE_MAX.as_secs();
            return Err(LedgerError::Storage(format!(
                "no way back to the database within {seconds} s: {why}; {known}"
            )));
        }
        tracing::warn!(why, "the ledger's database is away: trying again");
        std::thread::sleep(self.pause);
        self.pause = self.pause.saturating_mul(2).min(LAST_PAUSE);
        Ok(())
    }
}

/// A commit that had no answer may have been carried out: that is not busy, but unknown.
fn in_the_way(conflicts: u32, why: &str, sent: &Option<Sent>) -> LedgerError {
    if sent.is_none() {
        tracing::warn!(conflicts, why, "other writers were in the way: nothing is written");
        return LedgerError::Busy;
    }
    LedgerError::Storage(format!(
        "other writers were in the way {conflicts} times, the last time with: {why}; {}",
        known(sent)
    ))
}

fn known(sent: &Option<Sent>) -> &'static str {
    match sent {
        Some(_) => "whether the batch was written is unknown",
        None => "nothing of the batch was written",
    }
}

/// Longer after each conflict, and never the same for two writers.
fn jitter(conflicts: u32) -> Duration {
    let chance = Uuid::new_v4().as_bytes().first().copied().unwrap_or_default();
    Duration::from_micros(u64::from(chance)).saturating_mul(conflicts).saturating_mul(JITTER)
}

const MARKS: &str = "SELECT number, user_id, memo, at FROM entry WHERE number = ANY ($1)";

/// So often what is no command is tried.
const ASIDE_TRIES: u32 = 3;
const CONFLICTS_MAX: u32 = 5;
const OUTAGE_MAX: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(2);
const JITTER: u32 = 125;
