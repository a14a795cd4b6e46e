//! An answer, or a part of one, against its receipt.

use crate::digest::Digest32;
use crate::jcs::Json;
use crate::keyset::Keyset;
use crate::receipt::{Outcome, ReadReceipt, ReceiptId};
use crate::stream::{BadPrefix, Chain, Prefix, verify_prefix};

/// What of a whole answer was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeAnswer {
    /// Its bytes.
    pub bytes: u64,
    /// The rolling hash was worked out too.
    pub rolling: bool,
}

/// Why an answer is not the one that a receipt is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// Bytes are missing at hand.
    #[error(
        "the receipt is about {signed} bytes ({outcome}), and {held} are at hand: what the client \
         did not get was signed as handed over, or the end was lost on the way"
    )]
    Shorter {
        /// What the receipt says.
        signed: u64,
        /// What is at hand.
        held: u64,
        /// How the receipt says that it ended.
        outcome: &'static str,
    },
    /// More bytes are at hand than were signed.
    #[error(
        "the receipt is about the first {signed} bytes only ({outcome}), and {held} are at hand"
    )]
    Longer {
        /// What the receipt says.
        signed: u64,
        /// What is at hand.
        held: u64,
        /// How the receipt says that it ended.
        outcome: &'static str,
    },
    /// Other bytes.
    #[error("its SHA-256 is {held}, and the receipt's response.returned is {signed}")]
    OtherBytes {
        /// What the receipt says.
        signed: Digest32,
        /// What is at hand.
        held: Digest32,
    },
    /// The bytes are right, and the count of them is not.
    #[error("the receipt counts {signed} bytes, and the answer that it signs has {held}")]
    Count {
        /// What the receipt says.
        signed: u64,
        /// What is at hand.
        held: u64,
    },
    /// The rolling hash is that of other events.
    #[error("the rolling hash over its events is {held}, and the receipt's chain_head is {signed}")]
    OtherChain {
        /// What the receipt says.
        signed: Digest32,
        /// What is at hand.
        held: Digest32,
    },
    /// A stream that is signed as whole and has no end.
    #[error("the receipt says that the stream is complete, and it does not end with [DONE]")]
    NotEnded,
    /// Our receipts have ids of another form.
    #[error("the receipt's id is no UUID, so no rolling hash can begin with it")]
    Id,
}

/// Compares a whole answer.
///
/// # Errors
/// It is another one.
pub fn whole(receipt: &ReadReceipt, answer: &[u8]) -> Result<WholeAnswer, AnswerFault> {
    let held = answer.len() as u64;
    let digest = Digest32::sha256(answer);
    let closed = receipt.closed.as_ref();
    if digest != receipt.response_hash {
        let outcome = closed.map_or("", |closed| closed.outcome.as_str());
        return Err(match closed.map(|closed| closed.bytes) {
            Some(signed) if signed > held => AnswerFault::Shorter { signed, held, outcome },
            Some(signed) if signed < held => AnswerFault::Longer { signed, held, outcome },
            _ => AnswerFault::OtherBytes { signed: receipt.response_hash, held: digest },
        });
    }
    let Some(closed) = closed else { return Ok(WholeAnswer { bytes: held, rolling: false }) };
    if closed.bytes != held {
        return Err(AnswerFault::Count { signed: closed.bytes, held });
    }
    let Some(signed) = closed.chain_head else {
        return Ok(WholeAnswer { bytes: held, rolling: false });
    };
    let mut chain = Chain::new(&ReceiptId::parse(&receipt.id).ok_or(AnswerFault::Id)?);
    chain.feed(answer);
    let head = chain.head();
    if head != signed {
        return Err(AnswerFault::OtherChain { signed, held: head });
    }
    if closed.outcome == Outcome::Complete && !ends(answer) {
        return Err(AnswerFault::NotEnded);
    }
    Ok(WholeAnswer { bytes: held, rolling: true })
}

/// Whether the last line with data says that the engine had no more to say.
fn ends(stream: &[u8]) -> bool {
    let mut lines = stream.trim_ascii_end().rsplit(|byte| *byte == b'\n');
    let data = lines.find_map(|line| line.strip_prefix(b"data:"));
    data.is_some_and(|data| data.trim_ascii() == b"[DONE]")
}

/// Why the first part of an answer does not fit a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    /// The part does not prove itself.
    #[error(transparent)]
    Prefix(#[from] BadPrefix),
    /// More is at hand than was signed as handed over.
    #[error("the receipt is about {signed} bytes, and this part has {held} already")]
    More {
        /// What the receipt says.
        signed: u64,
        /// What is at hand.
        held: u64,
    },
    /// The checkpoint is about another request than the receipt.
    #[error("the checkpoint is about the request {checkpoint}, and the receipt about {receipt}")]
    OtherRequest {
        /// What the checkpoint says.
        checkpoint: Digest32,
        /// What the receipt says.
        receipt: Digest32,
    },
    /// Our receipts have ids of another form.
    #[error("the receipt's id is no UUID, so no checkpoint can be about it")]
    Id,
}

/// Checks the first part of an answer by its checkpoints, and that `receipt` does not gainsay it.
///
/// # Errors
/// There is no checkpoint, one does not hold, or the receipt is about less.
pub fn partial(
    receipt: &ReadReceipt,
    part: &[u8],
    keysets: &[Keyset],
) -> Result<Prefix, PartFault> {
    let id = ReceiptId::parse(&receipt.id).ok_or(PartFault::Id)?;
    let prefix = verify_prefix(part, &id, keysets)?;
    let checkpoint = prefix.checkpoint.request_hash;
    if checkpoint != receipt.request_hash {
        return Err(PartFault::OtherRequest { checkpoint, receipt: receipt.request_hash });
    }
    let held = part.len() as u64;
    match &receipt.closed {
        Some(closed) if closed.bytes < held => Err(PartFault::More { signed: closed.bytes, held }),
        _ => Ok(prefix),
    }
}

/// The receipt that the first checkpoint in a part of an answer promises, and its keyset. Nothing
/// of it is proved.
pub fn receipt_of(part: &[u8]) -> Option<(ReceiptId, Digest32)> {
    let lines = part.split(|byte| *byte == b'\n');
    let text = lines.into_iter().find_map(|line| line.strip_prefix(b": checkpoint "))?;
    let checkpoint = Json::parse(text).ok()?;
    let member = |key| checkpoint.get(key).and_then(Json::text);
    let keyset = member("workload_keyset_digest").and_then(crate::keyset::digest_text)?;
    Some((ReceiptId::parse(member("receipt_id")?)?, keyset))
}
