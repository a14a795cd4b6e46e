//! Reports of a running sidecar that has a software GPU.

use broker_core::Digest32;
use serde_json::Value;
use tee_sidecar::config::{GpuProvider, Settings};

use super::{MODEL, Response};

/// Settings of a sidecar whose reports hold GPU evidence and are whole from the first one on,
/// whether or not the engine has told its model yet.
pub(crate) fn with_gpu(settings: &mut Settings) {
    settings.gpu = GpuProvider::Simulated;
    settings.service.model = Some(MODEL.to_owned());
}

/// A nonce that only this number has.
pub(crate) fn nonce(n: u64) -> String {
    Digest32::sha256(&n.to_be_bytes()).to_string()
}

/// A report whose quote carries exactly the report data that it states.
pub(crate) fn report_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.complete);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let report = response.json();
    let quote = report["intel_quote"].as_str().unwrap();
    assert!(quote.contains(report["report_data"].as_str().unwrap()), "another report data");
    assert_eq!((&report["simulated"], &report["gpu_status"]), (&true.into(), &"attested".into()));
    report
}

/// The nonce that the GPUs answered.
pub(crate) fn gpu_nonce(report: &Value) -> Value {
    let payload: Value = serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["evidence_list"].as_array().unwrap().len(), 1);
    payload["nonce"].clone()
}
