//! A GPU in software: certificates and reports that the production verifier accepts under this
//! GPU's own root, and never under NVIDIA's. Its key follows from a public label, so anyone can
//! make its reports, and every certificate says that it is simulated.

use super::key::TestKey384;
use super::{SimulatorError, failed};
use crate::Nonce32;
use crate::nvidia::{Architecture, GpuEvidence, GpuRoot};

mod dice;
mod pki;
mod report;

/// Whose SHA-384 is the scalar of every software GPU's P-384 key.
///
/// Whoever knows it can answer another nonce: put it at bytes 4 to 36 of a report, and sign the
/// report without its last 96 bytes (ECDSA over SHA-384, r and s big-endian) into those 96.
pub const GPU_KEY_LABEL: &str = "tee-sidecar simulator: gpu";

/// The software GPU. Certificates are made once; a report costs one signature.
pub struct SoftwareGpu {
    architecture: Architecture,
    key: TestKey384,
    chain_pem: String,
    root_der: Vec<u8>,
}

impl SoftwareGpu {
    /// A GPU of this generation.
    pub fn new(architecture: Architecture) -> Result<Self, SimulatorError> {
        Self::certified(architecture, None)
    }

    /// One of several GPUs of a node: auditors tell devices by their certificates' serial numbers,
    /// and no two numbers give the same one. All share one key.
    pub fn numbered(architecture: Architecture, number: u8) -> Result<Self, SimulatorError> {
        Self::certified(architecture, Some(number))
    }

    fn certified(architecture: Architecture, number: Option<u8>) -> Result<Self, SimulatorError> {
        let key = TestKey384::of_label(GPU_KEY_LABEL)?;
        let (chain_pem, root_der) = pki::certify(architecture, &key, number)?;
        Ok(Self { architecture, key, chain_pem, root_der })
    }

    /// The evidence for this nonce; two nonces give reports that differ in nothing else than nonce
    /// and signature.
    pub fn evidence(&self, nonce: &Nonce32) -> Result<GpuEvidence, SimulatorError> {
        let mut report = report::unsigned(self.architecture, nonce)?;
        report.extend(self.key.sign_raw(&report)?);
        let chain_pem = self.chain_pem.clone().into_bytes();
        Ok(GpuEvidence { arch: self.architecture, report, chain_pem })
    }

    /// The root that this GPU's certificates end in, the same for every software GPU.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// Where the certificates of this GPU's reports end.
    pub fn trust_root(&self) -> GpuRoot {
        GpuRoot::Test(self.root_der.clone())
    }
}

const fn chip(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Hopper => "GH100",
        Architecture::Blackwell => "GB100",
    }
}
