//! Whether a GPU measured what its manifests say.

use std::fmt;

use super::{Reference, RimKind, VerifiedRim};
use crate::nvidia::Measurements;

/// Compares a report's measurements with the manifest of its driver, and with that of its VBIOS
/// where there is one. `nvdec0` is the report's field of that name: whether the video decoder,
/// which one of the measurements covers, is on.
///
/// Whether the manifests are those of the versions that the GPU reports is
/// [`VerifiedRim::verify_version`]'s question.
pub fn compare(
    measurements: &Measurements,
    nvdec0: Option<u8>,
    driver: &VerifiedRim,
    vbios: Option<&VerifiedRim>,
) -> Result<Comparison, CompareError> {
    let decoder_on = match nvdec0 {
        Some(NVDEC0_ON) => true,
        Some(NVDEC0_OFF) => false,
        other => return Err(CompareError::VideoDecoder(other)),
    };
    let mut comparison = Comparison::default();
    let mut mismatches = Vec::new();
    for (index, kind, reference) in active(driver, vbios)? {
        if index == VIDEO_DECODER_INDEX && !decoder_on {
            comparison.skipped.push(index);
            continue;
        }
        let block = index.checked_add(1).and_then(|block| measurements.get(&block));
        match difference(block, reference) {
            None => comparison.matched.push(index),
            Some(difference) => mismatches.push(Mismatch { index, kind, difference }),
        }
    }
    if mismatches.is_empty() { Ok(comparison) } else { Err(CompareError::Mismatch(mismatches)) }
}

/// The RIM indexes of what was compared. A report's block has the next higher index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Measured as the manifests say.
    pub matched: Vec<u8>,
    /// Not compared, because what it covers is off.
    pub skipped: Vec<u8>,
}

/// One measurement that is not as its manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The index in the manifest.
    pub index: u8,
    /// Which manifest.
    pub kind: RimKind,
    /// In what it differs.
    pub difference: Difference,
}

/// In what a measurement differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The report has no such block.
    Missing,
    /// It has another length.
    Size,
    /// It has none of the accepted values.
    Value,
}

/// Why the measurements prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The manifest of something else was handed in.
    #[error("a {expected} RIM is needed here, this is the {found} RIM {version}")]
    OtherKind {
        /// What is needed.
        expected: RimKind,
        /// What was given.
        found: RimKind,
        /// Its version.
        version: String,
    },
    /// Two manifests of different chips.
    #[error("the driver RIM is for {driver}, the VBIOS RIM for {vbios}")]
    OtherProduct {
        /// The driver manifest's chip.
        driver: String,
        /// The VBIOS manifest's chip.
        vbios: String,
    },
    /// Both manifests claim the same measurement.
    #[error("both RIMs have an active measurement at index {0}")]
    SharedIndex(u8),
    /// The report does not say whether the video decoder is on.
    #[error("the report's NVDEC0 status is {0:02x?}, neither 0x55 (off) nor 0xaa (on)")]
    VideoDecoder(Option<u8>),
    /// Measured otherwise.
    #[error("not measured as the RIMs say:{}", listed(.0))]
    Mismatch(Vec<Mismatch>),
}

/// The active references of both manifests by index.
fn active<'a>(
    driver: &'a VerifiedRim,
    vbios: Option<&'a VerifiedRim>,
) -> Result<Vec<(u8, RimKind, &'a Reference)>, CompareError> {
    of_kind(driver, RimKind::Driver)?;
    let mut all: Vec<_> = active_of(driver).collect();
    if let Some(vbios) = vbios {
        of_kind(vbios, RimKind::Vbios)?;
        if vbios.product != driver.product {
            let (driver, vbios) = (driver.product.clone(), vbios.product.clone());
            return Err(CompareError::OtherProduct { driver, vbios });
        }
        all.extend(active_of(vbios));
    }
    all.sort_unstable_by_key(|(index, ..)| *index);
    let shared = all.windows(2).find_map(|pair| match pair {
        [(a, ..), (b, ..)] if a == b => Some(*a),
        _ => None,
    });
    shared.map_or(Ok(all), |index| Err(CompareError::SharedIndex(index)))
}

fn active_of(rim: &VerifiedRim) -> impl Iterator<Item = (u8, RimKind, &Reference)> {
    let active = rim.references.iter().filter(|(_, reference)| reference.active);
    active.map(|(index, reference)| (*index, rim.kind, reference))
}

fn of_kind(rim: &VerifiedRim, expected: RimKind) -> Result<(), CompareError> {
    if rim.kind == expected {
        return Ok(());
    }
    let (found, version) = (rim.kind, rim.version.clone());
    Err(CompareError::OtherKind { expected, found, version })
}

fn difference(block: Option<&Vec<u8>>, reference: &Reference) -> Option<Difference> {
    let Some(block) = block else {
        return Some(Difference::Missing);
    };
    if block.len() != reference.size {
        return Some(Difference::Size);
    }
    (!reference.alternatives.contains(block)).then_some(Difference::Value)
}

fn listed(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|mismatch| format!(" {mismatch};")).collect()
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, kind, difference } = self;
        let difference = match difference {
            Difference::Missing => "is missing",
            Difference::Size => "has another length",
            Difference::Value => "has another value",
        };
        write!(f, "index {index} of the {kind} RIM {difference}")
    }
}

/// The measurement of the video decoder's firmware, which is there only when the decoder is on.
const VIDEO_DECODER_INDEX: u8 = 35;

const NVDEC0_OFF: u8 = 0x55;
const NVDEC0_ON: u8 = 0xaa;
