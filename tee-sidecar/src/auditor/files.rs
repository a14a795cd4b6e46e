//! Files of the auditor's: read whole, within bounds, with errors that name the file.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use dcap_qvl::QuoteCollateralV3;

use super::Failure;
use crate::evidence::nras::{Jwks, NrasAnswer};
use crate::evidence::nvidia::ocsp::OcspAnswer;
use crate::evidence::nvidia::rim::Rim;
use crate::evidence::policy::Policy;

/// A file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, FILE_BYTES_MAX)
}

/// The bytes of a receipt, keyset, tariff, head or proof.
pub(super) fn document(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, DOCUMENT_BYTES_MAX)
}

fn read_up_to(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let named = |error| Failure::Unreachable(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(named)?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(named)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= bytes_max) {
        Ok(bytes)
    } else {
        Err(malformed(path, &"longer than any such file"))
    }
}

/// Writes a file that must not be there yet: nothing is overwritten.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let named = |error| Failure::Failed(format!("{}: {error}", path.display()));
    let mut file = File::create_new(path).map_err(named)?;
    file.write_all(bytes).map_err(named)
}

pub(super) fn policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = read(path)?;
    let policy = serde_yaml_ng::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(policy)
        .map_err(|e| Failure::Usage(format!("policy {}: {e}", path.display())))
}

pub(super) fn collateral(path: &Path) -> Result<QuoteCollateralV3, Failure> {
    serde_json::from_slice(&read(path)?).map_err(|e| malformed(path, &e))
}

/// Writes what was fetched, for an audit in later years. Several reports of one kind of machine
/// have the same collateral; two that differ would need two files.
pub(super) fn keep_collateral(path: &Path, fetched: &QuoteCollateralV3) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(fetched).map_err(|e| malformed(path, &e))?;
    match read(path) {
        Ok(kept) if kept == bytes => Ok(()),
        Ok(_) => Err(Failure::Failed(format!(
            "{}: holds other collateral, and nothing is overwritten; give each report a file of \
             its own",
            path.display()
        ))),
        Err(_) => write(path, &bytes),
    }
}

pub(super) fn rim(path: &Path) -> Result<Rim, Failure> {
    Rim::parse(&read(path)?).map_err(|e| malformed(path, &e))
}

pub(super) fn ocsp(path: &Path) -> Result<OcspAnswer, Failure> {
    let bytes = read(path)?;
    // NVIDIA's tools keep them in base64.
    let answer = match std::str::from_utf8(&bytes) {
        Ok(text) if !bytes.starts_with(&LONG_SEQUENCE) => OcspAnswer::parse_base64(text),
        _ => OcspAnswer::parse(&bytes),
    };
    answer.map_err(|e| malformed(path, &e))
}

pub(super) fn nras(answer: &Path, keys: &Path) -> Result<(NrasAnswer, Jwks), Failure> {
    let parsed = NrasAnswer::parse(&read(answer)?).map_err(|e| malformed(answer, &e))?;
    Ok((parsed, Jwks::parse(&read(keys)?).map_err(|e| malformed(keys, &e))?))
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Malformed(format!("{}: {error}", path.display()))
}

/// How every OCSP answer in DER begins.
const LONG_SEQUENCE: [u8; 2] = [0x30, 0x82];

/// A value of JSON takes dozens of bytes in memory for two in the file.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;

/// Reports of large nodes have a quarter of a million bytes, answers of models a few millions.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
