//! The software GPU as a source of evidence.

use super::GpuAttester;
use crate::attest::{AttestError, GpuFuture};
use crate::evidence::Nonce32;
use crate::evidence::nvidia::{Architecture, GpuRoot};
use crate::evidence::simulator::SoftwareGpu;

/// A node with one software GPU.
pub(super) fn node() -> Result<SoftwareGpu, AttestError> {
    Ok(SoftwareGpu::new(Architecture::Hopper)?)
}

impl GpuAttester for SoftwareGpu {
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_> {
        Box::pin(async move {
            let made = Self::evidence(self, &nonce);
            let failed = |e: crate::evidence::simulator::SimulatorError| {
                crate::attest::GpuError::Driver { call: "software GPU", cause: e.to_string() }
            };
            Ok(vec![made.map_err(failed)?])
        })
    }

    fn trust_root(&self) -> GpuRoot {
        Self::trust_root(self)
    }
}
