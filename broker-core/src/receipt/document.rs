//! A receipt as a document of Attested Confidential Inference (`aci/1`, section 7), with events of
//! our own for what was counted and charged.
//!
//! The document is never stored: it follows from the record, its [`Proof`] and the tariff that the
//! hold was made under, byte for byte.

use super::proof::{Claims, Proof};
use super::{Outcome, Receipt};
use crate::jcs;
use crate::keyset::ReceiptSignature;
use crate::log;
use crate::statement::Author;
use crate::tariff::{Tariff, UsageSource};

impl Receipt {
    /// The same with a proof: `claims`, signed by `author`. What was charged follows from `tariff`.
    #[must_use]
    pub fn proved(mut self, claims: Claims, tariff: &Tariff, author: Author<'_>) -> Self {
        let mut proof = Proof {
            claims,
            keyset: author.keyset,
            key_id: author.key.id().to_owned(),
            signature: ReceiptSignature([0; 64]),
        };
        proof.signature = author.key.sign(write(&self, &proof, tariff, false).as_bytes());
        self.proof = Some(Box::new(proof));
        self
    }

    /// The signed document in its canonical form; `None` for a record without a proof.
    ///
    /// `tariff` is the one that the request was admitted under.
    pub fn document(&self, tariff: &Tariff) -> Option<String> {
        let proof = self.proof.as_deref()?;
        Some(write(self, proof, tariff, true))
    }

    /// The leaf of its document in the receipt log; `None` where no log promises it.
    pub fn log_leaf(&self, tariff: &Tariff) -> Option<crate::digest::Digest32> {
        let proof = self.proof.as_deref()?;
        proof.claims.ledger.is_some().then(|| {
            let document = write(self, proof, tariff, true);
            log::leaf_hash(document.as_bytes())
        })
    }
}

/// The canonical text, with the signature or, to be signed, without.
fn write(receipt: &Receipt, proof: &Proof, tariff: &Tariff, signed: bool) -> String {
    let claims = &proof.claims;
    let mut text = String::with_capacity(2048);
    jcs::object(&mut text, |o| {
        o.text("api_version", API_VERSION);
        o.text_or_null("chat_id", receipt.upstream_id.as_deref());
        o.text("endpoint", &claims.endpoint);
        o.list("event_log", |events| write_events(events, receipt, claims, tariff));
        o.text("key_id", &proof.key_id);
        o.text("method", &claims.method);
        o.text_or_null("model", claims.model.as_deref());
        o.quoted("receipt_id", receipt.id);
        o.number("served_at", receipt.served_at.0 / 1000);
        if signed {
            o.quoted("signature", proof.signature);
        }
        o.sha256("workload_keyset_digest", proof.keyset);
    });
    text
}

fn write_events(
    events: &mut jcs::ListWriter<'_>,
    receipt: &Receipt,
    claims: &Claims,
    tariff: &Tariff,
) {
    let usage = &receipt.usage;
    events.object(|o| {
        o.sha256("body_hash", receipt.request_hash).text("type", REQUEST_RECEIVED);
        if claims.unread {
            o.plain("unread", true);
        }
    });
    if let Some(forwarded) = claims.forwarded_hash {
        events.object(|o| {
            o.sha256("body_hash", forwarded).text("type", REQUEST_FORWARDED);
        });
    }
    events.object(|o| {
        o.number("cache_write_1h_tokens", usage.cache_write_1h);
        o.number("cache_write_tokens", usage.cache_write);
        o.number("cached_input_tokens", usage.cached_input);
        o.number("input_tokens", usage.input);
        o.number("output_tokens", usage.output);
        o.text("source", source_name(usage.source));
        o.text("type", USAGE_METERED);
    });
    events.object(|o| {
        o.quoted("account", receipt.user);
        o.quoted("fee", receipt.fee);
        o.quoted("hold", claims.hold);
        o.quoted("input_price", tariff.input_price);
        o.quoted("output_price", tariff.output_price);
        o.sha256("tariff", tariff.digest());
        o.text("type", FEE_CHARGED).text("unit", "neuron");
    });
    events.object(|o| {
        o.number("bytes", receipt.bytes);
        match claims.chain_head {
            Some(head) => o.sha256("chain_head", head),
            None => o.plain("chain_head", "null"),
        };
        o.plain("complete", receipt.outcome == Outcome::Complete);
        o.plain("drained", receipt.drained);
        o.number("events", receipt.events);
        o.text_or_null("finish_reason", claims.finish_reason.as_deref());
        o.text("outcome", receipt.outcome.as_str());
        o.number("status", u64::from(receipt.status));
        o.text("type", STREAM_CLOSED);
    });
    events.object(|o| {
        o.sha256("body_hash", receipt.response_hash).text("type", RESPONSE_RETURNED);
    });
    if let Some(place) = claims.ledger {
        events.object(|o| {
            o.number("account_seq", place.account_seq);
            o.sha256("log", place.log).text("type", LEDGER_ENTRY);
        });
    }
}

pub(crate) const API_VERSION: &str = "aci/1";
pub(crate) const REQUEST_RECEIVED: &str = "request.received";
pub(crate) const REQUEST_FORWARDED: &str = "request.forwarded";
pub(crate) const USAGE_METERED: &str = "usage.metered";
pub(crate) const FEE_CHARGED: &str = "fee.charged";
pub(crate) const STREAM_CLOSED: &str = "stream.closed";
pub(crate) const RESPONSE_RETURNED: &str = "response.returned";
pub(crate) const LEDGER_ENTRY: &str = "ledger.entry";

/// The word for who counted.
pub(crate) const fn source_name(source: UsageSource) -> &'static str {
    match source {
        UsageSource::None => "none",
        UsageSource::Engine => "engine",
        UsageSource::Estimate => "estimate",
    }
}
