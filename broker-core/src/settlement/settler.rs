//! One pass: resolve, mirror, seal, submit.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::account::{Account, UserId};
use crate::chain::{Chain, ChainError, Landing};
use crate::clock::{Clock, Timestamp};
use crate::command::{Applied, Binding, Command, OpenVoucher, Seal, Settle};
use crate::ledger::statement::Statement;
use crate::ledger::{LedgerError, LedgerReader};
use crate::money::Neuron;
use crate::signer::{Address, Signer};
use crate::voucher::{SignedVoucher, Voucher};

use super::check::{SelfCheck, self_check};
use super::mirror::{Mirrored, mirror};
use super::plan::{Plan, Planned, plan};
use super::policy::{Policy, Reason};
use super::{PassReport, SettleError, Store, read};

/// Collects fees. Only one may work on a ledger and a wallet at a time.
pub struct Settler {
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// Signs vouchers.
    pub signer: Arc<dyn Signer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who is due.
    pub policy: Policy,
}

impl Settler {
    /// Does everything that can be done now. `asked` collects from everyone who owes.
    ///
    /// # Errors
    /// The chain gave no answer, or the ledger failed: what was done until then stands.
    pub async fn pass(&self, asked: bool) -> Result<PassReport, SettleError> {
        self.bind().await?;
        let mut report = PassReport::default();
        self.resolve_into(&mut report, Frozen::Too).await?;
        let check = self_check(&*self.chain, self.signer.address()).await;
        report.obstacles.clone_from(&check.obstacles);
        if let Some(super::Obstacle::Chain(error)) = check.obstacles.first() {
            return Err(error.clone().into());
        }
        self.seal_due(&check, asked, &mut report).await?;
        self.submit(&check, &mut report).await?;
        self.resolve_into(&mut report, Frozen::Left).await?;
        report.open = self.count_open().await?;
        Ok(report)
    }

    /// Writes down what became of open vouchers, and nothing else. Those of frozen users are left
    /// to a pass.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn resolve(&self) -> Result<PassReport, SettleError> {
        let mut report = PassReport::default();
        self.resolve_into(&mut report, Frozen::Left).await?;
        report.open = self.count_open().await?;
        Ok(report)
    }

    /// Makes the ledger this provider's, or finds that it is another's.
    async fn bind(&self) -> Result<(), SettleError> {
        let ours = Binding { domain: self.chain.domain(), provider: self.chain.provider() };
        let bound = match self.read(|reader| reader.binding()).await? {
            Some(bound) => bound,
            None => {
                // Refused only where somebody else was faster; then that one counts.
                let _ = self.store.apply(Command::Bind(ours)).await?;
                self.read(|reader| reader.binding()).await?.unwrap_or(ours)
            }
        };
        if bound == ours { Ok(()) } else { Err(SettleError::BoundElsewhere) }
    }

    /// Those of frozen users wait for the operator, and nobody waits for them.
    async fn count_open(&self) -> Result<u64, LedgerError> {
        let count = |reader: &dyn LedgerReader| {
            let mut count: u64 = 0;
            for open in reader.open_vouchers()? {
                let account = reader.account(&open.voucher.user)?;
                count = count.saturating_add(u64::from(!account.frozen));
            }
            Ok(count)
        };
        self.read(count).await
    }

    pub(super) async fn open(&self) -> Result<Vec<OpenVoucher>, LedgerError> {
        self.read(|reader| reader.open_vouchers()).await
    }

    async fn account(&self, user: UserId) -> Result<Account, LedgerError> {
        self.read(move |reader| reader.account(&user)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn LedgerReader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        read(&*self.store, question).await
    }

    async fn resolve_into(
        &self,
        report: &mut PassReport,
        frozen: Frozen,
    ) -> Result<(), SettleError> {
        for open in self.open().await? {
            let account = self.account(open.voucher.user).await?;
            if account.frozen && frozen == Frozen::Left {
                continue;
            }
            let Some((key, _)) = open.signatures.first() else { continue };
            let Some(signed) = open.signed_by(key) else { continue };
            let landing = match self.chain.landing(signed, open.since).await {
                Ok(landing) => landing,
                // The next pass asks again; the others are not held up.
                Err(error) => {
                    report.problems.push(format!("{}: {error}", open.voucher.user));
                    continue;
                }
            };
            match landing {
                Landing::NotYet => {}
                Landing::Paid(payment) => {
                    let Voucher { user, nonce, .. } = open.voucher;
                    let command = Command::Settle(Box::new(Settle { user, nonce, payment }));
                    match self.store.apply(command).await? {
                        Ok(Applied::Settled { .. }) => report.settled.push((user, payment.paid)),
                        Ok(_) => {}
                        Err(refusal) => report.problems.push(format!("{user}: {refusal}")),
                    }
                }
                Landing::Other { nonce } => self.freeze(&open.voucher, nonce, report).await?,
                Landing::Unknown { nonce } => {
                    let user = open.voucher.user;
                    report.problems.push(format!(
                        "voucher {nonce} of {user} is taken, and the node does not have the event \
                         that tells what was paid: use a node that keeps its logs"
                    ));
                }
            }
        }
        Ok(())
    }

    async fn freeze(
        &self,
        voucher: &Voucher,
        nonce: u64,
        report: &mut PassReport,
    ) -> Result<(), SettleError> {
        let user = voucher.user;
        if self.store.apply(Command::Freeze { user, nonce }).await?.is_ok() {
            tracing::error!(
                %user, nonce,
                "the chain has paid another voucher under this nonce: the account is frozen. Was \
                 the ledger restored from a backup, or does another sidecar sign?"
            );
            report.frozen.push(user);
        }
        Ok(())
    }

    async fn seal_due(
        &self,
        check: &SelfCheck,
        asked: bool,
        report: &mut PassReport,
    ) -> Result<(), SettleError> {
        let now = self.clock.now();
        let statements = self.read(|reader| reader.statements()).await?;
        let plan = plan(&statements, &*self.chain, &self.policy, &check.terms, now, asked).await;
        report.say_unread(&plan.unread);
        for planned in &plan.users {
            match mirror(&*self.store, planned.user, &planned.view).await? {
                Mirrored::Taken => {}
                Mirrored::Frozen => {
                    report.frozen.push(planned.user);
                    continue;
                }
                Mirrored::Stale => {
                    // Behind what was settled, or a voucher from before us that is not final.
                    let user = planned.user;
                    report.problems.push(format!("the chain's view of {user} is not final yet"));
                    continue;
                }
                Mirrored::AfterSettlement | Mirrored::Absent => continue,
            }
            // Vouchers of a key that the contract does not pay are not even made.
            let pays = check.paying_signer() == Some(self.signer.address());
            if let Some(reason) = planned.reason.filter(|_| pays) {
                self.seal(planned, reason, check, report).await?;
            }
        }
        report.overdue = overdue(&plan, &statements, report);
        Ok(())
    }

    async fn seal(
        &self,
        planned: &Planned,
        reason: Reason,
        check: &SelfCheck,
        report: &mut PassReport,
    ) -> Result<(), SettleError> {
        let user = planned.user;
        let Some(unsealed) = self.read(move |reader| reader.unsealed(&user)).await? else {
            report.problems.push(format!("{user} owes, and no receipt of it is found"));
            return Ok(());
        };
        let nonce = unsealed.books.nonce.map_or(0, |known| known.saturating_add(1));
        // Something under this nonce or a later one is on its way already.
        if planned.view.latest_nonce() >= nonce {
            return Ok(());
        }
        if nonce > self.nonce_max() {
            report.problems.push(format!(
                "the nonce of {user} on the chain is so high that no voucher may follow it"
            ));
            return Ok(());
        }
        let collected = &unsealed.collected;
        let voucher = Voucher {
            user,
            provider: self.chain.provider(),
            total: collected.total(),
            requests_hash: collected.root(),
            nonce,
        };
        let signed = voucher.sign(&self.chain.domain(), &*self.signer)?;
        let since = check.terms.last_final.number;
        let seal = Seal { voucher: signed, sealed_to: unsealed.sealed_to, since };
        match self.store.apply(Command::Seal(Box::new(seal))).await? {
            Ok(_) => report.sealed.push((user, reason, voucher.total)),
            Err(refusal) => report.problems.push(format!("{user}: {refusal}")),
        }
        Ok(())
    }

    /// The clock nonces of 0G's own broker stay above ours, and no signature of ours can use up all
    /// nonces there are: seconds × 10^7, an hour ahead.
    fn nonce_max(&self) -> u64 {
        self.clock.now().as_secs().saturating_add(3_600).saturating_mul(10_000_000)
    }

    /// The voucher with a signature of `paying`: one that is there, or one that is added. Nothing
    /// but the signature differs, so it does not matter which of them lands.
    pub(super) async fn as_signed_by(
        &self,
        open: &OpenVoucher,
        paying: Address,
    ) -> Result<Option<SignedVoucher>, SettleError> {
        if let Some(signed) = open.signed_by(&paying) {
            return Ok(Some(signed));
        }
        if paying != self.signer.address() {
            return Ok(None);
        }
        let signed = open.voucher.sign(&self.chain.domain(), &*self.signer)?;
        let decided = self.store.apply(Command::Countersign(Box::new(signed))).await?;
        Ok(decided.ok().map(|_| signed))
    }

    /// Whether vouchers of another key than this sidecar's wait, and the contract would still pay
    /// them: they have to land before the service names another signer.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn waits_for_old_signer(&self) -> Result<Vec<(UserId, Neuron)>, SettleError> {
        let check = self_check(&*self.chain, self.signer.address()).await;
        let Some(paying) = check.paying_signer() else { return Ok(Vec::new()) };
        if paying == self.signer.address() {
            return Ok(Vec::new());
        }
        let mut waiting = Vec::new();
        for open in self.open().await? {
            let Some(signed) = open.signed_by(&paying) else { continue };
            let user = open.voucher.user;
            if self.account(user).await?.frozen {
                continue;
            }
            // What the contract would not take now can be signed again by the new key later.
            let taken = match self.chain.rehearse(vec![signed]).await {
                Ok(verdicts) => verdicts.iter().all(|verdict| verdict.is_taken()),
                Err(ChainError::Reverted(_)) => false,
                Err(error) => return Err(error.into()),
            };
            if taken {
                waiting.push((user, open.voucher.total));
            }
        }
        Ok(waiting)
    }
}

/// The oldest fee that should have come under a voucher, and did not.
fn overdue(plan: &Plan, statements: &[Statement], report: &PassReport) -> Option<Timestamp> {
    let due = plan.users.iter().filter(|planned| planned.reason.is_some());
    let due = due.map(|planned| planned.user).chain(plan.unread.iter().map(|(user, _)| *user));
    let mut left: BTreeSet<UserId> = due.collect();
    for (user, ..) in &report.sealed {
        left.remove(user);
    }
    for user in &report.frozen {
        left.remove(user);
    }
    let late = statements.iter().filter(|known| left.contains(&known.user));
    late.filter_map(|known| known.oldest_unsealed).min()
}

/// Whether vouchers of frozen users are looked up too: their search may go far back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frozen {
    Left,
    Too,
}
