//! What an auditor asks of evidence beyond that it is genuine.

use dcap_qvl::tcb_info::TcbStatus;
use serde::{Deserialize, Serialize};

use crate::tdx::TcbPolicy;

/// An auditor's rules. The default is the strict one: only platforms that are up to date, GPUs
/// required, no simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// The platform's state.
    pub tcb: TcbRules,
    /// What runs in the TD.
    pub td: TdRules,
    /// The GPUs.
    pub gpu: GpuRules,
    /// NVIDIA's own verdict on the GPUs.
    pub nras: Want,
    /// The keys that sign receipts.
    pub keyset: KeysetRules,
    /// Evidence of the software TEE, which proves nothing.
    pub simulated: Simulated,
}

/// Rules for the platform's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TcbRules {
    /// States that are good enough, by Intel's names. `Revoked` is refused even when named.
    pub accept: Vec<TcbStatus>,
    /// For how many seconds after its TCB's date an out-of-date platform is accepted, where
    /// `accept` names that state; left out, for ever.
    pub out_of_date_secs_max: Option<u64>,
    /// The lowest number of Intel's TCB data that is new enough; left out, any unexpired one.
    pub evaluation_data_number_min: Option<u32>,
    /// Accept platforms that can be extended with further packages: every multi-socket server.
    pub dynamic_platform: bool,
    /// Accept platforms whose root keys Intel's registration service holds.
    pub cached_keys: bool,
    /// Accept hyper-threading.
    pub smt: bool,
}

impl Default for TcbRules {
    fn default() -> Self {
        Self {
            accept: vec![TcbStatus::UpToDate],
            out_of_date_secs_max: None,
            evaluation_data_number_min: None,
            dynamic_platform: true,
            cached_keys: true,
            smt: true,
        }
    }
}

impl TcbRules {
    /// The same as the quote verifier takes it. `UpToDate` is always good enough.
    pub fn tcb_policy(&self) -> TcbPolicy {
        TcbPolicy {
            also_accepted: self.accept.clone(),
            out_of_date_secs_max: self.out_of_date_secs_max.unwrap_or(u64::MAX),
            evaluation_data_number_min: self.evaluation_data_number_min.unwrap_or(0),
            dynamic_platform: self.dynamic_platform,
            cached_keys: self.cached_keys,
            smt: self.smt,
        }
    }
}

/// Allowed measurements in hex; an empty list allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TdRules {
    /// The TD as built.
    pub mrtd: Vec<String>,
    /// Firmware configuration.
    pub rtmr0: Vec<String>,
    /// Kernel.
    pub rtmr1: Vec<String>,
    /// Command line and initial file system.
    pub rtmr2: Vec<String>,
    /// Run-time events.
    pub rtmr3: Vec<String>,
    /// SHA-256 of the composition that runs.
    pub compose_hash: Vec<String>,
}

/// Rules for GPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GpuRules {
    /// A report without GPU evidence lacks something.
    pub required: bool,
    /// How many there have to be, no more and no fewer; left out, any number.
    pub count: Option<usize>,
    /// Allowed driver versions; an empty list allows all.
    pub driver_versions: Vec<String>,
    /// Allowed VBIOS versions; an empty list allows all.
    pub vbios_versions: Vec<String>,
    /// NVIDIA's reference measurements.
    pub rim: Want,
    /// NVIDIA's word that no certificate is revoked.
    pub ocsp: Want,
    /// Certificates that NVIDIA put on hold count as good.
    pub certificate_hold: bool,
}

impl Default for GpuRules {
    fn default() -> Self {
        Self {
            required: true,
            count: None,
            driver_versions: Vec::new(),
            vbios_versions: Vec::new(),
            rim: Want::IfGiven,
            ocsp: Want::IfGiven,
            certificate_hold: false,
        }
    }
}

/// Rules for the keys that sign receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KeysetRules {
    /// For how many seconds from now a keyset may be valid at most.
    pub valid_secs_max: u64,
    /// The signer of the keyset before vouches for this one. Where it is required, a broken line is
    /// refused.
    pub lineage: Want,
    /// What is measured backs where the code is said to come from.
    pub provenance: Want,
}

impl Default for KeysetRules {
    fn default() -> Self {
        Self { valid_secs_max: VALID_SECS_MAX, lineage: Want::IfGiven, provenance: Want::IfGiven }
    }
}

/// Four hundred days.
const VALID_SECS_MAX: u64 = 400 * 24 * 60 * 60;

/// Whether something has to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Want {
    /// It is checked where it is given.
    #[default]
    IfGiven,
    /// Its absence is a failure.
    Required,
}

/// What evidence of the software TEE counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Simulated {
    /// Nothing: it is refused.
    #[default]
    Refuse,
    /// It is checked like real evidence, under the roots of the software TEE. For trying things
    /// out, never for trust.
    Accept,
}
