//! Where signing keys come from, and that nobody sees them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::{Address, LocalSigner, Signer as _};
use serde_json::{Value, json};
use tee_sidecar::attest::dstack::Agent;
use tee_sidecar::keys::{KeyError, KeySource, SigningKeys, signer};

use crate::fake_dstack::{FakeAgent, KEY, answer, ok};

fn address(path: &Path) -> Result<Address, KeyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Ok(runtime.block_on(signer(&KeySource::SecretFile, path))?.address())
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("simulated.secret");
    (folder, path)
}

#[test]
fn a_restart_keeps_the_signer_and_another_file_is_another_signer() {
    let (_folder, path) = place();
    let first = address(&path).unwrap();
    assert_eq!(address(&path).unwrap(), first);

    fs::remove_file(&path).unwrap();
    assert_ne!(address(&path).unwrap(), first);
}

#[test]
fn the_file_is_made_whole_for_its_owner_only_and_leaves_nothing_beside_it() {
    let (_folder, path) = place();
    address(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 32);
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn the_signing_key_is_not_the_files_secret() {
    let (_folder, path) = place();
    let derived = address(&path).unwrap();
    let secret: [u8; 32] = fs::read(&path).unwrap().try_into().unwrap();
    let raw = broker_core::LocalSigner::from_secret(&secret).unwrap();
    assert_ne!(broker_core::Signer::address(&raw), derived);
}

#[test]
fn a_file_that_others_may_read_is_refused_by_name() {
    let (_folder, path) = place();
    address(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o644, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let refused = address(&path).unwrap_err();
        assert!(matches!(refused, KeyError::TooOpen { .. }), "{mode:o}: {refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    address(&path).unwrap();
}

#[test]
fn a_file_of_another_length_is_refused_and_left_alone() {
    let (_folder, path) = place();
    address(&path).unwrap();
    for length in [0, 31, 33, 64] {
        let content = vec![7; length];
        fs::write(&path, &content).unwrap();
        let refused = address(&path).unwrap_err();
        assert!(matches!(refused, KeyError::NotASecret(_)), "{length}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_folder_in_the_files_place_and_a_file_in_the_folders_place_are_refused_by_name() {
    let (folder, path) = place();
    fs::create_dir_all(&path).unwrap();
    let refused = address(&path).unwrap_err();
    assert!(matches!(refused, KeyError::NotASecret(_)), "{refused}");

    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let refused = address(&file.join("simulated.secret")).unwrap_err();
    assert!(matches!(refused, KeyError::Io { .. }), "{refused}");
    assert!(refused.to_string().contains("simulated.secret"));
}

#[test]
fn several_starts_at_once_agree_on_one_key() {
    let (_folder, path) = place();
    let addresses: Vec<Address> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| address(&path).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(addresses.iter().all(|address| *address == addresses[0]));
}

#[test]
fn no_debug_output_and_no_error_shows_the_secret() {
    let (_folder, path) = place();
    let keys = SigningKeys::simulated(&path).unwrap();
    let secret = fs::read(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let error = SigningKeys::simulated(&path).unwrap_err();
    for shown in [format!("{keys:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains(&hex::encode(&secret)), "{shown}");
        assert!(!shown.contains(&format!("{secret:?}")), "{shown}");
    }
}

async fn dstack_address(agent: &FakeAgent) -> Result<Address, KeyError> {
    let agent = Arc::new(Agent::new(agent.socket()).unwrap());
    let source = KeySource::Dstack(agent);
    Ok(signer(&source, Path::new("never-read")).await?.address())
}

#[tokio::test]
async fn under_dstack_a_restart_keeps_the_signer_and_the_key_is_the_key_services_own() {
    let vouched = LocalSigner::from_secret(&KEY).unwrap().address();
    for _start in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let agent = FakeAgent::good(&folder.path().join("dstack.sock"));
        assert_eq!(dstack_address(&agent).await.unwrap(), vouched);
        let asked = json!({
            "path": "tee-sidecar/signing/secp256k1/v1",
            "purpose": "signing",
            "algorithm": "secp256k1",
        });
        assert_eq!(agent.calls(), [("GetKey".to_owned(), asked)]);
    }
}

#[tokio::test]
async fn on_bare_tdx_a_restart_is_another_signer() {
    let path = Path::new("never-made");
    let first = signer(&KeySource::Born, path).await.unwrap().address();
    assert_ne!(signer(&KeySource::Born, path).await.unwrap().address(), first);
    assert!(!path.exists());
}

#[tokio::test]
async fn an_answer_without_a_whole_key_gives_no_signer_and_no_error_shows_a_piece_of_it() {
    let key = hex::encode(KEY);
    let base64 = "X19fX19fX19fX19fX19fX19fX19fX19fX19fX19fX18=";
    let answers: Vec<Vec<u8>> = vec![
        ok(&json!({"key": key[2..]})),
        ok(&json!({"key": format!("{key}5f")})),
        ok(&json!({"key": format!("0x{key}")})),
        ok(&json!({"key": format!("{}z", &key[1..])})),
        ok(&json!({"key": {"secret": key}})),
        ok(&json!({"key": [key]})),
        ok(&json!({"k": key})),
        ok(&json!(key)),
        ok(&json!({"key": "00".repeat(32)})),
        ok(&json!({"key": ""})),
        ok(&json!({"key": key, "error": format!("not for you: {key}")})),
        answer("500 Oops", json!({"error": format!("lost {key}, {base64}")}).to_string()),
        answer("500 Oops", json!({"key": key}).to_string()),
        answer("200 OK", format!("{{\"key\": \"{key}\"")),
        answer("200 OK", format!("{{\"key\": \"{key}\" \"{key}\"}}")),
        answer("200 OK", format!("{{\"key\": \"{key}\"}}{}", " ".repeat(20_000))),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n{key}").into_bytes(),
        format!("HTTP/1.1 {key}\r\n\r\n").into_bytes(),
    ];
    for (number, bytes) in answers.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let answer = Box::new(move |_: &str, _: &Value| bytes.clone());
        let agent = FakeAgent::start(&folder.path().join("dstack.sock"), answer);
        let refused = dstack_address(&agent).await.unwrap_err();
        for shown in [refused.to_string(), format!("{refused:?}")] {
            assert!(!shown.contains("5f5f") && !shown.contains("X19f"), "{number}: {shown}");
            assert!(!shown.contains("95, 95"), "{number}: {shown}");
        }
    }
}

#[tokio::test]
async fn no_debug_output_shows_a_key_of_the_key_service() {
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent::good(&folder.path().join("dstack.sock"));
    let key = Agent::new(agent.socket()).unwrap().key("a/path/v1", "a purpose", "ed25519").await;
    let key = key.unwrap();
    assert_eq!(key.bytes(), &KEY);
    assert_eq!(format!("{key:?}"), "AgentKey(<secret>)");
}
