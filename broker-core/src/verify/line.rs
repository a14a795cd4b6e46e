//! One receipt of an invoice: is it signed, and is its fee what its usage and its tariff come to?
//!
//! This is the part that costs time, and no receipt needs another one for it: any number of threads
//! can share the rules.

use super::Tariffs;
use super::plain::Plain;
use crate::account::UserId;
use crate::digest::Digest32;
use crate::keyset::{Keyset, NotSigned};
use crate::log;
use crate::money::Neuron;
use crate::receipt::{BadReceipt, LedgerPlace, Outcome, ReadReceipt, ReceiptId, WrongFee, due};

/// What receipts are held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The keysets whose signatures count.
    pub keysets: Vec<Keyset>,
    /// The tariffs that are known.
    pub tariffs: Tariffs,
    /// Whether the leaves of the receipts are wanted, for a voucher.
    pub leaves: bool,
}

/// A receipt that a known key signed, as an invoice has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: ReceiptId,
    /// Who pays.
    pub account: UserId,
    /// What was charged, in neuron.
    pub fee: Neuron,
    /// The digest of the tariff that it cites.
    pub tariff: Digest32,
    /// How the exchange ended.
    pub outcome: Outcome,
    /// Where it is written down.
    pub place: Option<LedgerPlace>,
    /// Its leaf in the receipt log, where leaves are wanted.
    pub leaf: Option<Digest32>,
    /// What is wrong with the fee.
    pub fee_fault: Option<FeeFault>,
}

/// What is wrong with a fee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeeFault {
    /// The tariff is not at hand.
    #[error("it cites the tariff sha256:{0}, which is not at hand")]
    UnknownTariff(Digest32),
    /// It is not what usage and tariff come to.
    #[error(transparent)]
    Wrong(#[from] WrongFee),
}

/// Why a document counts for nothing in an invoice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is no JSON.
    #[error("no JSON: {0}")]
    NotJson(String),
    /// It is no receipt.
    #[error(transparent)]
    Unreadable(#[from] BadReceipt),
    /// It is a receipt that says nothing of an account and a fee, as those of other services do.
    #[error("it is no receipt of a tee-sidecar: it tells no {0}")]
    Untold(&'static str),
    /// Its keyset is not at hand.
    #[error("it names the keyset sha256:{0}, which is not at hand")]
    UnknownKeyset(Digest32),
    /// It was made when its keyset had ended.
    #[error("it says that it was made at {served_at}, and its keyset ended at {not_after}")]
    Expired {
        /// When it says that it was made, in seconds since 1970.
        served_at: u64,
        /// The keyset's end.
        not_after: u64,
    },
    /// So many more documents that are no receipts, behind as many as are worth naming.
    #[error("it and those behind it, {0} in all, are no receipts either")]
    More(u64),
    /// The signature does not hold.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

impl LineFault {
    /// Whether the document is no receipt of ours at all.
    pub(super) const fn of_form(&self) -> bool {
        match self {
            Self::Unreadable(BadReceipt::Contradiction(_)) => false,
            Self::NotJson(_) | Self::Unreadable(_) | Self::Untold(_) | Self::More(_) => true,
            Self::UnknownKeyset(_) | Self::Expired { .. } | Self::NotSigned(_) => false,
        }
    }
}

impl Rules {
    /// Checks what can be checked of one receipt alone.
    pub(super) fn plain(&self, plain: &Plain<'_>, document: &[u8]) -> Result<Line, LineFault> {
        let keyset = self.keyset(&plain.keyset, plain.served_at)?;
        keyset.verify(plain.key_id, plain.signed.concat().as_bytes(), &plain.signature)?;
        let charge = &plain.charge;
        Ok(Line {
            id: plain.id,
            account: charge.account,
            fee: charge.fee,
            tariff: charge.tariff,
            outcome: plain.closed.outcome,
            place: plain.place,
            leaf: self.leaves.then(|| log::leaf_hash(document)),
            fee_fault: self.tariffs.check(&plain.usage, charge).err(),
        })
    }

    /// As [`Self::plain`], for a receipt in another spelling.
    pub(super) fn read(&self, read: ReadReceipt) -> Result<Line, LineFault> {
        read.verify(self.keyset(&read.keyset, read.served_at)?)?;
        let (Some(usage), Some(charge)) = (&read.usage, &read.charge) else {
            return Err(LineFault::Untold("usage or fee"));
        };
        Ok(Line {
            id: ReceiptId::parse(&read.id).ok_or(LineFault::Untold("id of the right form"))?,
            account: charge.account,
            fee: charge.fee,
            tariff: charge.tariff,
            outcome: read.closed.as_ref().ok_or(LineFault::Untold("outcome"))?.outcome,
            place: read.place,
            leaf: self.leaves.then(|| read.log_leaf()),
            fee_fault: self.tariffs.check(usage, charge).err(),
        })
    }

    fn keyset(&self, digest: &Digest32, served_at: u64) -> Result<&Keyset, LineFault> {
        let known = self.keysets.iter().find(|keyset| keyset.digest() == *digest);
        let keyset = known.ok_or(LineFault::UnknownKeyset(*digest))?;
        let not_after = keyset.not_after();
        if served_at >= not_after {
            return Err(LineFault::Expired { served_at, not_after });
        }
        Ok(keyset)
    }
}

impl Tariffs {
    fn check(
        &self,
        usage: &crate::tariff::Usage,
        charge: &crate::receipt::ReadCharge,
    ) -> Result<(), FeeFault> {
        let tariff = self.get(&charge.tariff).ok_or(FeeFault::UnknownTariff(charge.tariff))?;
        Ok(due(usage, charge, tariff, charge.tariff)?)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "places within texts of a test")]
mod tests {
    use proptest::prelude::*;

    use crate::jcs::Json;

    use super::*;

    fn vectors() -> Vec<String> {
        let vectors = include_bytes!("../../../fixtures/receipts/receipts.json");
        let vectors = Json::parse(vectors).unwrap();
        let Some(Json::List(receipts)) = vectors.get("receipts") else { panic!() };
        let text = |one: &Json| one.get("canonical").unwrap().text().unwrap().to_owned();
        receipts.iter().map(text).collect()
    }

    /// What the quick reader says is what the general one says, and its text is the canonical one.
    fn agree(text: &str) -> bool {
        let Some(plain) = Plain::read(text) else { return false };
        let read = ReadReceipt::parse(text.as_bytes()).unwrap();
        assert_eq!(read.document().canonical(), text);
        let (unsigned, signature) = read.document().clone().without("signature");
        assert_eq!(unsigned.canonical(), plain.signed.concat());
        assert_eq!(signature.unwrap().text().and_then(crate::keyset::unhex), Some(plain.signature));
        assert_eq!(read.document().get("key_id").unwrap().text(), Some(plain.key_id));
        assert_eq!((read.id.as_str(), read.keyset), (plain.id.to_string().as_str(), plain.keyset));
        assert_eq!((read.usage, read.charge), (Some(plain.usage), Some(plain.charge)));
        assert_eq!((read.closed, read.place), (Some(plain.closed), plain.place));
        assert_eq!(read.served_at, plain.served_at);
        true
    }

    /// The second vector's model has escapes, which the general reader is there for.
    #[test]
    fn our_own_receipts_are_read_in_one_pass() {
        let quick: Vec<bool> = vectors().iter().map(|text| agree(text)).collect();
        assert_eq!(quick, [true, false, true]);
    }

    #[test]
    fn another_spelling_is_left_to_the_general_reader() {
        let text = vectors().swap_remove(0);
        for other in [
            text.replacen(':', ": ", 1),
            format!("{text} "),
            text.replacen(":42", ":042", 1),
            text.replacen(":42", ":4.2e1", 1),
            text.replacen("tiny", "t\\u0069ny", 1),
            text.replacen("\"output_tokens\":128", "\"output_tokens\":9007199254740992", 1),
            text.replacen("\"complete\":true", "\"complete\":false", 1),
            text.replacen("\"type\":\"fee.charged\"", "\"type\":\"fee.changed\"", 1),
        ] {
            assert_ne!(other, text);
            assert!(Plain::read(&other).is_none(), "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn both_readers_agree_on_whatever_the_quick_one_takes(
            at in any::<prop::sample::Index>(),
            with in "[\"\\\\{},:0-9a-f ]{0,2}",
            cut in 0_usize..3
        ) {
            let text = vectors().swap_remove(0);
            let at = at.index(text.len() - 3);
            agree(&format!("{}{with}{}", &text[..at], &text[at + cut..]));
        }
    }
}
