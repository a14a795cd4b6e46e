//! The money of one exchange: a hold that is open, and the one way to close it.

use broker_core::receipt::{Claims, LedgerPlace};
use broker_core::{
    Applied, Command, Decision, Digest32, Hold, LedgerError, LedgerHandle, Neuron, Outcome,
    Receipt, ReceiptId, Refusal, ReleaseReason, RequestKey, Usage, UserId,
};

use super::Shared;
use super::funds::FROZEN;
use super::handover::Mark;
use crate::fault::Fault;
use crate::ledger::Running;

/// A durable hold. Dropped without being closed it is released: the ledger never waits for a pump
/// that died.
pub(super) struct OpenHold {
    ledger: LedgerHandle,
    key: RequestKey,
    amount: Neuron,
    tariff: broker_core::Tariff,
    receipt: ReceiptId,
    user: UserId,
    request_hash: Digest32,
    account_seq: u64,
    open: bool,
    /// It does not expire meanwhile.
    _running: Option<Running>,
}

/// How an exchange ended.
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) response_hash: Digest32,
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) usage: Usage,
    pub(super) upstream_id: Option<String>,
    pub(super) drained: bool,
    /// Why the engine says that the answer ended.
    pub(super) finish_reason: Option<String>,
    /// The end of the rolling hash over a stream.
    pub(super) chain_head: Option<Digest32>,
}

/// What a receipt says of the request.
pub(super) struct Told {
    pub(super) method: String,
    /// The body was not read.
    pub(super) unread: bool,
    pub(super) endpoint: &'static str,
    pub(super) model: Option<String>,
    /// SHA-256 of what the engine was sent.
    pub(super) forwarded_hash: Option<Digest32>,
}

impl Ending {
    /// An ending after the bytes of `mark`.
    pub(super) fn at(mark: &Mark, outcome: Outcome, status: u16) -> Self {
        Self {
            outcome,
            status,
            response_hash: mark.digest(),
            bytes: mark.bytes,
            events: mark.events,
            usage: Usage::default(),
            upstream_id: None,
            drained: false,
            finish_reason: None,
            chain_head: Some(mark.chain.head()),
        }
    }

    /// An ending after a buffered body.
    pub(super) fn with_body(body: &[u8], outcome: Outcome, status: u16) -> Self {
        Self::with_hash(Digest32::sha256(body), body.len() as u64, outcome, status)
    }

    /// As [`Self::with_body`], for a body with this SHA-256 and so many bytes.
    pub(super) fn with_hash(hash: Digest32, bytes: u64, outcome: Outcome, status: u16) -> Self {
        Self {
            outcome,
            status,
            response_hash: hash,
            bytes,
            events: 0,
            usage: Usage::default(),
            upstream_id: None,
            drained: false,
            finish_reason: None,
            chain_head: None,
        }
    }
}

/// The charge could not be made durable. The end of the answer must not leave.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbilled {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the ledger refused the charge: {0}")]
    Refused(#[from] Refusal),
    #[error("the signature could not be made: {0}")]
    Sign(#[from] broker_core::SignError),
}

impl OpenHold {
    /// Sets the money aside, durably. Where the ledger has too little, whoever knows where it comes
    /// from looks once more.
    pub(super) async fn reserve(shared: &Shared, hold: Hold) -> Result<Self, Fault> {
        let short = match Self::try_reserve(shared, hold.clone()).await? {
            Ok(open) => return Ok(open),
            Err(refusal @ Refusal::InsufficientFunds { .. }) => refusal,
            Err(other) => return Err(refused(other)),
        };
        let Some(funds) = &shared.funds else { return Err(refused(short)) };
        let (user, needed) = (hold.user, hold.amount);
        funds.look_again(user).await?;
        match Self::try_reserve(shared, hold).await? {
            Ok(open) => Ok(open),
            Err(Refusal::InsufficientFunds { .. }) => Err(funds.too_little(user, needed).await),
            Err(other) => Err(refused(other)),
        }
    }

    pub(super) async fn try_reserve(
        shared: &Shared,
        hold: Hold,
    ) -> Result<Result<Self, Refusal>, Fault> {
        let mut open = Self {
            ledger: shared.ledger.clone(),
            key: hold.key,
            amount: hold.amount,
            tariff: hold.tariff.clone(),
            receipt: hold.receipt,
            user: hold.user,
            request_hash: hold.fingerprint.0,
            account_seq: 0,
            // Until the ledger has said so the hold under this key may be another exchange's.
            open: false,
            _running: None,
        };
        let decided = shared.ledger.apply(Command::Reserve(hold)).await;
        let decided = decided.map_err(|error| unavailable(&error))?;
        if let Ok(Applied::Held { account_seq }) = decided {
            open.account_seq = account_seq;
        }
        open.open = decided.is_ok();
        open._running = open.open.then(|| shared.live.begin(open.key, open.amount));
        Ok(decided.map(|_| open))
    }

    /// What is charged for this usage: the hold at most.
    pub(super) fn fee(&self, usage: &Usage) -> Neuron {
        let fee = self.tariff.fee(usage).unwrap_or(self.amount);
        if fee > self.amount {
            tracing::warn!(receipt = %self.receipt, %fee, hold = %self.amount,
                "usage above the hold; the hold is charged");
        }
        fee.min(self.amount)
    }

    /// SHA-256 of the request as it arrived.
    pub(super) const fn request_hash(&self) -> Digest32 {
        self.request_hash
    }

    /// Signs and charges in one transaction. When this returns, both are durable.
    pub(super) async fn close(
        mut self,
        ending: Ending,
        told: Told,
        shared: &Shared,
    ) -> Result<Receipt, Unbilled> {
        let fee = self.fee(&ending.usage);
        let text = broker_core::signed_text(&self.request_hash, &ending.response_hash);
        let receipt = Receipt {
            id: self.receipt,
            user: self.user,
            outcome: ending.outcome,
            status: ending.status,
            usage: ending.usage,
            fee,
            request_hash: self.request_hash,
            response_hash: ending.response_hash,
            bytes: ending.bytes,
            events: ending.events,
            signature: shared.signer.sign_text(&text)?,
            signing_address: shared.signer.address(),
            upstream_id: ending.upstream_id,
            drained: ending.drained,
            served_at: shared.clock.now(),
            proof: None,
        };
        let place = LedgerPlace { log: shared.log, account_seq: self.account_seq };
        let claims = Claims {
            method: told.method,
            unread: told.unread,
            endpoint: told.endpoint.to_owned(),
            model: told.model,
            forwarded_hash: told.forwarded_hash,
            finish_reason: ending.finish_reason,
            chain_head: ending.chain_head,
            hold: self.amount,
            ledger: Some(place),
        };
        let identity = shared.identities.signing();
        let receipt = receipt.proved(claims, &self.tariff, identity.author());
        let command = Command::Capture { key: self.key, receipt: Box::new(receipt.clone()) };
        // From here on the ledger decides; a release behind its back would be a second end.
        self.open = false;
        let decision: Decision = self.ledger.apply(command).await?;
        match decision? {
            Applied::Captured { .. } => {
                shared.recent.keep(receipt.clone(), self.tariff.clone());
                Ok(receipt)
            }
            _ => Err(Unbilled::Ledger(LedgerError::Corrupt("not the answer to a charge".into()))),
        }
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        if self.open {
            self.ledger.release_soon(self.key, ReleaseReason::Crashed);
        }
    }
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::InsufficientFunds { available, needed } => Fault::InsufficientCredits(format!(
            "this request can cost up to {needed} neuron and the account has {available} neuron \
             left; lower max_tokens or ask the operator for more credit"
        )),
        Refusal::InFlight { receipt } => Fault::Conflict {
            message: format!("the same request is being answered as {receipt}; wait for it"),
            in_flight: true,
        },
        Refusal::Finished { receipt } => Fault::Conflict {
            message: format!(
                "a request under this Idempotency-Key has ended before; how, tells \
                 /v1/signature/{receipt}. Take a new key to ask again"
            ),
            in_flight: false,
        },
        Refusal::KeyReused => Fault::KeyReused,
        Refusal::Frozen => Fault::Forbidden(FROZEN),
        other => {
            tracing::error!(%other, "unexpected refusal of a hold");
            Fault::Internal
        }
    }
}

/// The ledger cannot take a hold now.
fn unavailable(error: &LedgerError) -> Fault {
    tracing::error!(%error, "no hold");
    let message = match error {
        LedgerError::Busy => "this server's ledger is busy; try again",
        _ => "this server's ledger is not available",
    };
    Fault::Unavailable { message: message.into(), retry_after: std::time::Duration::from_secs(1) }
}
