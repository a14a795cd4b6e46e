//! `binding=v2`: what ties key, GPU evidence, model and TLS to one quote.
//!
//! The common layouts share only the nonce with the GPUs, so a genuine GPU of another machine can
//! answer it. Here the quote covers a hash of the GPU evidence, and the GPUs sign a nonce that
//! follows from the key: neither half can be exchanged.
//!
//! ```text
//! report_data = SHA-512("tee-sidecar.report_data.v2" 00 LP(algorithm) LP(public key)
//!               LP(TLS key's SPKI SHA-256, or nothing) LP(nonce) LP(SHA-256(nvidia_payload))
//!               LP(SHA-256(model name), or nothing) LP(SHA-256(signed log head), or nothing))
//! GPU nonce   = SHA-256("tee-sidecar.gpu-nonce.v2" 00 LP(public key) LP(nonce))
//! ```
//!
//! LP is a u32 big-endian length before the bytes; the public key is x and y (64 bytes).

use broker_core::Digest32;
use sha2::{Digest as _, Sha256, Sha512};

use crate::Nonce32;

/// The preimage of one quote's report data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// `ecdsa`.
    pub algorithm: &'a str,
    /// The signing key: x and y.
    pub public_key: &'a [u8],
    /// SHA-256 of the SubjectPublicKeyInfo of the TLS key in the TEE.
    pub tls_spki: Option<Digest32>,
    /// The request's nonce.
    pub nonce: Nonce32,
    /// The exact text that is served.
    pub nvidia_payload: &'a str,
    /// SHA-256 of the served model's name.
    pub model: Option<Digest32>,
    /// SHA-256 of the canonical form of the receipt log's signed head.
    pub log_head: Option<Digest32>,
}

impl Binding<'_> {
    /// The nonce that the GPUs sign.
    pub fn gpu_nonce(public_key: &[u8], nonce: &Nonce32) -> Nonce32 {
        let mut hash = Sha256::new();
        hash.update(b"tee-sidecar.gpu-nonce.v2\0");
        for part in [public_key, nonce.as_bytes()] {
            hash.update(length(part));
            hash.update(part);
        }
        Nonce32::from_bytes(hash.finalize().into())
    }

    pub(crate) fn digest(&self) -> [u8; 64] {
        let payload = Digest32::sha256(self.nvidia_payload.as_bytes());
        let optional = |digest: &Option<Digest32>| digest.map(|d| d.0.to_vec()).unwrap_or_default();
        let parts = [
            self.algorithm.as_bytes().to_vec(),
            self.public_key.to_vec(),
            optional(&self.tls_spki),
            self.nonce.as_bytes().to_vec(),
            payload.0.to_vec(),
            optional(&self.model),
            optional(&self.log_head),
        ];
        let mut hash = Sha512::new();
        hash.update(b"tee-sidecar.report_data.v2\0");
        for part in &parts {
            hash.update(length(part));
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// Every part is short; one that were not would be hashed under a length that no other has.
fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReportData;

    const KEY: [u8; 64] = [7; 64];

    fn binding() -> Binding<'static> {
        Binding {
            algorithm: "ecdsa",
            public_key: &KEY,
            tls_spki: None,
            nonce: Nonce32::from_bytes([0x5c; 32]),
            nvidia_payload: "{}",
            model: None,
            log_head: None,
        }
    }

    /// Recomputed with Python's hashlib from the layout above.
    #[test]
    fn the_layout_never_changes() {
        let full = Binding {
            tls_spki: Some(Digest32([1; 32])),
            model: Some(Digest32::sha256(b"tiny")),
            log_head: Some(Digest32([2; 32])),
            ..binding()
        };
        assert_eq!(ReportData::bound(&binding()).to_string(), BARE);
        assert_eq!(ReportData::bound(&full).to_string(), FULL);
        let nonce = Binding::gpu_nonce(&KEY, &binding().nonce);
        assert_eq!(nonce.to_string(), GPU_NONCE);
    }

    #[test]
    fn every_part_counts_and_none_can_move_into_another() {
        let one = Some(Digest32([1; 32]));
        let variants = [
            binding(),
            Binding { algorithm: "ed25519", ..binding() },
            Binding { public_key: &KEY[..63], ..binding() },
            Binding { tls_spki: one, ..binding() },
            Binding { model: one, ..binding() },
            Binding { log_head: one, ..binding() },
            Binding { nonce: Nonce32::from_bytes([0; 32]), ..binding() },
            Binding { nvidia_payload: "{ }", ..binding() },
        ];
        let made: std::collections::BTreeSet<_> = variants.iter().map(Binding::digest).collect();
        assert_eq!(made.len(), variants.len());
    }

    const BARE: &str = "\
        61d1c31b65aff67f67099007fd6fc9e2d46882537402a6b4447c14e25dd5d920\
        1d2bd1d68f5cb16b40d54edec5f5699d338061f7524719d2e73ecd76467ae323";
    const FULL: &str = "\
        4952c769af4c5502bc9e0f5527f3112b31be3a18fc2763293696265d02a94b1b\
        6c715c245a83a4022cd6a9c2306d6ae4f10205ec8441d87941cbb9ace2eb2e98";
    const GPU_NONCE: &str = "d2a9702f895c177b89f3c7940030ff2f0594fab478bddd35b5f4ae95123c19d8";
}
