//! The rolling hash over a streamed answer, and the checkpoints that sign it on the way.
//!
//! ```text
//! h(0) = SHA-256("broker-core.stream.v1" 00 receipt id)
//! h(i) = SHA-256(h(i-1) ‖ length ‖ event)
//! ```
//!
//! The id is the 16 bytes of the UUID, the length a u64, big-endian. An event is everything up to
//! and with the next empty line: whoever has the first bytes of an answer cuts them after each
//! `\n\n`; what is left in the end counts as one more. A checkpoint is an event of its own, an SSE
//! comment, and covers the events before it: with one of them, and half an answer, a client can
//! prove what it was sent and what it owed then.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest32;
use crate::jcs::{INTEGER_MAX, Json};
use crate::keyset::{Keyset, NotSigned, digest_text};
use crate::money::Neuron;
use crate::receipt::ReceiptId;
use crate::statement::{self, Author};
use crate::tariff::Usage;

/// The rolling hash after some bytes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    head: Digest32,
    events: u64,
    bytes: u64,
    /// The beginning of an event that has not ended.
    begun: Vec<u8>,
}

impl Chain {
    /// Before the first event of an answer.
    pub fn new(receipt: &ReceiptId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"broker-core.stream.v1\0");
        hash.update(receipt.0.as_bytes());
        let head = Digest32(hash.finalize().into());
        Self { head, events: 0, bytes: 0, begun: Vec::new() }
    }

    /// After more bytes, cut wherever they came in pieces.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut begun = std::mem::take(&mut self.begun);
        let mut rest = bytes;
        if !begun.is_empty() {
            begun.extend_from_slice(bytes);
            rest = &begun;
        }
        while let Some((event, behind)) = first_event(rest) {
            self.event(event);
            rest = behind;
        }
        self.begun = rest.to_vec();
    }

    fn event(&mut self, event: &[u8]) {
        let mut hash = Sha256::new();
        hash.update(self.head.0);
        hash.update((event.len() as u64).to_be_bytes());
        hash.update(event);
        self.head = Digest32(hash.finalize().into());
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(event.len() as u64);
    }

    /// The hash, over what is left of an event too if there is something.
    pub fn head(&self) -> Digest32 {
        match self.begun.as_slice() {
            [] => self.head,
            rest => {
                let mut ended = self.clone();
                ended.event(rest);
                ended.head
            }
        }
    }

    /// True where no event has begun: only there a checkpoint is an event of its own.
    pub fn is_between_events(&self) -> bool {
        self.begun.is_empty()
    }

    /// How many events have ended.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// How many bytes those had.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The bytes up to and with the first empty line, and the rest.
fn first_event(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0_usize;
    loop {
        let line = bytes.get(from..)?.iter().position(|byte| *byte == b'\n')?;
        let behind = from.checked_add(line)?.checked_add(1)?;
        if bytes.get(behind) == Some(&b'\n') {
            return bytes.split_at_checked(behind.checked_add(1)?);
        }
        from = behind;
    }
}

/// What a sidecar says of an answer that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The id under which the answer's receipt will be found.
    pub receipt: ReceiptId,
    /// SHA-256 of the request as it arrived.
    pub request_hash: Digest32,
    /// The rolling hash.
    pub chain_head: Digest32,
    /// Events up to here.
    pub events: u64,
    /// Bytes up to here.
    pub bytes: u64,
    /// Prompt tokens as they would be charged if the answer ended here.
    pub input_tokens: u64,
    /// Generated tokens up to here.
    pub output_tokens: u64,
    /// What would be charged if the answer ended here, in neuron.
    pub fee: Neuron,
}

impl Checkpoint {
    /// The type of its statement.
    pub const KIND: &'static str = "tee-sidecar.checkpoint.v1";

    /// A checkpoint at `chain`.
    pub fn at(
        chain: &Chain,
        receipt: ReceiptId,
        request_hash: Digest32,
        usage: &Usage,
        fee: Neuron,
    ) -> Self {
        Self {
            receipt,
            request_hash,
            chain_head: chain.head(),
            events: chain.events,
            bytes: chain.bytes,
            input_tokens: usage.input,
            output_tokens: usage.output,
            fee,
        }
    }

    /// The SSE comment that carries it, signed.
    pub fn comment(&self, author: Author<'_>) -> String {
        let number = |n: u64| Json::Integer(i64::try_from(n.min(INTEGER_MAX)).unwrap_or_default());
        let statement = author.sign(
            Self::KIND,
            vec![
                ("receipt_id", Json::Text(self.receipt.to_string())),
                ("request_hash", Json::Text(format!("sha256:{}", self.request_hash))),
                ("chain_head", Json::Text(format!("sha256:{}", self.chain_head))),
                ("events", number(self.events)),
                ("bytes", number(self.bytes)),
                ("input_tokens", number(self.input_tokens)),
                ("output_tokens", number(self.output_tokens)),
                ("fee", Json::Text(self.fee.to_string())),
                ("unit", Json::Text("neuron".to_owned())),
            ],
        );
        format!("{COMMENT}{statement}\n\n")
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// It is none, or no key of the keyset signed it.
    pub fn verify(statement: Json, keyset: &Keyset) -> Result<Self, NotSigned> {
        let read = statement::verify(statement, keyset)?;
        if statement::kind(&read) != Some(Self::KIND) {
            return Err(NotSigned::Member("type"));
        }
        let text = |key| read.get(key).and_then(Json::text).ok_or(NotSigned::Member(key));
        let number = |key| read.get(key).and_then(Json::number).ok_or(NotSigned::Member(key));
        let digest = |key| text(key).and_then(|t| digest_text(t).ok_or(NotSigned::Member(key)));
        Ok(Self {
            receipt: ReceiptId::parse(text("receipt_id")?)
                .ok_or(NotSigned::Member("receipt_id"))?,
            request_hash: digest("request_hash")?,
            chain_head: digest("chain_head")?,
            events: number("events")?,
            bytes: number("bytes")?,
            input_tokens: number("input_tokens")?,
            output_tokens: number("output_tokens")?,
            fee: text("fee")?.parse().map_err(|_| NotSigned::Member("fee"))?,
        })
    }
}

/// A part of an answer against the last checkpoint in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Bytes behind it, that nothing signs: those after the comment itself.
    pub unproved: u64,
}

/// Why the first part of an answer does not prove itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPrefix {
    /// There is no checkpoint in it.
    #[error("there is no checkpoint in this part of the answer")]
    NoCheckpoint,
    /// The bytes before a checkpoint are not those that it was made over.
    #[error("the bytes before the checkpoint at event {events} are not those that it covers")]
    OtherBytes {
        /// Events that it covers.
        events: u64,
    },
    /// It is that of another answer.
    #[error("the checkpoint is of the receipt {0}")]
    OtherReceipt(ReceiptId),
}

/// Checks every checkpoint in the first part of an answer to `receipt`, and tells the last one.
/// Keys may change while an answer goes on, so the checkpoints may be of any of these keysets.
///
/// # Errors
/// One does not hold, or there is none.
pub fn verify_prefix(
    bytes: &[u8],
    receipt: &ReceiptId,
    keysets: &[Keyset],
) -> Result<Prefix, BadPrefix> {
    let mut chain = Chain::new(receipt);
    let (mut rest, mut last) = (bytes, None);
    while let Some((event, behind)) = first_event(rest) {
        rest = behind;
        let comment = event.strip_prefix(COMMENT.as_bytes());
        let statement = comment.and_then(|text| Json::parse(text.trim_ascii_end()).ok());
        // An engine may send such a comment too: what the key did not sign is an event like others.
        let signed = statement.and_then(|statement| {
            keysets.iter().find_map(|one| Checkpoint::verify(statement.clone(), one).ok())
        });
        if let Some(checkpoint) = signed {
            if checkpoint.receipt != *receipt {
                return Err(BadPrefix::OtherReceipt(checkpoint.receipt));
            }
            let here = (chain.head(), chain.events, chain.bytes);
            if here != (checkpoint.chain_head, checkpoint.events, checkpoint.bytes) {
                return Err(BadPrefix::OtherBytes { events: checkpoint.events });
            }
            last = Some((checkpoint, behind));
        }
        chain.event(event);
    }
    let (checkpoint, behind) = last.ok_or(BadPrefix::NoCheckpoint)?;
    Ok(Prefix { checkpoint, unproved: behind.len() as u64 })
}

/// How the comment of a checkpoint begins.
const COMMENT: &str = ": checkpoint ";
