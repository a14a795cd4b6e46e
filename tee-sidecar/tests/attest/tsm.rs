//! Quotes of a bare TDX guest, from a kernel that a thread plays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::Address;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tee_sidecar::attest::{AttestError, Attester as _, Platform, TsmAttester};
use tee_sidecar::evidence::tdx::TrustRoot;
use tee_sidecar::evidence::{Nonce32, ReportData};

use crate::fake_configfs::{FakeConfigfs, Script, quote_over};

const PATIENCE: Duration = Duration::from_secs(1);

struct Machine {
    kernel: FakeConfigfs,
    attester: TsmAttester,
    _folder: tempfile::TempDir,
}

fn machine(scripts: &[Script], patience: Duration) -> Machine {
    let folder = tempfile::tempdir().unwrap();
    let kernel = FakeConfigfs::start(&folder.path().join("report"), scripts);
    let attester = TsmAttester::with_patience(kernel.base(), patience).unwrap();
    Machine { kernel, attester, _folder: folder }
}

fn patient(scripts: &[Script]) -> Machine {
    machine(scripts, Duration::from_secs(30))
}

fn report_data(byte: u8) -> ReportData {
    ReportData::ecdsa_and_nonce(Address([7; 20]), &Nonce32::from_bytes([byte; 32]))
}

/// The error of the first quote of a kernel that does `script`; its entry is gone and the second
/// quote is good.
async fn refused(script: Script) -> AttestError {
    let machine = patient(&[script]);
    let refused = machine.attester.quote(&report_data(1)).await.unwrap_err();
    machine.kernel.assert_empty();
    let quote = machine.attester.quote(&report_data(2)).await.unwrap();
    assert_eq!(quote.bytes, quote_over(report_data(2).as_bytes()));
    machine.kernel.assert_empty();
    refused
}

#[tokio::test]
async fn a_quote_is_what_the_kernel_gives_for_this_report_data() {
    let machine = patient(&[]);
    for byte in 0..3 {
        let quote = machine.attester.quote(&report_data(byte)).await.unwrap();
        assert_eq!(quote.bytes, quote_over(report_data(byte).as_bytes()));
        assert_eq!((quote.event_log.as_str(), quote.vm_config.as_str()), ("[]", ""));
        machine.kernel.assert_empty();
    }
    assert_eq!(machine.attester.platform(), Platform::Tdx);
    assert!(matches!(machine.attester.trust_root(), TrustRoot::Intel));
    assert!(machine.attester.collateral().is_none());
    let info = machine.attester.info();
    assert_eq!(info, serde_json::json!({"tcb_info": {}, "vm_config": ""}));
}

#[test]
fn a_kernel_without_the_interface_is_refused_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for base in [folder.path().join("report"), file] {
        let refused = TsmAttester::new(base.clone()).err().unwrap();
        assert_eq!(refused, AttestError::TsmMissing(base.clone()));
        let message = refused.to_string();
        assert!(message.contains(base.to_str().unwrap()) && message.contains("6.7"), "{message}");
    }
}

#[tokio::test]
async fn a_file_system_that_refuses_entries_is_named() {
    let attester = TsmAttester::new(PathBuf::from("/proc")).unwrap();
    for refused in
        [attester.quote(&report_data(1)).await.unwrap_err(), attester.check().await.unwrap_err()]
    {
        let AttestError::Tsm { operation, path, cause } = &refused else {
            panic!("{refused}");
        };
        assert_eq!((*operation, path.parent()), ("create", Some(Path::new("/proc"))));
        assert!(cause.contains("os error"), "{cause}");
    }
}

#[tokio::test]
async fn the_interface_of_another_tee_is_refused_by_its_name() {
    for other in ["sev_guest", "arm_cca_guest", "tdx_guest2", ""] {
        let refused = refused(Script::Provider(other)).await;
        assert_eq!(refused, AttestError::TsmProvider(other.to_owned()));
        let checked = patient(&[Script::Provider(other)]);
        assert_eq!(checked.attester.check().await, Err(refused));
        checked.kernel.assert_empty();
    }
    let checked = patient(&[Script::Provider("tdx_guest")]);
    assert_eq!(checked.attester.check().await, Ok(()));
    checked.kernel.assert_empty();
}

#[tokio::test]
async fn a_quote_that_another_write_may_have_touched_is_thrown_away() {
    for (after, seen) in [("8\n", 8), ("6\n", 6), ("0\n", 0)] {
        assert_eq!(refused(Script::Generation(after)).await, AttestError::TsmRace(6, seen));
    }
    let refused = refused(Script::Generation("many\n")).await;
    assert!(refused.to_string().contains("\"many\" is no count"), "{refused}");
}

#[tokio::test]
async fn an_empty_quote_and_an_endless_one_are_refused() {
    let empty = refused(Script::Outblob(0)).await;
    assert!(matches!(&empty, AttestError::TsmEmpty(path) if path.ends_with("outblob")));
    let endless = refused(Script::Outblob(32 * 1024 + 1)).await;
    assert!(matches!(&endless, AttestError::TsmTooLong(path) if path.ends_with("outblob")));

    let longest = patient(&[Script::Outblob(32 * 1024)]);
    // The kernel took its files away after it: only the length was to be looked at.
    let refused = longest.attester.quote(&report_data(1)).await.unwrap_err();
    assert!(!matches!(refused, AttestError::TsmTooLong(_)), "{refused}");
}

/// What the fake cannot do is empty the folder after an error that the real system gives: that the
/// entry goes at every error of every call is tested beside its code.
#[tokio::test]
async fn an_error_of_the_real_system_names_the_file_and_the_number() {
    let machine = patient(&[Script::ReadError]);
    let refused = machine.attester.quote(&report_data(1)).await.unwrap_err();
    assert!(matches!(&refused, AttestError::Tsm { operation: "read", path, cause }
        if path.ends_with("outblob") && cause.contains("os error 5")));
}

#[tokio::test]
async fn an_entry_that_is_never_filled_is_given_up_and_removed() {
    let refused = refused(Script::Nothing).await;
    assert!(matches!(&refused, AttestError::Tsm { operation: "look for", path, .. }
        if path.ends_with("generation")));
}

#[tokio::test]
async fn a_slow_kernel_costs_its_caller_an_error_and_the_next_callers_no_time() {
    let machine = machine(&[Script::Slow(PATIENCE * 4)], PATIENCE);
    let started = Instant::now();
    let refused = machine.attester.quote(&report_data(1)).await.unwrap_err();
    assert_eq!(refused, AttestError::Hangs(1));
    assert!(started.elapsed() < PATIENCE * 3);

    let started = Instant::now();
    for _ in 0..50 {
        let refused = machine.attester.quote(&report_data(2)).await.unwrap_err();
        assert!(matches!(refused, AttestError::Hangs(_)), "{refused}");
    }
    assert!(started.elapsed() < PATIENCE, "nobody waits for a kernel that hangs");

    let quote = loop {
        match machine.attester.quote(&report_data(3)).await {
            Err(AttestError::Hangs(_)) => tokio::time::sleep(PATIENCE / 20).await,
            answered => break answered.unwrap(),
        }
    };
    assert_eq!(quote.bytes, quote_over(report_data(3).as_bytes()), "not the late one's");
    // A machine under load may hang by itself; those who were refused never reached the kernel.
    assert!(machine.kernel.quotes() < 10);
    machine.kernel.assert_empty();
}

#[tokio::test]
async fn after_100_dropped_callers_the_next_gets_its_own_quote_and_nobodys_was_made() {
    let machine = patient(&[Script::Slow(Duration::from_millis(300))]);
    let first = report_data(0);
    let mut first = machine.attester.quote(&first);
    assert!((&mut first).now_or_never().is_none());
    while machine.kernel.quotes() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(first);
    for byte in 1..=100 {
        let report_data = report_data(byte);
        assert!(machine.attester.quote(&report_data).now_or_never().is_none());
    }
    let quote = machine.attester.quote(&report_data(200)).await.unwrap();
    assert_eq!(quote.bytes, quote_over(report_data(200).as_bytes()));
    assert_eq!(machine.kernel.quotes(), 2, "the one that ran, and this one");
    machine.kernel.assert_empty();
}

#[tokio::test]
async fn many_callers_at_once_get_their_own_quotes_one_after_another() {
    let machine = patient(&[]);
    let asked: Vec<_> = (0..20).map(report_data).collect();
    let quotes = join_all(asked.iter().map(|asked| machine.attester.quote(asked))).await;
    for (asked, quote) in asked.iter().zip(quotes) {
        assert_eq!(quote.unwrap().bytes, quote_over(asked.as_bytes()));
    }
    assert_eq!(machine.kernel.most_at_once(), 1);
    machine.kernel.assert_empty();
}

#[tokio::test]
async fn an_attester_that_goes_in_the_middle_of_a_quote_leaves_no_entry() {
    let Machine { kernel, attester, _folder } = patient(&[Script::Slow(PATIENCE / 4)]);
    let attester = Arc::new(attester);
    let asking = attester.clone();
    let asking = tokio::spawn(async move { asking.quote(&report_data(1)).await });
    while kernel.quotes() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(attester);
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    kernel.assert_empty();
}
