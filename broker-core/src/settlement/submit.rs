//! What is sent: open vouchers that the contract would take now.

use crate::account::UserId;
use crate::chain::{BATCH_VOUCHERS_MAX, ChainError, Verdict};
use crate::command::OpenVoucher;
use crate::voucher::SignedVoucher;

use super::check::SelfCheck;
use super::{PassReport, SettleError, Settler};

impl Settler {
    /// The open vouchers that the contract would refuse now, and why: those that a pass would not
    /// send. Writes nothing and sends nothing, so that whoever does not collect may ask too.
    ///
    /// # Errors
    /// The chain gave no answer, or the ledger failed: what was known of refusals still holds.
    pub async fn rehearse(&self) -> Result<Vec<(UserId, Verdict)>, SettleError> {
        let open = self.open().await?;
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let service = self.chain.service().await?;
        let check = SelfCheck { service, ..SelfCheck::default() };
        let Some(paying) = check.paying_signer() else { return Ok(Vec::new()) };
        let (open, unread) = self.untaken(open).await;
        if let Some((_, error)) = unread.into_iter().next() {
            return Err(error.into());
        }
        let mut batch = Vec::new();
        for open in open {
            match open.signed_by(&paying) {
                Some(signed) => batch.push(signed),
                // As a pass would sign it, and write down.
                None if paying == self.signer.address() => {
                    batch.push(open.voucher.sign(&self.chain.domain(), &*self.signer)?);
                }
                None => {}
            }
        }
        let mut refusals = Vec::new();
        for some in batch.chunks(BATCH_VOUCHERS_MAX) {
            let (verdicts, unknown) = self.verdicts(some).await;
            let is_silence = |error: &ChainError| !matches!(error, ChainError::Reverted(_));
            if let Some(error) = unknown.into_iter().find(is_silence) {
                return Err(error.into());
            }
            refusals.extend(refused(&verdicts));
        }
        Ok(refusals)
    }

    /// Sends what the chain has not taken yet, as the key signed it that the contract pays.
    pub(super) async fn submit(
        &self,
        check: &SelfCheck,
        report: &mut PassReport,
    ) -> Result<(), SettleError> {
        let Some(paying) = check.paying_signer() else { return Ok(()) };
        let (open, unread) = self.untaken(self.open().await?).await;
        report.say_unread(&unread);
        let mut batch = Vec::new();
        for open in open {
            if let Some(signed) = self.as_signed_by(&open, paying).await? {
                batch.push(signed);
            }
        }
        for some in batch.chunks(BATCH_VOUCHERS_MAX) {
            // Those that the contract would not take now would cost gas, again and again.
            let (verdicts, unknown) = self.verdicts(some).await;
            report.problems.extend(unknown.iter().map(ToString::to_string));
            report.refused.extend(refused(&verdicts));
            let payable = verdicts.iter().filter(|(_, verdict)| verdict.is_taken());
            let payable: Vec<_> = payable.map(|(signed, _)| *signed).collect();
            if payable.is_empty() {
                continue;
            }
            let count = u64::try_from(payable.len()).unwrap_or(u64::MAX);
            report.submitted = report.submitted.saturating_add(count);
            // An error is no verdict: the transaction may be on its way all the same.
            if let Err(error) = self.chain.submit(payable).await {
                report.problems.push(error.to_string());
            }
        }
        Ok(())
    }

    /// Those whose nonce the chain has not taken and whose account is there, and those whose
    /// escrow could not be read.
    async fn untaken(
        &self,
        open: Vec<OpenVoucher>,
    ) -> (Vec<OpenVoucher>, Vec<(UserId, ChainError)>) {
        let (mut untaken, mut unread) = (Vec::new(), Vec::new());
        for open in open {
            match self.chain.account(open.voucher.user).await {
                Ok(view) if view.latest_nonce() >= open.voucher.nonce => {}
                Ok(view) if view.latest.is_none() => {}
                Ok(_) => untaken.push(open),
                Err(error) => unread.push((open.voucher.user, error)),
            }
        }
        (untaken, unread)
    }

    /// What the contract would make of each voucher now, and why some of that is not known.
    async fn verdicts(
        &self,
        batch: &[SignedVoucher],
    ) -> (Vec<(SignedVoucher, Verdict)>, Vec<ChainError>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.chain.rehearse(part.to_vec()).await {
                Ok(verdicts) => known.extend(part.iter().copied().zip(verdicts)),
                // Too many for one block, or one that the contract stumbles over.
                Err(ChainError::Reverted(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => unknown.push(error),
            }
        }
        (known, unknown)
    }
}

/// Those that the contract would not take. One whose nonce is taken has landed since we looked.
fn refused(
    verdicts: &[(SignedVoucher, Verdict)],
) -> impl Iterator<Item = (UserId, Verdict)> + use<'_> {
    let refused = verdicts
        .iter()
        .filter(|(_, verdict)| !verdict.is_taken() && *verdict != Verdict::InvalidNonce);
    refused.map(|(signed, verdict)| (signed.voucher.user, *verdict))
}
