//! Receipts of what was refused before any money was set aside.
//!
//! A refusal of an account that is served here becomes an entry of the ledger like any other
//! exchange, with a hold of nothing: it stands in the receipt log, and nobody waits for it. What
//! would fill the disk is not written down: refusals of strangers, more than one a second of an
//! account, more than five a second of all (some half a gigabyte a day). Such a receipt is made
//! when it is asked for, promises no place in the log, and is forgotten with the process or when
//! there are some thousands, first those of whoever has most: of several sidecars only the one that
//! refused has it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::receipt::Claims;
use broker_core::{
    Digest32, Fingerprint, Hold, Neuron, Outcome, Receipt, ReceiptId, RequestKey, Tariff,
    Timestamp, Usage, UserId,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::billing::{Ending, OpenHold, Told};
use super::{HOLD_EXPIRY_MILLIS, Shared};
use crate::rate::{Rate, Rule};

/// A request that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The id that the client was told.
    pub id: ReceiptId,
    /// Who asked, where that is known.
    pub user: Option<UserId>,
    /// The route, under whatever spelling it was asked.
    pub endpoint: &'static str,
    /// The model that was asked for, where the body was read.
    pub model: Option<String>,
    /// SHA-256 of the request's body; of nothing where it was not read.
    pub request_hash: Digest32,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Why, in one of our own words.
    pub reason: &'static str,
    /// SHA-256 of the answer.
    pub response_hash: Digest32,
    /// How many bytes that has.
    pub bytes: u64,
    /// The HTTP method.
    pub method: String,
    /// The request's body was not read.
    pub unread: bool,
}

/// The refusals of late.
pub struct Refusals {
    known: Mutex<Shelf>,
    strangers: Mutex<Shelf>,
    /// How many may be on their way to the ledger.
    writers: Arc<Semaphore>,
    rate: Rate<UserId>,
}

#[derive(Default)]
struct Shelf {
    kept: HashMap<ReceiptId, Kept>,
    /// Those of each account, the oldest first.
    order: HashMap<UserId, VecDeque<ReceiptId>>,
}

impl Shelf {
    fn put(&mut self, kept: Kept) {
        let (id, owner) = (kept.refused.id, kept.owner());
        if self.kept.insert(id, kept).is_none() {
            self.order.entry(owner).or_default().push_back(id);
        }
        if self.kept.len() > SHELF_MAX
            && let Some(id) = self.oldest()
        {
            self.remove(&id);
        }
    }

    /// The oldest one of the account that has most of them, so that nobody pushes out what others
    /// were promised. What is on its way to the ledger stays until it is there.
    fn oldest(&self) -> Option<ReceiptId> {
        let (_, ids) = self.order.iter().max_by_key(|(_, ids)| ids.len())?;
        let waits = |id: &&ReceiptId| self.kept.get(id).is_some_and(|kept| kept.pending);
        ids.iter().find(|id| !waits(id)).copied()
    }

    fn remove(&mut self, id: &ReceiptId) {
        let Some(kept) = self.kept.remove(id) else { return };
        let owner = kept.owner();
        if let Some(ids) = self.order.get_mut(&owner) {
            ids.retain(|known| known != id);
            if ids.is_empty() {
                self.order.remove(&owner);
            }
        }
    }
}

struct Kept {
    refused: Refused,
    at: Timestamp,
    tariff: Tariff,
    /// On its way to the ledger: what it will say is not known yet.
    pending: bool,
    /// Made once, so that nobody gets two.
    receipt: Option<Receipt>,
}

/// What is known of a refusal.
enum Look {
    Made(Box<(Receipt, Tariff)>),
    Pending,
    Unknown,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            strangers: Mutex::default(),
            writers: Arc::new(Semaphore::new(WRITERS_MAX)),
            rate: Rate::new(WRITES_OF_ALL, WRITES_OF_EACH),
        }
    }
}

impl Refusals {
    /// The receipt of a refusal that no ledger has, and the prices of its time. Waits for what is
    /// on its way to the ledger; `None` for what is there by now, or never was here.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub(super) async fn find(
        &self,
        id: &ReceiptId,
        shared: &Shared,
    ) -> Result<Option<(Receipt, Tariff)>, broker_core::SignError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.look(id, shared)? {
                Look::Made(made) => return Ok(Some(*made)),
                Look::Pending if Instant::now() < patience => sleep(PAUSE).await,
                Look::Pending | Look::Unknown => return Ok(None),
            }
        }
    }

    fn look(&self, id: &ReceiptId, shared: &Shared) -> Result<Look, broker_core::SignError> {
        for shelf in [&self.known, &self.strangers] {
            match locked(shelf).kept.get_mut(id) {
                Some(kept) if kept.pending => return Ok(Look::Pending),
                Some(kept) => {
                    return kept.receipt(shared).map(|made| Look::Made(Box::new(made)));
                }
                None => {}
            }
        }
        Ok(Look::Unknown)
    }

    /// Waits until nothing is on its way to the ledger.
    pub async fn written(&self) {
        let all = u32::try_from(WRITERS_MAX).unwrap_or(u32::MAX);
        let _ = self.writers.acquire_many(all).await;
    }

    fn put(&self, kept: Kept) {
        let shelf = if kept.refused.user.is_some() { &self.known } else { &self.strangers };
        locked(shelf).put(kept);
    }

    /// The way of a known account's refusal to the ledger has ended.
    fn ended(&self, id: &ReceiptId, is_written: bool) {
        let mut shelf = locked(&self.known);
        if is_written {
            shelf.remove(id);
        } else if let Some(kept) = shelf.kept.get_mut(id) {
            kept.pending = false;
        }
    }
}

fn locked(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn owner(&self) -> UserId {
        self.refused.user.unwrap_or(UserId::NOBODY)
    }

    fn receipt(&mut self, shared: &Shared) -> Result<(Receipt, Tariff), broker_core::SignError> {
        if let Some(receipt) = &self.receipt {
            return Ok((receipt.clone(), self.tariff.clone()));
        }
        let owner = self.owner();
        let Refused { id, request_hash, response_hash, status, bytes, .. } = &self.refused;
        let text = broker_core::signed_text(request_hash, response_hash);
        let receipt = Receipt {
            id: *id,
            user: owner,
            outcome: Outcome::Refused,
            status: *status,
            usage: Usage::default(),
            fee: Neuron::ZERO,
            request_hash: *request_hash,
            response_hash: *response_hash,
            bytes: *bytes,
            events: 0,
            signature: shared.signer.sign_text(&text)?,
            signing_address: shared.signer.address(),
            upstream_id: None,
            drained: false,
            served_at: self.at,
            proof: None,
        };
        let claims = Claims {
            method: self.refused.method.clone(),
            endpoint: self.refused.endpoint.to_owned(),
            unread: self.refused.unread,
            model: self.refused.model.clone(),
            ..Claims::default()
        };
        let identity = shared.identities.signing();
        let receipt = receipt.proved(claims, &self.tariff, identity.author());
        self.receipt = Some(receipt.clone());
        Ok((receipt, self.tariff.clone()))
    }
}

/// Remembers a refusal, and writes it down where that is due.
pub(super) fn refuse(shared: &Arc<Shared>, refused: Refused) {
    let refusals = &shared.refusals;
    let writer = match refused.user {
        Some(user) if shared.stop.accepting().is_ok() && shared.ledger.is_healthy() => {
            let place = refusals.writers.clone().try_acquire_owned().ok();
            place.filter(|_| refusals.rate.take_of(Some(user)).is_ok()).map(|place| (user, place))
        }
        _ => None,
    };
    let (at, tariff) = (shared.clock.now(), shared.prices.now());
    let kept = Kept {
        refused: refused.clone(),
        at,
        tariff: tariff.clone(),
        pending: writer.is_some(),
        receipt: None,
    };
    refusals.put(kept);
    let Some((user, place)) = writer else { return };
    let shared = shared.clone();
    tokio::spawn(async move {
        let id = refused.id;
        let written = write(&shared, refused, user, (at, tariff)).await;
        if !written {
            tracing::debug!(receipt = %id, "a refusal is in no log");
        }
        shared.refusals.ended(&id, written);
        drop(place);
    });
}

/// An exchange without money: it begins and ends at once.
async fn write(
    shared: &Shared,
    refused: Refused,
    user: UserId,
    (at, tariff): (Timestamp, Tariff),
) -> bool {
    let Refused { id, endpoint, model, request_hash, response_hash, status, .. } = refused;
    let Refused { bytes, method, unread, .. } = refused;
    let hold = Hold {
        key: RequestKey::minted(&id),
        fingerprint: Fingerprint(request_hash),
        receipt: id,
        user,
        amount: Neuron::ZERO,
        tariff,
        expires: at.plus_millis(HOLD_EXPIRY_MILLIS),
    };
    let Ok(Ok(open)) = OpenHold::try_reserve(shared, hold).await else { return false };
    let ending = Ending::with_hash(response_hash, bytes, Outcome::Refused, status);
    let told = Told { method, endpoint, unread, model, forwarded_hash: None };
    open.close(ending, told, shared).await.is_ok()
}

/// Refusals remembered, of known accounts and of strangers each.
const SHELF_MAX: usize = 4096;
/// Refusals on their way to the ledger at once.
const WRITERS_MAX: usize = 64;
/// Refusals written at once, and each second after that: of all accounts, and of one.
const WRITES_OF_ALL: Rule = Rule { burst: 200, per_sec: 5 };
const WRITES_OF_EACH: Rule = Rule { burst: 50, per_sec: 1 };
/// How long somebody who asks waits for what is being written.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(user: &str, pending: bool) -> Kept {
        let refused = Refused {
            id: ReceiptId::mint(Timestamp(1)),
            user: Some(UserId::named(user)),
            endpoint: "/v1/chat/completions",
            model: None,
            request_hash: Digest32::default(),
            status: 429,
            reason: "rate_limited",
            response_hash: Digest32::default(),
            bytes: 0,
            method: "POST".to_owned(),
            unread: true,
        };
        let tariff = Tariff::per_token(Neuron::ZERO, Neuron::ZERO);
        Kept { refused, at: Timestamp(0), tariff, pending, receipt: None }
    }

    #[test]
    fn nobody_pushes_out_what_others_were_promised_or_what_is_being_written() {
        let mut shelf = Shelf::default();
        let (alice, pending, first) =
            (kept("alice", false), kept("mallory", true), kept("mallory", false));
        let (alice_id, pending_id) = (alice.refused.id, pending.refused.id);
        let first_id = first.refused.id;
        [alice, pending, first].into_iter().for_each(|kept| shelf.put(kept));
        (0..2 * SHELF_MAX).for_each(|_| shelf.put(kept("mallory", false)));
        assert_eq!(shelf.kept.len(), SHELF_MAX);
        assert!(shelf.kept.contains_key(&alice_id) && shelf.kept.contains_key(&pending_id));
        assert!(!shelf.kept.contains_key(&first_id));
        // What leaves leaves nothing behind.
        let ids: Vec<_> = shelf.kept.keys().copied().collect();
        ids.iter().for_each(|id| shelf.remove(id));
        assert!(shelf.kept.is_empty() && shelf.order.is_empty());
    }
}
