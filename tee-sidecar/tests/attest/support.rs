//! What the tests of this binary share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker_core::keyset::ReceiptKey;
use broker_core::{Address, Clock, Digest32, LocalSigner, Signer, Timestamp};
use dcap_qvl::QuoteCollateralV3;
use serde_json::Value;
use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{
    AttestError, AttestFuture, Attester, GpuAttester, Platform, ReportError, ReportQuery,
    ReportService,
};
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::tdx::TrustRoot;
use tee_sidecar::evidence::{Nonce32, Quote, ReportData};
use tee_sidecar::identity::Identities;

/// A moment at which the software platform's collateral holds.
pub(crate) const NOW_SECS: u64 = 1_790_000_000;

pub(crate) const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn nonce() -> Nonce32 {
    Nonce32::parse(NONCE).unwrap()
}

pub(crate) fn signer() -> Arc<dyn Signer> {
    Arc::new(LocalSigner::from_secret(&[7; 32]).unwrap())
}

pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(NOW_SECS * 1000)
    }
}

/// Who signs receipts.
pub(crate) fn identities() -> Arc<Identities> {
    let key = ReceiptKey::from_secret(&[2; 32]);
    Arc::new(Identities::new(key, None, FixedClock.now()))
}

pub(crate) fn service() -> ReportService {
    service_of(Arc::new(SoftwarePlatform::new().unwrap()))
}

pub(crate) fn service_of(attester: Arc<dyn Attester>) -> ReportService {
    service_with(attester, None, None)
}

pub(crate) fn service_with(
    attester: Arc<dyn Attester>,
    gpus: Option<Arc<dyn GpuAttester>>,
    tls_spki: Option<Digest32>,
) -> ReportService {
    ReportService::new(ReportParts {
        attester,
        gpus,
        signer: signer(),
        identities: identities(),
        model: Box::new(|| Some("test/model:7b".to_owned())),
        tls_spki,
        clock: Arc::new(FixedClock),
    })
}

pub(crate) fn with_nonce(nonce: &str) -> ReportQuery {
    ReportQuery { nonce: Some(nonce.to_owned()), ..ReportQuery::default() }
}

pub(crate) async fn ask(
    service: &ReportService,
    query: &ReportQuery,
) -> Result<Value, ReportError> {
    let bytes = service.report(query).await?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

/// The report data inside the report's quote, as an auditor takes it: from the bytes.
pub(crate) fn quoted_report_data(report: &Value) -> Vec<u8> {
    let quote = hex::decode(report["intel_quote"].as_str().unwrap()).unwrap();
    quote[568..632].to_vec()
}

/// The software platform with a fault, counting the quotes that it was asked for.
pub(crate) struct Faulty {
    inner: SoftwarePlatform,
    fault: Fault,
    asked: AtomicUsize,
}

#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// None.
    Nothing,
    /// No quote at all.
    NoQuote,
    /// No quote for who asks first.
    First,
    /// A quote of zero bytes.
    EmptyQuote,
    /// A quote over the report data of another request.
    OtherReportData,
    /// An event log that was not measured.
    OtherEventLog,
    /// A quote after this many seconds.
    Slow(u64),
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Arc<Self> {
        let inner = SoftwarePlatform::new().unwrap();
        Arc::new(Self { inner, fault, asked: AtomicUsize::new(0) })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Attester for Faulty {
    fn platform(&self) -> Platform {
        self.inner.platform()
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        let is_first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            let quote = self.inner.quote_now(report_data)?;
            match self.fault {
                Fault::Nothing => Ok(quote),
                Fault::First if !is_first => Ok(quote),
                Fault::NoQuote | Fault::First => {
                    Err(AttestError::NoQuote("the test says so".to_owned()))
                }
                Fault::EmptyQuote => Ok(Quote { bytes: Vec::new(), ..quote }),
                Fault::OtherReportData => {
                    let other = ReportData::ecdsa_and_nonce(Address([1; 20]), &nonce());
                    Ok(self.inner.quote_now(&other)?)
                }
                Fault::OtherEventLog => Ok(Quote { event_log: "[]".to_owned(), ..quote }),
                Fault::Slow(secs) => {
                    tokio::time::sleep(std::time::Duration::from_secs(secs)).await;
                    Ok(quote)
                }
            }
        })
    }

    fn info(&self) -> Value {
        self.inner.info().clone()
    }

    fn trust_root(&self) -> TrustRoot {
        self.inner.trust_root()
    }

    fn collateral(&self) -> Option<QuoteCollateralV3> {
        Some(self.inner.own_collateral().clone())
    }
}
