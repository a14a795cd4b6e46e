//! What a ledger of several writers needs beside them: a sign of life, and one leader.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::command::{Command, ReleaseReason};
use crate::ledger::LedgerError;

use super::address::Address;
use super::fault::Trouble;
use super::instance;
use super::places;
use super::scribe::Scribe;
use super::session::{Purpose, Session};
use super::sightings::{Sightings, Sign};
use super::values::Count;

/// Keeps an instance of a [`super::PostgresLedger`] alive in the eyes of the others, on a thread
/// and a connection of its own.
///
/// One caretaker of all those on a database is the leader. It gives entries their place in the
/// chain and frees the holds of instances that died. The leader's lock ends with its connection;
/// nothing that is right about the ledger depends on there being one leader only: unique indexes
/// undo what a second one does. A leader frees the holds only of those whose silence it has
/// watched itself, without a break: after the database was away everybody has time to come back.
pub struct Caretaker {
    leading: Arc<Leading>,
    heard: Arc<Heard>,
    bell: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Caretaker {
    /// Starts the thread. `every` is the time between two signs of life.
    pub(super) fn start(
        address: Address,
        instance: Uuid,
        every: Duration,
    ) -> Result<Self, LedgerError> {
        let leading = Arc::new(Leading::default());
        let heard = Arc::new(Heard(Mutex::new(Instant::now())));
        let (bell, rings) = channel();
        let watch = Watch {
            address,
            instance,
            every: every.clamp(SHORTEST, LONGEST),
            leading: Arc::clone(&leading),
            heard: Arc::clone(&heard),
            rings,
            session: None,
            sightings: Sightings::default(),
            beaten: None,
        };
        let thread = std::thread::Builder::new().name("ledger-caretaker".to_owned());
        let thread = thread.spawn(move || watch.run()).map_err(|error| {
            LedgerError::Storage(format!("the ledger's caretaker could not be started: {error}"))
        })?;
        Ok(Self { leading, heard, bell: Some(bell), thread: Some(thread) })
    }

    /// True while this instance leads, as far as it was sure a moment ago. Two may believe it for
    /// a few seconds when a connection is cut in a way that neither side notices.
    pub fn is_leader(&self) -> bool {
        self.leading.is_sure()
    }

    /// How long ago the database last answered this caretaker, which asks it several times a
    /// second; before its first answer, how long ago the caretaker was started. More than a few
    /// seconds mean that the database is away, or cut off from this process.
    pub fn silence(&self) -> Duration {
        self.heard.silence()
    }

    /// Ends the thread, and with it the lead. Waits for what it is at; blocks.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.bell.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the ledger's caretaker panicked");
        }
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Until when the lead is sure.
#[derive(Default)]
struct Leading(Mutex<Option<Instant>>);

impl Leading {
    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn is_sure(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

/// When the database last answered.
struct Heard(Mutex<Instant>);

impl Heard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

struct Watch {
    address: Address,
    instance: Uuid,
    every: Duration,
    leading: Arc<Leading>,
    heard: Arc<Heard>,
    rings: Receiver<()>,
    session: Option<Session>,
    /// Of this connection, since it has the lead.
    sightings: Sightings,
    /// When the last sign of life was given.
    beaten: Option<Instant>,
}

impl Watch {
    fn run(mut self) {
        let mut pause = Duration::ZERO;
        // Nobody ever rings: the bell is dropped.
        while self.rings.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            pause = match self.round() {
                Ok(true) => Duration::ZERO,
                Ok(false) => ROUND.min(self.every),
                Err(Trouble::Conflict(why)) => {
                    tracing::debug!(why, "somebody else was in the way");
                    ROUND
                }
                Err(Trouble::Lost(why)) => {
                    self.lose(&why);
                    RECONNECT
                }
                Err(Trouble::Failed(error)) => {
                    self.lose(&error.to_string());
                    RECONNECT
                }
            };
        }
        self.leading.set(None);
    }

    fn lose(&mut self, why: &str) {
        self.disconnect();
        tracing::warn!(why, "the ledger's caretaker has to connect again");
    }

    /// The lead ends with the connection.
    fn disconnect(&mut self) {
        self.leading.set(None);
        self.sightings = Sightings::default();
        self.session = None;
    }

    /// True where there is more to do at once.
    fn round(&mut self) -> Result<bool, Trouble> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.disconnect();
            self.session = Some(Session::open(&self.address, Purpose::Write)?);
        }
        let Some(session) = &mut self.session else { return Ok(false) };
        if self.beaten.is_none_or(|beaten| beaten.elapsed() >= self.every) {
            instance::beat(session, &self.instance)?;
            self.beaten = Some(Instant::now());
        }
        // Asked for each time: it also says that the connection, and so the lock, is still there.
        let asked = Instant::now();
        let leads: bool = session.query_one(LEAD, &[&LOCK_OF_LEADER])?.try_get(0)?;
        self.leading.set(leads.then(|| asked.checked_add(SURE)).flatten());
        self.heard.now();
        if !leads {
            self.sightings = Sightings::default();
            return Ok(false);
        }
        let more = places::link(session)?;
        let signs = instance::signs(session, &self.instance)?;
        self.heard.now();
        let limit = self.every.saturating_mul(BEATS_MISSED).max(SILENCE);
        for silent in self.sightings.silent(signs, Instant::now(), limit) {
            bury(session, &self.address, &silent)?;
            self.heard.now();
        }
        Ok(more)
    }
}

/// Frees what a dead instance held, the way any writer would, and takes it out of the books.
fn bury(session: &mut Session, address: &Address, dead: &Sign) -> Result<(), Trouble> {
    let name: String = dead.instance.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut scribe = None;
    loop {
        let keys = instance::holds_of(session, dead)?;
        if keys.is_empty() {
            break;
        }
        tracing::warn!(
            instance = name,
            holds = keys.len(),
            "an instance died: its holds are freed"
        );
        let why = ReleaseReason::Crashed;
        let batch: Vec<_> = keys.into_iter().map(|key| Command::Release { key, why }).collect();
        let Count(now) = session.query_one(NOW, &[])?.try_get(0)?;
        if scribe.is_none() {
            let connection = Session::open(address, Purpose::Write)?;
            scribe = Some(Scribe::new(address.clone(), connection, Uuid::nil()));
        }
        if let Some(scribe) = &mut scribe {
            // What had ended by then is refused, which is as well.
            match scribe.apply(&batch, Timestamp(now)) {
                Err(LedgerError::Busy) => return Err(Trouble::Conflict(IN_THE_WAY.to_owned())),
                done => done?,
            };
        }
    }
    instance::forget(session, &dead.instance)?;
    Ok(())
}

/// True at once where this session has the lock already, which must not be taken twice.
const LEAD: &str = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' \
     AND pid = pg_backend_pid() AND granted AND objsubid = 1 \
     AND classid::bigint = ($1::bigint >> 32) AND objid::bigint = ($1::bigint & 4294967295)) \
     THEN true ELSE pg_try_advisory_lock($1) END";

const IN_THE_WAY: &str = "other writers, where holds of the dead were to be freed";

const NOW: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// "0GFL" in ASCII, and 2.
const LOCK_OF_LEADER: i64 = 0x3047_464c_0002;

/// Between two looks at what waits for its place.
const ROUND: Duration = Duration::from_millis(250);
const RECONNECT: Duration = Duration::from_millis(500);

/// For so long after the database said so, an instance is sure that it leads.
const SURE: Duration = Duration::from_secs(10);

/// An instance that is watched and says nothing for so long is dead, and for at least so many of
/// its beats.
const SILENCE: Duration = Duration::from_secs(30);
const BEATS_MISSED: u32 = 6;

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);
