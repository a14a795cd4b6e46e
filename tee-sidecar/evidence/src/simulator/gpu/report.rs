//! The simulated report: the same fields, in the same order and of the same lengths, as real ones.

use sha2::{Digest as _, Sha384};

use super::{SimulatorError, dice, failed};
use crate::Nonce32;
use crate::nvidia::Architecture;

/// Request and response up to the signature.
pub(super) fn unsigned(
    architecture: Architecture,
    nonce: &Nonce32,
) -> Result<Vec<u8>, SimulatorError> {
    let record = record()?;
    let opaque = opaque(architecture)?;
    let record_bytes = u32::try_from(record.len()).map_err(failed)?.to_le_bytes();
    let [low, middle, high, _] = record_bytes;
    let gpu_nonce = Sha384::digest("tee-sidecar simulator: gpu nonce");
    let parts = [
        &[0x11, 0xe0, 0x01, 0xff][..],
        nonce.as_bytes(),
        &[0],
        &[0x11, 0x60, 0, 0, BLOCKS, low, middle, high],
        &record,
        gpu_nonce.split_at(32).0,
        &length(&opaque)?,
        &opaque,
    ];
    Ok(parts.concat())
}

/// Every block has the digest of its index.
fn record() -> Result<Vec<u8>, SimulatorError> {
    let mut record = Vec::new();
    for index in 1..=BLOCKS {
        let value = Sha384::digest(format!("tee-sidecar simulator: gpu measurement {index}"));
        let content = [&[1], &length(&value)?[..], &value].concat();
        record.extend([&[index, 1], &length(&content)?[..], &content].concat());
    }
    Ok(record)
}

fn opaque(architecture: Architecture) -> Result<Vec<u8>, SimulatorError> {
    let counts = [1; 256];
    let fwid = dice::fwid();
    // VBIOS, board, chip, project, driver, GPU, blocks, protected memory, decoder, firmware.
    let mut fields: Vec<(u16, &[u8])> = vec![
        (6, &[0, 0, 0, 0x99, 1, 0, 0, 0]),
        (14, &[0; 4]),
        (15, b"999\0\0\0\0\0\0"),
        (16, b"0\0\0\0\0"),
        (17, b"SIM0\0"),
        (18, b"0000\0"),
        (19, b"0\0"),
        (3, b"999.01\0"),
        (4, &[0; 8]),
        (12, &counts),
        (13, &[0; 4]),
        (11, &[0x55]),
        (20, &fwid),
    ];
    let newer: &[(u16, &[u8])] = match architecture {
        Architecture::Hopper => &[(21, &[0x55]), (34, &[1, 0]), (36, &[0, 0])],
        Architecture::Blackwell => &[(33, &[7, 7]), (34, &[0, 0])],
    };
    fields.extend(newer);
    let mut opaque = Vec::new();
    for (id, value) in fields {
        opaque.extend([&id.to_le_bytes()[..], &length(value)?, value].concat());
    }
    Ok(opaque)
}

fn length(value: &[u8]) -> Result<[u8; 2], SimulatorError> {
    Ok(u16::try_from(value.len()).map_err(failed)?.to_le_bytes())
}

/// As many as a real report has.
const BLOCKS: u8 = 64;
