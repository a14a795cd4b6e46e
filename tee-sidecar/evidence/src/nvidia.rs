//! What a GPU in confidential-computing mode proves: an SPDM report signed by a key whose
//! certificates end at NVIDIA.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::certificates::{Chain, ChainError};

mod architecture;
mod device;
mod fwid;
pub mod ocsp;
pub mod rim;
mod spdm;

pub use architecture::{ArchitectureError, check_architecture};
pub use device::{GpuRefusal, VerifiedGpu, check_chain, check_nonce, check_signature, verify_gpu};
pub use fwid::{FwidError, FwidState, certified_fwid, check_fwid};
pub use spdm::{Fields, SpdmError, SpdmReport, field};

/// One GPU's evidence, as NVML gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuEvidence {
    /// The architecture that the driver names.
    pub arch: Architecture,
    /// The SPDM request and response.
    pub report: Vec<u8>,
    /// The attestation certificates in PEM, leaf first, root last.
    pub chain_pem: Vec<u8>,
}

/// The measured blocks of a report by their SPDM index, which starts at 1.
pub type Measurements = BTreeMap<u8, Vec<u8>>;

/// The GPU generations whose evidence is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Architecture {
    /// H100, H200.
    Hopper,
    /// B100, B200.
    Blackwell,
}

impl Architecture {
    /// From the spelling of NVIDIA's attestation service.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hopper, Self::Blackwell].into_iter().find(|arch| arch.to_string() == text)
    }
}

impl fmt::Display for Architecture {
    /// As NVIDIA's attestation service spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hopper => "HOPPER",
            Self::Blackwell => "BLACKWELL",
        })
    }
}

/// Where a GPU's certificates must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuRoot {
    /// NVIDIA's Device Identity CA, built in.
    Nvidia,
    /// The root of a software GPU, as DER. Evidence under it proves nothing about hardware.
    Test(Vec<u8>),
}

impl GpuRoot {
    /// The root's DER.
    pub fn der(&self) -> Result<Vec<u8>, ChainError> {
        match self {
            Self::Nvidia => Ok(Chain::parse_pem(DEVICE_IDENTITY_CA_PEM)?.leaf().der().to_vec()),
            Self::Test(der) => Ok(der.clone()),
        }
    }
}

const DEVICE_IDENTITY_CA_PEM: &[u8] = include_bytes!("nvidia/roots/device_root.pem");
