//! Where certificates have to end: at Intel and NVIDIA, or, with an auditor's permission, at the
//! roots of the software TEE, whose private keys anyone can compute.

use dcap_qvl::QuoteCollateralV3;

use crate::nvidia::GpuRoot;
use crate::tdx::TrustRoot;

/// A set of roots for one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Intel's and NVIDIA's.
    Hardware,
    /// Those of the software TEE: what ends there proves nothing about hardware.
    Software,
}

impl Roots {
    /// Where a quote's certificates end.
    pub fn tdx(self) -> TrustRoot {
        match self {
            Self::Hardware => TrustRoot::Intel,
            Self::Software => TrustRoot::Test(SOFTWARE_TDX_ROOT.to_vec()),
        }
    }

    /// Where a GPU's certificates end.
    pub fn gpu(self) -> GpuRoot {
        match self {
            Self::Hardware => GpuRoot::Nvidia,
            Self::Software => GpuRoot::Test(SOFTWARE_GPU_ROOT.to_vec()),
        }
    }

    /// The software platform's collateral, which nobody publishes. Hardware's comes from Intel.
    pub fn collateral(self) -> Option<QuoteCollateralV3> {
        match self {
            Self::Hardware => None,
            Self::Software => serde_json::from_str(SOFTWARE_COLLATERAL).ok(),
        }
    }
}

const SOFTWARE_TDX_ROOT: &[u8] = include_bytes!("roots/software_tdx_root.der");
const SOFTWARE_GPU_ROOT: &[u8] = include_bytes!("roots/software_gpu_root.der");
const SOFTWARE_COLLATERAL: &str = include_str!("roots/software_collateral.json");
