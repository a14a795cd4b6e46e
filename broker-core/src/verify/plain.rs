//! A receipt of ours, read in one pass where it stands in its canonical form already.
//!
//! A million receipts are a million parses: this one allocates nothing, and what it signs for is
//! the text itself less the signature. It takes the canonical text of exactly the members and
//! events that [`crate::receipt::Receipt::document`] writes, without escapes. Everything else, good
//! or bad, is left to [`crate::receipt::ReadReceipt`], and what both take, both take alike.

use crate::account::UserId;
use crate::digest::Digest32;
use crate::jcs::INTEGER_MAX;
use crate::keyset::{digest_text, unhex};
use crate::money::Neuron;
use crate::receipt::{
    LedgerPlace, Outcome, ReadCharge, ReadClose, ReceiptId, contradiction, source_name,
};
use crate::tariff::{Usage, UsageSource};

/// What an invoice wants of a receipt.
pub(super) struct Plain<'a> {
    pub(super) id: ReceiptId,
    pub(super) keyset: Digest32,
    pub(super) key_id: &'a str,
    pub(super) signature: [u8; 64],
    /// The text before the member `signature`, and behind it.
    pub(super) signed: [&'a str; 2],
    pub(super) usage: Usage,
    pub(super) charge: ReadCharge,
    pub(super) closed: ReadClose,
    pub(super) place: Option<LedgerPlace>,
    pub(super) served_at: u64,
}

impl<'a> Plain<'a> {
    /// The receipt that `text` is; `None` where the general reader has to look.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut at = Cursor { rest: text };
        at.literal(r#"{"api_version":"aci/1","chat_id":"#)?.text_or_null()?;
        at.literal(r#","endpoint":"#)?.text()?;
        let received = at.literal(r#","event_log":[{"body_hash":"#)?.digest()?;
        at.literal(r#","type":"request.received""#)?;
        let unread = at.literal(r#","unread":true"#).map(|_| received);
        at.literal("},{")?;
        let forwarded = at.literal(r#""body_hash":"#).is_some();
        if forwarded {
            at.digest()?;
            at.literal(r#","type":"request.forwarded"},{"#)?;
        }
        let usage = at.usage()?;
        let charge = at.charge()?;
        let closed = at.closed()?;
        at.literal(r#"{"body_hash":"#)?.digest()?;
        at.literal(r#","type":"response.returned"}"#)?;
        let place = at.place()?;
        let key_id = at.literal(r#"],"key_id":"#)?.text()?;
        at.literal(r#","method":"#)?.text()?;
        at.literal(r#","model":"#)?.text_or_null()?;
        let id = ReceiptId::parse(at.literal(r#","receipt_id":"#)?.text()?)?;
        let served_at = at.literal(r#","served_at":"#)?.number()?;
        let before = text.get(..text.len().checked_sub(at.rest.len())?)?;
        let signature = unhex(at.literal(r#","signature":"#)?.text()?)?;
        let behind = at.rest;
        let keyset = at.literal(r#","workload_keyset_digest":"#)?.digest()?;
        let wrong = contradiction(Some(&usage), Some(&charge), forwarded, unread.as_ref());
        if at.rest != "}" || wrong.is_some() {
            return None;
        }
        let signed = [before, behind];
        Some(Self {
            id,
            keyset,
            key_id,
            signature,
            signed,
            usage,
            charge,
            closed,
            place,
            served_at,
        })
    }
}

/// What is left of the text. What does not fit leaves it where it is, or `None` for good.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn usage(&mut self) -> Option<Usage> {
        let cache_write_1h = self.literal(r#""cache_write_1h_tokens":"#)?.number()?;
        let cache_write = self.literal(r#","cache_write_tokens":"#)?.number()?;
        let cached_input = self.literal(r#","cached_input_tokens":"#)?.number()?;
        let input = self.literal(r#","input_tokens":"#)?.number()?;
        let output = self.literal(r#","output_tokens":"#)?.number()?;
        let source = self.literal(r#","source":"#)?.text()?;
        let sources = [UsageSource::Engine, UsageSource::None, UsageSource::Estimate];
        let source = sources.into_iter().find(|known| source_name(*known) == source)?;
        self.literal(r#","type":"usage.metered"},"#)?;
        Some(Usage { input, cached_input, cache_write, cache_write_1h, output, source })
    }

    fn charge(&mut self) -> Option<ReadCharge> {
        let account: UserId = self.literal(r#"{"account":"#)?.text()?.parse().ok()?;
        let fee = self.literal(r#","fee":"#)?.neuron()?;
        let hold = self.literal(r#","hold":"#)?.neuron()?;
        let input_price = self.literal(r#","input_price":"#)?.neuron()?;
        let output_price = self.literal(r#","output_price":"#)?.neuron()?;
        let tariff = self.literal(r#","tariff":"#)?.digest()?;
        self.literal(r#","type":"fee.charged","unit":"neuron"},"#)?;
        Some(ReadCharge { account, input_price, output_price, tariff, hold, fee })
    }

    fn closed(&mut self) -> Option<ReadClose> {
        let bytes = self.literal(r#"{"bytes":"#)?.number()?;
        self.literal(r#","chain_head":"#)?;
        let chain_head = match self.literal("null") {
            Some(_) => None,
            None => Some(self.digest()?),
        };
        let complete = self.literal(r#","complete":"#)?.truth()?;
        self.literal(r#","drained":"#)?.truth()?;
        let events = self.literal(r#","events":"#)?.number()?;
        self.literal(r#","finish_reason":"#)?.text_or_null()?;
        let outcome = Outcome::named(self.literal(r#","outcome":"#)?.text()?)?;
        let status = self.literal(r#","status":"#)?.number()?;
        self.literal(r#","type":"stream.closed"},"#)?;
        let told = ReadClose { outcome, status, bytes, events, chain_head };
        (complete == (outcome == Outcome::Complete)).then_some(told)
    }

    fn place(&mut self) -> Option<Option<LedgerPlace>> {
        if self.literal(r#",{"account_seq":"#).is_none() {
            return Some(None);
        }
        let account_seq = self.number()?;
        let log = self.literal(r#","log":"#)?.digest()?;
        self.literal(r#","type":"ledger.entry"}"#)?;
        Some(Some(LedgerPlace { log, account_seq }))
    }

    fn literal(&mut self, text: &str) -> Option<&mut Self> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(self)
    }

    /// A string without escapes: one that is its own canonical form.
    fn text(&mut self) -> Option<&'a str> {
        let inner = self.rest.strip_prefix('"')?;
        let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        let end = inner.as_bytes().iter().position(special)?;
        let (text, behind) = inner.split_at_checked(end)?;
        self.rest = behind.strip_prefix('"')?;
        Some(text)
    }

    fn text_or_null(&mut self) -> Option<()> {
        if self.literal("null").is_none() {
            self.text()?;
        }
        Some(())
    }

    fn truth(&mut self) -> Option<bool> {
        if self.literal("true").is_some() {
            return Some(true);
        }
        self.literal("false").map(|_| false)
    }

    /// A number as the canonical form has it: without sign, leading zero, fraction or exponent.
    fn number(&mut self) -> Option<u64> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, behind) = self.rest.split_at_checked(digits)?;
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        let number = digits.parse().ok().filter(|number| *number <= INTEGER_MAX)?;
        self.rest = behind;
        Some(number)
    }

    fn neuron(&mut self) -> Option<Neuron> {
        self.text()?.parse().ok()
    }

    fn digest(&mut self) -> Option<Digest32> {
        digest_text(self.text()?)
    }
}
