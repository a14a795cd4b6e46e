//! The keyset: a document that can be read, whose time has not passed, with a key for receipts, and
//! its place in the line of keysets.

use broker_core::jcs::Json;
use broker_core::keyset::Keyset;

use super::{Audit, Materials};
use crate::lineage::LineageState;
use crate::policy::{KeysetRules, Want};
use crate::saved::{SavedLineage, SavedReport, SigningKey};

/// The keyset as the report shows it, whether or not the quote binds it.
pub(super) fn read(audit: &mut Audit, report: &SavedReport) -> Option<Keyset> {
    let Some(document) = &report.keyset else {
        audit.missing("keyset", "the report shows no workload_keyset");
        return None;
    };
    match Keyset::from_json(document.clone()) {
        Ok(keyset) => Some(keyset),
        Err(error) => {
            audit.malformed("keyset", error);
            None
        }
    }
}

/// What holds of any keyset that is bound.
pub(super) fn bound(
    audit: &mut Audit,
    keyset: &Keyset,
    materials: &Materials<'_>,
    rules: &KeysetRules,
) {
    let (until, now) = (keyset.not_after(), materials.now_secs);
    if now >= until {
        let why = format_args!("its time was over at {until}: none of its keys counts any more");
        audit.refuted("keyset.expiry", why);
    } else if until.saturating_sub(now) > rules.valid_secs_max {
        let why = format_args!("it is to be valid until {until}, longer than the policy allows");
        audit.refuted("keyset.expiry", why);
    } else {
        audit.proved("keyset.expiry", format_args!("valid until {until}"));
    }
    let list = |name: &str| match keyset.document().get(name) {
        Some(Json::List(list)) => list.clone(),
        _ => Vec::new(),
    };
    let key = |entry: &Json| entry.get("public_key").and_then(Json::text).map(str::to_lowercase);
    let own: Vec<_> = list("receipt_signing_keys").iter().filter_map(key).collect();
    let names = list("receipt_signing_keys");
    let known = |entry: &&Json| entry.get("algo").and_then(Json::text) == Some("ed25519");
    let names: Vec<_> = names
        .iter()
        .filter(known)
        .filter_map(|entry| entry.get("key_id").and_then(Json::text))
        .collect();
    if names.is_empty() {
        audit.missing("keyset.keys", "no key of it can sign receipts (ed25519)");
    } else if list("e2ee_public_keys").iter().filter_map(key).any(|one| own.contains(&one)) {
        audit.refuted("keyset.keys", "one key signs receipts and decrypts requests");
    } else {
        audit.proved("keyset.keys", format_args!("receipts are signed by {}", names.join(", ")));
    }
    audit.keyset = Some(keyset.document().clone());
}

/// After all that binds the keyset.
pub(super) fn lineage(audit: &mut Audit, report: &SavedReport, rules: &KeysetRules) {
    let required = rules.lineage == Want::Required;
    let Some(shown) = &report.lineage else {
        let why = "the report does not say which keyset was before this one";
        return if required {
            audit.missing(LINEAGE, why);
        } else if audit.keyset.is_some() {
            audit.not_checked(LINEAGE, why);
        };
    };
    let bound = audit.keyset.clone().and_then(|document| Keyset::from_json(document).ok());
    let Some(keyset) = bound else {
        let why = "the quote binds no keyset that it could be about";
        return if required {
            audit.missing(LINEAGE, why)
        } else {
            audit.not_checked(LINEAGE, why)
        };
    };
    let Some((says, signer)) = shown.signed.read() else {
        return audit.malformed(LINEAGE, "its statement or signature has another form");
    };
    let state = LineageState::of(&says, signer, shown.before.as_ref());
    for (wrong, what) in [
        (signer != shown.signing_address, "it is not signed by the key that it names"),
        (says.keyset != keyset.digest(), "it is the statement of another keyset"),
        (says.previous != shown.previous, "it names another previous keyset than was signed"),
        (state.word() != shown.state, "its state is not what follows from its statements"),
        (
            audit.signer.is_some_and(|own| own != SigningKey::Ecdsa(signer)),
            "it is not signed by the attested key",
        ),
    ] {
        if wrong {
            return audit.refuted(LINEAGE, what);
        }
    }
    judged(audit, shown, state, required);
}

fn judged(audit: &mut Audit, shown: &SavedLineage, state: LineageState, required: bool) {
    let signer = shown.signing_address;
    let previous = shown.previous.map(|digest| format!("sha256:{digest}")).unwrap_or_default();
    match state {
        LineageState::Broken => {
            let why = format_args!(
                "BROKEN: nothing but the operator's word ties this keyset to {previous} before it"
            );
            if required { audit.refuted(LINEAGE, why) } else { audit.not_checked(LINEAGE, why) }
        }
        _ if audit.signer.is_none() => {
            let why = format_args!(
                "{} by the word of {signer}, which this quote does not bind; a report with \
                 binding=v2 does",
                state.word()
            );
            if required { audit.missing(LINEAGE, why) } else { audit.not_checked(LINEAGE, why) }
        }
        // A ledger that forgot the keysets before says the same.
        LineageState::First => {
            let why = "it says to be the first keyset of its ledger: nothing before it vouches";
            if required { audit.missing(LINEAGE, why) } else { audit.not_checked(LINEAGE, why) }
        }
        LineageState::Holds => {
            let what =
                format_args!("{signer} vouches for this keyset and for {previous} before it");
            audit.proved(LINEAGE, what);
        }
    }
}

const LINEAGE: &str = "key_lineage";
