//! Changed seeds of the fuzzer through everything that reads evidence, on every machine: nothing
//! panics, and nothing that was signed for a seed holds with other content. The changes are the
//! same in each run; `.ci/fuzz` looks for further ones.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tee_evidence::answer::{SignatureAnswer, verify_answer};
use tee_evidence::audit::{Verdict, audit_report};
use tee_evidence::certificates::Chain;
use tee_evidence::event_log::EventLog;
use tee_evidence::nras::{self, Jwks, NrasAnswer};
use tee_evidence::nvidia::ocsp::OcspAnswer;
use tee_evidence::nvidia::rim::{Rim, RimRoot};
use tee_evidence::nvidia::{GpuRoot, SpdmReport, verify_gpu};
use tee_evidence::policy::{Policy, Simulated};
use tee_evidence::saved::parse_reports;
use tee_evidence::simulator::{SoftwareGpu, SoftwarePlatform};
use tee_evidence::tdx::{QuoteFields, TcbPolicy, inspect_quote, read_quote, verify_quote};

use crate::fuzz_seeds::{committed, gpu_evidence, nothing};
use crate::gpu::DEVICES_SECS;
use crate::nras::expected;
use crate::nras::service;
use crate::ocsp::made_up::Responder;
use crate::rim::signed::Signer;
use crate::support::NOW_SECS;

mod mutator;

use mutator::Mutator;

#[test]
fn changed_answers_are_read_without_a_panic() {
    each_change("answer", 8_000, |bytes, _| {
        let mut parts = bytes.splitn(3, |byte| *byte == 0);
        let (Some(request), Some(response), Some(json)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        SignatureAnswer::parse(json)
            .is_ok_and(|answer| verify_answer(request, response, &answer).is_ok())
    });
}

#[test]
fn changed_event_logs_are_read_without_a_panic() {
    each_change("event_log", 4_000, |bytes, _| {
        let log = std::str::from_utf8(bytes).ok().and_then(|json| EventLog::parse(json).ok());
        log.is_some_and(|log| log.replay().is_ok_and(|registers| log.verify(&registers).is_ok()))
    });
}

#[test]
fn changed_answers_of_the_attestation_service_are_read_without_a_panic() {
    let keys = Jwks::parse(service::jwks().to_string().as_bytes()).unwrap();
    each_change("nras", 500, |bytes, _| {
        let read = Jwks::parse(bytes);
        NrasAnswer::parse(bytes).map_or(read.is_ok(), |answer| {
            let of = |gpus| nras::verify(&answer, &keys, &expected(gpus)).is_ok();
            of(1) || of(2)
        })
    });
}

#[test]
fn changed_claims_under_a_right_signature_are_read_without_a_panic() {
    let keys = Jwks::parse(service::jwks().to_string().as_bytes()).unwrap();
    each_change("claims", 60, |bytes, _| {
        let Some(line) = bytes.iter().position(|byte| *byte == b'\n') else { return false };
        let (header, claims) = (&bytes[..line], &bytes[line + 1..]);
        let token = service::sign(&service::service_key(), header, claims);
        let tokens = [("GPU-0".to_owned(), token)];
        ["2.0", "3.0"].into_iter().any(|version| {
            let overall = service::token(&service::overall_claims(version, &tokens));
            let answer = service::answer(&overall, &tokens).to_string();
            let answer = NrasAnswer::parse(answer.as_bytes()).unwrap();
            nras::verify(&answer, &keys, &expected(1)).is_ok()
        })
    });
}

#[test]
fn changed_ocsp_answers_are_refused_or_as_before() {
    let responder = Responder::new();
    let good = responder.verify(&responder.good()).unwrap();
    each_change("ocsp", 2_000, |bytes, seed| {
        if let Ok(answer) = OcspAnswer::parse(bytes) {
            responder.is_about(&answer);
        }
        let verified = responder.verify(bytes);
        assert!(verified.as_ref().is_ok_and(|verified| *verified == good) || verified.is_err());
        verified.is_ok() || bytes == seed
    });
}

#[test]
fn changed_quotes_are_refused_or_say_what_was_signed() {
    let platform = SoftwarePlatform::new().unwrap();
    let (root, policy) = (platform.trust_root(), TcbPolicy::default());
    let verify =
        |quote: &[u8]| verify_quote(quote, platform.own_collateral(), &root, NOW_SECS, &policy);
    each_change("quote", 1_000, |quote, seed| {
        let right = read_quote(seed).unwrap();
        let same = |fields: &QuoteFields| assert_eq!(*fields, right);
        let inspected = inspect_quote(quote, &root, NOW_SECS).map(|read| same(&read.fields));
        verify(quote).map(|verified| same(&verified.fields)).is_ok() && inspected.is_ok()
    });
}

#[test]
fn changed_manifests_are_refused_or_say_what_was_signed() {
    let signer = Signer::new();
    let document = signer.sign(&crate::rim::signed::good());
    let original = signer.verify(&document).unwrap();
    each_change("rim", 2_000, |bytes, seed| {
        let Ok(rim) = Rim::parse(bytes) else { return bytes == seed };
        let now_secs = crate::nvidia_pki::NOW_SECS;
        assert!(rim.verify(&RimRoot::Nvidia, now_secs).is_err());
        let verified = rim.verify(&signer.root(), now_secs);
        assert!(verified.as_ref().is_ok_and(|rim| *rim == original) || verified.is_err());
        verified.is_ok()
    });
}

#[test]
fn changed_evidence_of_gpus_is_refused_or_says_what_was_signed() {
    let software = SoftwareGpu::new(tee_evidence::nvidia::Architecture::Hopper).unwrap();
    let roots = [(software.trust_root(), NOW_SECS), (GpuRoot::Nvidia, DEVICES_SECS)];
    each_change("spdm", 500, |bytes, seed| {
        let right = gpu_evidence(seed).unwrap();
        let right = SpdmReport::parse(&right.report).unwrap();
        let Some(evidence) = gpu_evidence(bytes) else { return false };
        let _ = Chain::parse_pem(&evidence.chain_pem);
        let Ok(read) = SpdmReport::parse(&evidence.report) else { return false };
        let mut holds = roots
            .iter()
            .map(|(root, now_secs)| verify_gpu(&evidence, right.nonce(), root, *now_secs).is_ok());
        let holds = holds.any(|holds| holds);
        assert!(!holds || read.signed_bytes() == right.signed_bytes());
        holds
    });
}

#[test]
fn changed_reports_are_proved_only_of_what_was_signed() {
    let lenient = Policy { simulated: Simulated::Accept, ..Policy::default() };
    each_change("report", 200, |bytes, seed| {
        let Ok(reports) = parse_reports(bytes) else { return false };
        let first = parse_reports(seed).unwrap().remove(0);
        reports.iter().fold(false, |proved, report| {
            let audit = audit_report(report, &nothing(), &lenient);
            if audit.verdict() != Verdict::Proved {
                return proved;
            }
            assert_eq!(audit.signer, first.signer);
            let bound =
                |quote: &Option<Vec<u8>>| read_quote(quote.as_ref().unwrap()).unwrap().report_data;
            assert_eq!(bound(&report.quote), bound(&first.quote));
            let strict = audit_report(report, &nothing(), &Policy::default());
            assert_eq!(strict.verdict(), Verdict::Refuted);
            true
        })
    });
}

/// Every seed of the target as it is and with `changes` changes, some on top of others. `accepts`
/// gets the bytes and the seed that they come from, and says whether they hold; the seed has to.
fn each_change(target: &str, changes: usize, accepts: impl Fn(&[u8], &[u8]) -> bool) {
    let seeds: Vec<&Vec<u8>> = SEEDS
        .iter()
        .filter(|(name, _)| name.starts_with(target))
        .map(|(_, content)| content)
        .collect();
    assert!(!seeds.is_empty(), "no seeds of {target}");
    for (number, seed) in seeds.iter().enumerate() {
        let mut mutator = Mutator::new(number as u64 + 1);
        for _ in 0..changes {
            let other = seeds[mutator.below(seeds.len())];
            let changed = mutator.change(seed, other);
            let began = Instant::now();
            accepts(&changed, seed);
            assert!(began.elapsed() < SLOWEST, "{} bytes took too long", changed.len());
        }
        assert!(accepts(seed, seed), "seed {number} of {target} is refused");
    }
}

static SEEDS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    committed().into_iter().map(|(path, content)| (name(&path), content)).collect()
});

/// Far more than anything takes here; what runs away takes for ever.
const SLOWEST: Duration = Duration::from_secs(10);
