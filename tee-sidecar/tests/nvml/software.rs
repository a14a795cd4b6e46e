//! A node whose driver shows software GPUs, reports made of its evidence, and who judges them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::keyset::ReceiptKey;
use broker_core::{Address, Clock, LocalSigner, Signer, Timestamp};
use serde_json::Value;
use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{
    GpuAttester, GpuFuture, NvmlAttester, ReportError, ReportQuery, ReportService,
};
use tee_sidecar::evidence::Nonce32;
use tee_sidecar::evidence::audit::{Asked, Audit, Materials, audit_report};
use tee_sidecar::evidence::nvidia::{Architecture, GpuRoot};
use tee_sidecar::evidence::policy::{Policy, Simulated};
use tee_sidecar::evidence::saved::parse_reports;
use tee_sidecar::evidence::simulator::{GPU_KEY_LABEL, SoftwareGpu, SoftwarePlatform};
use tee_sidecar::identity::Identities;

use crate::support::{Driver, nonce};

/// A moment at which the software TEE's certificates hold.
const NOW_SECS: u64 = 1_790_000_000;

/// The driver, with what it needs to answer every nonce for its GPUs.
pub(crate) struct Node {
    pub(crate) driver: Driver,
    knobs: Vec<(&'static str, String)>,
}

impl Node {
    pub(crate) fn new(count: u8, arch: Architecture) -> Self {
        let driver = Driver::new(&[]);
        let file = |name: String, content: &[u8]| {
            let path = driver.folder().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (mut reports, mut chains) = (Vec::new(), Vec::new());
        for number in 0..count {
            let gpu = SoftwareGpu::numbered(arch, number).unwrap();
            let evidence = gpu.evidence(&nonce(0xee)).unwrap();
            reports.push(file(format!("report{number}"), &evidence.report));
            chains.push(file(format!("chain{number}"), &evidence.chain_pem));
        }
        let number = if arch == Architecture::Hopper { "9" } else { "10" };
        let knobs = vec![
            ("GPUS", count.to_string()),
            ("ARCH", number.to_owned()),
            ("KEY_LABEL", GPU_KEY_LABEL.to_owned()),
            ("REPORT", reports.join(",")),
            ("CHAIN", chains.join(",")),
        ];
        let node = Self { driver, knobs };
        node.set(&[]);
        node
    }

    /// Replaces the knobs that are not the GPUs' own.
    pub(crate) fn set(&self, knobs: &[(&str, &str)]) {
        let own = self.knobs.iter().map(|(name, value)| (*name, value.as_str()));
        // Of two lines with one name the first holds.
        self.driver.set(&knobs.iter().copied().chain(own).collect::<Vec<_>>());
    }

    /// Reports of this node, for whom the software GPUs' authority is as good as NVIDIA's.
    pub(crate) fn service(&self) -> ReportService {
        service_over(Arc::new(UnderSoftwareRoot(self.driver.start().unwrap())))
    }
}

/// NVIDIA's driver as it is in production, and another root.
pub(crate) struct UnderSoftwareRoot(pub(crate) NvmlAttester);

impl GpuAttester for UnderSoftwareRoot {
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_> {
        self.0.evidence(nonce)
    }

    fn trust_root(&self) -> GpuRoot {
        SoftwareGpu::new(Architecture::Hopper).unwrap().trust_root()
    }
}

pub(crate) fn service_over(gpus: Arc<dyn GpuAttester>) -> ReportService {
    ReportService::new(ReportParts {
        attester: Arc::new(SoftwarePlatform::new().unwrap()),
        gpus: Some(gpus),
        signer: Arc::new(signer()),
        identities: identities(),
        model: Box::new(|| Some("software".to_owned())),
        tls_spki: None,
        clock: Arc::new(Then),
    })
}

/// Who signs receipts.
fn identities() -> Arc<Identities> {
    let key = ReceiptKey::from_secret(&[2; 32]);
    Arc::new(Identities::new(key, None, Then.now()))
}

fn signer() -> LocalSigner {
    LocalSigner::from_secret(&[7; 32]).unwrap()
}

pub(crate) fn address() -> Address {
    signer().address()
}

struct Then;

impl Clock for Then {
    fn now(&self) -> Timestamp {
        Timestamp(NOW_SECS * 1000)
    }
}

pub(crate) fn query(nonce: Nonce32) -> ReportQuery {
    ReportQuery { nonce: Some(nonce.to_string()), ..ReportQuery::default() }
}

/// The report over this nonce.
pub(crate) async fn ask(service: &ReportService, nonce: Nonce32) -> Result<Value, ReportError> {
    let bytes = service.report(&query(nonce)).await?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

/// What an auditor says who chose this nonce and allows simulated evidence.
pub(crate) fn audit(report: &Value, nonce: Nonce32) -> Audit {
    let materials = Materials {
        now_secs: NOW_SECS,
        nonce: Some(nonce),
        collateral: None,
        rims: &[],
        ocsp: &[],
        nras: None,
        tls_peer: None,
        asked: Asked::default(),
    };
    let policy = Policy { simulated: Simulated::Accept, ..Policy::default() };
    let saved = parse_reports(report.to_string().as_bytes()).unwrap();
    assert_eq!(saved.len(), 1);
    audit_report(&saved[0], &materials, &policy)
}

/// The nonces that the GPUs signed, from the bytes of their reports.
pub(crate) fn gpu_nonces(report: &Value) -> Vec<[u8; 32]> {
    let payload: Value = serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap();
    let list = payload["evidence_list"].as_array().unwrap();
    let signed = list.iter().map(|gpu| STANDARD.decode(gpu["evidence"].as_str().unwrap()).unwrap());
    signed.map(|report| report[4..36].try_into().unwrap()).collect()
}

/// The report data inside the report's quote.
pub(crate) fn quoted_report_data(report: &Value) -> Vec<u8> {
    let quote = hex::decode(report["intel_quote"].as_str().unwrap()).unwrap();
    quote[568..632].to_vec()
}
