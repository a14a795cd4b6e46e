//! Whether one GPU's evidence holds: each check on its own, for an auditor who prints a line per
//! check, and all of them together.

use super::{
    Architecture, ArchitectureError, FwidError, FwidState, GpuEvidence, GpuRoot, Measurements,
    SpdmError, SpdmReport, architecture, check_architecture, check_fwid, field,
};
use crate::certificates::{Chain, ChainError};

/// Makes every check that needs nothing but the evidence: a fresh nonce, the report's signature,
/// the certificates up to the root, the architecture and the firmware's digest. What was measured
/// still has to be compared with reference values.
pub fn verify_gpu(
    evidence: &GpuEvidence,
    nonce: &[u8; 32],
    root: &GpuRoot,
    now_secs: u64,
) -> Result<VerifiedGpu, GpuRefusal> {
    let report = SpdmReport::parse(&evidence.report)?;
    let chain = Chain::parse_pem(&evidence.chain_pem)?;
    check_nonce(&report, nonce)?;
    check_signature(&report, &chain)?;
    check_chain(&chain, root, now_secs)?;
    let architecture = check_architecture(&chain, evidence.arch)?;
    let fwid = check_fwid(&report, &chain)?;
    VerifiedGpu::read(&report, &chain, architecture, fwid)
}

/// The report answers this nonce. That is worth something only beside [`check_signature`].
pub fn check_nonce(report: &SpdmReport, nonce: &[u8; 32]) -> Result<(), GpuRefusal> {
    if report.nonce() == nonce { Ok(()) } else { Err(GpuRefusal::Nonce) }
}

/// The first certificate's key signed the report. Whose key that is, [`check_chain`] says.
pub fn check_signature(report: &SpdmReport, chain: &Chain) -> Result<(), GpuRefusal> {
    // Only P-384 has signatures of this length, so a key on another curve signed nothing.
    let key = chain.leaf().public_key();
    let signed = key.is_some_and(|key| key.verify_raw(report.signed_bytes(), report.signature()));
    if signed { Ok(()) } else { Err(GpuRefusal::Signature) }
}

/// The certificates end in the root and hold at `now_secs`, Unix time.
pub fn check_chain(chain: &Chain, root: &GpuRoot, now_secs: u64) -> Result<(), GpuRefusal> {
    Ok(chain.verify(&root.der()?, now_secs)?)
}

/// A GPU whose evidence holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedGpu {
    /// Its generation, as its certificates name it.
    pub architecture: Architecture,
    /// Such as `550.90.07`.
    pub driver_version: String,
    /// Such as `96.00.9F.00.01`.
    pub vbios_version: String,
    /// The board's project, such as `1010`.
    pub project: String,
    /// The board's variant, such as `0200`.
    pub project_sku: String,
    /// The chip's stock-keeping unit, such as `882`.
    pub chip_sku: String,
    /// The chip's name, where the firmware gives one.
    pub chip_info: Option<String>,
    /// What was measured, by SPDM index.
    pub measurements: Measurements,
    /// The state of the first video decoder: 0x55 off, 0xAA on; anything else is unknown.
    pub nvdec0_status: Option<u8>,
    /// Whether the GPU works alone (0), with others (1) or over protected PCIe (2).
    pub feature_flag: Option<u16>,
    /// Whether the report names the firmware that the certificate was issued for.
    pub fwid: FwidState,
    /// The GPU's identity: its certificate's serial number, decimal.
    pub ueid: String,
    /// The model: the name of the certificate that issued the GPU's, such as `GH100 A01 GSP BROM`.
    pub hwmodel: String,
}

impl VerifiedGpu {
    /// What a report says, for callers who have made every check of [`verify_gpu`] themselves.
    pub(crate) fn read(
        report: &SpdmReport,
        chain: &Chain,
        architecture: Architecture,
        fwid: FwidState,
    ) -> Result<Self, GpuRefusal> {
        let needed = |value: Option<String>, id, name| value.ok_or(SpdmError::Field(id, name));
        let chip_info = report.chip_info();
        if chip_info.is_none() && report.fields().get(field::CHIP_INFO).is_some() {
            return Err(SpdmError::Field(field::CHIP_INFO, "CHIP_INFO").into());
        }
        Ok(Self {
            architecture,
            driver_version: needed(
                report.driver_version(),
                field::DRIVER_VERSION,
                "DRIVER_VERSION",
            )?,
            vbios_version: needed(report.vbios_version(), field::VBIOS_VERSION, "VBIOS_VERSION")?,
            project: needed(report.project(), field::PROJECT, "PROJECT")?,
            project_sku: needed(report.project_sku(), field::PROJECT_SKU, "PROJECT_SKU")?,
            chip_sku: needed(report.chip_sku(), field::CHIP_SKU, "CHIP_SKU")?,
            chip_info,
            measurements: report.measurements().clone(),
            nvdec0_status: report.nvdec0_status(),
            feature_flag: report.feature_flag(),
            fwid,
            ueid: decimal(chain.leaf().parsed().tbs_certificate.serial_number.as_bytes()),
            hwmodel: architecture::model(chain)?,
        })
    }
}

/// Why a GPU's evidence is refused: the first check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuRefusal {
    /// The report cannot be read, or says too little.
    #[error("not a GPU report: {0}")]
    Malformed(#[from] SpdmError),
    /// The report answers another question: it was made earlier, or for someone else.
    #[error("the GPU report does not carry the nonce that was asked for")]
    Nonce,
    /// The report was changed, or is another GPU's.
    #[error("the GPU report is not signed by the key of its certificate")]
    Signature,
    /// The certificates do not lead to the root.
    #[error("the GPU's certificates: {0}")]
    Chain(#[from] ChainError),
    /// The firmware that reports is not the firmware that was certified.
    #[error("the GPU's firmware: {0}")]
    Fwid(#[from] FwidError),
    /// The device is not the one it is presented as.
    #[error("the GPU's architecture: {0}")]
    Architecture(#[from] ArchitectureError),
}

/// A big-endian number of any length in decimal.
fn decimal(bytes: &[u8]) -> String {
    // Least significant digit first.
    let mut digits = vec![0_u8];
    for byte in bytes {
        let mut carry = u16::from(*byte);
        for digit in &mut digits {
            let value = u16::from(*digit).saturating_mul(256).saturating_add(carry);
            *digit = u8::try_from(value % 10).unwrap_or_default();
            carry = value / 10;
        }
        while carry != 0 {
            digits.push(u8::try_from(carry % 10).unwrap_or_default());
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(digit.saturating_add(b'0'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_decimal_at_any_length() {
        assert_eq!(decimal(&[]), "0");
        assert_eq!(decimal(&[0, 0]), "0");
        assert_eq!(decimal(&[0, 255]), "255");
        assert_eq!(decimal(&[1, 0]), "256");
        assert_eq!(decimal(&u128::MAX.to_be_bytes()), u128::MAX.to_string());
        let big = 123_456_789_012_345_678_901_234_567_890_u128;
        assert_eq!(decimal(&big.to_be_bytes()), big.to_string());
    }
}
