//! The end of a ledger's chain, signed by the key that a report attests: whoever keeps the report
//! can tell later whether entries were changed, cut off or forgotten since.
//!
//! In a report it is the member `ledger_head`:
//!
//! ```json
//! {
//!   "entries": 7,
//!   "head": "64 hex digits: the last link of the chain over all entries",
//!   "at": 1750000000000,
//!   "signature": "0x, 130 hex digits: EIP-191 over the text",
//!   "signing_address": "0x, the report's own signing_address"
//! }
//! ```
//!
//! The text is `tee-sidecar.ledger-head.v1:<entries>:<head>:<at>`, numbers in decimal. `at` is in
//! milliseconds since 1970. The quote binds the key, so with the key it binds the head.

use broker_core::{Address, Digest32, Signature, recover_text_signer};

/// The end of a chain at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerHead {
    /// How many entries the chain has.
    pub entries: u64,
    /// Its last link; zeros for an empty ledger.
    pub head: Digest32,
    /// When it was read, in milliseconds since 1970.
    pub at: u64,
}

impl LedgerHead {
    /// What is signed.
    pub fn text(&self) -> String {
        let Self { entries, head, at } = self;
        format!("{DOMAIN}:{entries}:{head}:{at}")
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
        let head = LedgerHead { entries: 7, head: Digest32([0xab; 32]), at: 1_750_000_000_000 };
        let hex = "ab".repeat(32);
        let text = format!("tee-sidecar.ledger-head.v1:7:{hex}:1750000000000");
        assert_eq!(head.text(), text);
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
