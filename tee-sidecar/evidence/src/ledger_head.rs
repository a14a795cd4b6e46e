//! The end of a ledger's chain, signed by the key that a report attests: whoever keeps the report
//! can tell later whether entries were changed, cut off or forgotten since.
//!
//! In a report it is the member `ledger_head`:
//!
//! ```json
//! {
//!   "entries": 7,
//!   "unlinked": 0,
//!   "head": "64 hex digits: the last link of the chain over all entries",
//!   "nonce": "64 hex digits: the report's nonce; missing in reports that are made for everybody",
//!   "at": 1750000000000,
//!   "signature": "0x, 130 hex digits: EIP-191 over the text",
//!   "signing_address": "0x, the report's own signing_address"
//! }
//! ```
//!
//! The text is `tee-sidecar.ledger-head.v1:<entries>:<unlinked>:<head>:<nonce>:<at>`, numbers in
//! decimal, nothing between the colons where there is no nonce. `unlinked` are entries that have no
//! place in the chain yet, which of several sidecars the leader gives them: the head says
//! nothing of
//! them. `at` is in milliseconds since 1970. The quote binds the key, so with the key it binds the
//! head; the nonce binds the head to its report, so that an old one cannot be shown in a new
//! report.

use broker_core::{Address, Digest32, Signature, recover_text_signer};

use crate::Nonce32;

/// The end of a chain at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerHead {
    /// How many entries the chain has.
    pub entries: u64,
    /// How many more entries wait for their place in it.
    pub unlinked: u64,
    /// Its last link; zeros for an empty ledger.
    pub head: Digest32,
    /// The nonce of the report that it was read for; `None` in one for everybody.
    pub nonce: Option<Nonce32>,
    /// When it was read, in milliseconds since 1970.
    pub at: u64,
}

impl LedgerHead {
    /// What is signed.
    pub fn text(&self) -> String {
        let Self { entries, unlinked, head, nonce, at } = self;
        let nonce = nonce.map(|nonce| nonce.to_string()).unwrap_or_default();
        format!("{DOMAIN}:{entries}:{unlinked}:{head}:{nonce}:{at}")
    }
}

/// A head as a report shows it, unproved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedLedgerHead {
    /// The head.
    pub head: LedgerHead,
    /// The signature of its text, as written.
    pub signature: Vec<u8>,
    /// The signer as it is named.
    pub signing_address: Option<Address>,
}

impl SignedLedgerHead {
    /// Who signed it.
    ///
    /// # Errors
    /// It is no signature, or that of another key than the one that is named.
    pub fn signer(&self) -> Result<Address, BadHead> {
        let bytes = self.signature.as_slice().try_into().map_err(|_| BadHead::Malformed)?;
        let signature = Signature(bytes);
        let signer = recover_text_signer(&self.head.text(), &signature);
        let signer = signer.map_err(|_| BadHead::Malformed)?;
        match self.signing_address {
            Some(named) if named != signer => Err(BadHead::OtherSigner),
            _ => Ok(signer),
        }
    }
}

/// Why a head is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// The signature is none.
    #[error("its signature is no signature")]
    Malformed,
    /// It is signed by another key than it says.
    #[error("it is not signed by the key that it names")]
    OtherSigner,
}

const DOMAIN: &str = "tee-sidecar.ledger-head.v1";

#[cfg(test)]
mod tests {
    use broker_core::{LocalSigner, Signer};

    use super::*;

    /// Golden: what is signed never changes between releases.
    #[test]
    fn what_is_signed_is_one_line_of_its_own_domain() {
        let (nonce, at) = (Some(Nonce32::from_bytes([0xcd; 32])), 1_750_000_000_000);
        let head = LedgerHead { entries: 7, unlinked: 2, head: Digest32([0xab; 32]), nonce, at };
        let (hex, nonce) = ("ab".repeat(32), "cd".repeat(32));
        let text = format!("tee-sidecar.ledger-head.v1:7:2:{hex}:{nonce}:1750000000000");
        assert_eq!(head.text(), text);
        let for_everybody = LedgerHead { nonce: None, ..head }.text();
        assert_eq!(for_everybody, format!("tee-sidecar.ledger-head.v1:7:2:{hex}::1750000000000"));
        let signer = LocalSigner::from_secret(&[7; 32]).unwrap();
        let signature = signer.sign_text(&head.text()).unwrap();
        let signed = SignedLedgerHead {
            head,
            signature: signature.0.to_vec(),
            signing_address: Some(signer.address()),
        };
        assert_eq!(signed.signer(), Ok(signer.address()));
        let later = LedgerHead { at: head.at + 1, ..head };
        let moved = SignedLedgerHead { head: later, ..signed.clone() };
        assert_eq!(moved.signer(), Err(BadHead::OtherSigner));
        let short = SignedLedgerHead { signature: vec![1; 64], ..signed };
        assert_eq!(short.signer(), Err(BadHead::Malformed));
    }
}
