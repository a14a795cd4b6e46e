//! Documents that a receipt key signs beside receipts: heads of the log, tariffs, checkpoints of a
//! stream, the passing on of keys.
//!
//! Each has a `type` of its own and no `api_version`, so that none can be taken for a receipt or
//! for another kind. The signature is over the canonical form without the member `signature`; the
//! key is named by `key_id` in the keyset of `workload_keyset_digest`, as in receipts.

use crate::digest::Digest32;
use crate::jcs::Json;
use crate::keyset::{Keyset, NotSigned, ReceiptKey, digest_text, unhex};

/// Signs with one key of one keyset.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The key.
    pub key: &'a ReceiptKey,
    /// The digest of the keyset that lists it.
    pub keyset: Digest32,
}

impl Author<'_> {
    /// The statement of this type with these members, signed; canonical text.
    pub fn sign(&self, kind: &str, members: Vec<(&'static str, Json)>) -> String {
        let unsigned = self.unsigned(kind, members);
        let signature = self.key.sign(unsigned.canonical().as_bytes());
        with(unsigned, "signature", Json::Text(signature.to_string())).canonical()
    }

    fn unsigned(&self, kind: &str, members: Vec<(&'static str, Json)>) -> Json {
        let own = [
            ("type", Json::Text(kind.to_owned())),
            ("key_id", Json::Text(self.key.id().to_owned())),
            ("workload_keyset_digest", Json::Text(format!("sha256:{}", self.keyset))),
        ];
        let mut all: Vec<_> =
            members.into_iter().chain(own).map(|(k, v)| (k.to_owned(), v)).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Json::Object(all)
    }
}

/// The type that a statement says it is of.
pub fn kind(statement: &Json) -> Option<&str> {
    statement.get("type").and_then(Json::text)
}

/// Checks that a keyset's key signed the document, a statement or a receipt, and hands it back
/// without its signature.
///
/// # Errors
/// Another keyset is named, or the signature does not hold.
pub fn verify(document: Json, keyset: &Keyset) -> Result<Json, NotSigned> {
    let named = document.get("workload_keyset_digest").and_then(Json::text).and_then(digest_text);
    let named = named.ok_or(NotSigned::Member("workload_keyset_digest"))?;
    if named != keyset.digest() {
        return Err(NotSigned::OtherKeyset(named));
    }
    let (unsigned, signature) = document.without("signature");
    let signature = signature.as_ref().and_then(Json::text).and_then(unhex::<64>);
    let signature = signature.ok_or(NotSigned::Member("signature"))?;
    let key_id = unsigned.get("key_id").and_then(Json::text).ok_or(NotSigned::Member("key_id"))?;
    keyset.verify(key_id, unsigned.canonical().as_bytes(), &signature)?;
    Ok(unsigned)
}

/// An object with one more member, in its place; keys are ASCII.
fn with(object: Json, key: &str, value: Json) -> Json {
    let Json::Object(mut members) = object else { return object };
    let place = members.partition_point(|(name, _)| name.as_str() < key);
    members.insert(place, (key.to_owned(), value));
    Json::Object(members)
}
