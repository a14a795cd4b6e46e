//! A receipt as an auditor reads it, from any sidecar and any spelling of its JSON.

use std::str::FromStr;

use super::Outcome;
use super::document::{
    API_VERSION, FEE_CHARGED, LEDGER_ENTRY, REQUEST_FORWARDED, REQUEST_RECEIVED, RESPONSE_RETURNED,
    STREAM_CLOSED, USAGE_METERED, source_name,
};
use super::proof::LedgerPlace;
use crate::account::UserId;
use crate::digest::Digest32;
use crate::jcs::{Json, NotCanonical};
use crate::keyset::{Keyset, NotSigned, digest_text};
use crate::log;
use crate::money::Neuron;
use crate::statement;
use crate::tariff::{Tariff, Usage, UsageSource};

/// What a receipt says, once its form is good. Nothing is believed until [`ReadReceipt::verify`].
#[derive(Clone, Debug)]
pub struct ReadReceipt {
    document: Json,
    /// Its id.
    pub id: String,
    /// The keyset that it names.
    pub keyset: Digest32,
    /// When it was made, in seconds since 1970, by the signer's own clock.
    pub served_at: u64,
    /// SHA-256 of the request as it arrived.
    pub request_hash: Digest32,
    /// The request was refused before its body was read: the hash is that of nothing.
    pub unread: bool,
    /// SHA-256 of what the engine was sent.
    pub forwarded_hash: Option<Digest32>,
    /// SHA-256 of the answer.
    pub response_hash: Digest32,
    /// What was counted.
    pub usage: Option<Usage>,
    /// What was charged.
    pub charge: Option<ReadCharge>,
    /// How it ended.
    pub closed: Option<ReadClose>,
    /// Where it is written down.
    pub place: Option<LedgerPlace>,
}

/// A receipt's `fee.charged`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadCharge {
    /// Who pays.
    pub account: UserId,
    /// Neuron for a prompt token.
    pub input_price: Neuron,
    /// Neuron for a generated token.
    pub output_price: Neuron,
    /// The digest of the tariff's terms.
    pub tariff: Digest32,
    /// The most that could be charged, in neuron.
    pub hold: Neuron,
    /// What was charged, in neuron.
    pub fee: Neuron,
}

/// A receipt's `stream.closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadClose {
    /// How the exchange ended.
    pub outcome: Outcome,
    /// The HTTP status.
    pub status: u64,
    /// Bytes handed over.
    pub bytes: u64,
    /// Events handed over; zero for a buffered answer.
    pub events: u64,
    /// The end of the rolling hash over a streamed answer.
    pub chain_head: Option<Digest32>,
}

/// Why a document is no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadReceipt {
    /// It is no canonical JSON.
    #[error("the receipt is {0}")]
    NotCanonical(#[from] NotCanonical),
    /// It is longer than any receipt.
    #[error("it has {0} bytes, more than any receipt")]
    TooLong(usize),
    /// It is of another version.
    #[error("the receipt's api_version is not aci/1")]
    Version,
    /// A member is missing or of another form.
    #[error("the receipt's '{0}' is missing or of another form")]
    Member(&'static str),
    /// An event is missing or stands where it may not.
    #[error("the receipt's event '{0}' is missing, there twice or out of place")]
    Event(&'static str),
    /// The parts of it contradict each other.
    #[error("the receipt contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// Why a fee is not what the usage and the tariff come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongFee {
    /// The receipt says nothing of a charge.
    #[error("the receipt tells no usage or no fee")]
    Untold,
    /// Another tariff is cited.
    #[error("the receipt cites the tariff sha256:{cited}, and this is sha256:{given}")]
    OtherTariff {
        /// The one that is cited.
        cited: Digest32,
        /// The one at hand.
        given: Digest32,
    },
    /// Unit prices that are not those of the tariff that is cited.
    #[error("the unit prices that the receipt states are not those of the tariff that it cites")]
    Prices,
    /// Another sum.
    #[error("the fee is {charged} neuron, and usage and tariff come to {due}")]
    Sum {
        /// What the receipt says.
        charged: Neuron,
        /// What it would have to say.
        due: Neuron,
    },
}

impl ReadReceipt {
    /// Reads a receipt in any spelling.
    ///
    /// # Errors
    /// It is no receipt, or one that contradicts itself.
    pub fn parse(text: &[u8]) -> Result<Self, BadReceipt> {
        if text.len() > RECEIPT_BYTES_MAX {
            return Err(BadReceipt::TooLong(text.len()));
        }
        Self::from_json(Json::parse(text)?)
    }

    /// As [`Self::parse`], of a document that was read.
    ///
    /// # Errors
    /// It is no receipt, or one that contradicts itself.
    pub fn from_json(document: Json) -> Result<Self, BadReceipt> {
        let text = |key| document.get(key).and_then(Json::text).ok_or(BadReceipt::Member(key));
        if text("api_version") != Ok(API_VERSION) {
            return Err(BadReceipt::Version);
        }
        for key in ["endpoint", "method", "key_id", "signature"] {
            text(key)?;
        }
        let id = text("receipt_id")?.to_owned();
        let keyset = text("workload_keyset_digest").ok().and_then(digest_text);
        let keyset = keyset.ok_or(BadReceipt::Member("workload_keyset_digest"))?;
        let served_at = document.get("served_at").and_then(Json::number);
        let served_at = served_at.ok_or(BadReceipt::Member("served_at"))?;
        let Some(Json::List(events)) = document.get("event_log") else {
            return Err(BadReceipt::Member("event_log"));
        };
        if events.first().and_then(statement::kind) != Some(REQUEST_RECEIVED) {
            return Err(BadReceipt::Event(REQUEST_RECEIVED));
        }
        let body_hash = |name: &'static str| match event(events, name)? {
            Some(event) => digest(event, "body_hash").map(Some),
            None => Ok(None),
        };
        let request_hash = body_hash(REQUEST_RECEIVED)?;
        let response_hash = body_hash(RESPONSE_RETURNED)?;
        let read = Self {
            id,
            keyset,
            served_at,
            request_hash: request_hash.ok_or(BadReceipt::Event(REQUEST_RECEIVED))?,
            unread: events.first().and_then(|event| event.get("unread")) == Some(&Json::Bool(true)),
            forwarded_hash: body_hash(REQUEST_FORWARDED)?,
            response_hash: response_hash.ok_or(BadReceipt::Event(RESPONSE_RETURNED))?,
            usage: event(events, USAGE_METERED)?.map(usage).transpose()?,
            charge: event(events, FEE_CHARGED)?.map(charge).transpose()?,
            closed: event(events, STREAM_CLOSED)?.map(close).transpose()?,
            place: event(events, LEDGER_ENTRY)?.map(place).transpose()?,
            document,
        };
        read.consistent()
    }

    /// Checks that a key of `keyset` signed it.
    ///
    /// # Errors
    /// It names another keyset, or the signature does not hold.
    pub fn verify(&self, keyset: &Keyset) -> Result<(), NotSigned> {
        statement::verify(self.document.clone(), keyset).map(drop)
    }

    /// Checks the fee against the tariff whose digest it cites.
    ///
    /// # Errors
    /// It is another tariff, or another sum.
    pub fn check_fee(&self, tariff: &Tariff) -> Result<(), WrongFee> {
        let (Some(usage), Some(charge)) = (&self.usage, &self.charge) else {
            return Err(WrongFee::Untold);
        };
        due(usage, charge, tariff, tariff.digest())
    }

    /// Its leaf in the receipt log.
    pub fn log_leaf(&self) -> Digest32 {
        log::leaf_hash(self.document.canonical().as_bytes())
    }

    /// The document.
    pub const fn document(&self) -> &Json {
        &self.document
    }

    fn consistent(self) -> Result<Self, BadReceipt> {
        let forwarded = self.forwarded_hash.is_some();
        let unread = self.unread.then_some(&self.request_hash);
        match contradiction(self.usage.as_ref(), self.charge.as_ref(), forwarded, unread) {
            Some(what) => Err(BadReceipt::Contradiction(what)),
            None => Ok(self),
        }
    }
}

/// A value of JSON takes dozens of bytes in memory for two in the file.
const RECEIPT_BYTES_MAX: usize = 64 * 1024;

/// What cannot be true together in what a receipt says. `unread` is the hash of a request that is
/// said not to have been read.
pub(crate) fn contradiction(
    usage: Option<&Usage>,
    charge: Option<&ReadCharge>,
    forwarded: bool,
    unread: Option<&Digest32>,
) -> Option<&'static str> {
    if unread.is_some_and(|hash| forwarded || *hash != Digest32::sha256(b"")) {
        return Some("the request was not read, and was hashed or forwarded");
    }
    let counted = usage.is_some_and(|usage| (usage.input, usage.output) != (0, 0));
    let charged = charge.is_some_and(|charge| !charge.fee.is_zero());
    if !forwarded && (counted || charged) {
        return Some("something was counted or charged, and nothing was forwarded");
    }
    if charge.is_some_and(|charge| charge.fee > charge.hold) {
        return Some("the fee is above the hold");
    }
    let usage = usage?;
    let parts = [usage.cached_input, usage.cache_write, usage.cache_write_1h];
    let cached = parts.into_iter().try_fold(0_u64, u64::checked_add);
    cached
        .is_none_or(|cached| cached > usage.input)
        .then_some("more prompt tokens were cached than there were")
}

/// Checks a charge against a tariff with this digest.
pub(crate) fn due(
    usage: &Usage,
    charge: &ReadCharge,
    tariff: &Tariff,
    given: Digest32,
) -> Result<(), WrongFee> {
    if given != charge.tariff {
        return Err(WrongFee::OtherTariff { cited: charge.tariff, given });
    }
    if (charge.input_price, charge.output_price) != (tariff.input_price, tariff.output_price) {
        return Err(WrongFee::Prices);
    }
    let due = tariff.fee(usage).map_or(charge.hold, |fee| fee.min(charge.hold));
    if due == charge.fee {
        return Ok(());
    }
    Err(WrongFee::Sum { charged: charge.fee, due })
}

/// The event of this type; none of ours and none of the standard's may be there twice.
fn event<'a>(events: &'a [Json], name: &'static str) -> Result<Option<&'a Json>, BadReceipt> {
    let mut found = events.iter().filter(|event| statement::kind(event) == Some(name));
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(BadReceipt::Event(name)),
        (found, None) => Ok(found),
    }
}

fn usage(event: &Json) -> Result<Usage, BadReceipt> {
    let sources = [UsageSource::None, UsageSource::Engine, UsageSource::Estimate];
    let source = event
        .get("source")
        .and_then(Json::text)
        .and_then(|text| sources.into_iter().find(|source| source_name(*source) == text));
    Ok(Usage {
        input: number(event, "input_tokens")?,
        cached_input: number(event, "cached_input_tokens")?,
        cache_write: number(event, "cache_write_tokens")?,
        cache_write_1h: number(event, "cache_write_1h_tokens")?,
        output: number(event, "output_tokens")?,
        source: source.ok_or(BadReceipt::Member("source"))?,
    })
}

fn charge(event: &Json) -> Result<ReadCharge, BadReceipt> {
    if event.get("unit").and_then(Json::text) != Some("neuron") {
        return Err(BadReceipt::Member("unit"));
    }
    Ok(ReadCharge {
        account: parsed(event, "account")?,
        input_price: parsed(event, "input_price")?,
        output_price: parsed(event, "output_price")?,
        tariff: digest(event, "tariff")?,
        hold: parsed(event, "hold")?,
        fee: parsed(event, "fee")?,
    })
}

fn close(event: &Json) -> Result<ReadClose, BadReceipt> {
    let outcome = event.get("outcome").and_then(Json::text).and_then(Outcome::named);
    let outcome = outcome.ok_or(BadReceipt::Member("outcome"))?;
    let complete = event.get("complete");
    if complete != Some(&Json::Bool(outcome == Outcome::Complete)) {
        return Err(BadReceipt::Contradiction("'complete' is not what the outcome says"));
    }
    let chain_head = match event.get("chain_head") {
        Some(Json::Null) => None,
        _ => Some(digest(event, "chain_head")?),
    };
    Ok(ReadClose {
        outcome,
        status: number(event, "status")?,
        bytes: number(event, "bytes")?,
        events: number(event, "events")?,
        chain_head,
    })
}

fn place(event: &Json) -> Result<LedgerPlace, BadReceipt> {
    Ok(LedgerPlace { log: digest(event, "log")?, account_seq: number(event, "account_seq")? })
}

fn number(event: &Json, key: &'static str) -> Result<u64, BadReceipt> {
    event.get(key).and_then(Json::number).ok_or(BadReceipt::Member(key))
}

fn digest(event: &Json, key: &'static str) -> Result<Digest32, BadReceipt> {
    event.get(key).and_then(Json::text).and_then(digest_text).ok_or(BadReceipt::Member(key))
}

fn parsed<T: FromStr>(event: &Json, key: &'static str) -> Result<T, BadReceipt> {
    let text = event.get(key).and_then(Json::text);
    text.and_then(|text| text.parse().ok()).ok_or(BadReceipt::Member(key))
}
