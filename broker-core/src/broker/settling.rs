//! Collecting on a chain, only when asked to.

use std::sync::Arc;

use crate::account::UserId;
use crate::chain::{AccountView, Chain};
use crate::command::Command;
use crate::error::Error;
use crate::ledger::LedgerReader;
use crate::settlement::{
    Mirrored, PassReport, Policy, Preview, Question, SettleError, Settler, Store, StoreFuture,
    mirror, preview,
};
use crate::writer::LedgerHandle;

use super::Broker;
use super::blocking::{aside, to_the_end};

impl Broker {
    /// Takes over what the chain says of a user's escrow: its cover in neuron, and at the first
    /// time where the nonces of its vouchers begin. Call it before the user's first request, and as
    /// often as a change of the escrow has to be seen. What a user was charged before the first
    /// time is taken to be paid in another way and leaves the books.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn mirror_escrow(&self, user: UserId, view: AccountView) -> Result<Mirrored, Error> {
        self.shared.check()?;
        let taken = mirror(&self.books(), user, &view).await;
        taken.map_err(|error| self.shared.failure(error))
    }

    /// Collects from everyone who is due by `policy`: one pass, in which vouchers are written down,
    /// signed by this broker's key and sent, and those that final blocks paid are ended. Amounts of
    /// the report are in neuron. Passes of one broker wait for each other; on one ledger and one
    /// wallet only one broker may settle.
    ///
    /// Safe to repeat and to be cut off anywhere. Once polled, a pass goes on to its end even if
    /// the future is dropped.
    ///
    /// # Errors
    /// [`Error::Chain`] where the chain gave no answer, [`Error::Sign`],
    /// [`Error::BoundElsewhere`] for a ledger of another provider, [`Error::Ledger`] or
    /// [`Error::Failed`]. What was done until then stands.
    pub async fn settle_due(
        &self,
        chain: Arc<dyn Chain>,
        policy: Policy,
    ) -> Result<PassReport, Error> {
        self.pass(chain, policy, false).await
    }

    /// Collects from everyone who owes, whatever the amount; else as [`Self::settle_due`].
    ///
    /// # Errors
    /// As [`Self::settle_due`].
    pub async fn settle_all(&self, chain: Arc<dyn Chain>) -> Result<PassReport, Error> {
        self.pass(chain, Policy::default(), true).await
    }

    /// What [`Self::settle_due`] would do now, what it would cost and what stands in its way, in
    /// neuron. Writes nothing and sends nothing.
    ///
    /// # Errors
    /// [`Error::Chain`] where the chain gave no answer, [`Error::Ledger`] or [`Error::Failed`].
    pub async fn settle_plan(&self, chain: &dyn Chain, policy: &Policy) -> Result<Preview, Error> {
        let statements = self.read(|reader| reader.statements()).await?;
        let (signer, now) = (self.signing_address(), self.shared.clock.now());
        Ok(preview(&statements, chain, Some(signer), policy, now).await?)
    }

    async fn pass(
        &self,
        chain: Arc<dyn Chain>,
        policy: Policy,
        asked: bool,
    ) -> Result<PassReport, Error> {
        // Goes with the pass: a second one waits for it even if its caller has left.
        let turn = Arc::clone(&self.shared.passes).lock_owned().await;
        self.shared.check()?;
        let settler = Settler {
            store: Arc::new(self.books()),
            chain,
            signer: Arc::clone(&self.shared.signer),
            clock: Arc::clone(&self.shared.clock),
            policy,
        };
        let passed = to_the_end(async move {
            let _turn = turn;
            settler.pass(asked).await
        });
        passed.await?.map_err(|error| match error {
            SettleError::Ledger(error) => self.shared.failure(error),
            other => other.into(),
        })
    }

    fn books(&self) -> Books {
        let shared = &self.shared;
        Books { handle: shared.handle.clone(), reader: Arc::clone(&shared.reader) }
    }
}

/// The ledger as settlement uses it. Unlike [`crate::settlement::LedgerStore`] it starts no
/// threads: what blocks goes to the runtime's.
struct Books {
    handle: LedgerHandle,
    reader: Arc<dyn LedgerReader>,
}

impl Store for Books {
    fn apply(&self, command: Command) -> StoreFuture<'_> {
        Box::pin(self.handle.apply(command))
    }

    fn ask(&self, question: Question) {
        let reader = Arc::clone(&self.reader);
        aside(move || question(&*reader));
    }
}
