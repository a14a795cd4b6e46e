//! OCSP answers. The bytes are an answer, or the part of one that is signed: it is signed by a
//! responder of the test's own before it is read.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tee_evidence::nvidia::ocsp::{Good, OcspAnswer};
use x509_cert::der::{Decode as _, Encode as _};
use x509_ocsp::{CertStatus, ResponseData};

#[allow(dead_code, unused_imports, reason = "it has tests of its own")]
#[path = "../../evidence/tests/evidence/ocsp/made_up.rs"]
mod made_up;
#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../../evidence/tests/evidence/nvidia_pki.rs"]
mod nvidia_pki;

use made_up::Responder;
use nvidia_pki::NOW_SECS;

static RESPONDER: LazyLock<Responder> = LazyLock::new(Responder::new);
static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| RESPONDER.good());
static GOOD: LazyLock<Good> =
    LazyLock::new(|| RESPONDER.verify(&SIGNED).expect("the seed is accepted"));

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = OcspAnswer::parse(bytes) {
        let is_about = RESPONDER.is_about(&answer);
        if let Ok(good) = RESPONDER.verify(bytes) {
            assert!(is_about);
            assert_eq!(good, *GOOD, "nothing else was signed");
        }
    }
    let Ok(data) = ResponseData::from_der(bytes) else { return };
    if data.to_der().is_err() {
        return;
    }
    let signed = RESPONDER.signed(data.clone());
    let Ok(good) = RESPONDER.verify(&signed) else { return };
    assert!(!good.on_hold);
    assert!(good.until_secs >= NOW_SECS);
    check_with_another_reader(&data, &good);
});

/// One answer of those that are there says so, and nothing critical was passed over.
fn check_with_another_reader(data: &ResponseData, good: &Good) {
    let says_so = data.responses.iter().any(|one| {
        let until = one.next_update.map(|until| until.0.to_unix_duration().as_secs());
        matches!(one.cert_status, CertStatus::Good(_))
            && one.this_update.0.to_unix_duration().as_secs() <= NOW_SECS
            && until == Some(good.until_secs)
            && one.single_extensions.iter().flatten().all(|extension| !extension.critical)
    });
    assert!(says_so);
    assert!(data.response_extensions.iter().flatten().all(|extension| !extension.critical));
}
