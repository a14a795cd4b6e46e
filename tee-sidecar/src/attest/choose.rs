//! Which evidence the settings ask for, and whether this machine and release have it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AttestError, Attester, Platform};
use crate::config::{GpuProvider, TeeProvider};

/// The platform that `tee.provider` asks for. Real platforms are looked for, and since none is
/// driven yet each ends with an error that says what was found; nothing falls through to the
/// simulation.
pub fn choose(provider: TeeProvider) -> Result<Arc<dyn Attester>, AttestError> {
    choose_under(Path::new("/"), provider)
}

/// [`choose`] with another root of the file system, for tests.
pub fn choose_under(root: &Path, provider: TeeProvider) -> Result<Arc<dyn Attester>, AttestError> {
    match provider {
        TeeProvider::Auto => Err(refusal(root, "auto", &[&DSTACK_SOCKETS, &CONFIGFS])),
        TeeProvider::Dstack => Err(refusal(root, "dstack", &[&DSTACK_SOCKETS])),
        TeeProvider::Tdx => Err(refusal(root, "tdx", &[&CONFIGFS])),
        TeeProvider::Simulated => simulated(),
    }
}

/// The GPU evidence that goes into reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuEvidence {
    /// No GPU is attested, and reports say so.
    None,
}

/// The GPU evidence that `gpu.provider` asks for. A GPU beside a simulated TEE would prove nothing:
/// there `auto` means none.
pub const fn choose_gpu(
    provider: GpuProvider,
    platform: Platform,
) -> Result<GpuEvidence, AttestError> {
    match (provider, platform) {
        (GpuProvider::None, _) | (GpuProvider::Auto, Platform::Simulated) => Ok(GpuEvidence::None),
        (GpuProvider::Nvml, _) => Err(AttestError::NoGpuEvidence("nvml")),
        (GpuProvider::Simulated, _) => Err(AttestError::NoGpuEvidence("simulated")),
    }
}

fn refusal(root: &Path, provider: &'static str, interfaces: &[&[&str]]) -> AttestError {
    let paths = || interfaces.iter().copied().flatten().copied();
    match paths().find(|path| under(root, path).exists()) {
        Some(found) => AttestError::NotDriven { provider, found: found.to_owned() },
        None => {
            let looked_for = paths().collect::<Vec<_>>().join(", ");
            AttestError::NoTee { provider, looked_for }
        }
    }
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(feature = "simulator")]
fn simulated() -> Result<Arc<dyn Attester>, AttestError> {
    Ok(Arc::new(super::simulator::SoftwarePlatform::new()?))
}

#[cfg(not(feature = "simulator"))]
fn simulated() -> Result<Arc<dyn Attester>, AttestError> {
    Err(AttestError::NoSimulator)
}

/// Where dstack's guest agent listens, newest images last.
const DSTACK_SOCKETS: [&str; 4] = [
    "/var/run/dstack.sock",
    "/run/dstack.sock",
    "/var/run/dstack/dstack.sock",
    "/run/dstack/dstack.sock",
];

/// Where the kernel makes quotes on a bare TDX machine.
const CONFIGFS: [&str; 1] = ["/sys/kernel/config/tsm/report"];

#[cfg(all(test, not(feature = "simulator")))]
mod tests {
    use super::*;

    /// A14.
    #[test]
    fn a_build_without_the_simulator_refuses_the_simulation_by_name() {
        let refused = choose(TeeProvider::Simulated).err().unwrap();
        assert_eq!(refused, AttestError::NoSimulator);
        let path = Path::new("never-made");
        let refused = crate::keys::for_platform(Platform::Simulated, path).err().unwrap();
        assert!(matches!(refused, crate::keys::KeyError::NoSimulator(_)));
        assert!(!path.exists());
    }
}
