//! Which TEE the settings ask for, and whether this machine has it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AttestError, Attester, DstackAttester, TsmAttester};
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
    let (named, found, interfaces): (_, _, &[&[&str]]) = match provider {
        TeeProvider::Auto => {
            let found = match dstack(root).await? {
                None => tdx(root).await?,
                found => found,
            };
            ("auto", found, &[&DSTACK_SOCKETS, &CONFIGFS])
        }
        TeeProvider::Dstack => ("dstack", dstack(root).await?, &[&DSTACK_SOCKETS]),
        TeeProvider::Tdx => ("tdx", tdx(root).await?, &[&CONFIGFS]),
        TeeProvider::Simulated => return simulated(),
    };
    found.ok_or_else(|| refusal(root, named, interfaces))
}

/// dstack, if one of its sockets is there. One that is there and does not work is an error: the
/// operator meant it, and another TEE's key would be another signer.
async fn dstack(root: &Path) -> Result<Option<Tee>, AttestError> {
    let Some(socket) = DSTACK_SOCKETS.iter().find_map(|path| existing(root, path)) else {
        return Ok(None);
    };
    let attester = DstackAttester::connect(socket).await?;
    let keys = KeySource::Dstack(attester.agent());
    Ok(Some(Tee { attester: Arc::new(attester), keys }))
}

/// Bare TDX, if the kernel's report interface is there. One of another TEE's is an error.
async fn tdx(root: &Path) -> Result<Option<Tee>, AttestError> {
    let Some(base) = CONFIGFS.iter().find_map(|path| existing(root, path)) else {
        return Ok(None);
    };
    let attester = TsmAttester::new(base)?;
    attester.check().await?;
    Ok(Some(Tee { attester: Arc::new(attester), keys: KeySource::Born }))
}

fn refusal(root: &Path, provider: &'static str, interfaces: &[&[&str]]) -> AttestError {
    if provider != "tdx"
        && let Some(socket) = existing(root, TAPPD_SOCKET)
    {
        return AttestError::OldAgent { provider, socket };
    }
    let paths = interfaces.iter().copied().flatten().copied();
    AttestError::NoTee { provider, looked_for: paths.collect::<Vec<_>>().join(", ") }
}

/// The path, unless there is certainly nothing: what cannot be looked at is there and will say why
/// it cannot be used.
fn existing(root: &Path, path: &str) -> Option<PathBuf> {
    let path = root.join(path.trim_start_matches('/'));
    match path.symlink_metadata().map_err(|e| e.kind()) {
        Err(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        _ => Some(path),
    }
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

/// Where dstack's guest agent listens, in the order in which they are tried.
const DSTACK_SOCKETS: [&str; 4] = [
    "/var/run/dstack.sock",
    "/run/dstack.sock",
    "/var/run/dstack/dstack.sock",
    "/run/dstack/dstack.sock",
];

/// Where the agent of dstack images before 0.5 listens. Its calls are others, and it has no
/// versioned keys.
const TAPPD_SOCKET: &str = "/var/run/tappd.sock";

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
