//! The first part of a streamed answer, with its receipt or without one.

use std::path::Path;

use broker_core::keyset::Keyset;
use broker_core::receipt::ReadReceipt;
use broker_core::stream::{BadPrefix, Prefix, verify_prefix};
use broker_core::verify::{self, PartFault};

use super::note_part;
use crate::auditor::keysets::{self, KeyFiles};
use crate::auditor::{Auditor, Failure, Options, files, noted};
use crate::evidence::audit::Audit;

/// Compares the first part of an answer with its receipt.
pub(super) fn check(audit: &mut Audit, receipt: &ReadReceipt, part: &[u8], keysets: &[Keyset]) {
    match verify::partial(receipt, part, keysets) {
        Ok(prefix) => {
            note(audit, &prefix);
            if let Some(charge) = &receipt.charge {
                let what = format_args!("the receipt charges {} neuron for all of it", charge.fee);
                audit.not_checked("receipt.part.fee", what);
            }
        }
        Err(error) => note_part(audit, &error),
    }
}

fn note(audit: &mut Audit, prefix: &Prefix) {
    let point = &prefix.checkpoint;
    let what = format_args!(
        "{} bytes in {} events were sent to the request sha256:{}; ending there it owes {} neuron \
         ({} prompt tokens, {} generated). {} bytes behind the checkpoint prove nothing",
        point.bytes,
        point.events,
        point.request_hash,
        point.fee,
        point.input_tokens,
        point.output_tokens,
        prefix.unproved
    );
    audit.proved("receipt.part", what);
}

/// Judges the first part of an answer that has no receipt at hand, by its checkpoints.
pub fn audit_part(
    part: &Path,
    request: Option<&Path>,
    keys: &KeyFiles,
    options: &Options,
) -> Result<Audit, Failure> {
    let auditor = Auditor::new(options)?;
    let mut audit = Audit::default();
    let bytes = files::read(part)?;
    let keysets = keysets::load(&auditor, &mut audit, keys)?;
    let Some((id, named)) = verify::receipt_of(&bytes) else {
        note_part(&mut audit, &PartFault::Prefix(BadPrefix::NoCheckpoint));
        return Ok(audit);
    };
    if !keysets.iter().any(|keyset| keyset.digest() == named) {
        let why = format_args!("its checkpoints name the keyset sha256:{named}, not at hand");
        audit.missing("receipt.part", why);
        return Ok(audit);
    }
    match verify_prefix(&bytes, &id, &keysets) {
        Ok(prefix) => {
            note(&mut audit, &prefix);
            audit.not_checked("receipt", format_args!("it will be found under {id}"));
            if let Some(path) = request {
                let body = noted(&mut audit, "receipt.request", files::read(path))?;
                let Some(body) = body else { return Ok(audit) };
                let held = broker_core::Digest32::sha256(&body);
                if held == prefix.checkpoint.request_hash {
                    audit.proved("receipt.request", "it is the one");
                } else {
                    audit.refuted("receipt.request", format_args!("its SHA-256 is {held}"));
                }
            }
        }
        Err(error) => note_part(&mut audit, &PartFault::Prefix(error)),
    }
    Ok(audit)
}
