//! GPU evidence that is not what was asked for never leaves.

use std::sync::Arc;

use tee_sidecar::attest::{
    AttestError, GpuAttester, GpuError, GpuFuture, ReportError, ReportQuery,
};
use tee_sidecar::evidence::Nonce32;
use tee_sidecar::evidence::nvidia::{Architecture, GpuEvidence, GpuRoot};
use tee_sidecar::evidence::simulator::{SoftwareGpu, SoftwarePlatform};

use crate::support::{NONCE, ask, service_with, with_nonce};

/// A source of GPU evidence with something wrong.
struct Spoiled {
    gpu: SoftwareGpu,
    root: GpuRoot,
    spoil: fn(&SoftwareGpu, Nonce32) -> Result<Vec<GpuEvidence>, GpuError>,
}

impl Spoiled {
    fn new(spoil: fn(&SoftwareGpu, Nonce32) -> Result<Vec<GpuEvidence>, GpuError>) -> Self {
        let gpu = SoftwareGpu::new(Architecture::Hopper).unwrap();
        Self { root: gpu.trust_root(), gpu, spoil }
    }
}

impl GpuAttester for Spoiled {
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_> {
        Box::pin(async move { (self.spoil)(&self.gpu, nonce) })
    }

    fn trust_root(&self) -> GpuRoot {
        self.root.clone()
    }
}

fn good(gpu: &SoftwareGpu, nonce: Nonce32) -> Result<Vec<GpuEvidence>, GpuError> {
    Ok(vec![gpu.evidence(&nonce).unwrap()])
}

async fn refusal(source: Spoiled) -> AttestError {
    let platform = Arc::new(SoftwarePlatform::new().unwrap());
    let service = service_with(platform, Some(Arc::new(source)), None);
    let at_start = service.self_check().await.unwrap_err();
    for query in [with_nonce(NONCE), ReportQuery::default()] {
        let refused = ask(&service, &query).await.unwrap_err();
        let ReportError::NoEvidence(cause) = refused else { panic!("{refused}") };
        assert_eq!(cause, at_start, "the same at the start and in a report");
    }
    at_start
}

fn self_check_of(error: &AttestError) -> (usize, &str) {
    match error {
        AttestError::Gpu(GpuError::SelfCheck { index, cause }) => (*index, cause),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_good_source_is_served_and_passes_the_start() {
    let platform = Arc::new(SoftwarePlatform::new().unwrap());
    let service = service_with(platform, Some(Arc::new(Spoiled::new(good))), None);
    service.self_check().await.unwrap();
    ask(&service, &with_nonce(NONCE)).await.unwrap();
}

#[tokio::test]
async fn evidence_of_another_nonce_is_never_served() {
    let stale = Spoiled::new(|gpu, _| good(gpu, Nonce32::from_bytes([1; 32])));
    let refused = refusal(stale).await;
    let (index, cause) = self_check_of(&refused);
    assert_eq!(index, 0);
    assert!(cause.contains("nonce"), "{cause}");
}

#[tokio::test]
async fn one_bad_gpu_among_several_is_named() {
    let second = Spoiled::new(|gpu, nonce| {
        let mut gpus = [good(gpu, nonce)?, good(gpu, nonce)?].concat();
        let last = gpus[1].report.len() - 1;
        gpus[1].report[last] ^= 1;
        Ok(gpus)
    });
    let refused = refusal(second).await;
    let (index, cause) = self_check_of(&refused);
    assert_eq!(index, 1);
    assert!(cause.contains("signed"), "{cause}");
}

#[tokio::test]
async fn evidence_under_another_root_than_nvidias_stops_the_start() {
    let self_signed = Spoiled { root: GpuRoot::Nvidia, ..Spoiled::new(good) };
    let refused = refusal(self_signed).await;
    assert!(self_check_of(&refused).1.contains("root"), "{refused}");
}

#[tokio::test]
async fn a_source_without_gpus_or_with_an_error_gives_no_report() {
    let none = refusal(Spoiled::new(|_, _| Ok(Vec::new()))).await;
    assert_eq!(none, AttestError::Gpu(GpuError::NoGpu));
    for error in [GpuError::ConfidentialComputingOff, GpuError::DevTools, GpuError::NotReady] {
        let failing = match error {
            GpuError::ConfidentialComputingOff => {
                Spoiled::new(|_, _| Err(GpuError::ConfidentialComputingOff))
            }
            GpuError::DevTools => Spoiled::new(|_, _| Err(GpuError::DevTools)),
            _ => Spoiled::new(|_, _| Err(GpuError::NotReady)),
        };
        assert_eq!(refusal(failing).await, AttestError::Gpu(error));
    }
}
