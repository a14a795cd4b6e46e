//! What the fuzzer starts from: evidence that is accepted, so that changes to it reach far. The
//! files are made here, byte for byte the same each time, and nothing else lies beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tee_evidence::answer::{SignatureAnswer, SignedBy, verify_answer};
use tee_evidence::audit::{Asked, Materials, Verdict, audit_report};
use tee_evidence::event_log::EventLog;
use tee_evidence::nras::{Jwks, NrasAnswer};
use tee_evidence::nvidia::ocsp::OcspError;
use tee_evidence::nvidia::{GpuRoot, SpdmReport, verify_gpu};
use tee_evidence::policy::{Policy, Simulated};
use tee_evidence::saved::parse_reports;
use tee_evidence::simulator::{SoftwareGpu, SoftwarePlatform};
use tee_evidence::tdx::{InspectedQuote, TcbPolicy, inspect_quote, verify_quote};
use x509_cert::der::Decode as _;
use x509_ocsp::ResponseData;

use crate::gpu::DEVICES_SECS;
use crate::nras::expected;
use crate::ocsp::made_up::Responder;
use crate::rim::signed::{Signer, good};
use crate::support::NOW_SECS;

mod make;

pub(crate) use make::gpu_evidence;
use make::seeds;

/// Contents by their paths in the corpus.
pub(crate) type Seeds = BTreeMap<PathBuf, Vec<u8>>;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

pub(crate) fn committed() -> Seeds {
    let mut found = Seeds::new();
    for target in std::fs::read_dir(corpus()).unwrap() {
        for file in std::fs::read_dir(target.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let content = std::fs::read(&path).unwrap();
            found.insert(path.strip_prefix(corpus()).unwrap().to_owned(), content);
        }
    }
    found
}

#[test]
fn the_committed_seeds_are_those_that_are_made_here() {
    let (made, committed) = (seeds(), committed());
    let names = |seeds: &Seeds| seeds.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&made), "run write_the_seeds");
    for (name, content) in made {
        assert!(committed[&name] == content, "{}: run write_the_seeds", name.display());
    }
}

/// Run it by name, with `--ignored`, after a format has changed.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    for (name, content) in seeds() {
        let path = corpus().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn seed(name: &str) -> Vec<u8> {
    seeds().remove(Path::new(name)).unwrap()
}

#[test]
fn the_seeds_of_quotes_and_of_their_event_log_are_accepted() {
    let platform = SoftwarePlatform::new().unwrap();
    let (root, policy) = (platform.trust_root(), TcbPolicy::default());
    let verify =
        |quote: &[u8]| verify_quote(quote, platform.own_collateral(), &root, NOW_SECS, &policy);
    let fields = verify(&seed("quote/simulated_version_4")).unwrap().fields;
    let quote = seed("quote/signed_version_5");
    assert_eq!(verify(&quote).unwrap().fields.report_data, fields.report_data);
    let InspectedQuote { cross_checked, fields: again } =
        inspect_quote(&quote, &root, NOW_SECS).unwrap();
    assert!(!cross_checked);
    assert_eq!((again.rtmrs, again.version), (fields.rtmrs, 5));
    let log = String::from_utf8(seed("event_log/simulated")).unwrap();
    EventLog::parse(&log).unwrap().verify(&fields.rtmrs).unwrap();
}

#[test]
fn the_seeds_of_the_attestation_service_and_of_answers_are_accepted() {
    let keys = Jwks::parse(&seed("nras/key_set")).unwrap();
    for (name, gpus) in [("nras/one_gpu_version_2", 1), ("nras/two_gpus_version_3", 2)] {
        let answer = NrasAnswer::parse(&seed(name)).unwrap();
        tee_evidence::nras::verify(&answer, &keys, &expected(gpus)).unwrap();
    }
    for name in ["answer/two_parts", "answer/with_a_model"] {
        let seed = seed(name);
        let json = seed.splitn(3, |byte| *byte == 0).last().unwrap();
        let answer = SignatureAnswer::parse(json).unwrap();
        assert!(answer.simulated);
        let named = answer.signing_address.unwrap();
        assert_eq!(verify_answer(b"request", b"response", &answer), Ok(SignedBy(named)));
    }
}

#[test]
fn the_seeds_of_gpus_are_accepted_under_their_roots() {
    for name in ["hopper", "blackwell", "published_hopper"] {
        let evidence = gpu_evidence(&seed(&format!("spdm/{name}"))).unwrap();
        let nonce = *SpdmReport::parse(&evidence.report).unwrap().nonce();
        let (root, now_secs) = match name {
            "published_hopper" => (GpuRoot::Nvidia, DEVICES_SECS),
            _ => (SoftwareGpu::new(evidence.arch).unwrap().trust_root(), NOW_SECS),
        };
        verify_gpu(&evidence, &nonce, &root, now_secs).unwrap();
    }
}

#[test]
fn the_seeds_of_manifests_and_of_revocation_are_accepted() {
    let signer = Signer::new();
    let signed = String::from_utf8(seed("rim/signed")).unwrap();
    assert_eq!(signer.verify(&signed).unwrap().references.len(), 2);
    assert_eq!(seed("rim/content"), good().into_bytes());
    let responder = Responder::new();
    responder.verify(&seed("ocsp/good")).unwrap();
    let signed_part = |name: &str| ResponseData::from_der(&seed(name)).unwrap();
    assert_eq!(responder.signed(signed_part("ocsp/signed_part")), seed("ocsp/good"));
    let critical = responder.signed(signed_part("ocsp/refused_signed_part"));
    assert_eq!(responder.verify(&critical), Err(OcspError::UnknownExtension));
}

#[test]
fn the_seeds_of_reports_prove_to_an_auditor_who_takes_simulated_evidence() {
    let policy = Policy { simulated: Simulated::Accept, ..Policy::default() };
    for name in ["plain", "version_2", "listed"] {
        let reports = parse_reports(&seed(&format!("report/{name}"))).unwrap();
        let [report] = reports.as_slice() else { panic!("{}", reports.len()) };
        let audit = audit_report(report, &nothing(), &policy);
        assert_eq!(audit.verdict(), Verdict::Proved, "{name}: {audit:?}");
    }
}

/// No materials but the moment.
pub(crate) fn nothing() -> Materials<'static> {
    Materials {
        now_secs: NOW_SECS,
        nonce: None,
        collateral: None,
        rims: &[],
        ocsp: &[],
        nras: None,
        tls_peer: None,
        asked: Asked::default(),
    }
}
