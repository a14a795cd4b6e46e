//! What the quote binds: the key that signs answers, the auditor's nonce, the TLS key.

use broker_core::{Address, Digest32};

use super::{Audit, Materials};
use crate::saved::{SavedReport, SigningKey};
use crate::tdx::QuoteFields;
use crate::{Binding, Nonce32, ReportData};

pub(super) fn check(
    audit: &mut Audit,
    report: &SavedReport,
    materials: &Materials<'_>,
    quote: &QuoteFields,
) {
    let signer = match report.signer.or_else(|| ascii_address(&quote.report_data)) {
        Some(signer) => signer,
        None => return audit.missing("report_data", "the report names no signing_address"),
    };
    audit.signer = Some(signer);
    if let SigningKey::Ed25519(key) = &signer
        && (key.ends_with(&[0; 12]) || key.starts_with(b"0x"))
    {
        audit.refuted("report_data", "no ed25519 key, but an address presented as one");
    }
    public_key(audit, report, &signer);
    if is_ascii_layout(quote, &signer) {
        audit.proved("report_data", format_args!("binds {signer}, in 0G's form"));
        audit.missing("nonce", "this form has no nonce: the quote may be of any age");
        return;
    }
    let Some(nonce) = report.nonce.or(materials.nonce) else {
        return audit.missing("nonce", "the report has no request_nonce");
    };
    layout(audit, report, quote, &signer, &nonce);
    repeated(audit, report, &nonce);
    match materials.nonce {
        Some(own) if own == nonce => audit.proved("nonce", "the report answers your nonce"),
        Some(own) => audit.refuted("nonce", format_args!("it answers {nonce}, yours is {own}")),
        None => {
            let why = "the report's own nonce; give --nonce to know that the report is not old";
            audit.not_checked("nonce", why);
        }
    }
    if materials.asked.binding_v2 && report.binding.is_none() {
        audit.missing("binding", "asked for v2, and the report does not tie its GPUs to its quote");
    }
    tls(audit, report, materials);
}

/// Compares the quote with the one layout that the report's fields ask for.
fn layout(
    audit: &mut Audit,
    report: &SavedReport,
    quote: &QuoteFields,
    signer: &SigningKey,
    nonce: &Nonce32,
) {
    let (expected, form) = match (&report.binding, report.tls_spki) {
        (Some(binding), _) => match bound(report, nonce) {
            Some(expected) if binding.model.is_some() => {
                (*expected.as_bytes(), "key, nonce, GPU evidence and model (v2)")
            }
            Some(expected) => (*expected.as_bytes(), "key, nonce and GPU evidence (v2)"),
            None => {
                return audit.missing("report_data", "v2 needs signing_public_key, nvidia_payload");
            }
        },
        (None, Some(spki)) => {
            let joined = Digest32::sha256(&[signer.bytes(), &spki.0].concat());
            (halves(&joined.0, nonce), "key, TLS key and nonce")
        }
        (None, None) => (halves(signer.bytes(), nonce), "key and nonce"),
    };
    if quote.report_data == expected {
        audit.proved("report_data", format_args!("the quote binds {form}: {signer}"));
    } else {
        let why = format_args!("the quote does not bind {form} as the report states them");
        audit.refuted("report_data", why);
    }
}

/// What a `binding=v2` repeats of the report's other fields, and the model's name, which it covers
/// by its hash.
fn repeated(audit: &mut Audit, report: &SavedReport, nonce: &Nonce32) {
    let Some(binding) = &report.binding else { return };
    if binding.version != "v2" {
        let why = format_args!("version {:?} is not known here", binding.version);
        audit.refuted("binding", why);
    }
    let gpu_nonce = report.public_key.as_deref().map(|key| Binding::gpu_nonce(key, nonce));
    let payload = report.gpus.as_ref().map(|gpus| Digest32::sha256(gpus.text.as_bytes()));
    let model = report.model.as_ref().map(|name| Digest32::sha256(name.as_bytes()));
    for (what, differs) in [
        ("algorithm", binding.algorithm.as_ref().is_some_and(|name| name != "ecdsa")),
        ("gpu_nonce", binding.gpu_nonce.is_some() && binding.gpu_nonce != gpu_nonce),
        ("nvidia_payload_sha256", binding.nvidia_payload.is_some_and(|one| Some(one) != payload)),
        ("model_sha256", binding.model.is_some() && binding.model != model),
    ] {
        if differs {
            audit.refuted("binding", format_args!("its {what} is not the report's"));
        }
    }
    if report.model.is_some() && binding.model.is_none() {
        audit.not_checked("binding", "it does not cover the model's name");
    }
}

fn bound(report: &SavedReport, nonce: &Nonce32) -> Option<ReportData> {
    let binding = report.binding.as_ref()?;
    Some(ReportData::bound(&Binding {
        algorithm: "ecdsa",
        public_key: report.public_key.as_deref()?,
        tls_spki: report.tls_spki,
        nonce: *nonce,
        nvidia_payload: &report.gpus.as_ref()?.text,
        model: binding.model,
        log_head: binding.log_head,
    }))
}

/// The first half, filled up with zeros, and the nonce.
fn halves(first: &[u8], nonce: &Nonce32) -> [u8; 64] {
    let mut bytes = [0; 64];
    let (left, right) = bytes.split_at_mut(32);
    for (byte, value) in left.iter_mut().zip(first) {
        *byte = *value;
    }
    right.copy_from_slice(nonce.as_bytes());
    bytes
}

fn public_key(audit: &mut Audit, report: &SavedReport, signer: &SigningKey) {
    let Some(key) = &report.public_key else { return };
    let matches = match signer {
        SigningKey::Ecdsa(address) => {
            let Digest32(hash) = Digest32::keccak256(key);
            key.len() == 64 && hash.split_at(12).1 == address.0
        }
        SigningKey::Ed25519(own) => key == own,
    };
    if matches {
        audit.proved("signing_public_key", "it is the key of signing_address");
    } else {
        audit.refuted("signing_public_key", "it is not the key of signing_address");
    }
}

fn tls(audit: &mut Audit, report: &SavedReport, materials: &Materials<'_>) {
    match (report.tls_spki, materials.tls_peer) {
        (Some(bound), Some(peer)) if bound == peer => {
            audit.proved("tls", "the connection ends at the bound TLS key");
        }
        (Some(_), Some(_)) => audit.refuted("tls", "the connection ends at another TLS key"),
        (Some(_), None) if materials.asked.tls => {
            audit.missing("tls", "the connection shows no TLS key to compare with");
        }
        (Some(_), None) => audit.not_checked("tls", "no connection to compare the TLS key with"),
        (None, _) if materials.asked.tls => {
            audit.missing("tls", "asked for, and the report binds no TLS key");
        }
        (None, _) => audit.not_checked("tls", "the report binds no TLS key"),
    }
}

fn is_ascii_layout(quote: &QuoteFields, signer: &SigningKey) -> bool {
    ascii_address(&quote.report_data).is_some_and(|bound| &bound == signer)
}

/// The address in 0G's form (in any case), which stands nowhere else in its document.
fn ascii_address(report_data: &[u8; 64]) -> Option<SigningKey> {
    let text = std::str::from_utf8(report_data).ok()?.trim_end_matches('\0');
    let mut bytes = [0; 20];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(SigningKey::Ecdsa(Address(bytes)))
}
