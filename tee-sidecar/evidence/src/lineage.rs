//! Which keyset follows which, signed by the key that signs answers: whoever knows that key knows
//! the receipts of every keyset that it vouched for, across restarts and quarters of a year.
//!
//! A report shows it as `key_lineage`:
//!
//! ```json
//! {
//!   "previous": "sha256:64 hex digits, or null for the first keyset of a ledger",
//!   "statement": "tee-sidecar.keyset.v1:<keyset's digest>:<the previous one's, or nothing>:<ms>",
//!   "signature": "0x, 130 hex digits: EIP-191 over the statement",
//!   "signing_address": "0x…",
//!   "state": "first, holds or broken",
//!   "previous_statement": "that of the previous keyset",
//!   "previous_signature": "0x…"
//! }
//! ```
//!
//! It holds where one key signed both statements. Where it does not, the previous signer is lost,
//! and nobody but the operator says that the two belong together.

use broker_core::{Address, Digest32, Signature, recover_text_signer};
use serde::Serialize;

/// That one keyset follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The keyset's digest.
    pub keyset: Digest32,
    /// That of the one before it; `None` for the first of a ledger.
    pub previous: Option<Digest32>,
    /// When it was signed, in milliseconds since 1970.
    pub at: u64,
}

impl Lineage {
    /// What is signed.
    pub fn text(&self) -> String {
        let previous = self.previous.map(|digest| digest.to_string()).unwrap_or_default();
        format!("{DOMAIN}:{}:{previous}:{}", self.keyset, self.at)
    }

    /// Reads the text back; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(DOMAIN)?.strip_prefix(':')?.split(':');
        let mut part = || parts.next();
        let digest = |text: &str| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).ok().map(|()| Digest32(bytes))
        };
        let keyset = digest(part()?)?;
        let previous = match part()? {
            "" => None,
            text => Some(digest(text)?),
        };
        let read = Self { keyset, previous, at: part()?.parse().ok()? };
        // One spelling only.
        (read.text() == text).then_some(read)
    }
}

/// A signed statement, unproved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedLineage {
    /// The text.
    pub statement: String,
    /// Its signature, as written.
    pub signature: Vec<u8>,
}

impl SignedLineage {
    /// What it says, and who signed it; `None` for a text or a signature of another form.
    pub fn read(&self) -> Option<(Lineage, Address)> {
        let signature = Signature(self.signature.as_slice().try_into().ok()?);
        let signer = recover_text_signer(&self.statement, &signature).ok()?;
        Some((Lineage::parse(&self.statement)?, signer))
    }
}

/// How a keyset stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineageState {
    /// There is none before it.
    First,
    /// One key vouches for both.
    Holds,
    /// Nothing ties it to the one before it.
    Broken,
}

impl LineageState {
    /// As it follows from the statement of the keyset, its signer, and the statement before it.
    pub fn of(lineage: &Lineage, signer: Address, before: Option<&SignedLineage>) -> Self {
        let Some(previous) = lineage.previous else { return Self::First };
        match before.and_then(SignedLineage::read) {
            Some((before, by)) if before.keyset == previous && by == signer => Self::Holds,
            _ => Self::Broken,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Holds => "holds",
            Self::Broken => "broken",
        }
    }
}

const DOMAIN: &str = "tee-sidecar.keyset.v1";

#[cfg(test)]
mod tests {
    use broker_core::{LocalSigner, Signer};

    use super::*;

    const FIRST: Lineage = Lineage { keyset: Digest32([0xab; 32]), previous: None, at: 1 };
    const NEXT: Lineage =
        Lineage { keyset: Digest32([0xcd; 32]), previous: Some(Digest32([0xab; 32])), at: 2 };

    fn signed(lineage: &Lineage, secret: u8) -> SignedLineage {
        let signer = LocalSigner::from_secret(&[secret; 32]).unwrap();
        let signature = signer.sign_text(&lineage.text()).unwrap().0.to_vec();
        SignedLineage { statement: lineage.text(), signature }
    }

    /// Golden: what is signed never changes between releases.
    #[test]
    fn what_is_signed_is_one_line_in_one_spelling() {
        let (first, next) = ("ab".repeat(32), "cd".repeat(32));
        assert_eq!(FIRST.text(), format!("tee-sidecar.keyset.v1:{first}::1"));
        assert_eq!(NEXT.text(), format!("tee-sidecar.keyset.v1:{next}:{first}:2"));
        for lineage in [FIRST, NEXT] {
            assert_eq!(Lineage::parse(&lineage.text()), Some(lineage));
        }
        for bad in [
            format!("tee-sidecar.keyset.v1:{first}::01"),
            format!("tee-sidecar.keyset.v1:{}::1", first.to_uppercase()),
            format!("tee-sidecar.keyset.v1:{first}::1:"),
            format!("tee-sidecar.keyset.v1:{first}:1"),
            format!("tee-sidecar.keyset.v2:{first}::1"),
            String::new(),
        ] {
            assert_eq!(Lineage::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn it_holds_only_where_one_key_signed_both_statements() {
        let by = |secret| LocalSigner::from_secret(&[secret; 32]).unwrap().address();
        let before = signed(&FIRST, 7);
        assert_eq!(before.read(), Some((FIRST, by(7))));
        let state =
            |secret, before: Option<&SignedLineage>| LineageState::of(&NEXT, by(secret), before);
        assert_eq!(LineageState::of(&FIRST, by(7), None), LineageState::First);
        assert_eq!(state(7, Some(&before)), LineageState::Holds);
        assert_eq!(state(8, Some(&before)), LineageState::Broken);
        assert_eq!(state(7, None), LineageState::Broken);
        let other = Lineage { keyset: Digest32([1; 32]), ..FIRST };
        let other = signed(&other, 7);
        assert_eq!(state(7, Some(&other)), LineageState::Broken);
        let short = SignedLineage { signature: vec![0; 3], statement: FIRST.text() };
        assert_eq!(state(7, Some(&short)), LineageState::Broken);
    }
}
