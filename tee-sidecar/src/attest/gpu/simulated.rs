//! The software GPU as a source of evidence.

use super::GpuAttester;
use crate::attest::{AttestError, GpuError, GpuFuture};
use crate::evidence::Nonce32;
use crate::evidence::nvidia::{Architecture, GpuRoot};
use crate::evidence::simulator::{SimulatorError, SoftwareGpu};

/// A node with one software GPU.
pub(super) fn node() -> Result<SoftwareGpu, AttestError> {
    Ok(SoftwareGpu::new(Architecture::Hopper)?)
}

impl GpuAttester for SoftwareGpu {
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_> {
        Box::pin(async move { Ok(vec![Self::evidence(self, &nonce)?]) })
    }

    fn trust_root(&self) -> GpuRoot {
        Self::trust_root(self)
    }
}

impl From<SimulatorError> for GpuError {
    fn from(error: SimulatorError) -> Self {
        Self::Simulator(error.to_string())
    }
}
