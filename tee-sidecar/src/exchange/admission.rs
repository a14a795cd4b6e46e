//! How much may be in flight, and how fast one account may ask: decided before any money is held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::{Timestamp, UserId};
use tokio::sync::Notify;

use crate::config::Limits;
use crate::fault::Fault;

const MINUTE_MILLIS: u64 = 60_000;

/// What stands in the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// All places are taken.
    Server,
    /// All places of the account are.
    Account,
    /// The account's tokens of this minute are used.
    Tokens,
    /// The account's requests of this minute are.
    Requests,
}

impl Limit {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Server, Self::Account, Self::Tokens, Self::Requests];

    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Account => "account",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
        }
    }
}

/// Counts exchanges in flight and what accounts used lately.
#[derive(Debug)]
pub struct Admission {
    state: Mutex<State>,
    idle: Notify,
    /// Requests that each limit turned away.
    refused: [AtomicU64; Limit::ALL.len()],
}

#[derive(Debug)]
struct State {
    limits: Limits,
    in_flight: usize,
    accounts: HashMap<UserId, Slot>,
}

#[derive(Debug)]
struct Slot {
    in_flight: usize,
    requests: Bucket,
    tokens: Bucket,
}

/// An exchange's place; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    user: UserId,
}

impl Admission {
    /// Nothing in flight yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = State { limits, in_flight: 0, accounts: HashMap::new() };
        let (state, idle, refused) = (Mutex::new(state), Notify::new(), Default::default());
        Arc::new(Self { state, idle, refused })
    }

    /// These limits hold from now on. What is in flight stays, and what accounts have used of
    /// their minutes stays used.
    pub fn limit(&self, limits: Limits, now: Timestamp) {
        let mut state = self.state();
        for slot in state.accounts.values_mut() {
            slot.requests.change(limits.requests_per_minute, now);
            slot.tokens.change(limits.tokens_per_minute, now);
        }
        state.limits = limits;
    }

    /// A place for an exchange of `user`'s, or the limit that is in the way.
    pub fn enter(self: &Arc<Self>, user: UserId, now: Timestamp) -> Result<Permit, Fault> {
        let mut guard = self.state();
        let State { limits, in_flight, accounts } = &mut *guard;
        if *in_flight >= limits.concurrent_max {
            self.refuses(Limit::Server);
            return Err(Fault::Unavailable {
                message: "this server has as many requests in flight as it takes; try again".into(),
                retry_after: Duration::from_secs(1),
            });
        }
        let slot = accounts.entry(user).or_insert_with(|| Slot {
            in_flight: 0,
            requests: Bucket::full(limits.requests_per_minute, now),
            tokens: Bucket::full(limits.tokens_per_minute, now),
        });
        if slot.in_flight >= limits.concurrent_per_account_max {
            self.refuses(Limit::Account);
            let limit = limits.concurrent_per_account_max;
            let message = format!("this account has {limit} requests in flight, the limit here");
            return Err(Fault::RateLimited { message, retry_after: Duration::from_secs(1) });
        }
        slot.tokens.refill(now);
        slot.requests.refill(now);
        if let Some(retry_after) = slot.tokens.wait_for(1) {
            self.refuses(Limit::Tokens);
            let message = "this account used as many tokens in a minute as it may".into();
            return Err(Fault::RateLimited { message, retry_after });
        }
        if let Some(retry_after) = slot.requests.wait_for(1) {
            self.refuses(Limit::Requests);
            let message = "this account sent as many requests in a minute as it may".into();
            return Err(Fault::RateLimited { message, retry_after });
        }
        slot.requests.take(1);
        slot.in_flight = slot.in_flight.saturating_add(1);
        *in_flight = in_flight.saturating_add(1);
        Ok(Permit { admission: self.clone(), user })
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// How many may be in flight.
    pub fn places(&self) -> usize {
        self.state().limits.concurrent_max
    }

    /// How many requests a limit turned away.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.refused.get(limit as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn refuses(&self, limit: Limit) {
        if let Some(count) = self.refused.get(limit as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Resolves when nothing is in flight.
    pub async fn idle(&self) {
        loop {
            let changed = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and counts stay counts if one did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts the tokens of the exchange against its account's minute.
    pub fn used(&self, tokens: u64) {
        if let Some(slot) = self.admission.state().accounts.get_mut(&self.user) {
            slot.tokens.take(tokens);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if let Some(slot) = state.accounts.get_mut(&self.user) {
            slot.in_flight = slot.in_flight.saturating_sub(1);
            if slot.in_flight == 0 && slot.requests.is_unlimited() && slot.tokens.is_unlimited() {
                state.accounts.remove(&self.user);
            }
        }
        if state.in_flight == 0 {
            self.admission.idle.notify_waiters();
        }
    }
}

/// A bucket that refills evenly over a minute; may fall below zero by what is counted afterwards.
#[derive(Debug)]
struct Bucket {
    per_minute: Option<u64>,
    /// In units of 1/60,000: one millisecond refills `per_minute` of them.
    level: i128,
    at: Timestamp,
}

impl Bucket {
    fn full(per_minute: Option<u64>, now: Timestamp) -> Self {
        let level = i128::from(per_minute.unwrap_or(0)) * i128::from(MINUTE_MILLIS);
        Self { per_minute, level, at: now }
    }

    /// Another limit from now on; what was used stays used.
    fn change(&mut self, per_minute: Option<u64>, now: Timestamp) {
        self.refill(now);
        let full = |per_minute: Option<u64>| Self::full(per_minute, now).level;
        let used = full(self.per_minute).saturating_sub(self.level);
        let level = full(per_minute).saturating_sub(used);
        *self = Self { per_minute, level, at: now };
    }

    const fn is_unlimited(&self) -> bool {
        self.per_minute.is_none()
    }

    fn refill(&mut self, now: Timestamp) {
        let Some(per_minute) = self.per_minute else { return };
        // A clock set back refills nothing.
        let elapsed = now.0.saturating_sub(self.at.0);
        let full = i128::from(per_minute) * i128::from(MINUTE_MILLIS);
        let grown = i128::from(elapsed) * i128::from(per_minute);
        self.level = self.level.saturating_add(grown).min(full);
        self.at = now;
    }

    fn take(&mut self, units: u64) {
        if self.per_minute.is_some() {
            self.level -= i128::from(units) * i128::from(MINUTE_MILLIS);
        }
    }

    /// How long until `units` are there; `None` when they are.
    fn wait_for(&self, units: u64) -> Option<Duration> {
        let per_minute = self.per_minute?;
        let lacking = i128::from(units) * i128::from(MINUTE_MILLIS) - self.level;
        if lacking <= 0 {
            return None;
        }
        let millis = lacking.div_euclid(i128::from(per_minute.max(1))) + 1;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            request_bytes_max: 1,
            route_bytes_max: Vec::new(),
            concurrent_max: 3,
            concurrent_per_account_max: 2,
            requests_per_minute: Some(60),
            tokens_per_minute: Some(600),
            upstream_connect_secs: 1,
            upstream_idle_secs: 1,
            client_idle_secs: 1,
        }
    }

    #[test]
    fn places_are_counted_by_account_and_in_all() {
        let admission = Admission::new(limits());
        let (a, b, now) = (UserId::new([1; 20]), UserId::new([2; 20]), Timestamp(0));
        let first = admission.enter(a, now).unwrap();
        let _second = admission.enter(a, now).unwrap();
        assert_eq!(admission.enter(a, now).unwrap_err().status(), 429);
        let _third = admission.enter(b, now).unwrap();
        assert_eq!(admission.enter(b, now).unwrap_err().status(), 503);
        drop(first);
        assert_eq!(admission.in_flight(), 2);
        assert!(admission.enter(b, now).is_ok());
    }

    #[test]
    fn a_minute_s_requests_come_back_one_by_one() {
        let admission = Admission::new(limits());
        let user = UserId::new([1; 20]);
        for _ in 0..60 {
            admission.enter(user, Timestamp(0)).unwrap();
        }
        let fault = admission.enter(user, Timestamp(0)).unwrap_err();
        assert_eq!((fault.status(), fault.retry_after_secs()), (429, Some(1)));
        assert!(admission.enter(user, Timestamp(999)).is_err());
        assert!(admission.enter(user, Timestamp(1_000)).is_ok());
        assert!(admission.enter(user, Timestamp(1_000)).is_err());
    }

    #[test]
    fn new_limits_hold_at_once_and_forget_nothing() {
        let admission = Admission::new(limits());
        let (user, now) = (UserId::new([1; 20]), Timestamp(0));
        let running = admission.enter(user, now).unwrap();
        running.used(500);
        let with = |requests, tokens, places| Limits {
            concurrent_max: places,
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            ..limits()
        };
        admission.limit(with(Some(1), None, 3), now);
        assert_eq!(admission.enter(user, now).unwrap_err().status(), 429, "the one was taken");
        admission.limit(with(None, Some(500), 3), now);
        assert_eq!(admission.enter(user, now).unwrap_err().status(), 429, "500 were used");
        admission.limit(with(None, Some(600), 1), now);
        assert_eq!(admission.enter(user, now).unwrap_err().status(), 503, "one is in flight");
        drop(running);
        assert_eq!(admission.in_flight(), 0);
        assert!(admission.enter(user, now).is_ok());
    }

    #[test]
    fn tokens_are_counted_afterwards_and_paid_off_first() {
        let admission = Admission::new(limits());
        let user = UserId::new([1; 20]);
        admission.enter(user, Timestamp(0)).unwrap().used(1_200);
        let fault = admission.enter(user, Timestamp(0)).unwrap_err();
        assert_eq!(fault.status(), 429);
        assert!(fault.retry_after_secs().unwrap() >= 60);
        let counted = Limit::ALL.map(|limit| admission.refused(limit));
        assert_eq!(counted, [0, 0, 1, 0]);
        assert!(admission.enter(user, Timestamp(60_000)).is_err());
        assert!(admission.enter(user, Timestamp(60_101)).is_ok());
    }
}
