//! The movements that a ledger wrote, folded without it.

use std::collections::BTreeMap;

use broker_core::ledger::journal::{Line, Stop, Visitor};
use broker_core::{Account, Bucket, Digest32, Entry, LedgerReader, UserId};

use crate::watch::Watch;

const BUCKETS: [Bucket; 5] =
    [Bucket::World, Bucket::Available, Bucket::Held, Bucket::Earned, Bucket::Vouchered];

/// The fold so far. Sums wrap: those below zero are found as amounts that no account has.
#[derive(Default)]
pub(crate) struct Trace {
    seen: u64,
    buckets: BTreeMap<UserId, [u128; 5]>,
    fault: Option<String>,
}

impl Trace {
    /// What was written since it last looked is sound, and leads to what is stored.
    ///
    /// # Errors
    /// What is not.
    pub(crate) fn follow(
        &mut self,
        reader: &dyn LedgerReader,
        watch: &Watch,
    ) -> Result<(), String> {
        reader.journal(self.seen, self).map_err(|stop| format!("{stop:?}"))?;
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.seen != watch.entries {
            return Err(format!("I12: {} entries, and {} commands", self.seen, watch.entries));
        }
        for (user, [world, available, held, earned, vouchered]) in &self.buckets {
            let stored: Account = reader.account(user).map_err(|error| error.to_string())?;
            let buckets = [stored.held, stored.earned, stored.vouchered].map(|amount| amount.get());
            let committed = buckets.iter().fold(0, |sum: u128, part| sum.wrapping_add(*part));
            let cover = stored.cover.get();
            // What came from the world is what covers, and all buckets together are nothing.
            let expected = (0_u128.wrapping_sub(cover), cover.wrapping_sub(committed), buckets);
            if (*world, *available, [*held, *earned, *vouchered]) != expected {
                return Err(format!("I2: {user} has {stored:?}, and moved {:?}", self.buckets));
            }
        }
        Ok(())
    }
}

impl Visitor for Trace {
    fn entry(&mut self, entry: &Entry, link: Option<Digest32>) -> Result<(), Stop> {
        self.seen += 1;
        if entry.seq != self.seen || link.is_none() {
            self.fault = Some(format!("I12: entry {} is not number {}", entry.seq, self.seen));
        }
        for movement in &entry.movements {
            if movement.amount.is_zero() || movement.debit == movement.credit {
                self.fault = Some(format!("I1: {movement:?}"));
            }
            let buckets = self.buckets.entry(movement.user).or_default();
            let place = |wanted| BUCKETS.iter().position(|bucket| *bucket == wanted).unwrap();
            let (from, to) = (place(movement.debit), place(movement.credit));
            buckets[from] = buckets[from].wrapping_sub(movement.amount.get());
            buckets[to] = buckets[to].wrapping_add(movement.amount.get());
        }
        Ok(())
    }

    fn line(&mut self, _: Line) -> Result<(), Stop> {
        Ok(())
    }
}
