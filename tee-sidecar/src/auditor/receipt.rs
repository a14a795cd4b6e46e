//! One receipt: form, signature, the exchange's bytes, the fee and the place in the log.

use std::path::{Path, PathBuf};

use broker_core::Digest32;
use broker_core::jcs::Json;
use broker_core::keyset::{Keyset, NotSigned};
use broker_core::receipt::{BadReceipt, ReadReceipt, WrongFee};
use broker_core::verify::{
    self, AnswerFault, BadTariff, Bundle, Inclusion, InclusionFault, PartFault, ReadTariff,
};

use super::keysets::{self, KeyFiles};
use super::{Auditor, Failure, Options, files, noted};
use crate::evidence::audit::Audit;

mod part;

pub use part::audit_part;

/// Where a receipt is and what it is compared with.
#[derive(Clone, Debug, Default)]
pub struct ReceiptFiles {
    /// The receipt, alone or with its place in the log.
    pub receipt: PathBuf,
    /// Whose signatures count.
    pub keys: KeyFiles,
    /// The request's body, to the byte.
    pub request: Option<PathBuf>,
    /// The response's body, to the byte.
    pub response: Option<PathBuf>,
    /// The response is the first part only.
    pub partial: bool,
    /// The tariff that was in force.
    pub tariff: Option<PathBuf>,
    /// The receipt's place in the log.
    pub inclusion: Option<PathBuf>,
    /// The log's signed head.
    pub head: Option<PathBuf>,
}

/// Judges a receipt.
pub fn audit_receipt(paths: &ReceiptFiles, options: &Options) -> Result<Audit, Failure> {
    let auditor = Auditor::new(options)?;
    let mut audit = Audit::default();
    let named = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::Malformed(format!("{}: {error}", path.display()))
    };
    let bundle = Bundle::parse(&files::document(&paths.receipt)?)
        .map_err(|error| named(&paths.receipt, &error))?;
    let receipt = match ReadReceipt::from_json(bundle.receipt.clone()) {
        Ok(receipt) => receipt,
        Err(error @ BadReceipt::Contradiction(_)) => {
            audit.refuted("receipt", error);
            return Ok(audit);
        }
        Err(error) => return Err(named(&paths.receipt, &error)),
    };
    let keysets = keysets::load(&auditor, &mut audit, &paths.keys)?;
    signature(&mut audit, &receipt, &keysets);
    match &paths.request {
        Some(path) => {
            if let Some(body) = noted(&mut audit, "receipt.request", files::read(path))? {
                request(&mut audit, &receipt, &body);
            }
        }
        None => audit.not_checked("receipt.request", "give --request FILE to compare it"),
    }
    match &paths.response {
        Some(path) => match noted(&mut audit, "receipt.response", files::read(path))? {
            Some(body) if paths.partial => part::check(&mut audit, &receipt, &body, &keysets),
            Some(body) => response(&mut audit, &receipt, &body),
            None => {}
        },
        None => audit.not_checked("receipt.response", "give --response FILE to compare it"),
    }
    match &paths.tariff {
        Some(path) => {
            if let Some(tariff) = noted(&mut audit, "tariff", read_tariff(path))? {
                fee(&mut audit, &receipt, &tariff, &keysets);
            }
        }
        None => audit.not_checked("receipt.fee", "give --tariff FILE to work the fee out again"),
    }
    let unplaced = bundle.unplaced.then_some(auditor.now_secs);
    if let Some(inclusion) = inclusion(&mut audit, &receipt, bundle.inclusion, unplaced, paths)? {
        place(&mut audit, &receipt, &inclusion, paths, &keysets)?;
    }
    Ok(audit)
}

fn signature(audit: &mut Audit, receipt: &ReadReceipt, keysets: &[Keyset]) {
    if keysets.is_empty() {
        return audit.missing("receipt.signature", "no keyset is at hand to check it by");
    }
    match verify::signed(receipt.document(), keysets) {
        Ok(keyset) if receipt.served_at >= keyset.not_after() => {
            let (made, ended) = (receipt.served_at, keyset.not_after());
            let why = format_args!("it was made at {made}, and its keyset ended at {ended}");
            audit.refuted("receipt.signature", why);
        }
        Ok(keyset) => {
            let (id, digest) = (&receipt.id, keyset.digest());
            let what = format_args!("{id} is signed by a key of the keyset sha256:{digest}");
            audit.proved("receipt.signature", what);
        }
        // Keys are born at each start: a report of then may attest it.
        Err(error) => note_head(audit, "receipt.signature", &error),
    }
}

fn request(audit: &mut Audit, receipt: &ReadReceipt, body: &[u8]) {
    if receipt.unread {
        let what = "it was refused before its body was read: the receipt says nothing of the body";
        return audit.not_checked("receipt.request", what);
    }
    let (held, signed) = (Digest32::sha256(body), receipt.request_hash);
    if held != signed {
        let why = format_args!("its SHA-256 is {held}, and request.received is {signed}");
        return audit.refuted("receipt.request", why);
    }
    let what = match receipt.forwarded_hash {
        None => "it is the one; it was not forwarded",
        Some(forwarded) if forwarded == signed => "it is the one, and the engine was sent the same",
        Some(_) => "it is the one; the engine was sent another spelling of it",
    };
    audit.proved("receipt.request", what);
}

fn response(audit: &mut Audit, receipt: &ReadReceipt, body: &[u8]) {
    let outcome = receipt.closed.as_ref().map(|closed| closed.outcome.as_str());
    let outcome = outcome.map(|word| format!(", {word}")).unwrap_or_default();
    match verify::whole(receipt, body) {
        Ok(whole) => {
            let rolling = if whole.rolling { " and its rolling hash" } else { "" };
            let what =
                format_args!("its {} bytes{rolling} are the receipt's{outcome}", whole.bytes);
            audit.proved("receipt.response", what);
        }
        Err(error @ AnswerFault::Shorter { .. }) => {
            let hint = "--partial proves the first part by its checkpoints";
            audit.refuted("receipt.response", format_args!("{error}; {hint}"));
        }
        Err(error) => audit.refuted("receipt.response", error),
    }
}

fn fee(audit: &mut Audit, receipt: &ReadReceipt, tariff: &ReadTariff, keysets: &[Keyset]) {
    match tariff.verify(keysets) {
        Ok(None) => audit.not_checked("tariff", "bare terms: nobody signed that they were offered"),
        Ok(Some(keyset)) => {
            audit.proved("tariff", format_args!("offered by the keyset sha256:{keyset}"));
        }
        Err(error) => note_head(audit, "tariff", &error),
    }
    let fee = receipt.charge.as_ref().map(|charge| charge.fee).unwrap_or_default();
    match receipt.check_fee(&tariff.tariff) {
        Ok(()) => {
            let what = format_args!("{fee} neuron are what usage and tariff come to");
            audit.proved("receipt.fee", what);
        }
        Err(error @ WrongFee::Untold) => audit.missing("receipt.fee", error),
        // The auditor says which tariff was in force: another one is another price.
        Err(error @ WrongFee::OtherTariff { cited, .. }) => {
            let hint = "if prices were changed before the request, give the one of then";
            let why = format_args!("{error}; {hint}: /v1/tariff/sha256:{cited}");
            audit.refuted("receipt.fee", why);
        }
        Err(error) => audit.refuted("receipt.fee", error),
    }
}

fn json(path: &Path) -> Result<Json, Failure> {
    let named = |error| Failure::Malformed(format!("{}: {error}", path.display()));
    Json::parse(&files::document(path)?).map_err(named)
}

/// The place comes with the receipt or in a file. `unplaced` is the moment at which the host says
/// outright that there is none: young receipts wait for theirs.
fn inclusion(
    audit: &mut Audit,
    receipt: &ReadReceipt,
    bundled: Option<Inclusion>,
    unplaced: Option<u64>,
    paths: &ReceiptFiles,
) -> Result<Option<Inclusion>, Failure> {
    if let Some(path) = &paths.inclusion {
        let named = |error| Failure::Malformed(format!("{}: {error}", path.display()));
        let read = json(path).and_then(|json| Inclusion::from_json(&json).map_err(named));
        return noted(audit, "receipt.log", read);
    }
    if bundled.is_some() {
        return Ok(bundled);
    }
    let Some(promised) = receipt.place else {
        let charges = receipt.charge.as_ref().is_some_and(|charge| !charge.fee.is_zero());
        match charges {
            true => audit.refuted("receipt.log", "it charges something and promises no log"),
            false => audit.not_checked("receipt.log", "it promises no log"),
        }
        return Ok(None);
    };
    let log = promised.log;
    match unplaced {
        Some(now) if now >= receipt.served_at.saturating_add(PLACED_WITHIN_SECS) => {
            let why = format_args!(
                "it promises the log sha256:{log}, and this copy shows no place there: one that is \
                 fetched {PLACED_WITHIN_SECS} s later has to"
            );
            audit.missing("receipt.log", why);
        }
        Some(_) => {
            let what = format_args!("it promises the log sha256:{log}, and is to stand there soon");
            audit.not_checked("receipt.log", what);
        }
        None => {
            let what = format_args!("it promises the log sha256:{log}; give --inclusion FILE");
            audit.not_checked("receipt.log", what);
        }
    }
    Ok(None)
}

/// The head comes with the place or in a file.
fn place(
    audit: &mut Audit,
    receipt: &ReadReceipt,
    inclusion: &Inclusion,
    paths: &ReceiptFiles,
    keysets: &[Keyset],
) -> Result<(), Failure> {
    let head = match &paths.head {
        Some(path) => match noted(audit, "log.head", json(path))? {
            Some(head) => Some(head),
            None => return Ok(()),
        },
        None => inclusion.head.clone(),
    };
    let Some(head) = head else {
        audit.missing("log.head", "the path leads to no head: give --head FILE");
        return Ok(());
    };
    let head = match verify::signed_head(&head, keysets) {
        Ok(head) => head,
        Err(error) => {
            note_head(audit, "log.head", &error);
            return Ok(());
        }
    };
    let what = format_args!("the head of {} leaves is signed", head.size);
    audit.proved("log.head", what);
    match verify::included(receipt, inclusion, &head) {
        Ok(()) => {
            let what = format_args!("it is leaf {} of {}", inclusion.leaf_index, head.size);
            audit.proved("receipt.log", what);
        }
        Err(error @ InclusionFault::OtherSize { .. }) => audit.missing("receipt.log", error),
        Err(error) => audit.refuted("receipt.log", error),
    }
    Ok(())
}

/// What is amiss with the signature of a head: another keyset's may be good, with its report.
pub(super) fn note_head(audit: &mut Audit, check: &str, error: &NotSigned) {
    match error {
        NotSigned::OtherKeyset(_) => audit.missing(check, error),
        NotSigned::Member(_) => audit.malformed(check, error),
        _ => audit.refuted(check, error),
    }
}

/// A tariff from a file.
pub(super) fn read_tariff(path: &Path) -> Result<ReadTariff, Failure> {
    let named = |error| {
        let text = format!("{}: {error}", path.display());
        match error {
            BadTariff::Digest => Failure::Refuted(text),
            _ => Failure::Malformed(text),
        }
    };
    ReadTariff::parse(&files::document(path)?).map_err(named)
}

/// What is amiss with a part of an answer: one without a checkpoint only proves nothing.
fn note_part(audit: &mut Audit, error: &PartFault) {
    use broker_core::stream::BadPrefix;
    match error {
        PartFault::Prefix(BadPrefix::NoCheckpoint) => audit.missing("receipt.part", error),
        PartFault::Id => audit.malformed("receipt.part", error),
        _ => audit.refuted("receipt.part", error),
    }
}

/// How long a receipt may be without its place in the log: it takes a second.
const PLACED_WITHIN_SECS: u64 = 60;
