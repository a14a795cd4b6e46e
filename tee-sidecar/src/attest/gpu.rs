//! GPU evidence: the seam, and which source the settings ask for.

use std::sync::Arc;

use super::{AttestError, GpuFuture, Platform};
use crate::config::GpuProvider;
use crate::evidence::Nonce32;
use crate::evidence::nvidia::GpuRoot;

#[cfg(feature = "simulator")]
mod simulated;

/// Makes GPU reports.
pub trait GpuAttester: Send + Sync {
    /// Evidence of every GPU of the node over this nonce, in the driver's order: at least one, and
    /// all of one architecture. Callers check that it carries the nonce. The future may be dropped
    /// at any time; the next call is not touched by what this one left behind.
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_>;

    /// Where the certificates of this evidence end.
    fn trust_root(&self) -> GpuRoot;
}

/// The source of GPU evidence that `gpu.provider` asks for; none where no GPU is attested, which
/// reports then say. A GPU beside a simulated TEE would prove nothing: there `auto` means none.
pub fn choose_gpu(
    provider: GpuProvider,
    platform: Platform,
) -> Result<Option<Arc<dyn GpuAttester>>, AttestError> {
    match (provider, platform) {
        (GpuProvider::None, _) | (GpuProvider::Auto, Platform::Simulated) => Ok(None),
        (GpuProvider::Simulated, Platform::Simulated) => simulated(),
        _ => Err(AttestError::NoSimulator("gpu.provider")),
    }
}

#[cfg(feature = "simulator")]
fn simulated() -> Result<Option<Arc<dyn GpuAttester>>, AttestError> {
    Ok(Some(Arc::new(simulated::node()?)))
}

#[cfg(not(feature = "simulator"))]
fn simulated() -> Result<Option<Arc<dyn GpuAttester>>, AttestError> {
    Err(AttestError::NoSimulator("gpu.provider"))
}
