//! Which TEE the settings ask for, and whether this machine has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AttestError, Attester};
use crate::config::TeeProvider;
use crate::keys::KeySource;

/// A TEE: what makes its quotes, and where its keys come from.
pub struct Tee {
    /// Makes quotes.
    pub attester: Arc<dyn Attester>,
    /// Gives keys.
    pub keys: KeySource,
}

/// The TEE that `tee.provider` asks for. Nothing falls through to the simulation.
pub async fn choose(provider: TeeProvider) -> Result<Tee, AttestError> {
    choose_under(Path::new("/"), provider).await
}

/// [`choose`] with another root of the file system, for tests.
pub async fn choose_under(root: &Path, provider: TeeProvider) -> Result<Tee, AttestError> {
    match provider {
        TeeProvider::Auto => Err(refusal(root, "auto", &[&DSTACK_SOCKETS, &CONFIGFS])),
        TeeProvider::Dstack => Err(refusal(root, "dstack", &[&DSTACK_SOCKETS])),
        TeeProvider::Tdx => Err(refusal(root, "tdx", &[&CONFIGFS])),
        TeeProvider::Simulated => simulated(),
    }
}

fn refusal(root: &Path, provider: &'static str, interfaces: &[&[&str]]) -> AttestError {
    let paths = || interfaces.iter().copied().flatten().copied();
    let _found = paths().find(|path| under(root, path).exists());
    let looked_for = paths().collect::<Vec<_>>().join(", ");
    AttestError::NoTee { provider, looked_for }
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(feature = "simulator")]
fn simulated() -> Result<Tee, AttestError> {
    let platform = crate::evidence::simulator::SoftwarePlatform::new()?;
    Ok(Tee { attester: Arc::new(platform), keys: KeySource::SecretFile })
}

#[cfg(not(feature = "simulator"))]
fn simulated() -> Result<Tee, AttestError> {
    Err(AttestError::NoSimulator("tee.provider"))
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
    #[tokio::test]
    async fn a_build_without_the_simulator_refuses_the_simulation_by_name() {
        let refused = choose(TeeProvider::Simulated).await.err().unwrap();
        assert_eq!(refused, AttestError::NoSimulator("tee.provider"));
        let path = Path::new("never-made");
        let refused = crate::keys::signer(&KeySource::SecretFile, path).await.err().unwrap();
        assert!(matches!(refused, crate::keys::KeyError::NoSimulator(_)));
        assert!(!path.exists());
    }
}
