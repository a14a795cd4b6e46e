//! Whole attestation reports, before a strict auditor and before one who takes simulated evidence.
//! The bytes are a JSON document.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tee_evidence::Nonce32;
use tee_evidence::audit::{Asked, Audit, Materials, Verdict, audit_report};
use tee_evidence::policy::{Policy, Simulated};
use tee_evidence::saved::{SavedReport, SigningKey, parse_reports};
use tee_evidence::tdx::read_quote;

#[path = "report/edit.rs"]
mod edit;

/// What the quotes of the committed reports bind, and the key that they are about.
static BOUND: LazyLock<Vec<(SigningKey, [u8; 64])>> = LazyLock::new(|| {
    let first = |document: &[u8]| parse_reports(document).expect("a report").remove(0);
    [
        first(include_bytes!("../../../fixtures/simulated/report.json")),
        first(include_bytes!("../../../fixtures/simulated/report_v2.json")),
    ]
    .map(|report| (report.signer.expect("its key"), bound(&report)))
    .into()
});

fuzz_target!(|document: &[u8]| {
    let Ok(reports) = parse_reports(document) else { return };
    assert!(!reports.is_empty());
    let strict = Policy::default();
    let lenient = Policy { simulated: Simulated::Accept, ..Policy::default() };
    for report in &reports {
        let judged = audit(report, &lenient, None);
        for finding in &judged.findings {
            assert!(!finding.detail.chars().any(char::is_control), "{finding:?}");
        }
        if judged.verdict() != Verdict::Proved {
            continue;
        }
        assert_eq!(audit(report, &strict, None).verdict(), Verdict::Refuted, "it is simulated");
        assert!(report.simulated, "there is no real evidence among the seeds");
        let signer = judged.signer.expect("what is proved is about a key");
        assert!(BOUND.contains(&(signer, bound(report))), "only the seeds' quotes were signed");
        let other = Some(Nonce32::from_bytes([0xee; 32]));
        assert_eq!(audit(report, &lenient, other).verdict(), Verdict::Refuted, "another nonce");
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Most of what is collected is refused early, so most edits start from what is proved.
    let edited = match seed % 8 {
        0 | 1 => None,
        2 | 3 => edit::edited(&data[..size], seed),
        4 | 5 => edit::edited(PLAIN, seed),
        _ => edit::edited(VERSION_2, seed),
    };
    match edited {
        Some(document) if document.len() <= max_size => {
            data[..document.len()].copy_from_slice(&document);
            document.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});

fn audit(report: &SavedReport, policy: &Policy, nonce: Option<Nonce32>) -> Audit {
    let materials = Materials {
        now_secs: NOW_SECS,
        nonce,
        collateral: None,
        rims: &[],
        ocsp: &[],
        nras: None,
        tls_peer: None,
        asked: Asked::default(),
    };
    audit_report(report, &materials, policy)
}

fn bound(report: &SavedReport) -> [u8; 64] {
    read_quote(report.quote.as_deref().expect("a quote")).expect("that can be read").report_data
}

const PLAIN: &[u8] = include_bytes!("../corpus/report/plain");
const VERSION_2: &[u8] = include_bytes!("../corpus/report/version_2");
const NOW_SECS: u64 = 1_790_000_000;
