//! Files of key and certificate, as time goes by.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_core::Timestamp;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm, date_time_ymd};

use super::*;

struct Then(AtomicU64);

impl Clock for Then {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed) * 1000)
    }
}

struct Desk {
    folder: tempfile::TempDir,
    clock: Arc<Then>,
}

/// The first of January of 2030 and of 2031, in seconds.
const YEAR_2030: u64 = 1_893_456_000;
const YEAR_2031: u64 = 1_924_992_000;

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(Then(AtomicU64::new(YEAR_2030)));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    fn files(&self) -> TlsFiles {
        let at = |name| self.folder.path().join(name);
        TlsFiles { cert: at("cert.pem"), key: at("key.pem") }
    }

    fn open(&self) -> Result<Arc<Tls>, TlsError> {
        Tls::open(self.files(), Some("a.example".to_owned()), self.clock.clone())
    }

    fn pair(&self) -> KeyPair {
        KeyPair::from_pem(&std::fs::read_to_string(self.files().key).unwrap()).unwrap()
    }

    fn key(&self, text: &str) {
        let path = self.files().key;
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    /// A certificate for these years, which the key signs itself as any authority might.
    fn certificate(&self, first: i32, behind: i32) {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(behind, 1, 1);
        let pem = params.self_signed(&self.pair()).unwrap().pem();
        std::fs::write(self.files().cert, pem).unwrap();
    }

    fn at(&self, secs: u64) {
        self.clock.0.store(secs, Ordering::Relaxed);
    }
}

#[test]
fn a_certificate_is_taken_once_its_time_has_come_and_told_once_it_is_over() {
    let desk = Desk::new();
    let tls = desk.open().unwrap();
    assert!(tls.note().unwrap().contains("its own key"));
    assert!(tls.look().is_none());
    desk.certificate(2031, 2032);
    assert!(tls.look().is_none(), "it is not valid yet");
    desk.at(YEAR_2031 + 1);
    let change = tls.look().expect("it is valid");
    assert_eq!(change.spki(), tls.spki());
    tls.show(change);
    assert_eq!(tls.note(), None);
    assert!(tls.look().is_none(), "it is shown already");
    desk.at(YEAR_2031 + 366 * 86_400);
    assert!(tls.look().is_none());
    assert!(tls.note().unwrap().contains("expired"));
}

#[test]
fn the_next_start_shows_the_certificate_and_writes_the_request_anew() {
    let desk = Desk::new();
    let first = desk.open().unwrap().spki();
    desk.certificate(2029, 2031);
    std::fs::remove_file(desk.files().cert.with_extension("csr")).unwrap();
    let tls = desk.open().unwrap();
    assert_eq!((tls.spki(), tls.note()), (first, None));
    assert!(tls.look().is_none());
    assert!(desk.files().cert.with_extension("csr").exists());
}

#[test]
fn a_key_file_that_goes_or_breaks_while_it_runs_changes_nothing_and_none_is_made() {
    let desk = Desk::new();
    desk.open().unwrap();
    desk.certificate(2029, 2031);
    let tls = desk.open().unwrap();
    let spki = tls.spki();
    std::fs::write(desk.files().key, "no key").unwrap();
    assert!(tls.look().is_none());
    assert!(tls.note().unwrap().contains("cannot be used"));
    std::fs::remove_file(desk.files().key).unwrap();
    assert!(tls.look().is_none());
    assert!(!desk.files().key.exists());
    assert_eq!(tls.spki(), spki);
}

#[test]
fn keys_of_other_kinds_are_taken_and_what_is_none_is_refused_without_being_shown() {
    let kinds: [&SignatureAlgorithm; 2] = [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
    for kind in kinds {
        let desk = Desk::new();
        desk.key(&KeyPair::generate_for(kind).unwrap().serialize_pem());
        desk.open().unwrap();
        desk.certificate(2029, 2031);
        assert_eq!(desk.open().unwrap().note(), None);
    }
    let desk = Desk::new();
    let long = "CANARY".repeat(20_000);
    for text in
        ["", "CANARY", "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----", &long]
    {
        desk.key(text);
        let refused = desk.open().err().expect("a key").to_string();
        assert!(refused.contains("PKCS#8") && !refused.contains("CANARY"), "{refused}");
        assert!(!refused.contains("Q0FOQVJZ"), "{refused}");
    }
}
