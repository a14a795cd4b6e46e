//! GPU evidence: the seam, and which source the settings ask for.

use std::path::PathBuf;
use std::sync::Arc;

use super::{AttestError, GpuError, GpuFuture, Platform};
use crate::config::GpuProvider;
use crate::evidence::Nonce32;
use crate::evidence::nvidia::GpuRoot;

mod node;
mod nvml;
#[cfg(feature = "simulator")]
mod simulated;

pub use nvml::{GpuLimits, NvmlAttester};

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
/// Waits for the driver to start, at most as long as [`GpuLimits`] says.
///
/// # Errors
/// What is missing or wrong. `auto` takes nothing for "no GPU" but the absence of the library: a
/// driver that is not up yet is an error and may be there at the next start, and a GPU that is not
/// confidential is never hidden.
pub fn choose_gpu(
    provider: GpuProvider,
    platform: Platform,
) -> Result<Option<Arc<dyn GpuAttester>>, AttestError> {
    choose_gpu_from(None, provider, platform)
}

/// [`choose_gpu`] with another library than NVIDIA's, for tests.
pub fn choose_gpu_from(
    library: Option<PathBuf>,
    provider: GpuProvider,
    platform: Platform,
) -> Result<Option<Arc<dyn GpuAttester>>, AttestError> {
    match (provider, platform) {
        (GpuProvider::None, _) | (GpuProvider::Auto, Platform::Simulated) => Ok(None),
        (GpuProvider::Nvml, _) => Ok(Some(Arc::new(NvmlAttester::start(library)?))),
        (GpuProvider::Auto, Platform::Dstack | Platform::Tdx) => Ok(automatic(library)?),
        (GpuProvider::Simulated, Platform::Simulated) => simulated(),
        (GpuProvider::Simulated, Platform::Dstack | Platform::Tdx) => {
            Err(GpuError::SimulatedBesideRealTee.into())
        }
    }
}

fn automatic(library: Option<PathBuf>) -> Result<Option<Arc<dyn GpuAttester>>, GpuError> {
    match NvmlAttester::start(library) {
        Ok(attester) => Ok(Some(Arc::new(attester))),
        Err(absent @ GpuError::NoLibrary(_)) => {
            tracing::warn!("reports will hold no GPU evidence: {absent}");
            Ok(None)
        }
        Err(wrong) => Err(wrong),
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
