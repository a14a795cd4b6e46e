//! The names under which NVIDIA publishes manifests.

use std::fmt;

use crate::nvidia::Architecture;

/// The name of the manifest that belongs to a report, for its file and for NVIDIA's service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RimId(String);

impl RimId {
    /// The manifest of a driver. `chip` is the report's CHIP_INFO, which only newer chips than
    /// Hopper give.
    pub fn driver(
        arch: Architecture,
        chip: Option<&str>,
        driver_version: &str,
    ) -> Result<Self, BadIdPart> {
        let version = part(driver_version)?;
        Ok(Self(match arch {
            Architecture::Hopper => format!("NV_GPU_DRIVER_GH100_{version}"),
            Architecture::Blackwell => {
                let chip = part(chip.unwrap_or(DEFAULT_BLACKWELL_CHIP))?;
                format!("NV_GPU_CC_DRIVER_{chip}_{version}")
            }
        }))
    }

    /// The manifest of a VBIOS, by the report's PROJECT, PROJECT_SKU, CHIP_SKU and version with
    /// its dots.
    pub fn vbios(
        project: &str,
        project_sku: &str,
        chip_sku: &str,
        vbios_version: &str,
    ) -> Result<Self, BadIdPart> {
        let [project, project_sku, chip_sku, version] =
            [part(project)?, part(project_sku)?, part(chip_sku)?, part(vbios_version)?];
        let version = version.replace('.', "");
        let id = format!("NV_GPU_VBIOS_{project}_{project_sku}_{chip_sku}_{version}");
        Ok(Self(id.to_ascii_uppercase()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A field of a report that cannot be part of a name: names become files and addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be part of a RIM's name: 1 to {PART_BYTES_MAX} letters, digits and dots can")]
pub struct BadIdPart(String);

fn part(text: &str) -> Result<&str, BadIdPart> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    let short = (1..=PART_BYTES_MAX).contains(&text.len());
    if short && text.bytes().all(allowed) && !text.starts_with('.') {
        return Ok(text);
    }
    Err(BadIdPart(text.chars().take(PART_BYTES_MAX).collect()))
}

const PART_BYTES_MAX: usize = 32;

const DEFAULT_BLACKWELL_CHIP: &str = "GB100";
