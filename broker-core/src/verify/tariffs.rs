//! The tariffs that an auditor was given.

use crate::digest::Digest32;
use crate::jcs::{Json, NotCanonical};
use crate::keyset::{Keyset, NotSigned};
use crate::statement;
use crate::tariff::Tariff;

/// Tariffs by the digests that receipts cite.
#[derive(Clone, Debug, Default)]
pub struct Tariffs(Vec<(Digest32, Tariff)>);

/// Why a document states no tariff.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTariff {
    /// It is no canonical JSON.
    #[error("the tariff is {0}")]
    NotCanonical(#[from] NotCanonical),
    /// It states no terms, or terms of another form.
    #[error("the document states no tariff: neither terms nor a signed statement of them")]
    Terms,
    /// The statement names other terms than it shows.
    #[error("the statement's digest is not that of its terms")]
    Digest,
}

/// A tariff as a document states it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadTariff {
    /// The tariff.
    pub tariff: Tariff,
    /// Its digest.
    pub digest: Digest32,
    statement: Option<Json>,
}

impl ReadTariff {
    /// Reads a tariff: the terms alone, or a signed statement with the member `terms`.
    ///
    /// # Errors
    /// It states none.
    pub fn parse(text: &[u8]) -> Result<Self, BadTariff> {
        let document = Json::parse(text)?;
        let signed = statement::kind(&document) == Some(STATEMENT);
        let terms = if signed { document.get("terms").ok_or(BadTariff::Terms)? } else { &document };
        let tariff = Tariff::from_terms(terms).ok_or(BadTariff::Terms)?;
        let digest = tariff.digest();
        let named = format!("sha256:{digest}");
        if signed && document.get("digest").and_then(Json::text) != Some(named.as_str()) {
            return Err(BadTariff::Digest);
        }
        Ok(Self { tariff, digest, statement: signed.then_some(document) })
    }

    /// Who signed the statement: nobody, where there is none.
    ///
    /// # Errors
    /// It is signed, and not by one of these keysets before its end.
    pub fn verify(&self, keysets: &[Keyset]) -> Result<Option<Digest32>, NotSigned> {
        let Some(statement) = &self.statement else { return Ok(None) };
        let keyset = super::signed(statement, keysets)?;
        let at = statement.get("at").and_then(Json::number).ok_or(NotSigned::Member("at"))?;
        super::in_time(keyset, at)?;
        Ok(Some(keyset.digest()))
    }
}

impl Tariffs {
    /// Adds a tariff.
    pub fn add(&mut self, digest: Digest32, tariff: Tariff) {
        if self.get(&digest).is_none() {
            self.0.push((digest, tariff));
        }
    }

    /// The tariff with this digest.
    pub fn get(&self, digest: &Digest32) -> Option<&Tariff> {
        self.0.iter().find(|(known, _)| known == digest).map(|(_, tariff)| tariff)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

const STATEMENT: &str = "tee-sidecar.tariff.v1";
